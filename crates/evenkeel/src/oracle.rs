//! What an outside program needs to check us: one batch with its loss, logits, gradient and second-order products.

use crate::config::{Loss, NormMode};
use crate::curvature::{Curvature, Product};
use crate::experiment::{self, Experiment};
use crate::network::State;
use crate::store::NamedTensor;
use crate::{Error, Result};
use evenkeel_graph::random::Key;
use evenkeel_graph::{DType, Shape, Tensor};

/// Computes the oracle of the first `batch` training samples at `state`.
///
/// Tensors: `input/x`, `input/y`, `param/<path>`, `buffer/<path>`, `output/loss`, `output/logits`, `grad/<path>`,
/// `vector/<path>` (standard normal, drawn from `seed`), `hvp/<path>`, `ggnvp/<path>`. The loss is the mean over the batch.
///
/// # Errors
/// When there are too few samples, or the mode is [`NormMode::Frozen`] (its statistics are not part of the file).
pub fn oracle(
    experiment: &Experiment,
    state: &State,
    batch: usize,
    mode: NormMode,
    seed: u64,
) -> Result<Vec<NamedTensor<'static>>> {
    let network = &experiment.network;
    if mode == NormMode::Frozen {
        return Err(Error::input("an oracle has norm mode batch or running").detail("got", mode.word()));
    }
    if experiment.config.loss != Loss::CrossEntropy {
        return Err(Error::input("an oracle holds the mean cross-entropy")
            .detail("key", "loss")
            .detail("got", experiment.config.loss.word()));
    }
    let samples = experiment.samples(batch)?;
    let dtype = network.dtype();
    let mut tensors = vec![named("input/x", &samples.inputs), named("input/y", &samples.labels)];
    let paths = || network.parameters().iter().map(|info| (info.path.as_str(), &info.shape));
    tensors.extend(paths().zip(&state.parameters).map(|((path, _), tensor)| named(&format!("param/{path}"), tensor)));
    let buffers = network.buffers().iter().zip(&state.buffers);
    tensors.extend(buffers.map(|(info, tensor)| named(&format!("buffer/{}", info.path), tensor)));

    let mut curvature = Curvature::new(network, mode, samples, state.clone())?;
    let (loss, gradient) = curvature.gradient()?;
    let logits = curvature.logits()?;
    tensors.push(named("output/loss", &number(loss, dtype)));
    tensors.push(named("output/logits", &logits));
    let mut random = Key::new(seed, "oracle/vector", 0).random();
    // Rounded first: the vector in the file is the one the products were taken with.
    let direction: Vec<f64> =
        (0..network.parameter_count()).map(|_| random.normal_f64()).map(|value| round(value, dtype)).collect();
    let hessian = curvature.product(Product::Hessian, &direction)?;
    let gauss_newton = curvature.product(Product::GaussNewton, &direction)?;
    for (name, flat) in [("grad", gradient), ("vector", direction), ("hvp", hessian), ("ggnvp", gauss_newton)] {
        let mut rest = &flat[..];
        for (path, shape) in paths() {
            let (head, tail) = rest.split_at(shape.elements());
            rest = tail;
            tensors.push(named(&format!("{name}/{path}"), &tensor(shape, dtype, head)));
        }
    }
    Ok(tensors)
}

fn named(name: &str, tensor: &Tensor) -> NamedTensor<'static> {
    experiment::named(name, tensor).into_owned()
}

fn number(value: f64, dtype: DType) -> Tensor {
    tensor(&Shape::default(), dtype, &[value])
}

fn tensor(shape: &Shape, dtype: DType, values: &[f64]) -> Tensor {
    Tensor::from_f64(shape, dtype, values).unwrap_or_else(|| Tensor::zeros(shape, dtype))
}

fn round(value: f64, dtype: DType) -> f64 {
    if dtype == DType::F32 { f64::from(value as f32) } else { value }
}
