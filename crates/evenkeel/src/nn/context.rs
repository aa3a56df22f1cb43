//! Parameters, buffers and settings, asked for by name while a network is traced.

use super::affine::{Adapting, AffineLayer};
use super::{Dropout, DropoutSite};
use crate::config::{NormMode, WeightNorm};
use crate::network::Noise;
use crate::norm::{ConstantNorm, Folds};
use evenkeel_graph::{DType, Graph, Scope, Shape, Var};
use std::cell::{Cell, RefCell};

/// What a parameter starts as.
#[derive(Clone, Debug, PartialEq)]
pub enum Initial {
    /// The same number everywhere.
    Constant(f64),
    /// Normal numbers of this standard deviation, whatever the initialization scheme.
    Normal(f64),
    /// Random weights whose size the initialization scheme takes from the number of inputs and outputs of one unit.
    Weight {
        /// Numbers that are added up for one output.
        fan_in: usize,
        /// Outputs that one input goes to.
        fan_out: usize,
    },
    /// Numbers that are added to a layer's outputs: zeros, unless the initialization scheme draws them as well.
    Bias {
        /// Numbers that the layer's weights are drawn for, see [`Initial::Weight`] and [`Initial::Recurrent`].
        fan_in: usize,
    },
    /// As weights whose one input goes to `hidden` outputs; a scheme may take the size of all weights of the layer from that alone.
    Recurrent {
        /// Numbers that are added up for one output.
        fan_in: usize,
        /// Numbers in the state of the layer; the weights are `[.., gates · hidden]`.
        hidden: usize,
    },
    /// The Euclidean length of each unit's numbers in another parameter, `[.., units]`, as that starts.
    Lengths(Box<ParameterInfo>),
}

/// A parameter of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterInfo {
    /// Where it is, e.g. `layer2.0.conv1.weight`.
    pub path: String,
    /// Its shape.
    pub shape: Shape,
    /// What it starts as.
    pub initial: Initial,
}

/// A value that training keeps beside the parameters, such as a running mean.
#[derive(Clone, Debug, PartialEq)]
pub struct BufferInfo {
    /// Where it is, e.g. `layer1.0.norm1.running_mean`.
    pub path: String,
    /// Its shape.
    pub shape: Shape,
    /// What it starts as, everywhere.
    pub initial: f64,
}

/// How normalization layers take their statistics and keep them, and what layers make of their weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormSettings {
    /// Where the statistics come from; never switched silently.
    pub mode: NormMode,
    /// Weight of the new value in the running statistics.
    pub momentum: f64,
    /// Added to the variance before its root is taken, or to what else activations are divided by.
    pub epsilon: f64,
    /// Samples in a ghost batch of batch normalization; without a number, the batch is one.
    pub ghost: Option<usize>,
    /// Whether running statistics are the plain mean over all batches so far, whatever the momentum.
    pub cumulative: bool,
    /// What layers make of their weights.
    pub weights: WeightNorm,
}

impl Default for NormSettings {
    fn default() -> Self {
        NormSettings {
            mode: NormMode::Batch,
            momentum: 0.1,
            epsilon: 1e-5,
            ghost: None,
            cumulative: false,
            weights: WeightNorm::None,
        }
    }
}

/// A statistic that a normalization layer took from its batch.
#[derive(Clone, Debug)]
pub struct BatchStatistic<'g> {
    /// The layer's path and what it is: `mean`, `variance` (biased, where the layer's scale is) or `norm`.
    pub path: String,
    /// A number a channel.
    pub value: Var<'g>,
}

/// A hidden value of a network that was made known by its name.
#[derive(Clone, Debug)]
pub struct Tap<'g> {
    /// Where it is, e.g. `layer1.0.relu1`.
    pub path: String,
    /// The value.
    pub value: Var<'g>,
    /// Whether dropout of hidden values may take it: what follows reads what [`Context::tap`] gave back.
    pub droppable: bool,
}

/// What a linear or convolution layer does to its input before it adds a bias.
#[derive(Clone, Debug)]
pub struct LinearMap<'g> {
    /// Where the layer is, e.g. `layer1.0.conv1`.
    pub path: String,
    /// What goes in: rows `[M, in]`, or `[N, H, W, C]` of a convolution.
    pub input: Var<'g>,
    /// What it is multiplied by: `[in, out]`, or `[kh, kw, C, C']` of a convolution.
    pub weight: Var<'g>,
    /// What comes out.
    pub output: Var<'g>,
}

