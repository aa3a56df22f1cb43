//! A network with its parameters' names and shapes, and the tracing every program starts with.

use crate::batch::Batch;
use crate::config::{DropoutLayers, Loss, NormMode};
use crate::init::{Scheme, initialize};
use crate::nn::{
    Adapting, BufferInfo, Context, Dropout, Model, NormSettings, ParameterInfo, Perturbation, Reads, Targets,
};
use crate::objective::{Term, fits, hits, losses};
use crate::{Error, Result};
use evenkeel_graph::{DType, Graph, Shape, Tensor, Var};
use std::rc::Rc;

/// A model, what it is applied to and what it is trained for.
pub struct Network {
    model: Rc<dyn Model>,
    input_shape: Vec<usize>,
    dtype: DType,
    loss: Loss,
    norm: NormSettings,
    terms: Vec<Rc<dyn Term>>,
    /// Dropout of hidden values, and the paths of those that have it.
    dropout: Option<HiddenDropout>,
    parameters: Vec<ParameterInfo>,
    buffers: Vec<BufferInfo>,
    labels: (Shape, DType),
    classes: Option<usize>,
    batch_statistics: bool,
    flops: u64,
    couples_samples: bool,
}

/// Dropout of hidden values, and the paths of those that have it.
type HiddenDropout = (Dropout, Vec<String>);

/// The numbers of a network: parameters and buffers in the order of [`Network::parameters`] and [`Network::buffers`].
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// One tensor a parameter.
    pub parameters: Vec<Tensor>,
    /// One tensor a buffer.
    pub buffers: Vec<Tensor>,
}

/// Which random numbers layers such as dropout draw: those of one training step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noise {
    /// The seed of the run.
    pub seed: u64,
    /// The step, counted from 0.
    pub step: u64,
}

/// A network traced for one batch size: what terms of the objective and probes are built from.
pub struct Trace<'g> {
    /// What it was traced in, with its parameters, buffers and taps.
    pub cx: Context<'g>,
    /// The inputs, `[N, ..]`.
    pub inputs: Var<'g>,
    /// What the answer is compared with: classes, `[N]` or `[N, T]` where every position has one, or numbers in the shape of the answer
    /// (shares of classes among them); the inputs where they are to be given back.
    pub labels: Var<'g>,
    /// What the network answers.
    pub logits: Var<'g>,
    /// The loss of each sample: the mean over its labels, and what the network itself added.
    pub losses: Var<'g>,
    /// The share of its labels that each sample answers rightly; 0 where there are no classes.
    pub hits: Var<'g>,
    network: &'g Network,
}

/// How a network is traced.
#[derive(Clone, Copy)]
pub(crate) struct Tracing<'g> {
    pub(crate) batch: usize,
    pub(crate) mode: NormMode,
    /// Whether layers that draw random numbers do; then there are inputs `key/..`, too.
    pub(crate) noisy: bool,
    /// What the network computes with in place of its parameters.
    pub(crate) perturbation: Option<&'g dyn Perturbation>,
    /// How linear and convolution layers adapt to the batch.
    pub(crate) adapting: Option<&'g Adapting>,
    /// What stands in the place of the parameters.
    pub(crate) values: Option<&'g [Var<'g>]>,
    /// Whether labels are shares of classes in the place of classes.
    pub(crate) shares: bool,
}

impl Tracing<'_> {
    /// Without noise.
    pub(crate) fn quiet(batch: usize, mode: NormMode) -> Self {
        Tracing { batch, mode, noisy: false, perturbation: None, adapting: None, values: None, shares: false }
    }
}

