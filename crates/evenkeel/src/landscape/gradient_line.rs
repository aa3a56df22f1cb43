//! Looking ahead along the negative gradient.

use crate::config::NormMode;
use crate::{Batch, Error, Network, Probe, Result, State};
use evenkeel_graph::Tensor;

/// A program for the objective and its gradient, to look ahead along the gradient with.
///
/// Where g is the gradient at θ on a batch, and η a step: the loss at θ − η g, ‖∇L(θ) − ∇L(θ − η g)‖, and that over η ‖g‖. The samples of
/// the batch are one batch to layers that take statistics over it; nothing is drawn at random.
pub struct GradientLine {
    probe: Probe,
}

/// What was found ahead of a point.
#[derive(Clone, Debug, PartialEq)]
pub struct Ahead {
    /// The objective at the point.
    pub loss: f64,
    /// The Euclidean norm of its gradient there, over all parameters.
    pub gradient_norm: f64,
    /// What each step led to, in their order.
    pub reached: Vec<Reached>,
}

/// What a step along the negative gradient led to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reached {
    /// The step η.
    pub step: f64,
    /// The objective after it.
    pub loss: f64,
    /// ‖∇L(θ) − ∇L(θ − η g)‖: what the gradient does not predict.
    pub gradient_change: f64,
}

/// Steps from half to four times a learning rate, each √2 times the one before: those of Santurkar et al.
pub fn steps_around(rate: f64) -> [f64; 7] {
    std::array::from_fn(|index| 0.5 * rate * 2.0_f64.powf(index as f64 / 2.0))
}

impl GradientLine {
    /// Compiles loss and gradient for batches of one size.
    ///
    /// # Errors
    /// As [`Probe::new`].
    pub fn new(network: &Network, batch: usize, mode: NormMode) -> Result<GradientLine> {
        let probe = Probe::new(network, batch, mode, |trace| {
            let objective = trace.objective()?;
            let gradient = trace.cx.graph().vjp(&[objective], &trace.parameters(), None)?;
            let names = network.parameters().iter().map(|info| info.path.clone());
            Ok(std::iter::once(("objective".to_owned(), objective)).chain(names.zip(gradient)).collect())
        })?;
        Ok(GradientLine { probe })
    }

    /// Takes steps from a point, each from the point itself. Cost: a gradient, and one more for each step.
    ///
    /// # Errors
    /// When the batch or the state are not shaped as compiled.
    pub fn look(&mut self, batch: &Batch, state: &State, steps: &[f64]) -> Result<Ahead> {
        let (loss, gradient) = self.gradient(batch, &state.parameters, &state.buffers)?;
        let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
        let mut reached = Vec::with_capacity(steps.len());
        for &step in steps {
            let moved =
                state.parameters.iter().zip(&gradient).map(|(parameter, gradient)| moved(parameter, gradient, step));
            let (loss, there) = self.gradient(batch, &moved.collect::<Result<Vec<_>>>()?, &state.buffers)?;
            let changes = gradient.iter().flatten().zip(there.iter().flatten()).map(|(here, there)| here - there);
            let gradient_change = norm(&mut { changes });
            reached.push(Reached { step, loss, gradient_change });
        }
        Ok(Ahead { loss, gradient_norm: norm(&mut gradient.iter().flatten().copied()), reached })
    }

    fn gradient(&mut self, batch: &Batch, parameters: &[Tensor], buffers: &[Tensor]) -> Result<(f64, Vec<Vec<f64>>)> {
        match self.probe.run(batch, parameters, buffers)? {
            [loss, gradient @ ..] => {
                Ok((loss.item().unwrap_or(f64::NAN), gradient.iter().map(Tensor::to_f64).collect()))
            }
            [] => Err(Error::input("a network has an objective")),
        }
    }
}

