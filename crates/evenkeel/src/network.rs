//! A network with its parameters' names and shapes, and the tracing every program starts with.

use crate::Result;
use crate::config::{Loss, NormMode};
use crate::init::{Scheme, initialize};
use crate::nn::{BufferInfo, Context, Model, NormSettings, ParameterInfo, Reads};
use crate::objective::{hits, losses};
use evenkeel_graph::{DType, Graph, Shape, Tensor, Var};
use std::rc::Rc;

/// A model, what it is applied to and what it is trained for.
pub struct Network {
    model: Rc<dyn Model>,
    input_shape: Vec<usize>,
    dtype: DType,
    loss: Loss,
    norm: NormSettings,
    parameters: Vec<ParameterInfo>,
    buffers: Vec<BufferInfo>,
    flops: u64,
    couples_samples: bool,
}

/// The numbers of a network: parameters and buffers in the order of [`Network::parameters`] and [`Network::buffers`].
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// One tensor a parameter.
    pub parameters: Vec<Tensor>,
    /// One tensor a buffer.
    pub buffers: Vec<Tensor>,
}

/// Inputs `[N, ..]` and labels of some samples: `[N]`, or `[N, T]` where every position has one.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The inputs, in the network's floating-point type, or `I32` for a network that reads tokens.
    pub inputs: Tensor,
    /// The labels, `I32`.
    pub labels: Tensor,
}

impl Batch {
    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.labels.shape().first().copied().unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Which random numbers layers such as dropout draw: those of one training step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noise {
    /// The seed of the run.
    pub seed: u64,
    /// The step, counted from 0.
    pub step: u64,
}

/// A network traced for one batch size.
pub(crate) struct Traced<'g> {
    pub(crate) cx: Context<'g>,
    pub(crate) logits: Var<'g>,
    /// The loss of each sample: the mean over its labels.
    pub(crate) losses: Var<'g>,
    /// The share of its labels that each sample answers rightly.
    pub(crate) hits: Var<'g>,
    pub(crate) parameters: Vec<Var<'g>>,
}

impl Network {
    /// A network in f32 with mean cross-entropy loss; `input_shape` is one sample's, without the batch axis.
    ///
    /// # Errors
    /// When the model cannot be traced for such inputs.
    pub fn new(model: impl Model + 'static, input_shape: &[usize]) -> Result<Network> {
        Self::with(Box::new(model), input_shape, DType::F32, Loss::CrossEntropy, NormSettings::default())
    }

    /// A network with everything chosen; the mode in `norm` is that of training.
    ///
    /// # Errors
    /// When the model cannot be traced for such inputs.
    pub fn with(
        model: Box<dyn Model>,
        input_shape: &[usize],
        dtype: DType,
        loss: Loss,
        norm: NormSettings,
    ) -> Result<Network> {
        Self::of(model.into(), input_shape, dtype, loss, norm)
    }

    fn of(
        model: Rc<dyn Model>,
        input_shape: &[usize],
        dtype: DType,
        loss: Loss,
        norm: NormSettings,
    ) -> Result<Network> {
        let input_shape = input_shape.to_vec();
        let (parameters, buffers, flops, couples_samples) = (vec![], vec![], 0, false);
        let mut network =
            Network { model, input_shape, dtype, loss, norm, parameters, buffers, flops, couples_samples };
        let graph = Graph::new();
        let traced = network.trace(&graph, 2, NormMode::Running)?;
        network.flops = graph.function(&[("logits", traced.logits)])?.flops() / 2;
        network.couples_samples = traced.cx.couples_samples();
        let (parameters, buffers) = (traced.cx.parameters(), traced.cx.buffers());
        network.parameters = parameters.into_iter().map(|(info, _)| info).collect();
        network.buffers = buffers.into_iter().map(|(info, ..)| info).collect();
        Ok(network)
    }

    /// The parameters in order.
    pub fn parameters(&self) -> &[ParameterInfo] {
        &self.parameters
    }

    /// The buffers in order.
    pub fn buffers(&self) -> &[BufferInfo] {
        &self.buffers
    }

    /// How many numbers the parameters are.
    pub fn parameter_count(&self) -> usize {
        self.parameters.iter().map(|info| info.shape.elements()).sum()
    }

