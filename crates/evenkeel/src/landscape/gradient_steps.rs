//! How far gradients move from step to step.

use crate::config::NormMode;
use crate::nn::ParameterInfo;
use crate::{Batch, Error, Network, Probe, Result};
use evenkeel_graph::Tensor;

/// Follows the gradient of some parameters through a training: ‖g_t − g_{t−1}‖, each on its own step's batch.
///
/// Between two points that lie far apart it grows with the way between them as well as with the roughness of the loss, so curves of
/// this number are to be compared where the losses are about the same.
pub struct GradientSteps {
    probe: Probe,
    before: Option<Vec<f64>>,
}

impl GradientSteps {
    /// Compiles the gradient of the parameters that `follows` says, for batches of one size. Cost: what lies between them and the
    /// loss, so the last layer's are cheap.
    ///
    /// # Errors
    /// When no parameter is followed, and as for [`Probe::new`].
    pub fn new(
        network: &Network,
        batch: usize,
        mode: NormMode,
        follows: impl Fn(&ParameterInfo) -> bool,
    ) -> Result<GradientSteps> {
        let followed: Vec<bool> = network.parameters().iter().map(follows).collect();
        if !followed.contains(&true) {
            return Err(Error::input("no parameter of the network is followed")
                .detail("expected", "at least one of its paths")
                .hint("`Network::parameters` lists them"));
        }
        let probe = Probe::new(network, batch, mode, |trace| {
            let objective = trace.objective()?;
            let chosen = trace.parameters().into_iter().zip(&followed).filter(|(_, followed)| **followed);
            let chosen: Vec<_> = chosen.map(|(parameter, _)| parameter).collect();
            let names = network.parameters().iter().zip(&followed).filter(|(_, followed)| **followed);
            let names: Vec<String> = names.map(|(info, _)| info.path.clone()).collect();
            Ok(names.into_iter().zip(trace.cx.graph().vjp(&[objective], &chosen, None)?).collect())
        })?;
        Ok(GradientSteps { probe, before: None })
    }

    /// Takes the gradient at a point, and says how far it is from the one before; nothing at the first point.
    ///
    /// # Errors
    /// When the batch or the state are not shaped as compiled.
    pub fn next(&mut self, batch: &Batch, parameters: &[Tensor], buffers: &[Tensor]) -> Result<Option<f64>> {
        let gradient: Vec<f64> = self.probe.run(batch, parameters, buffers)?.iter().flat_map(Tensor::to_f64).collect();
        let change = self
            .before
            .as_ref()
            .map(|before| gradient.iter().zip(before).map(|(now, before)| (now - before).powi(2)).sum::<f64>().sqrt());
        self.before = Some(gradient);
        Ok(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Initialization, Loss};
    use crate::curvature::Curvature;
    use crate::nn::{Context, NormSettings};
    use evenkeel_graph::{DType, Var};

    fn model<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        cx.linear("head", cx.linear("fc1", x, 4).tanh(), 3)
    }

    #[test]
    fn the_change_is_that_of_the_followed_parameters_alone() {
        let network =
            Network::with(Box::new(model), &[2], DType::F64, Loss::CrossEntropy, NormSettings::default()).unwrap();
        let batch = Batch {
            inputs: Tensor::new::<f64>([3, 2], vec![0.1, -0.4, 0.7, 0.2, -0.3, 0.5]).unwrap(),
            labels: Tensor::new([3], vec![0, 1, 2]).unwrap(),
        };
        let mut steps = GradientSteps::new(&network, 3, NormMode::Running, |info| info.path == "head.weight").unwrap();
        let states = [1, 2].map(|seed| network.initial_state(Initialization::Glorot, seed));
        assert_eq!(steps.next(&batch, &states[0].parameters, &[]).unwrap(), None);
        let change = steps.next(&batch, &states[1].parameters, &[]).unwrap().unwrap();
        let gradient = |state: &crate::State| {
            let mut curvature = Curvature::new(&network, NormMode::Running, batch.clone(), state.clone()).unwrap();
            // fc1 has 8 + 4 numbers, the head's weight 12.
            curvature.gradient().unwrap().1[12..24].to_vec()
        };
        let [a, b] = [gradient(&states[0]), gradient(&states[1])];
        let wanted: f64 = a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        assert!(wanted > 0.0 && (change - wanted).abs() < 1e-12);
        assert!(GradientSteps::new(&network, 3, NormMode::Running, |_| false).is_err());
    }
}
