//! A configuration made real: its data, its network, and how both meet a run on disk.

use crate::augment::Augmentation;
use crate::batch::Batch;
use crate::config::{BestBy, Config, Loss, NormMode, OptimizerKind, Precision, Size};
use crate::curvature::{Curvature, LanczosOptions, SymmetricOperator, largest_eigenvalues};
use crate::data::{self, DataSpec, Dataset, LoadOptions};
use crate::init::Scheme;
use crate::network::{Network, State};
use crate::nn::{Model, Reads, Regression, Targets};
use crate::optim::{self, Optimizer, Pace, Schedule};
use crate::regularize::{BatchEntropy, batch_entropy};
use crate::store::{
    Checkpoint, Eigenvalue, ElementType, HessianMeasurement, LayerColumn, LayerMeasurement, NamedTensor, Run,
};
use crate::train::{TrainerOptions, optimizer_slots};
use crate::{Error, ErrorKind, Result, assemble, models};
use evenkeel_graph::{DType, Data, Shape, Tensor};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Instant;

/// Floating-point operations a measurement may take to be made along the way unasked: some seconds on one core.
const CHEAP_MEASUREMENT: u64 = 200_000_000_000;
/// What each layer of a pass takes beside its operations, for every tensor it has, in operations: some microseconds.
const PER_TENSOR: u64 = 2_000_000;
/// What the digest of the data is called in a checkpoint's `state.json`.
const DATA: &str = "data";
/// Looks at the layers over a run: at most, at least, and steps from one to the next that make their cost small.
const LOOKS: u64 = 100;
const LEAST_LOOKS: u64 = 10;
const STEPS_A_LOOK: u64 = 100;
/// The basis of Lanczos may take this part of a memory limit; it restarts when it is full.
const BASIS_SHARE: usize = 4;
/// How often a measurement holds what is as large as the parameters in f64, at most: parameters and velocities in training, the
/// state, gradient, direction and product.
const STATES: usize = 6;

/// The data and the network of a configuration.
pub struct Experiment {
    /// What it was made from.
    pub config: Config,
    /// The samples.
    pub dataset: Dataset,
    /// The network, traced for the samples' shape.
    pub network: Network,
    /// See [`Dataset::digest`]; taken when it is first asked for.
    digest: OnceLock<Option<String>>,
}

impl Experiment {
    /// Loads the data and builds the network.
    ///
    /// # Errors
    /// When the data cannot be read, or the network does not take such images.
    pub fn new(config: Config) -> Result<Experiment> {
        Self::on(config, data::load)
    }

    /// The same without the samples, for [`crate::train::TrainingPlan`]: only sizes are read, see [`data::survey`].
    ///
    /// # Errors
    /// As [`Experiment::new`].
    pub fn survey(config: Config) -> Result<Experiment> {
        Self::on(config, data::survey)
    }

    fn on(config: Config, read: fn(&DataSpec, &LoadOptions) -> Result<Dataset>) -> Result<Experiment> {
        let options = LoadOptions::of_config(&config);
        let dataset = read(&config.data.source.parse()?, &options)?;
        let precision = dtype(config.dtype);
        let network = network(&config, &dataset, precision)?;
        Augmentation::new(&config.augment, &network, config.seed)?;
        let mut experiment = Experiment { config, dataset, network, digest: OnceLock::new() };
        experiment.choose_interval();
        experiment.choose_best()?;
        Ok(experiment)
    }

    /// What the best epoch is known by: where the configuration leaves it open, the accuracy where there are classes, else the loss.
    fn choose_best(&mut self) -> Result<()> {
        let has_classes = self.network.targets() == Targets::Classes;
        let best = &mut self.config.checkpoint.best;
        if *best == BestBy::Auto {
            *best = if has_classes { BestBy::TestAccuracy } else { BestBy::TestLoss };
        }
        if best.is_accuracy() && !has_classes {
            return Err(Error::input(format!("the best epoch cannot be known by {best}: there are no classes"))
                .detail("key", "checkpoint.best")
                .detail("expected", "auto, test_loss, train_loss or none")
                .detail("got", best));
        }
        Ok(())
    }

