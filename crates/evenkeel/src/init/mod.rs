//! What parameters are before the first step.
//!
//! Each parameter draws from its own stream, named by its path: adding a layer does not change what the others get.

mod data_dependent;
mod gradinit;
mod orthogonal;
mod prepare;

pub use data_dependent::{AdaptedLayer, DataDependent, DataDependentOutcome, Untouched};
pub use gradinit::{
    GradInit, GradInitOutcome, GradInitStep, LookAhead, Overlap, ParameterScale, Prospect, SecondMoment,
};

pub(crate) use prepare::PROBE;
pub use prepare::{InitMeasurement, ParameterChange, Prepared, Standing};

use crate::config::Initialization;
use crate::nn::{Initial, ParameterInfo};
use evenkeel_graph::random::{Key, Random};
use evenkeel_graph::{DType, Shape, Tensor};

/// How weights are drawn: a rule, and what all of them are multiplied by.
///
/// ```
/// use evenkeel::config::Initialization;
/// use evenkeel::init::Scheme;
/// let ten_times = Scheme { scale: 10.0, ..Initialization::He.into() };
/// assert_eq!(ten_times.rule, Initialization::He);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scheme {
    /// The rule.
    pub rule: Initialization,
    /// The factor of the weights of layers: the gain of the field's literature. Biases, norms' parameters and embeddings are not weights in
    /// this sense.
    pub scale: f64,
}

impl From<Initialization> for Scheme {
    fn from(rule: Initialization) -> Self {
        Scheme { rule, scale: 1.0 }
    }
}

/// The initial value of one parameter.
///
/// Weights by rule, with fan_in numbers added up for one output and fan_out outputs that one input goes to:
///
/// * [`Initialization::He`], [`Initialization::HeUniform`]: variance 2 / fan_in
/// * [`Initialization::Glorot`], [`Initialization::GlorotNormal`]: variance 2 / (fan_in + fan_out)
/// * [`Initialization::Lecun`], [`Initialization::LecunUniform`]: variance 1 / fan_in
/// * [`Initialization::Orthogonal`]: `[.., units]` as a matrix with one column a unit: columns orthonormal, or rows where they are
///   fewer; in a recurrent layer each gate's columns by themselves
/// * [`Initialization::DeltaOrthogonal`]: the same for `[in, out]` in the middle of a kernel `[k, k, in, out]`, zeros elsewhere. Where
///   in ≤ out, the convolution keeps the norm of what it reads as far as it does not cut it at the border (stride 1).
/// * [`Initialization::Uniform`]: in ±1 / √fan_in, as well as the layer's biases; in a recurrent layer ±1 / √hidden for all
/// * [`Initialization::Normal`]: of that deviation, whatever the layer
///
/// Drawn in f64 and rounded to `dtype`, so that both types start from the same point. Cost: the numbers, and for orthogonal ones a QR
/// decomposition a layer.
pub fn initialize(info: &ParameterInfo, scheme: impl Into<Scheme>, seed: u64, dtype: DType) -> Tensor {
    let values = values(info, scheme.into(), seed);
    Tensor::from_f64(&info.shape, dtype, &values).unwrap_or_else(|| Tensor::zeros(&info.shape, dtype))
}

fn values(info: &ParameterInfo, scheme: Scheme, seed: u64) -> Vec<f64> {
    let mut random = Key::new(seed, &format!("init/{}", info.path), 0).random();
    let count = info.shape.elements();
    match &info.initial {
        Initial::Constant(value) => vec![*value; count],
        Initial::Lengths(other) => lengths(&other.shape, &values(other, scheme, seed)),
        Initial::Normal(deviation) => normal(&mut random, *deviation, count),
        Initial::Bias { fan_in } => match scheme.rule {
            Initialization::Uniform => uniform(&mut random, 1.0 / one_or_more(*fan_in).sqrt(), count),
            _ => vec![0.0; count],
        },
        Initial::Weight { fan_in, fan_out } => weight(&mut random, scheme, &info.shape, *fan_in, *fan_out),
        Initial::Recurrent { fan_in, hidden } => match scheme.rule {
            Initialization::Uniform => uniform(&mut random, scheme.scale / one_or_more(*hidden).sqrt(), count),
            Initialization::Orthogonal | Initialization::DeltaOrthogonal => {
                orthogonal::blocks(&mut random, &info.shape, *hidden, scheme.scale)
            }
            _ => weight(&mut random, scheme, &info.shape, *fan_in, *hidden),
        },
    }
}

fn weight(random: &mut Random, scheme: Scheme, shape: &Shape, fan_in: usize, fan_out: usize) -> Vec<f64> {
    let (count, scale) = (shape.elements(), scheme.scale);
    let (inputs, both) = (one_or_more(fan_in), one_or_more(fan_in + fan_out));
    match scheme.rule {
        Initialization::He => normal(random, scale * (2.0 / inputs).sqrt(), count),
        Initialization::HeUniform => uniform(random, scale * (6.0 / inputs).sqrt(), count),
        Initialization::Glorot => uniform(random, scale * (6.0 / both).sqrt(), count),
        Initialization::GlorotNormal => normal(random, scale * (2.0 / both).sqrt(), count),
        Initialization::Lecun => normal(random, scale * (1.0 / inputs).sqrt(), count),
        Initialization::LecunUniform => uniform(random, scale * (3.0 / inputs).sqrt(), count),
        Initialization::Orthogonal => orthogonal::whole(random, shape, scale),
        Initialization::DeltaOrthogonal => orthogonal::delta(random, shape, scale),
        Initialization::Uniform => uniform(random, scale / inputs.sqrt(), count),
        Initialization::Normal(deviation) => normal(random, scale * deviation, count),
    }
}

/// A number of inputs or outputs; a layer without any has no weights whose size would matter.
fn one_or_more(fan: usize) -> f64 {
    fan.max(1) as f64
}

fn normal(random: &mut Random, deviation: f64, count: usize) -> Vec<f64> {
    (0..count).map(|_| deviation * random.normal_f64()).collect()
}

fn uniform(random: &mut Random, bound: f64, count: usize) -> Vec<f64> {
    (0..count).map(|_| bound * (2.0 * random.uniform_f64() - 1.0)).collect()
}

/// The Euclidean length of each unit's numbers, `[.., units]`.
pub(crate) fn lengths(shape: &Shape, weights: &[f64]) -> Vec<f64> {
    let units = shape.last().copied().unwrap_or(0);
    let mut squares = vec![0.0; units];
    for row in weights.chunks_exact(units.max(1)) {
        squares.iter_mut().zip(row).for_each(|(square, weight)| *square += weight * weight);
    }
    squares.into_iter().map(f64::sqrt).collect()
}
