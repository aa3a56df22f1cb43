//! What parameters are before the first step.
//!
//! Each parameter draws from its own stream, named by its path: adding a layer does not change what the others get.

use crate::config::Initialization;
use crate::nn::{Initial, ParameterInfo};
use evenkeel_graph::random::Key;
use evenkeel_graph::{DType, Tensor};

/// The initial value of one parameter.
///
/// * [`Initialization::He`]: normal with variance 2 / fan_in (He, Zhang, Ren, Sun 2015, arXiv 1502.01852)
/// * [`Initialization::Glorot`]: uniform in ±√(6 / (fan_in + fan_out)) (Glorot, Bengio 2010)
///
/// Drawn in f64 and rounded to `dtype`, so that both types start from the same point.
pub fn initialize(info: &ParameterInfo, scheme: Initialization, seed: u64, dtype: DType) -> Tensor {
    let mut random = Key::new(seed, &format!("init/{}", info.path), 0).random();
    let count = info.shape.elements();
    let values: Vec<f64> = match &info.initial {
        Initial::Constant(value) => vec![*value; count],
        Initial::Lengths(other) => lengths(&initialize(other, scheme, seed, DType::F64)),
        Initial::Normal(deviation) => (0..count).map(|_| deviation * random.normal_f64()).collect(),
        Initial::Weight { fan_in, fan_out } => match scheme {
            Initialization::He => {
                let deviation = (2.0 / (*fan_in).max(1) as f64).sqrt();
                (0..count).map(|_| deviation * random.normal_f64()).collect()
            }
            Initialization::Glorot => {
                let bound = (6.0 / (fan_in + fan_out).max(1) as f64).sqrt();
                (0..count).map(|_| bound * (2.0 * random.uniform_f64() - 1.0)).collect()
            }
        },
    };
    Tensor::from_f64(&info.shape, dtype, &values).unwrap_or_else(|| Tensor::zeros(&info.shape, dtype))
}

/// The Euclidean length of each unit's numbers, `[.., units]`.
fn lengths(weights: &Tensor) -> Vec<f64> {
    let units = weights.shape().last().copied().unwrap_or(0);
    let mut squares = vec![0.0; units];
    for row in weights.to_f64().chunks_exact(units.max(1)) {
        squares.iter_mut().zip(row).for_each(|(square, weight)| *square += weight * weight);
    }
    squares.into_iter().map(f64::sqrt).collect()
}