    /// Where the configuration leaves it open: ten measurements over the run when each takes seconds, else none; none either
    /// where even start and end are not wanted. The layers are looked at more often, which costs next to nothing.
    fn choose_interval(&mut self) {
        // A Hessian product takes about 8 forward passes, Lanczos about 25 products.
        let cost = self.network.flops().saturating_mul(200 * self.measured_samples() as u64);
        let cost = cost.saturating_add(200 * PER_TENSOR * self.network.parameters().len() as u64);
        let steps = self.steps_per_epoch().saturating_mul(self.config.epochs as u64);
        let wanted = self.config.measure.start_and_end && cost <= CHEAP_MEASUREMENT;
        let counted = |steps: u64| usize::try_from(steps).unwrap_or(usize::MAX);
        let chosen = if wanted { counted(steps.div_ceil(10)) } else { 0 };
        self.config.measure.every.get_or_insert(chosen);
        // A look at the layers costs half a step to one and a half.
        let layers_every = steps.div_ceil(LOOKS).max(steps.div_ceil(LEAST_LOOKS).min(STEPS_A_LOOK));
        self.config.measure.layers_every.get_or_insert(counted(layers_every));
    }

    /// The same experiment computed in another type.
    ///
    /// # Errors
    /// As [`Experiment::new`].
    pub fn in_dtype(self, precision: DType) -> Result<Experiment> {
        let network = network(&self.config, &self.dataset, precision)?;
        Ok(Experiment { network, ..self })
    }

    /// Steps of an epoch: whole batches of the training samples.
    pub fn steps_per_epoch(&self) -> u64 {
        (self.dataset.train.len() / self.config.batch_size.max(1)) as u64
    }

    /// The learning rate of each step.
    pub fn schedule(&self) -> Schedule {
        Schedule::of_config(&self.config, self.steps_per_epoch())
    }

    /// What the batches of training are put through.
    ///
    /// # Errors
    /// When a transform makes no sense for such samples.
    pub fn augmentation(&self) -> Result<Augmentation> {
        Augmentation::new(&self.config.augment, &self.network, self.config.seed)
    }

    /// Steps of the run.
    pub fn steps(&self) -> u64 {
        self.steps_per_epoch().saturating_mul(self.config.epochs as u64)
    }

    /// The numbers before the first step.
    pub fn initial_state(&self) -> State {
        let scheme = Scheme { rule: self.config.initialization, scale: self.config.initialization_scale };
        self.network.initial_state(scheme, self.config.seed)
    }

