//! The largest singular values of layers as a penalty.

use crate::network::Trace;
use crate::nn::LinearMap;
use crate::objective::Term;
use crate::{Error, Result};
use evenkeel_graph::op::{Convolution, Op};
use evenkeel_graph::random::Key;
use evenkeel_graph::{DType, Shape, Tensor, Var};

/// The place that first vectors are drawn for, and the name of the term's buffers.
const PLACE: &str = "spectral";

/// ½ · `weight` · Σ s_max² over the weights of linear and convolution layers.
///
/// s_max is the largest singular value of the map that the layer applies: for a convolution of the convolution itself, with its padding
/// and stride, not of its reshaped kernel, whose norm may be √(kh · kw) times smaller.
///
/// Power iteration, once a step: s² = ‖W v‖² with the unit vector v that the last step left, then v ← Wᵀ W v / ‖Wᵀ W v‖. The vectors are
/// buffers of the network, `objective.spectral.LAYER.vector`, and constants to derivatives, so that the gradient is s · u vᵀ as
/// for the converged pair. A vector of zeros, as before the first step, stands for a random one.
///
/// * cost: two products with each layer for one sample, and their gradients
///
/// # Errors
/// When the network has no linear or convolution layer.
///
/// Source: Yoshida, Miyato 2017, arXiv 1705.10941, algorithm 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpectralNorm {
    /// What the squares are multiplied by, twice.
    pub weight: f64,
}

impl Term for SpectralNorm {
    fn apply<'g>(&self, trace: &Trace<'g>, objective: Var<'g>) -> Result<Var<'g>> {
        let _place = trace.cx.scope(PLACE);
        let squares = distinct(trace)?.into_iter().map(|map| {
            let _layer = trace.cx.scope(&map.path);
            kept_square(trace, &map)
        });
        Ok(squares.fold(objective, |sum, square| sum + square * (0.5 * self.weight)))
    }
}

/// The linear maps of the network, each once, however often it is used.
///
/// # Errors
/// When there are none.
pub(super) fn distinct<'g>(trace: &Trace<'g>) -> Result<Vec<LinearMap<'g>>> {
    let mut maps: Vec<LinearMap<'g>> = vec![];
    for map in trace.cx.linear_maps() {
        if maps.iter().all(|known| known.path != map.path) {
            maps.push(map);
        }
    }
    if maps.is_empty() {
        return Err(Error::input("spectral norms need a network with linear or convolution layers")
            .detail("expected", "layers that `Context::linear`, `Context::conv` and the like make")
            .detail("got", "none"));
    }
    Ok(maps)
}

/// ‖W v‖² with the vector that is kept, which takes one step of power iteration.
fn kept_square<'g>(trace: &Trace<'g>, map: &LinearMap<'g>) -> Var<'g> {
    let cx = &trace.cx;
    let one = OneSample::of(map);
    let kept = cx.buffer("vector", one.input.clone(), 0.0);
    let begun = kept.square().sum_all();
    let vector = begun.greater(begun.like(0.0)).select(kept, first(trace, &one.input));
    let image = one.apply(map.weight, vector);
    let back = one.transpose(map.weight, image);
    let square = back.square().sum_all();
    let none = square.equal(square.like(0.0));
    let inverse = none.select(square.like(0.0), none.select(square.like(1.0), square).rsqrt());
    cx.update_buffer("vector", back * inverse);
    image.square().sum_all()
}

/// A random unit vector, the same in every trace.
fn first<'g>(trace: &Trace<'g>, shape: &Shape) -> Var<'g> {
    let mut random = Key::new(0, &trace.cx.graph().path("vector"), 0).random();
    let values: Vec<f64> = (0..shape.elements()).map(|_| random.normal_f64()).collect();
    let length = values.iter().map(|value| value * value).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    let values: Vec<f64> = values.into_iter().map(|value| value / length).collect();
    let dtype = trace.logits.dtype();
    let tensor = Tensor::from_f64(shape, dtype, &values).unwrap_or_else(|| Tensor::zeros(shape, dtype));
    trace.cx.graph().constant(tensor)
}

/// The linear map of a layer for one sample.
pub(super) struct OneSample {
    /// The shape of what goes in.
    pub(super) input: Shape,
    convolution: Option<Convolution>,
}

impl OneSample {
    /// That of a recorded map.
    pub(super) fn of(map: &LinearMap<'_>) -> OneSample {
        let mut input = map.input.shape().to_vec();
        input[0] = 1;
        let convolution = match map.output.graph().node(map.output.id()).map(|node| node.op) {
            Some(Op::Conv(geometry)) => {
                let [_, height, width, channels] = geometry.input;
                Some(Convolution { input: [1, height, width, channels], ..geometry })
            }
            _ => None,
        };
        OneSample { input: input.into(), convolution }
    }

    /// Whether the map is a convolution.
    pub(super) fn is_convolution(&self) -> bool {
        self.convolution.is_some()
    }

    /// W v.
    pub(super) fn apply<'g>(&self, weight: Var<'g>, vector: Var<'g>) -> Var<'g> {
        match &self.convolution {
            Some(of) => vector.conv_general(weight, of.stride, of.padding, of.dilation, of.groups),
            None => vector.matmul(weight),
        }
    }

    /// Wᵀ u.
    pub(super) fn transpose<'g>(&self, weight: Var<'g>, image: Var<'g>) -> Var<'g> {
        match &self.convolution {
            Some(of) => image.conv_input_gradient(weight, of),
            None => image.matmul_with(weight, false, true),
        }
    }

    /// ‖W‖²_F of the map: for a convolution each tap counts as often as it meets a sample's element.
    pub(super) fn squared_frobenius<'g>(&self, weight: Var<'g>) -> Var<'g> {
        match &self.convolution {
            Some(of) => {
                let ones = weight.graph().splat(1.0, of.input, DType::F64).cast(weight.dtype());
                self.apply(weight.square(), ones).sum_all()
            }
            None => weight.square().sum_all(),
        }
    }
}