/// What a network computes with in place of its parameters, e.g. the same with noise; derivatives are still taken by the parameters.
pub trait Perturbation {
    /// What takes the place of the parameter that is asked for as number `index`, counted from 0.
    fn perturb<'g>(&self, cx: &Context<'g>, index: usize, info: &ParameterInfo, parameter: Var<'g>) -> Var<'g>;

    /// How many numbers the perturbation of a step depends on; they are the graph's input `perturbation`, see
    /// [`Context::perturbation`].
    fn numbers(&self) -> usize {
        0
    }

    /// Those numbers at a step of a run, the steps counted from 0.
    fn at_step(&self, _noise: Noise) -> Vec<f64> {
        vec![]
    }

    /// Whether normalization layers take their running statistics from the parameters themselves, which costs another pass forward.
    fn clean_statistics(&self) -> bool {
        false
    }
}

/// What a perturbation is given beside the parameters.
#[derive(Clone, Copy)]
struct Perturbed<'g> {
    by: &'g dyn Perturbation,
    numbers: Var<'g>,
    key: Var<'g>,
}

/// A value that a normalization layer standardizes over the batch, channel by channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standardized<'g> {
    pub(crate) input: Var<'g>,
    /// Whether each channel's mean is subtracted.
    pub(crate) centered: bool,
    /// Whether each channel is divided by its size.
    pub(crate) scaled: bool,
}

/// A parameter, and what the network computes with in its place.
#[derive(Clone, Copy)]
struct Used<'g> {
    parameter: Var<'g>,
    value: Var<'g>,
}

/// A weight that a layer makes of its parameters.
#[derive(Clone, Debug)]
pub(crate) struct MadeWeight<'g> {
    /// What its path would be as a parameter.
    pub(crate) path: String,
    /// How it is made.
    pub(crate) kind: WeightNorm,
    /// What comes out.
    pub(crate) value: Var<'g>,
}