    /// The first `count` training samples.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn samples(&self, count: usize) -> Result<Batch> {
        let available = self.dataset.train.len();
        if count == 0 || count > available {
            return Err(Error::input("cannot take that many samples")
                .detail("expected", format!("1 to {available} training samples"))
                .detail("got", count)
                .hint("take fewer, or all of them; a run with data.limit has only so many"));
        }
        let indices: Vec<u32> = (0..count as u32).collect();
        Batch::some_of(&self.dataset, &self.dataset.train, &indices, self.network.dtype())
    }

    /// Samples that a measurement during training is taken over: `measure.samples`, or all when there are fewer.
    pub fn measured_samples(&self) -> usize {
        self.whole_ghosts(self.config.measure.samples)
    }

    /// So many samples, or all when there are fewer, and no more than ghost batches divide.
    pub(crate) fn whole_ghosts(&self, samples: usize) -> usize {
        let samples = samples.min(self.dataset.train.len());
        match self.config.batch_norm.ghost {
            Some(ghost) if self.network.has_batch_statistics() && samples > ghost => samples - samples % ghost,
            _ => samples,
        }
    }

    /// Parameters and buffers of a checkpoint, checked against the network and converted to its type.
    ///
    /// # Errors
    /// When a tensor is missing, or does not have the network's shape.
    pub fn state_of(&self, checkpoint: Checkpoint<'_>) -> Result<State> {
        let dtype = self.network.dtype();
        let parameters = self.network.parameters().iter().map(|info| (&info.path, &info.shape));
        let buffers = self.network.buffers().iter().map(|info| (&info.path, &info.shape));
        Ok(State {
            parameters: pick(checkpoint.parameters, parameters, dtype, "parameter")?,
            buffers: pick(checkpoint.buffers, buffers, dtype, "buffer")?,
        })
    }

    fn digest(&self) -> Option<&str> {
        self.digest.get_or_init(|| self.dataset.digest()).as_deref()
    }

    /// Refuses a checkpoint that was made with other data: with other samples, labels, or another order of them. Those of older versions do
    /// not know what they were made with.
    ///
    /// # Errors
    /// When it is other data.
    pub fn check_data(&self, checkpoint: &Checkpoint<'_>) -> Result<()> {
        let Some((there, here)) =
            checkpoint.state[DATA].as_str().zip(self.digest()).filter(|(there, here)| there != here)
        else {
            return Ok(());
        };
        Err(Error::input("the data is not what the run was trained with")
            .detail("data", &self.config.data.source)
            .detail("expected", format!("digest {there}"))
            .detail("got", format!("digest {here}"))
            .hint("bring the files back; where they lie elsewhere now, say so with `train --resume --data FORM` or in `run.toml`"))
    }

    /// The rule that turns gradients into steps, as far as it is the same for every network ([`optim::of_config`]).
    pub fn optimizer(&self) -> Box<dyn Optimizer> {
        optim::of_config(&self.config)
    }

    /// How steps are taken: by which rule, and with what noise in the parameters.
    ///
    /// # Errors
    /// When the network has no parameters that the noise could be injected into.
    pub fn trainer_options(&self) -> Result<TrainerOptions> {
        assemble::trainer_options(&self.config, &self.network)
    }

    /// The same with what the optimiser keeps, in the order of [`crate::train::Trainer::optimizer_state`].
    ///
    /// # Errors
    /// As [`Experiment::state_of`].
    pub fn training_state_of(&self, mut checkpoint: Checkpoint<'_>) -> Result<(State, Vec<Tensor>)> {
        let slots = optimizer_slots(&self.network, &*self.optimizer());
        let wanted = slots.iter().map(|slot| (&slot.name, &slot.shape));
        let kept = std::mem::take(&mut checkpoint.optimizer);
        let state = self.state_of(checkpoint)?;
        Ok((state, pick(kept, wanted, self.network.dtype(), "tensor of the optimizer")?))
    }

    /// A checkpoint of these tensors, borrowed where they are: parameters and buffers in the network's order, what the optimiser
    /// keeps in that of [`crate::train::Trainer::optimizer_state`], and what else a run needs to go on.
    pub fn checkpoint<'t>(
        &self,
        parameters: &'t [Tensor],
        buffers: &'t [Tensor],
        optimizer: &'t [Tensor],
        mut rest: serde_json::Value,
    ) -> Checkpoint<'t> {
        if let (Some(digest), Some(rest)) = (self.digest(), rest.as_object_mut()) {
            rest.insert(DATA.into(), digest.into());
        }
        let slots = optimizer_slots(&self.network, &*self.optimizer());
        let (infos, kept) = (self.network.parameters().iter(), self.network.buffers().iter());
        Checkpoint {
            parameters: infos.zip(parameters).map(|(info, tensor)| named(&info.path, tensor)).collect(),
            buffers: kept.zip(buffers).map(|(info, tensor)| named(&info.path, tensor)).collect(),
            optimizer: slots.iter().zip(optimizer).map(|(slot, tensor)| named(&slot.name, tensor)).collect(),
            state: rest,
        }
    }

    /// Measures the top of the Hessian's spectrum at `state`.
    ///
    /// # Errors
    /// When the samples or the mode do not fit, or a product is not finite.
    pub fn measure_hessian(&self, state: State, step: u64, probe: &HessianProbe) -> Result<HessianMeasurement> {
        self.measure_hessian_until(state, step, probe, &|| false)
    }

    /// The same, asking before each product whether to stop.
    ///
    /// # Errors
    /// As [`Experiment::measure_hessian`]; [`ErrorKind::Interrupted`] once `stop` says so.
    pub fn measure_hessian_until(
        &self,
        state: State,
        step: u64,
        probe: &HessianProbe,
        stop: &dyn Fn() -> bool,
    ) -> Result<HessianMeasurement> {
        let start = Instant::now();
        let samples = self.samples(probe.samples)?;
        let (mut hessian, basis_bytes) = self.hessian(samples, probe.norm_mode, state, stop)?;
        let (loss, _) = hessian.curvature.gradient()?;
        let options = LanczosOptions {
            top: probe.top,
            tolerance: probe.tolerance,
            max_iterations: probe.max_iterations,
            seed: probe.seed,
            basis_bytes,
        };
        let spectrum = largest_eigenvalues(&mut hessian, &options)?;
        let eigenvalue = |pair: &crate::curvature::Eigenpair| Eigenvalue {
            value: pair.value,
            residual: pair.residual,
            converged: pair.converged,
        };
        Ok(HessianMeasurement {
            probe: "hessian".into(),
            step,
            norm_mode: probe.norm_mode.word().into(),
            samples: probe.samples as u64,
            dtype: self.network.dtype().to_string(),
            seed: probe.seed,
            learning_rate: probe.learning_rate,
            momentum: probe.momentum,
            loss,
            eigenvalues: spectrum.eigenpairs.iter().map(eigenvalue).collect(),
            iterations: spectrum.products as u64,
            products: spectrum.products as u64,
            seconds: start.elapsed().as_secs_f64(),
            version: env!("CARGO_PKG_VERSION").into(),
        })
    }

    /// The Hessian over some samples, until `stop` says so, within the memory limit; and the bytes that a basis of Lanczos may take.
    ///
    /// # Errors
    /// When the samples or the mode do not fit.
    pub(crate) fn hessian<'a>(
        &'a self,
        samples: Batch,
        mode: NormMode,
        state: State,
        stop: &'a dyn Fn() -> bool,
    ) -> Result<(Stoppable<'a>, usize)> {
        let dimension = self.network.parameter_count();
        let mut curvature = Curvature::new(&self.network, mode, samples, state)?;
        let mut basis_bytes = LanczosOptions::default().basis_bytes;
        if let Some(limit) = self.config.memory_limit.map(Size::bytes) {
            basis_bytes = basis_bytes.min(limit / BASIS_SHARE);
            let state = STATES * (dimension * size_of::<f64>() + self.network.buffer_bytes());
            let data = self.dataset.train.bytes() + self.dataset.test.bytes();
            curvature = curvature.with_memory_limit(limit, data + state + basis_bytes);
        }
        Ok((Stoppable { curvature, dimension, stop }, basis_bytes))
    }

    /// Measures the batch entropy of every layer at `state`, over the first `samples` training samples as one batch; with the targets of
    /// a network that is trained with batch entropy.
    ///
    /// # Errors
    /// When there are fewer samples or fewer than two, the network makes no layer known, or the mode is [`NormMode::Frozen`].
    pub fn measure_batch_entropy(
        &self,
        state: &State,
        step: u64,
        samples: usize,
        mode: NormMode,
    ) -> Result<LayerMeasurement> {
        let start = Instant::now();
        let config = &self.config.batch_entropy;
        let term = (config.weight > 0.0).then(|| BatchEntropy::of_config(config)).transpose()?;
        let flow = batch_entropy::flow(&self.network, state, &self.samples(samples)?, mode, term.as_ref())?;
        let column = |name: &str, of: &dyn Fn(&batch_entropy::LayerFlow) -> f64| LayerColumn {
            name: name.into(),
            values: flow.iter().map(of).collect(),
        };
        let mut columns = vec![column("entropy", &|layer| layer.entropy)];
        if term.is_some() {
            columns.push(column("target", &|layer| layer.target.unwrap_or(f64::NAN)));
        }
        let drawn = columns.len();
        columns.push(column("units", &|layer| layer.units as f64));
        columns.push(column("constant", &|layer| layer.constant as f64));
        columns.push(column("largest", &|layer| layer.largest));
        let collapsed = flow.iter().filter(|layer| layer.collapsed()).count();
        Ok(LayerMeasurement {
            probe: "batch-entropy".into(),
            title: "batch entropy (nats)".into(),
            step,
            norm_mode: mode.word().into(),
            samples: samples as u64,
            dtype: self.network.dtype().to_string(),
            summary: format!("{collapsed} of {} layers collapsed (below {})", flow.len(), batch_entropy::COLLAPSED),
            layers: flow.iter().map(|layer| layer.path.clone()).collect(),
            columns,
            drawn,
            seconds: start.elapsed().as_secs_f64(),
            version: env!("CARGO_PKG_VERSION").into(),
        })
    }
}