    /// Bytes of all buffers.
    pub fn buffer_bytes(&self) -> usize {
        self.buffers.iter().map(|info| info.shape.elements()).sum::<usize>() * self.dtype.bytes()
    }

    /// Floating-point operations of one sample's way forward, products and convolutions only.
    pub fn flops(&self) -> u64 {
        self.flops
    }

    /// The floating-point type of parameters and activations.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// What the network reads.
    pub fn reads(&self) -> Reads {
        self.model.reads()
    }

    /// One sample's shape.
    pub fn input_shape(&self) -> &[usize] {
        &self.input_shape
    }

    /// Whether some layer takes statistics over the batch, so that norm modes make a difference.
    pub fn has_batch_statistics(&self) -> bool {
        !self.buffers.is_empty()
    }

    /// Whether samples of a batch depend on each other in this mode.
    pub fn couples_samples(&self, mode: NormMode) -> bool {
        self.couples_samples || mode == NormMode::Batch && self.has_batch_statistics()
    }

    /// What normalization layers and weights are told.
    pub(crate) fn norm_settings(&self) -> NormSettings {
        self.norm
    }

    /// What is traced.
    pub(crate) fn model(&self) -> Rc<dyn Model> {
        self.model.clone()
    }

    /// The same network with other settings.
    pub(crate) fn with_settings(&self, norm: NormSettings) -> Result<Network> {
        Self::of(self.model(), &self.input_shape, self.dtype, self.loss, norm)
    }

    /// Another model in the place of this one.
    pub(crate) fn with_model(&self, model: Box<dyn Model>, norm: NormSettings) -> Result<Network> {
        Self::of(model.into(), &self.input_shape, self.dtype, self.loss, norm)
    }

    /// The numbers before the first step: an [`Initialization`](crate::config::Initialization) alone, or scaled.
    pub fn initial_state(&self, scheme: impl Into<Scheme>, seed: u64) -> State {
        let scheme = scheme.into();
        State {
            parameters: self.parameters.iter().map(|info| initialize(info, scheme, seed, self.dtype)).collect(),
            buffers: self.initial_buffers(),
        }
    }

    /// The buffers before the first step.
    pub(crate) fn initial_buffers(&self) -> Vec<Tensor> {
        let start = |info: &BufferInfo| {
            let values = vec![info.initial; info.shape.elements()];
            Tensor::from_f64(&info.shape, self.dtype, &values).unwrap_or_else(|| Tensor::zeros(&info.shape, self.dtype))
        };
        self.buffers.iter().map(start).collect()
    }

    /// Traces the network for `batch` samples, without noise. Inputs of the graph: `x`, `y`, `param/..`, `buffer/..`,
    /// `frozen/..`.
    pub(crate) fn trace<'g>(&self, graph: &'g Graph, batch: usize, mode: NormMode) -> Result<Traced<'g>> {
        self.trace_with(graph, batch, mode, false)
    }

    /// Traces the network with or without noise; with it, there are inputs `key/..` too.
    pub(crate) fn trace_with<'g>(
        &self,
        graph: &'g Graph,
        batch: usize,
        mode: NormMode,
        noisy: bool,
    ) -> Result<Traced<'g>> {
        let cx = Context::new(graph, self.dtype, NormSettings { mode, ..self.norm }).with_noise(noisy);
        let shape = Shape::from([&[batch], &self.input_shape[..]].concat());
        let (x, labels) = match self.model.reads() {
            Reads::Numbers => (graph.input("x", &shape, self.dtype), graph.input("y", [batch], DType::I32)),
            Reads::Tokens => (graph.input("x", &shape, DType::I32), graph.input("y", shape, DType::I32)),
        };
        let logits = self.model.forward(&cx, x).named("logits");
        let (losses, hits) = {
            let _scope = graph.scope("loss");
            let inner: Vec<usize> = (1..labels.shape().len()).collect();
            (losses(self.loss, logits, labels).mean(&inner), hits(logits, labels).mean(&inner))
        };
        cx.check()?;
        let parameters = cx.parameters().into_iter().map(|(_, var)| var).collect();
        Ok(Traced { cx, logits, losses, hits, parameters })
    }
}