impl<'g> Trace<'g> {
    /// The parameters in the order of [`Network::parameters`]; those of terms come in once the objective was asked for.
    pub fn parameters(&self) -> Vec<Var<'g>> {
        self.cx.parameters().into_iter().map(|(_, var)| var).collect()
    }

    /// The network.
    pub fn network(&self) -> &'g Network {
        self.network
    }

    /// The network's answer to other inputs of the same shape, with the same parameters and random numbers.
    pub fn forward(&self, inputs: Var<'g>) -> Var<'g> {
        self.cx.again(|| self.network.model.forward(&self.cx, inputs))
    }

    /// The mean loss over the batch with the terms of the network's objective.
    ///
    /// # Errors
    /// When a term does not fit the network.
    pub fn objective(&self) -> Result<Var<'g>> {
        self.with_terms(self.losses.mean_all())
    }

    /// A mean loss with the terms of the network's objective.
    pub(crate) fn with_terms(&self, loss: Var<'g>) -> Result<Var<'g>> {
        self.with_due_terms(loss, &|_| true)
    }

    /// A mean loss with those terms of the network's objective that are `due`, by their number. The others are traced all the same:
    /// their parameters and buffers are there in every step.
    pub(crate) fn with_due_terms(&self, loss: Var<'g>, due: &dyn Fn(usize) -> bool) -> Result<Var<'g>> {
        let _scope = self.cx.scope("objective");
        let mut total = loss;
        for (number, term) in self.network.terms.iter().enumerate() {
            let with = term.apply(self, total)?;
            total = if due(number) { with } else { total };
        }
        self.cx.check()?;
        Ok(total)
    }
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
        Self::of(model.into(), input_shape, dtype, loss, norm, vec![], None)
    }

    fn of(
        model: Rc<dyn Model>,
        input_shape: &[usize],
        dtype: DType,
        loss: Loss,
        norm: NormSettings,
        terms: Vec<Rc<dyn Term>>,
        dropout: Option<HiddenDropout>,
    ) -> Result<Network> {
        let input_shape = input_shape.to_vec();
        let mut network = Network {
            model,
            input_shape,
            dtype,
            loss,
            norm,
            terms,
            dropout,
            parameters: vec![],
            buffers: vec![],
            labels: (Shape::default(), DType::I32),
            classes: None,
            batch_statistics: false,
            flops: 0,
            couples_samples: false,
        };
        network.survey()?;
        Ok(network)
    }

    /// The same network with more terms in what training makes small; they may have parameters of their own.
    ///
    /// # Errors
    /// When a term does not fit the network.
    pub fn with_terms(mut self, terms: impl IntoIterator<Item = Box<dyn Term>>) -> Result<Network> {
        self.terms.extend(terms.into_iter().map(Rc::from));
        self.survey()?;
        Ok(self)
    }

    /// The same network with dropout of the hidden values that it hands out for that ([`Context::tap`]): those after each activation in
    /// the networks of the zoo.
    ///
    /// # Errors
    /// When it makes none known, or a share outside 0 to 1 is dropped.
    pub fn with_dropout(mut self, dropout: Dropout, layers: DropoutLayers) -> Result<Network> {
        let mut paths: Vec<String> = {
            let graph = Graph::new();
            let trace = self.trace(&graph, Tracing::quiet(2, NormMode::Running))?;
            trace.cx.taps().into_iter().filter(|tap| tap.droppable).map(|tap| tap.path).collect()
        };
        if layers == DropoutLayers::Last {
            paths.drain(..paths.len().saturating_sub(1));
        }
        if paths.is_empty() {
            return Err(Error::input("the network has no hidden values that could be dropped")
                .detail("key", "dropout.rate")
                .detail("expected", "0 for a network without hidden activations")
                .detail("got", dropout.rate)
                .hint("leave dropout out, or choose a model with hidden layers and activations"));
        }
        self.dropout = Some((dropout, paths));
        self.survey()?;
        Ok(self)
    }

    /// Finds out which parameters and buffers there are, and what a sample costs.
    fn survey(&mut self) -> Result<()> {
        fits(self.loss, self.model.targets())?;
        let (parameters, buffers, labels, batch_statistics, flops, couples_samples) = {
            let graph = Graph::new();
            let trace = self.trace(&graph, Tracing::quiet(2, NormMode::Running))?;
            let flops = graph.function(&[("logits", trace.logits)])?.flops() / 2;
            // What layers keep beside their parameters are statistics of batches; terms may keep other things.
            let batch_statistics = !trace.cx.buffers().is_empty();
            trace.objective()?;
            let parameters = trace.cx.parameters().into_iter().map(|(info, _)| info).collect();
            let buffers = trace.cx.buffers().into_iter().map(|(info, ..)| info).collect();
            let labels = (Shape::from(&trace.labels.shape()[1..]), trace.labels.dtype());
            let classes = (self.model.targets() == Targets::Classes).then(|| trace.logits.shape().last().copied());
            (parameters, buffers, (labels, classes.flatten()), batch_statistics, flops, trace.cx.couples_samples())
        };
        (self.parameters, self.buffers, (self.labels, self.classes)) = (parameters, buffers, labels);
        (self.batch_statistics, self.flops, self.couples_samples) = (batch_statistics, flops, couples_samples);
        Ok(())
    }

    /// Whether what training makes small has terms beside the mean of the samples' losses.
    pub fn has_terms(&self) -> bool {
        !self.terms.is_empty()
    }

    /// Which terms take part in a step.
    pub(crate) fn due(&self, step: u64) -> Vec<bool> {
        self.terms.iter().map(|term| term.due(step)).collect()
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

    /// What is made small, without terms.
    pub fn loss(&self) -> Loss {
        self.loss
    }

    /// The floating-point type of parameters and activations.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// What the network reads.
    pub fn reads(&self) -> Reads {
        self.model.reads()
    }

    /// What its answers are compared with.
    pub fn targets(&self) -> Targets {
        self.model.targets()
    }

    /// The share of right answers, of so many samples; NaN where there are no classes to be right about.
    pub(crate) fn accuracy(&self, hits: f64, samples: usize) -> f64 {
        if self.targets() == Targets::Classes { hits / samples.max(1) as f64 } else { f64::NAN }
    }

    /// One sample's labels: their shape and type.
    pub fn labels(&self) -> (&Shape, DType) {
        (&self.labels.0, self.labels.1)
    }

    /// How many classes it answers with; none where it is not about classes.
    pub fn classes(&self) -> Option<usize> {
        self.classes
    }

    /// One sample's shape.
    pub fn input_shape(&self) -> &[usize] {
        &self.input_shape
    }

    /// Whether some layer takes statistics over the batch, so that norm modes make a difference.
    pub fn has_batch_statistics(&self) -> bool {
        self.batch_statistics
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
        let (terms, dropout) = (self.terms.clone(), self.dropout.clone());
        Self::of(self.model(), &self.input_shape, self.dtype, self.loss, norm, terms, dropout)
    }

    /// The same network in f64, without terms and dropout, with other settings.
    pub(crate) fn in_double(&self, norm: NormSettings) -> Result<Network> {
        Self::of(self.model(), &self.input_shape, DType::F64, self.loss, norm, vec![], None)
    }

    /// Another model in the place of this one.
    pub(crate) fn with_model(&self, model: Box<dyn Model>, norm: NormSettings) -> Result<Network> {
        let (terms, dropout) = (self.terms.clone(), self.dropout.clone());
        Self::of(model.into(), &self.input_shape, self.dtype, self.loss, norm, terms, dropout)
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

    /// Samples of zeros, for programs in which they do not matter.
    pub(crate) fn blank(&self, samples: usize) -> Batch {
        let shape = |one: &[usize]| Shape::from([&[samples], one].concat());
        let (labels, classes) = self.labels();
        Batch {
            inputs: Tensor::zeros(shape(&self.input_shape), self.input_dtype()),
            labels: Tensor::zeros(shape(labels), classes),
        }
    }

    /// What inputs are numbers in.
    pub(crate) fn input_dtype(&self) -> DType {
        if self.reads() == Reads::Tokens { DType::I32 } else { self.dtype }
    }

    /// Traces the network. Inputs of the graph: `x`, `y`, `param/..`, `buffer/..`, `frozen/..`, and what the tracing asks for.
    pub(crate) fn trace<'g>(&'g self, graph: &'g Graph, how: Tracing<'g>) -> Result<Trace<'g>> {
        let Tracing { batch, mode, noisy, perturbation, adapting, values, shares } = how;
        let cx = Context::new(graph, self.dtype, NormSettings { mode, ..self.norm })
            .with_noise(noisy)
            .with_perturbation(perturbation)
            .with_values(values)
            .with_adapting(adapting)
            .with_hidden_dropout(self.dropout.as_ref().map(|(dropout, paths)| (*dropout, &paths[..])));
        let shape = Shape::from([&[batch], &self.input_shape[..]].concat());
        let inputs = graph.shared_input("x", &shape, self.input_dtype());
        let logits = self.model.forward(&cx, inputs).named("logits");
        if perturbation.is_some_and(Perturbation::clean_statistics) {
            cx.unperturbed(|| self.model.forward(&cx, inputs));
        }
        cx.check()?;
        let answer = logits.shape();
        if answer.first() != Some(&batch) {
            return Err(Error::input("the network does not answer for each sample")
                .detail("expected", format!("[{batch}, ..] for {batch} samples"))
                .detail("got", answer));
        }
        let labels = match self.model.targets() {
            Targets::Classes if !shares => graph.shared_input("y", &answer[..answer.len() - 1], DType::I32),
            Targets::Classes | Targets::Numbers => graph.shared_input("y", &answer, self.dtype),
            Targets::Inputs => inputs,
        };
        let (losses, hits) = {
            let _scope = graph.scope("loss");
            let mean = |values: Var<'g>| values.mean(&(1..values.shape().len()).collect::<Vec<_>>());
            let of_labels = mean(losses(self.loss, logits, labels));
            let losses = cx.losses().into_iter().fold(of_labels, |losses, more| losses + more);
            let hits = match self.model.targets() {
                Targets::Classes => hits(logits, labels),
                // There is nothing to be right about.
                _ => graph.splat(0.0, &answer[..1], self.dtype),
            };
            (losses, mean(hits))
        };
        cx.check()?;
        Ok(Trace { cx, inputs, labels, logits, losses, hits, network: self })
    }
}