/// The Hessian, until somebody wants to stop.
pub(crate) struct Stoppable<'a> {
    curvature: Curvature<'a>,
    dimension: usize,
    stop: &'a dyn Fn() -> bool,
}

impl SymmetricOperator for Stoppable<'_> {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn apply(&mut self, vector: &[f64]) -> Result<Vec<f64>> {
        if (self.stop)() {
            return Err(Error::new(ErrorKind::Interrupted, "interrupted while the Hessian was measured"));
        }
        self.curvature.hessian_product(vector)
    }
}

/// How the Hessian is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct HessianProbe {
    /// How many eigenvalues.
    pub top: usize,
    /// Training samples the loss is taken over.
    pub samples: usize,
    /// Where normalization layers take their statistics from.
    pub norm_mode: NormMode,
    /// Relative residual below which an eigenvalue counts as found.
    pub tolerance: f64,
    /// Products at most.
    pub max_iterations: usize,
    /// Draws the first vector.
    pub seed: u64,
    /// The optimiser's rate at this point, kept with the measurement.
    pub learning_rate: f64,
    /// Its momentum, likewise: what the edge of stability depends on. Rules that have none of that kind: 0.
    pub momentum: f64,
}

impl HessianProbe {
    /// What a configuration says, at the given pace.
    pub fn from_config(config: &Config, samples: usize, pace: impl Into<Pace>) -> HessianProbe {
        let pace = pace.into();
        HessianProbe {
            top: config.measure.top,
            samples,
            norm_mode: config.measure.norm_mode,
            tolerance: config.measure.tolerance,
            max_iterations: config.measure.max_iterations,
            seed: config.seed,
            learning_rate: pace.rate,
            momentum: match config.optimizer.name {
                OptimizerKind::Sgd => pace.momentum.unwrap_or(config.optimizer.momentum),
                _ => 0.0,
            },
        }
    }
}

