//! What linear and convolution layers have in common: a linear map by learned weights, and a bias.
//!
//! Because all of them are one layer here, what adapts layers to data (see [`crate::init::DataDependent`]) knows them all, and no
//! others, whatever they are called.

use super::{Context, Initial};
use evenkeel_graph::{DType, Shape, Var};
use std::collections::BTreeMap;

/// A layer whose output units are sums of inputs times weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    /// Of the weights, `[.., units]`.
    pub shape: Shape,
    /// Numbers that are added up for one output.
    pub fan_in: usize,
    /// Outputs that one input goes to.
    pub fan_out: usize,
    /// Whether it is the last layer, whose output nothing normalizes.
    pub last: bool,
    /// Whether each unit has a bias.
    pub biased: bool,
}

/// An affine layer of a network that was traced.
#[derive(Clone, Debug)]
pub(crate) struct AffineLayer<'g> {
    /// Its path.
    pub(crate) place: String,
    /// The parameter that the weights are drawn into.
    pub(crate) weights: String,
    /// The parameter `[.., units]` that each unit's response is proportional to; none where it has a fixed size.
    pub(crate) size: Option<String>,
    /// The parameter that is added.
    pub(crate) bias: Option<String>,
    /// Whether it is the last layer.
    pub(crate) last: bool,
    /// What it gives.
    pub(crate) output: Var<'g>,
    /// What it was adapted to.
    pub(crate) adapted: Option<Adapted<'g>>,
}

/// How the affine layers of a network are adapted while it is traced, by their path. The others stay as they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Adapting {
    pub(crate) layers: BTreeMap<String, Adapt>,
    /// Added to variances.
    pub(crate) epsilon: f64,
}

/// What becomes of a layer's responses to a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Adapt {
    /// Each unit's deviation afterwards; none: as it is.
    pub(crate) deviation: Option<f64>,
    /// Whether each unit's mean becomes 0; the bias is then what does it.
    pub(crate) centered: bool,
}

/// What a batch makes of a layer's units before their bias, each `[units]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Adapted<'g> {
    pub(crate) mean: Var<'g>,
    pub(crate) deviation: Var<'g>,
    /// What the unit is multiplied by: 1 where it is constant.
    pub(crate) factor: Var<'g>,
}

impl<'g> Context<'g> {
    /// `apply` of the `weight` of the current place (see [`Context::weight`]), plus its `bias` if it has one; the units are the last
    /// axis of what `apply` gives, which is linear in the weights.
    ///
    /// Layers of one's own that are made of this are adapted to data as the others are.
    pub fn affine(&self, layer: Affine, apply: impl FnOnce(Var<'g>) -> Var<'g>) -> Var<'g> {
        let Affine { shape, fan_in, fan_out, last, biased } = layer;
        let units = shape.last().copied().unwrap_or(0);
        let initial = Initial::Weight { fan_in, fan_out };
        let weight = match last {
            true => self.output_weight("weight", shape, initial),
            false => self.weight("weight", shape, initial),
        };
        let response = apply(weight);
        let bias = biased.then(|| self.param("bias", [units], Initial::Bias { fan_in }));
        let place = self.place();
        let wanted = self.adapting().and_then(|adapting| Some((adapting.layers.get(&place)?, adapting.epsilon)));
        let (output, adapted) = match wanted {
            None => (bias.map_or(response, |bias| response + bias), None),
            Some((how, epsilon)) => {
                // A layer that is used again stays what it became at first.
                let before = self.affine_layers().into_iter().find(|layer| layer.place == place);
                let adapted = before.and_then(|layer| layer.adapted).unwrap_or_else(|| adapt(response, *how, epsilon));
                let output = match (how.centered, bias) {
                    (true, _) => (response - adapted.mean) * adapted.factor,
                    (false, Some(bias)) => response * adapted.factor + bias,
                    (false, None) => response * adapted.factor,
                };
                (output, Some(adapted))
            }
        };
        let (weights, size) = self.weight_parameters("weight", last);
        let path = |name: &str| self.graph().path(name);
        self.record_affine(AffineLayer {
            place,
            weights: path(&weights),
            size: size.map(|size| path(&size)),
            bias: biased.then(|| path("bias")),
            last,
            output,
            adapted,
        });
        output
    }
}

/// Mean and deviation of each unit over all but the last axis, and the factor that gives it the wanted deviation.
fn adapt<'g>(response: Var<'g>, how: Adapt, epsilon: f64) -> Adapted<'g> {
    let axes: Vec<usize> = (0..response.shape().len().saturating_sub(1)).collect();
    let mean = response.mean(&axes);
    let variance = (response - mean).square().mean(&axes);
    let size = (variance + epsilon).sqrt();
    let one = size.like(1.0);
    let factor = how.deviation.map_or(one, |wanted| {
        let constant = (mean.abs() * rounding(response.dtype())).greater_or_equal(size);
        constant.select(one, wanted / constant.select(one, size))
    });
    Adapted { mean, deviation: variance.sqrt(), factor }
}

/// What rounding may make of a constant's deviation, relative to its mean.
pub(crate) fn rounding(dtype: DType) -> f64 {
    4.0 * if dtype == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) }
}