/// θ − η g, in the parameter's type.
fn moved(parameter: &Tensor, gradient: &[f64], step: f64) -> Result<Tensor> {
    let values: Vec<f64> = parameter.to_f64().iter().zip(gradient).map(|(value, slope)| value - step * slope).collect();
    Tensor::from_f64(parameter.shape(), parameter.dtype(), &values).ok_or_else(|| {
        Error::input("a gradient does not have its parameter's shape").detail("expected", parameter.shape())
    })
}

impl Ahead {
    /// The smallest and the largest loss ahead.
    pub fn losses(&self) -> (f64, f64) {
        self.range(|reached| reached.loss)
    }

    /// The smallest and the largest change of the gradient: the less, the better does it predict those ahead.
    pub fn predictiveness(&self) -> (f64, f64) {
        self.range(|reached| reached.gradient_change)
    }

    /// The effective β-smoothness: the largest change of the gradient over the way there. A point without a gradient has none: NaN.
    pub fn smoothness(&self) -> f64 {
        self.reached
            .iter()
            .map(|reached| reached.gradient_change / (reached.step * self.gradient_norm))
            .fold(f64::NAN, f64::max)
    }

    fn range(&self, number: impl Fn(&Reached) -> f64) -> (f64, f64) {
        let numbers = self.reached.iter().map(number);
        numbers.fold((f64::NAN, f64::NAN), |(low, high), number| (low.min(number), high.max(number)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Initialization, Loss};
    use crate::nn::{Context, Initial, NormSettings};
    use evenkeel_graph::{DType, Var};

    const CURVATURES: [f64; 3] = [0.5, 2.0, 8.0];

    /// ½ Σ c p², whatever the data.
    fn bowl<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let p = cx.param("p", [3], Initial::Constant(1.0));
        let c = Tensor::from_f64([3], DType::F64, &CURVATURES).unwrap();
        cx.add_loss(x.sum(&[1]) * 0.0 + (p.square() * cx.graph().constant(c)).sum_all() * 0.5);
        // One class: the loss of the answer itself is 0.
        cx.graph().splat(0.0, [x.shape()[0], 1], x.dtype())
    }

    #[test]
    fn a_quadratic_bowl_has_the_changes_of_its_curvatures() {
        let network =
            Network::with(Box::new(bowl), &[1], DType::F64, Loss::CrossEntropy, NormSettings::default()).unwrap();
        let batch = Batch { inputs: Tensor::zeros([2, 1], DType::F64), labels: Tensor::zeros([2], DType::I32) };
        let state = network.initial_state(Initialization::He, 0);
        let mut line = GradientLine::new(&network, 2, NormMode::Running).unwrap();
        let ahead = line.look(&batch, &state, &[0.01, 0.1]).unwrap();
        // g = c; θ' = 1 − η c; ∇' = c (1 − η c): the change is η c².
        let norm = |power: i32| CURVATURES.iter().map(|c| c.powi(power).powi(2)).sum::<f64>().sqrt();
        let close = |a: f64, b: f64| (a - b).abs() < 1e-12 * (1.0 + b.abs());
        assert!(close(ahead.loss, 5.25) && close(ahead.gradient_norm, norm(1)), "{ahead:?}");
        for reached in &ahead.reached {
            let loss: f64 = CURVATURES.iter().map(|c| 0.5 * c * (1.0 - reached.step * c).powi(2)).sum();
            assert!(close(reached.loss, loss) && close(reached.gradient_change, reached.step * norm(2)), "{reached:?}");
        }
        assert!(close(ahead.smoothness(), norm(2) / norm(1)));
        let (low, high) = ahead.predictiveness();
        assert!(close(low, 0.01 * norm(2)) && close(high, 0.1 * norm(2)));
        assert_eq!(ahead.losses(), (ahead.reached[1].loss, ahead.reached[0].loss));
    }

    #[test]
    fn steps_go_from_half_to_four_times_the_rate() {
        let steps = steps_around(0.2);
        assert_eq!(steps[0], 0.1);
        assert!((steps[6] - 0.8).abs() < 1e-15 && steps.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