/// The configuration of a run, read back from its `run.toml`.
///
/// # Errors
/// When the file cannot be read or does not hold a configuration.
pub fn config_of(run: &Run, overrides: &[crate::config::Override]) -> Result<Config> {
    let text = run.config()?;
    if text.trim().is_empty() {
        return Err(Error::input("run.toml is empty: what was trained is not known")
            .detail("file", run.config_path().display())
            .hint("write the configuration of the run back into it"));
    }
    Config::resolve(Some((&run.config_path(), &text)), overrides)
}

pub(crate) fn dtype(precision: Precision) -> DType {
    match precision {
        Precision::F32 => DType::F32,
        Precision::F64 => DType::F64,
    }
}

fn network(config: &Config, dataset: &Dataset, precision: DType) -> Result<Network> {
    let model = models::build(&config.model, config.norm, config.activation, dataset.outputs());
    // A network that gives back its inputs looks at no labels.
    let model: Box<dyn Model> = match (dataset.train.target_width(), model.targets()) {
        (Some(_), Targets::Classes) => Box::new(Regression(model)),
        _ => model,
    };
    let mismatch = |reads: &str, holds: &str, hint: &str| {
        Err(Error::input(format!("model '{}' reads {reads}, and the data set holds {holds}", config.model))
            .detail("key", "model")
            .detail("got", &config.data.source)
            .hint(hint))
    };
    match (model.reads(), dataset.train.is_text()) {
        (Reads::Tokens, false) => {
            return mismatch("tokens", "images", "choose another model, or a text with `--data text:FILE`");
        }
        (Reads::Numbers, true) => {
            let hint = "choose a model that reads texts: `--model transformer`, gru or lstm";
            return mismatch("images", "a text", hint);
        }
        (Reads::Tokens, true) | (Reads::Numbers, false) => {}
    }
    if config.loss == Loss::Bernoulli && model.targets() == Targets::Inputs && config.data.normalize {
        return Err(Error::input("loss bernoulli compares with pixels from 0 to 1, and these are normalized")
            .detail("key", "data.normalize")
            .detail("expected", false)
            .hint("leave `data.normalize` out, or use `--set loss=squared`"));
    }
    if config.loss == Loss::Bernoulli && model.targets() == Targets::Numbers {
        check_probabilities(dataset)?;
    }
    if config.data.label_noise > 0.0 && model.targets() == Targets::Inputs {
        return Err(Error::input(format!("model '{}' gives back its inputs and looks at no labels", config.model))
            .detail("key", "data.label_noise")
            .detail("expected", 0)
            .detail("got", config.data.label_noise)
            .hint("leave `data.label_noise` out"));
    }
    assemble::network(config, model, &dataset.image_shape, precision)
}