/// What a network is traced in.
pub struct Context<'g> {
    graph: &'g Graph,
    dtype: DType,
    norm: NormSettings,
    noisy: bool,
    perturbation: Option<Perturbed<'g>>,
    /// What stands in the place of the parameters, in their order.
    values: Option<&'g [Var<'g>]>,
    adapting: Option<&'g Adapting>,
    parameters: RefCell<Vec<(ParameterInfo, Used<'g>)>>,
    buffers: RefCell<Vec<(BufferInfo, Var<'g>, Option<Var<'g>>)>>,
    frozen: RefCell<Vec<(String, Var<'g>)>>,
    statistics: RefCell<Vec<BatchStatistic<'g>>>,
    taps: RefCell<Vec<Tap<'g>>>,
    affine: RefCell<Vec<AffineLayer<'g>>>,
    standardized: RefCell<Vec<Standardized<'g>>>,
    dropout_sites: RefCell<Vec<DropoutSite<'g>>>,
    /// Dropout of hidden values: how, and the paths of the values that have it.
    hidden_dropout: Option<(Dropout, &'g [String])>,
    linear_maps: RefCell<Vec<LinearMap<'g>>>,
    losses: RefCell<Vec<Var<'g>>>,
    /// Set while a network is traced again beside its first time: what it makes known is known already.
    again: Cell<bool>,
    made_weights: RefCell<Vec<MadeWeight<'g>>>,
    constant_norms: RefCell<Vec<ConstantNorm<'g>>>,
    folds: RefCell<Folds>,
    couples_samples: Cell<bool>,
    /// Set while a network is traced with its parameters themselves in place of perturbed ones.
    clean: Cell<bool>,
    problem: RefCell<Option<crate::Error>>,
}

impl<'g> Context<'g> {
    /// A context that traces into `graph` with parameters of type `dtype`.
    pub fn new(graph: &'g Graph, dtype: DType, norm: NormSettings) -> Self {
        Context {
            graph,
            dtype,
            norm,
            noisy: false,
            perturbation: None,
            values: None,
            adapting: None,
            parameters: RefCell::default(),
            buffers: RefCell::default(),
            frozen: RefCell::default(),
            statistics: RefCell::default(),
            taps: RefCell::default(),
            affine: RefCell::default(),
            standardized: RefCell::default(),
            dropout_sites: RefCell::default(),
            hidden_dropout: None,
            linear_maps: RefCell::default(),
            losses: RefCell::default(),
            again: Cell::new(false),
            made_weights: RefCell::default(),
            constant_norms: RefCell::default(),
            folds: RefCell::default(),
            couples_samples: Cell::default(),
            clean: Cell::new(false),
            problem: RefCell::default(),
        }
    }

    /// The same context with layers that draw random numbers drawing them; without this they let everything pass.
    #[must_use]
    pub fn with_noise(self, noisy: bool) -> Self {
        Context { noisy, ..self }
    }

    /// The same context with a network that computes with other values than its parameters.
    #[must_use]
    pub fn with_perturbation(self, perturbation: Option<&'g dyn Perturbation>) -> Self {
        let perturbation = perturbation.map(|by| {
            let numbers = self.graph.shared_input("perturbation", [by.numbers()], self.dtype);
            Perturbed { by, numbers, key: self.graph.shared_input("key/perturbation", [4], DType::I32) }
        });
        Context { perturbation, ..self }
    }

    /// The same context with layers that adapt to the batch.
    #[must_use]
    pub(crate) fn with_adapting(self, adapting: Option<&'g Adapting>) -> Self {
        Context { adapting, ..self }
    }

    /// How layers adapt to the batch.
    pub(super) fn adapting(&self) -> Option<&'g Adapting> {
        self.adapting
    }

    /// The same context with dropout of the hidden values that are made known under some paths.
    #[must_use]
    pub(crate) fn with_hidden_dropout(self, hidden_dropout: Option<(Dropout, &'g [String])>) -> Self {
        Context { hidden_dropout, ..self }
    }

    /// The same with other values in the place of the parameters, by which derivatives are then taken.
    pub(crate) fn with_values(self, values: Option<&'g [Var<'g>]>) -> Self {
        Context { values, ..self }
    }

    /// The numbers of this step that the perturbation of the parameters depends on, where they are perturbed: `[numbers]`.
    pub fn perturbation(&self) -> Option<Var<'g>> {
        self.perturbation.map(|perturbed| perturbed.numbers)
    }

    /// The key that the perturbation of the parameters draws with, where they are perturbed: one for all, so that equal draws are one.
    pub fn perturbation_key(&self) -> Option<Var<'g>> {
        self.perturbation.map(|perturbed| perturbed.key)
    }

    /// Traces something beside the network itself: taps, losses, statistics and what becomes of buffers are left as they are.
    pub(crate) fn again<T>(&self, trace: impl FnOnce() -> T) -> T {
        let before = self.again.replace(true);
        let traced = trace();
        self.again.set(before);
        traced
    }

    /// Traces something with the parameters themselves where they are perturbed; of all it makes known, only what becomes of buffers
    /// counts.
    pub(crate) fn unperturbed<T>(&self, trace: impl FnOnce() -> T) -> T {
        self.clean.set(true);
        let traced = self.again(trace);
        self.clean.set(false);
        traced
    }

    /// The key that the current place draws with, an input `key/<path>` of the program; `None` where no noise is drawn.
    /// Asking twice in one place draws the same numbers twice.
    pub fn key(&self) -> Option<Var<'g>> {
        let path = self.graph.path("");
        let path = path.trim_end_matches('.');
        self.noisy.then(|| self.graph.shared_input(format!("key/{path}"), [4], DType::I32))
    }

    /// The graph.
    pub fn graph(&self) -> &'g Graph {
        self.graph
    }

    /// How normalization layers take their statistics.
    pub fn norm(&self) -> NormSettings {
        self.norm
    }

    /// Enters a place in the network; its name is part of the paths of what is traced until the guard is dropped.
    #[must_use = "the scope ends when the guard is dropped"]
    pub fn scope(&self, name: &str) -> Scope<'g> {
        self.graph.scope(name)
    }

    /// A parameter of the current place. Asking twice for one path gives the same value.
    pub fn param(&self, name: &str, shape: impl Into<Shape>, initial: Initial) -> Var<'g> {
        self.param_at(self.graph.path(name), shape.into(), initial)
    }

    /// The parameter of a path, wherever the current place is.
    pub(crate) fn param_at(&self, path: String, shape: Shape, initial: Initial) -> Var<'g> {
        if let Some((info, used)) = self.parameters.borrow().iter().find(|(info, _)| info.path == path) {
            if info.shape != shape {
                self.fail(
                    crate::Error::input(format!("parameter {path} is used with two shapes"))
                        .detail("layer", &path)
                        .detail("expected", &info.shape)
                        .detail("got", &shape),
                );
            }
            return if self.clean.get() { used.parameter } else { used.value };
        }
        let index = self.parameters.borrow().len();
        let parameter = match self.values.and_then(|values| values.get(index)) {
            Some(value) => *value,
            None => self.graph.shared_input(format!("param/{path}"), shape.clone(), self.dtype),
        };
        let info = ParameterInfo { path, shape, initial };
        let value = match self.perturbation {
            Some(perturbed) => perturbed.by.perturb(self, index, &info, parameter),
            None => parameter,
        };
        self.parameters.borrow_mut().push((info, Used { parameter, value }));
        value
    }

    /// A buffer of the current place: a value that is given to the program and may leave it changed.
    pub fn buffer(&self, name: &str, shape: impl Into<Shape>, initial: f64) -> Var<'g> {
        let (path, shape) = (self.graph.path(name), shape.into());
        if let Some((_, var, _)) = self.buffers.borrow().iter().find(|(info, ..)| info.path == path) {
            return *var;
        }
        let var = self.graph.shared_input(format!("buffer/{path}"), shape.clone(), self.dtype);
        self.buffers.borrow_mut().push((BufferInfo { path, shape, initial }, var, None));
        var
    }

    /// Says what a buffer of the current place becomes after this step.
    pub fn update_buffer(&self, name: &str, value: Var<'g>) {
        if self.again.get() && !self.clean.get() {
            return;
        }
        let path = self.graph.path(name);
        if let Some((.., update)) = self.buffers.borrow_mut().iter_mut().find(|(info, ..)| info.path == path) {
            *update = Some(value);
        }
    }

    /// Statistics of a named batch, given to the program as constants ([`NormMode::Frozen`]).
    pub(crate) fn frozen(&self, name: &str, shape: Shape) -> Var<'g> {
        let path = self.graph.path(name);
        if let Some((_, var)) = self.frozen.borrow().iter().find(|(known, _)| *known == path) {
            return *var;
        }
        let var = self.graph.shared_input(format!("frozen/{path}"), shape, self.dtype);
        self.frozen.borrow_mut().push((path, var));
        var
    }

    /// Makes a statistic of this batch known to whoever asks for it; in the order in which [`Context::frozen`] asks.
    pub(crate) fn record_statistic(&self, name: &str, value: Var<'g>) {
        if !self.again.get() {
            self.statistics.borrow_mut().push(BatchStatistic { path: self.graph.path(name), value });
        }
    }

    /// Makes an affine layer known.
    pub(super) fn record_affine(&self, layer: AffineLayer<'g>) {
        if !self.again.get() {
            self.affine.borrow_mut().push(layer);
        }
    }

    /// Makes known that a value is standardized over the batch.
    pub(crate) fn record_standardized(&self, value: Standardized<'g>) {
        if !self.again.get() {
            self.standardized.borrow_mut().push(value);
        }
    }

    /// Makes a hidden value of the current place known to terms of the objective and to probes; returns it as it is, or what dropout
    /// leaves of it where the network is told to drop hidden values, see [`crate::Network::with_dropout`].
    pub fn tap(&self, name: &str, value: Var<'g>) -> Var<'g> {
        let path = self.graph.path(name);
        let dropped = self.hidden_dropout.filter(|(_, paths)| paths.contains(&path));
        self.make_known(Tap { path, value, droppable: true });
        match dropped {
            Some((dropout, _)) => self.dropout_with(&format!("{name}_dropout"), value, dropout),
            None => value,
        }
    }

    /// Makes a hidden value known that dropout leaves as it is, since it is no activation: a sum, a code.
    pub fn observe(&self, name: &str, value: Var<'g>) {
        self.make_known(Tap { path: self.graph.path(name), value, droppable: false });
    }

    fn make_known(&self, tap: Tap<'g>) {
        if !self.again.get() {
            self.taps.borrow_mut().push(tap);
        }
    }

    /// Makes a place known where values are dropped; returns what is left of them.
    pub(super) fn record_dropout(&self, site: DropoutSite<'g>) -> Var<'g> {
        let output = site.output;
        if !self.again.get() {
            self.dropout_sites.borrow_mut().push(site);
        }
        output
    }

    /// The places where values are dropped, in the order of tracing.
    pub fn dropout_sites(&self) -> Vec<DropoutSite<'g>> {
        self.dropout_sites.borrow().clone()
    }

    /// Makes the linear map of the current layer known; returns what comes out.
    pub(crate) fn record_linear_map(&self, input: Var<'g>, weight: Var<'g>, output: Var<'g>) -> Var<'g> {
        if !self.again.get() {
            self.linear_maps.borrow_mut().push(LinearMap { path: self.place(), input, weight, output });
        }
        output
    }

    /// The linear maps of linear and convolution layers, in the order of tracing.
    pub fn linear_maps(&self) -> Vec<LinearMap<'g>> {
        self.linear_maps.borrow().clone()
    }

    /// Adds a part of each sample's loss that the network itself knows, `[N]`, such as the divergence of a latent variable from its
    /// prior.
    pub fn add_loss(&self, values: Var<'g>) {
        if !self.again.get() {
            self.losses.borrow_mut().push(values);
        }
    }

    /// Makes a weight known that is made of parameters: under `name`, as it would be a parameter of the current place.
    pub(crate) fn record_weight(&self, name: &str, kind: WeightNorm, value: Var<'g>) {
        if !self.again.get() {
            self.made_weights.borrow_mut().push(MadeWeight { path: self.graph.path(name), kind, value });
        }
    }

    /// The weights that are made of parameters, in order.
    pub(crate) fn made_weights(&self) -> Vec<MadeWeight<'g>> {
        self.made_weights.borrow().clone()
    }

    /// Makes a norm known whose statistics are constants here.
    pub(crate) fn record_constant_norm(&self, norm: ConstantNorm<'g>) {
        if !self.again.get() {
            self.constant_norms.borrow_mut().push(norm);
        }
    }

    /// The norms whose statistics are constants, in order.
    pub(crate) fn constant_norms(&self) -> Vec<ConstantNorm<'g>> {
        self.constant_norms.borrow().clone()
    }

    /// Leaves norms away from now on.
    pub(crate) fn fold(&self, folds: &Folds) {
        self.folds.borrow_mut().extend(folds.iter().map(|(path, bias)| (path.clone(), bias.clone())));
    }

    /// What stands in the place of the norm at the current place, if it is folded away.
    pub(crate) fn folded(&self) -> Option<Option<String>> {
        self.folds.borrow().get(&self.place()).cloned()
    }

    /// Says that a sample's output depends on the others of its batch, in every norm mode.
    pub(crate) fn couple_samples(&self) {
        self.couples_samples.set(true);
    }

    /// Whether a sample's output depends on the others of its batch whatever the norm mode is.
    pub(crate) fn couples_samples(&self) -> bool {
        self.couples_samples.get()
    }

    /// The path of the current place, for messages.
    pub(crate) fn place(&self) -> String {
        self.graph.path("").trim_end_matches('.').to_string()
    }

    /// Remembers the first thing that is wrong with the network.
    pub fn fail(&self, problem: crate::Error) {
        self.problem.borrow_mut().get_or_insert(problem);
    }

    /// The first thing that is wrong with the network, or with the shapes it was traced with.
    ///
    /// # Errors
    /// What [`Context::fail`] was told first, else the first mistake of tracing.
    pub fn check(&self) -> crate::Result<()> {
        match &*self.problem.borrow() {
            Some(problem) => Err(problem.clone()),
            None => Ok(self.graph.check()?),
        }
    }

    /// All parameters in the order they were asked for.
    pub fn parameters(&self) -> Vec<(ParameterInfo, Var<'g>)> {
        self.parameters.borrow().iter().map(|(info, used)| (info.clone(), used.parameter)).collect()
    }

    /// The hidden values that were made known, in the order of tracing.
    pub fn taps(&self) -> Vec<Tap<'g>> {
        self.taps.borrow().clone()
    }

    /// The linear and convolution layers in the order of tracing, one that is used twice as often.
    pub(crate) fn affine_layers(&self) -> Vec<AffineLayer<'g>> {
        self.affine.borrow().clone()
    }

    /// What is standardized over the batch.
    pub(crate) fn standardized_values(&self) -> Vec<Standardized<'g>> {
        self.standardized.borrow().clone()
    }

    /// The parts of each sample's loss that the network added.
    pub(crate) fn losses(&self) -> Vec<Var<'g>> {
        self.losses.borrow().clone()
    }

    /// All buffers in the order they were asked for, with what they become.
    pub fn buffers(&self) -> Vec<(BufferInfo, Var<'g>, Option<Var<'g>>)> {
        self.buffers.borrow().clone()
    }

    /// The statistics that normalization layers took from this batch, in order.
    pub fn statistics(&self) -> Vec<BatchStatistic<'g>> {
        self.statistics.borrow().clone()
    }
}