/// Refuses numbers to be predicted that no probability can be.
fn check_probabilities(dataset: &Dataset) -> Result<()> {
    let Some((part, value)) = [("training", &dataset.train), ("test", &dataset.test)]
        .into_iter()
        .find_map(|(part, split)| split.target_outside(0.0..=1.0).map(|value| (part, value)))
    else {
        return Ok(());
    };
    Err(Error::input("loss bernoulli compares with numbers from 0 to 1, and a target is outside")
        .detail("key", "loss")
        .detail("part", part)
        .detail("expected", "targets from 0 to 1")
        .detail("got", value)
        .hint("use `--set loss=squared`, or scale the targets"))
}

/// The tensors of these names, in this order; each file's bytes are freed as soon as they are numbers.
fn pick<'a>(
    given: Vec<NamedTensor<'_>>,
    wanted: impl Iterator<Item = (&'a String, &'a Shape)>,
    dtype: DType,
    what: &str,
) -> Result<Vec<Tensor>> {
    let mut given: HashMap<String, NamedTensor<'_>> =
        given.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
    wanted
        .map(|(name, shape)| {
            let Some(found) = given.remove(name) else {
                return Err(Error::input(format!("the checkpoint lacks {name}, a {what} of the network"))
                    .detail("layer", name)
                    .detail("expected", shape)
                    .hint(
                        "was run.toml changed after training? use the model and the optimizer the run was trained with",
                    ));
            };
            let tensor = to_tensor(&found).ok_or_else(|| {
                Error::input(format!("{what} {name} of the checkpoint cannot be read")).detail("layer", name)
            })?;
            if tensor.shape() != shape {
                return Err(Error::input(format!("{what} {name} of the checkpoint does not have the network's shape"))
                    .detail("layer", name)
                    .detail("expected", shape)
                    .detail("got", tensor.shape())
                    .hint(
                        "was run.toml changed after training? use the model and the optimizer the run was trained with",
                    ));
            }
            Ok(tensor.cast(dtype))
        })
        .collect()
}

/// A tensor as a file holds it, which on most machines is as it lies in memory.
pub(crate) fn named<'t>(name: &str, tensor: &'t Tensor) -> NamedTensor<'t> {
    fn bytes<T: bytemuck::NoUninit, const N: usize>(values: &[T], little_endian: fn(T) -> [u8; N]) -> Cow<'_, [u8]> {
        match cfg!(target_endian = "little") {
            true => Cow::Borrowed(bytemuck::cast_slice(values)),
            false => values.iter().flat_map(|&value| little_endian(value)).collect(),
        }
    }
    let (dtype, bytes) = match tensor.data() {
        Data::F32(values) => (ElementType::F32, bytes(values, f32::to_le_bytes)),
        Data::F64(values) => (ElementType::F64, bytes(values, f64::to_le_bytes)),
        Data::I32(values) => (ElementType::I32, bytes(values, i32::to_le_bytes)),
        Data::Bool(values) => {
            (ElementType::I32, values.iter().flat_map(|&value| i32::from(value).to_le_bytes()).collect())
        }
    };
    NamedTensor { name: name.to_string(), dtype, shape: tensor.shape().to_vec(), bytes }
}

fn to_tensor(named: &NamedTensor<'_>) -> Option<Tensor> {
    fn numbers<const N: usize, T>(bytes: &[u8], from: fn([u8; N]) -> T) -> Vec<T> {
        bytes.chunks_exact(N).filter_map(|chunk| chunk.try_into().ok()).map(from).collect()
    }
    match named.dtype {
        ElementType::F32 => Tensor::new(named.shape.clone(), numbers(&named.bytes, f32::from_le_bytes)),
        ElementType::F64 => Tensor::new(named.shape.clone(), numbers(&named.bytes, f64::from_le_bytes)),
        ElementType::I32 => Tensor::new(named.shape.clone(), numbers(&named.bytes, i32::from_le_bytes)),
    }
}
