//! Which settings exist: the one table from which types, defaults, checks, aliases and the reference all come.

use super::choice::*;
use super::fault::Fault;
use super::groups::ParameterGroups;
use super::initialization::Initialization;
use super::model::ModelSpec;
use super::norm::NormKind;
use super::setting::{Kind, Range, Setting, range};
use super::shape::ImageShape;
use super::size::Size;
use serde::Serialize;
use toml::de::DeValue;

/// One setting: a row of [`KEYS`].
#[derive(Debug)]
pub struct Key {
    /// Where it stands, e.g. `optimizer.learning_rate`.
    pub path: &'static str,
    /// The section it is in; empty at the top level.
    pub section: &'static str,
    /// Its name in the section.
    pub name: &'static str,
    /// Shorter names that mean the same.
    pub aliases: &'static [&'static str],
    /// What its values are.
    pub kind: Kind,
    pub(crate) range: Range,
    /// What it means, one line of text after another.
    pub help: &'static str,
    pub(crate) read: fn(&mut Config, &DeValue<'_>, &Key) -> Result<(), Fault>,
    pub(crate) write: fn(&Config) -> Option<String>,
    pub(crate) schema: fn() -> serde_json::Value,
}

impl Key {
    /// The numbers that are allowed, in words; empty where every value of the kind is.
    pub fn allowed(&self) -> &'static str {
        self.range.words
    }

    /// The default as it would stand in a file; nothing when the setting is absent by default.
    pub fn default(&self) -> Option<String> {
        (self.write)(&Config::default())
    }

    /// Checks a value, written as in a file, by itself: how settings go together is not asked.
    ///
    /// # Errors
    /// When it is not TOML, not of the key's kind, or outside its range.
    pub fn check(&self, value: &str) -> crate::Result<()> {
        let parsed = DeValue::parse(value).map_err(|error| {
            crate::Error::input(format!("the value of {} is not valid TOML", self.path)).detail("got", error.message())
        })?;
        (self.read)(&mut Config::default(), parsed.get_ref(), self).map_err(Fault::without_place)
    }

    /// Whether this is its path, with dots, or that of one of its aliases.
    pub(crate) fn is_at(&self, path: &str) -> bool {
        let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
        self.section == section && self.is_named(name)
    }

    /// Whether this is its name or one of its aliases.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}

/// Declares the structs, their defaults and [`KEYS`]. A setting reads
/// `/// help` `name | alias: type = default, [allowed range];`.
macro_rules! settings {
    (
        $(#[doc = $about:literal])+
        $Config:ident {
            $(
                $(#[doc = $help:literal])+
                $name:ident $(| $alias:ident)* : $type:ty = $default:expr $(, [$($range:tt)+])? ;
            )+
        }
        $(
            $(#[doc = $about_section:literal])+
            $section:ident : $Section:ident {
                $(
                    $(#[doc = $inner_help:literal])+
                    $inner:ident $(| $inner_alias:ident)* : $inner_type:ty = $inner_default:expr
                        $(, [$($inner_range:tt)+])? ;
                )+
            }
        )+
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, Serialize)]
        pub struct $Config {
            $(
                $(#[doc = $help])+
                #[doc = concat!("\nDefault: `", stringify!($default), "`", $("; ", stringify!($($range)+),)? ".")]
                pub $name: $type,
            )+
            $( $(#[doc = $about_section])+ pub $section: $Section, )+
        }

        impl Default for $Config {
            fn default() -> Self {
                $Config { $($name: $default,)+ $($section: $Section::default(),)+ }
            }
        }

        $(
            $(#[doc = $about_section])+
            #[derive(Clone, Debug, PartialEq, Serialize)]
            pub struct $Section {
                $(
                    $(#[doc = $inner_help])+
                    #[doc = concat!(
                        "\nDefault: `", stringify!($inner_default), "`", $("; ", stringify!($($inner_range)+),)? "."
                    )]
                    pub $inner: $inner_type,
                )+
            }

            impl Default for $Section {
                fn default() -> Self {
                    $Section { $($inner: $inner_default,)+ }
                }
            }
        )+

        /// Every setting, section after section, in the order in which they are written.
        pub static KEYS: &[Key] = &[
            $(Key {
                path: stringify!($name),
                section: "",
                name: stringify!($name),
                aliases: &[$(stringify!($alias)),*],
                kind: <$type as Setting>::KIND,
                range: range!($($($range)+)?),
                help: concat!($($help, "\n"),+),
                read: |config, value, key| {
                    config.$name = Setting::read(value, key)?;
                    Ok(())
                },
                write: |config| config.$name.write(),
                schema: <$type as Setting>::schema,
            },)+
            $($(Key {
                path: concat!(stringify!($section), ".", stringify!($inner)),
                section: stringify!($section),
                name: stringify!($inner),
                aliases: &[$(stringify!($inner_alias)),*],
                kind: <$inner_type as Setting>::KIND,
                range: range!($($($inner_range)+)?),
                help: concat!($($inner_help, "\n"),+),
                read: |config, value, key| {
                    config.$section.$inner = Setting::read(value, key)?;
                    Ok(())
                },
                write: |config| config.$section.$inner.write(),
                schema: <$inner_type as Setting>::schema,
            },)+)+
        ];

        /// The sections and what each is about, in the order in which they are written.
        pub(crate) static SECTIONS: &[(&str, &str)] =
            &[$((stringify!($section), concat!($($about_section, "\n"),+)),)+];
    };
}

settings! {
    /// Everything that decides a run. The same configuration and version give the same bits.
    Config {
        /// Seed of every random choice: initialization, order of the samples, directions of measurements.
        seed: u64 = 0;
        /// Network of the zoo, with its sizes where it has them: mlp, mlp:512-512, mlp:1000x500 (500 layers of width 1000); `evenkeel models` lists all.
        model: ModelSpec = ModelSpec::default();
        /// Normalization layers of the network; group and improved-group take a number of groups, as in group:8. Left out: layer for transformers, none for recurrent networks and autoencoders.
        norm: NormKind = NormKind::Batch;
        /// What layers make of their weights: normalized to a learned length, or standardized (all but the last layer).
        weight_norm: WeightNorm = WeightNorm::None;
        /// Function between the layers of mlp, plain-conv, autoencoder and vae; the others have their own.
        activation: Activation = Activation::Relu;
        /// How weights are drawn before the first step; normal takes a deviation, as in normal:0.05. With uniform, biases are drawn as well, as PyTorch does.
        initialization: Initialization = Initialization::He;
        /// What the drawn weights of layers are multiplied by: their gain.
        initialization_scale: f64 = 1.0, [above 0];
        /// What training makes small. Left out: bernoulli for vae, squared for autoencoder and where data.targets is numbers.
        loss: Loss = Loss::CrossEntropy;
        /// Passes over the training samples.
        epochs: usize = 20, [at least 1];
        /// Samples in one step.
        batch_size: usize = 64, [at least 1];
        /// Samples whose gradient is taken at once, where a step's do not fit into memory; divides batch_size. Batch norm and sharpness-aware steps look at so many.
        micro_batch_size: Option<usize> = None, [at least 1];
        /// Share of each label that is spread over all classes.
        label_smoothing: f64 = 0.0, [at least 0 and below 1];
        /// Floating-point type of parameters and activations.
        dtype: Precision = Precision::F32;
        /// Memory that training and its measurements may take; where they would take more, values are computed again instead of kept.
        memory_limit: Option<Size> = None;
    }

    /// Which samples are learned, and which are held back to test on.
    data: DataConfig {
        /// Where the samples come from: digits, mnist:DIR, csv:FILE, images:DIR or another form of `evenkeel data`.
        source: String = String::from("digits");
        /// What the samples of csv, npy, npz and safetensors are labelled with: classes, or numbers that are to be predicted.
        targets: DataTargets = DataTargets::Classes;
        /// Height, width and channels of the images whose pixels are the columns of a table or of a two-dimensional array, channels last.
        shape: Option<ImageShape> = None;
        /// Use only the first so many training samples.
        limit: Option<usize> = None, [at least 1];
        /// Use as many training samples of each class, within one, the first of each: data.limit of them, or as many of each as the rarest class has.
        balanced: bool = false;
        /// Share of the training labels that are given to other classes, once, by the seed.
        label_noise: f64 = 0.0, [at least 0 and at most 1];
        /// Use only the first so many test samples.
        test_limit: Option<usize> = None, [at least 1];
        /// Draws which samples are held back to test on, and wrong labels; left out: seed.
        seed: Option<u64> = None;
        /// Share of the samples held back to test on, where the source has no test set of its own.
        test_fraction: f64 = 0.2, [above 0 and below 1];
        /// Characters in a sample of a text; left out: as many as the network takes, else 64.
        tokens: Option<usize> = None, [at least 1];
        /// Bring the inputs to mean 0 and standard deviation 1, by the training samples. Left out for autoencoder and vae: false.
        normalize: bool = true;
    }

    /// What the batches of training are put through. Tests and measurements have the samples as they are.
    augment: AugmentConfig {
        /// Pixels that are added to each side of an image before a part of its size is cut out of it at random; 0: none.
        crop: usize = 0;
        /// crop: what is added, zero (the mean of each channel where inputs are normalized) or reflect.
        padding: Padding = Padding::Zero;
        /// Whether half of the images are mirrored, left to right.
        flip: bool = false;
        /// Side of a square of zeros, in pixels, put on each image at random; 0: none.
        cutout: usize = 0;
        /// Each step mixes its samples and their labels with those of a partner, by a share drawn from Beta(mixup, mixup); 0: not. 0.2 is usual.
        mixup: f64 = 0.0, [at least 0];
    }

    /// What adapts the drawn weights to the data before the first step.
    init: InitConfig {
        /// Which method: none, data-dependent, smart or gradinit.
        method: InitMethod = InitMethod::None;
        /// Training samples that data-dependent and smart take statistics of, and that before and after are compared on; from the first one on.
        samples: usize = 500, [at least 2];
        /// data-dependent: deviation of every unit's output afterwards.
        deviation: f64 = 1.0, [above 0];
        /// smart: set the biases alone.
        translate_only: bool = false;
        /// gradinit: steps of the factors.
        iterations: usize = 390;
        /// gradinit: the step that is looked ahead; left out: normalized-sgd where the optimizer is sgd, else adam.
        look_ahead: Option<LookAhead> = None;
        /// gradinit: rate of that step; left out: the optimizer's.
        learning_rate: Option<f64> = None, [above 0];
        /// gradinit: what the gradient's norm may be; left out: 1, for adam (sum of absolute values) the root of the number of parameters.
        gradient_bound: Option<f64> = None, [above 0];
        /// gradinit: Adam's rate for the factors.
        scale_rate: f64 = 0.01, [at least 0];
        /// gradinit: samples of a batch, an even number; left out: those of training.
        batch_size: Option<usize> = None, [at least 2];
        /// gradinit: what a factor may fall to; that of a bias may fall to 0.
        min_scale: f64 = 0.01, [at least 0 and at most 1];
        /// gradinit: what a factor may rise to.
        max_scale: Option<f64> = None, [at least 1];
        /// gradinit: the largest slope that is taken as it is.
        clip: f64 = 1.0, [above 0];
        /// gradinit: what the batch that judges a step has in common with the one it was taken on, half or none.
        overlap: Overlap = Overlap::Half;
        /// gradinit: whether slopes of the loss and of the gradient's norm share their second moment, shared or separate.
        second_moment: SecondMoment = SecondMoment::Shared;
    }

    /// The rule that turns gradients into steps.
    optimizer: OptimizerConfig {
        /// Which rule.
        name: OptimizerKind = OptimizerKind::Sgd;
        /// Step length, before the schedule changes it. Left out: 0.1 for sgd (0.01 where data.targets is numbers), 0.01 for rmsprop, spherical-sgd and quasi-rmsprop, 1 for entropy-sgd (paper: 1 / entropy_sgd.scope), else 0.001; for autoencoder and vae 0.001.
        learning_rate | lr: f64 = 0.1, [above 0];
        /// sgd, rmsprop: share of the last step that is kept in the next one. Left out for rmsprop: 0.
        momentum: f64 = 0.9, [at least 0 and below 1];
        /// sgd: share of the gradient that momentum does not take up.
        dampening: f64 = 0.0, [at least 0 and below 1];
        /// sgd, adamp: whether a step goes where momentum will lead.
        nesterov: bool = false;
        /// Factor of the parameters that is added to the gradient, or in adamw and adamp, times the rate, that they shrink by. Left out for adamw: 0.01.
        weight_decay: f64 = 0.0, [at least 0];
        /// Which parameters decay: all, or weights, which are neither biases nor what norms have.
        decays: Decays = Decays::All;
        /// adam and its kin: share of the gradient's running mean that is kept.
        beta1: f64 = 0.9, [at least 0 and below 1];
        /// adam and its kin: share of the running mean of its square that is kept.
        beta2: f64 = 0.999, [at least 0 and below 1];
        /// adam and its kin, rmsprop: what is added to the divisor.
        epsilon: f64 = 1e-8, [above 0];
        /// rmsprop, quasi-rmsprop: share of the running mean of squares that is kept. Left out for quasi-rmsprop: 1 − 2 times the square of the rate, as for weight decay.
        smoothing: f64 = 0.99, [at least 0 and below 1];
        /// spherical-sgd, quasi-rmsprop: which of the scale-invariant weights are on the sphere, patterns of paths with * for any text and commas between them; all others have sgd's steps.
        sphere: String = String::from("*");
        /// rmsprop: whether the gradient's mean is taken off before squares.
        centered: bool = false;
        /// adamp: weights whose gradient is as orthogonal to them as this, by the root of their number, count as scale-invariant.
        delta: f64 = 0.1, [above 0];
        /// adamp: share of the decay that those have.
        decay_ratio: f64 = 0.1, [at least 0];
        /// The longest gradient, over all parameters together, that the rule is shown; a longer one is shortened to it.
        clip: Option<f64> = None, [above 0];
        /// Parameters with settings of their own, as in '*.bias: rate=2 decay=0; head.*: rate=0.1': the factor of their rate, and their decay.
        groups: ParameterGroups = ParameterGroups::default();
    }

    /// Sharpness-aware minimization: the gradient of each step is taken where the loss is worst nearby, whatever the rule. Twice the work.
    sharpness_aware: SharpnessAwareConfig {
        /// How far is looked, as a length of all parameters together; 0: not at all. 0.05 is usual.
        rho: f64 = 0.0, [at least 0];
        /// Whether each parameter's neighbourhood is as large as it is itself; rho is then ten times larger or more.
        adaptive: bool = false;
    }

    /// entropy-sgd: gradients of the local entropy, from inner steps around the parameters. optimizer.learning_rate is that of outer steps.
    entropy_sgd: EntropySgdConfig {
        /// Which of the published forms.
        variant: EntropyVariant = EntropyVariant::Reference;
        /// Inner steps of an outer one, each with a batch of its own; 0: plain sgd.
        steps: usize = 20;
        /// Rate of inner steps.
        inner_rate: f64 = 0.1, [above 0];
        /// How strongly inner steps are pulled back at first.
        scope: f64 = 1e-4, [at least 0];
        /// What the pull grows by in an outer step, as a share.
        scoping: f64 = 1e-3, [at least 0];
        /// What the pull may grow to; left out: 1 / inner_rate.
        largest_scope: Option<f64> = None, [at least 0];
        /// Noise of inner steps, the root of their temperature.
        noise: f64 = 1e-4, [at least 0];
        /// Share of the newest inner point in their average; left out: 0.25, for paper 0.75.
        newest: Option<f64> = None, [above 0 and at most 1];
    }

    /// Training towards an average: gradients are taken where the rule is, and the average is what is evaluated, measured and saved.
    averaging: AveragingConfig {
        /// How iterates count.
        name: AveragingKind = AveragingKind::None;
        /// exponential: share of the average that is kept in a step.
        decay: f64 = 0.999, [at least 0 and below 1];
        /// Steps before the average begins.
        start: usize = 0;
    }

    /// Rescaling of weights whose length means nothing, since a norm follows: their direction then has the schedule's rate. They do not decay.
    weight_rescaling: WeightRescalingConfig {
        /// Steps from one rescaling to the next; 0: never.
        every: usize = 0;
        /// What gets one length: units (each unit's weights, where a norm lets it) or layers.
        of: RescalingOf = RescalingOf::Units;
        /// The length.
        length: f64 = 1.0, [above 0];
        /// Patterns of the weights that may be rescaled, with commas between them; those that are not scale-invariant never are.
        parameters: String = "*".to_owned();
        /// Whether velocities and moments are rescaled, too, as gradients are.
        rescale_state: bool = false;
    }

    /// How the learning rate changes while training goes on.
    schedule: ScheduleConfig {
        /// Which course the rate takes.
        name: ScheduleKind = ScheduleKind::Cosine;
        /// step: epochs from one change of the rate to the next.
        step_epochs: usize = 10, [at least 1];
        /// step: what the rate is multiplied by at each change.
        factor: f64 = 0.1, [above 0];
        /// cosine, linear, one-cycle: share of the rate at which it ends.
        final_fraction: f64 = 0.0, [at least 0 and at most 1];
        /// Epochs, parts of them too, in which the rate rises along a line to where the course begins.
        warmup_epochs | warmup: f64 = 0.0, [at least 0];
        /// warm-up, one-cycle: share of the rate at which it starts.
        start_fraction: f64 = 0.04, [at least 0 and at most 1];
        /// one-cycle: share of the steps in which the rate rises.
        peak: f64 = 0.3, [above 0 and below 1];
        /// How the rate goes with batch_size: not (none), in proportion (linear, as for sgd) or by its root (square-root, as for adam).
        batch_law: BatchLaw = BatchLaw::None;
        /// The batch_size that learning_rate is for, where there is a law.
        reference_batch: usize = 64, [at least 1];
    }

    /// Learning rate and momentum of sgd, learned from the curvature while training goes on. The schedule's course applies to the learned rate.
    learner: LearnerConfig {
        /// Which rule: none, sgd (the rate alone), heavy-ball or nesterov, which are right for every scale of the loss, or authors-mn.
        kind: LearnerKind = LearnerKind::None;
        /// Epochs from one look at the curvature to the next.
        every: usize = 20, [at least 1];
        /// The first epoch that begins with one; before it, rate and momentum are the optimizer's.
        from_epoch: usize = 0;
        /// Training samples that are looked at, drawn once; all where there are fewer. In norm mode batch, as one batch.
        samples: usize = 1024, [at least 1];
        /// Hessian products of each look, along one random vector.
        steps: usize = 20, [at least 2];
        /// What counts as the least curvature: bulk-removed or median.
        least: LeastCurvature = LeastCurvature::BulkRemoved;
        /// No learned rate is below this.
        min_rate: f64 = 1e-6, [above 0];
        /// No learned rate is above this.
        max_rate: f64 = 1.0, [above 0];
    }

    /// Dropout of hidden values in training, and the penalties it stands for.
    dropout: DropoutConfig {
        /// Share of the values that is dropped; 0: none.
        rate: f64 = 0.0, [at least 0 and below 1];
        /// Whether each sample has a mask of its own, all samples of a step share one, or none is drawn.
        masks: DropoutMasks = DropoutMasks::PerSample;
        /// Whether the values after every activation are dropped, or only those before the last layer.
        layers: DropoutLayers = DropoutLayers::All;
        /// Factor of the penalty R1, the mean effect of dropout on the loss: 1 in place of masks, −1 takes it out of training with masks.
        r1: f64 = 0.0;
        /// Use the second-order form of R1 where there is no exact one: another loss than squared, or another layer than the last.
        approximate: bool = false;
        /// Factor of the penalty R2, rate of learning / 4 times the squared length of the gradient under masks.
        r2: f64 = 0.0;
        /// Masks that R2 is the mean over; 0: those of the step itself.
        r2_masks: usize = 0, [at least 0 and at most 10000];
    }

    /// Noise in the parameters while the gradient of each step is taken: a penalty on the curvature of the loss.
    noise_injection: NoiseInjectionConfig {
        /// Standard deviation of the noise; 0: none.
        sigma: f64 = 0.0, [at least 0];
        /// Which parameters have it: all at once, or one group a step, in turn or drawn.
        scheme: NoiseScheme = NoiseScheme::LayerCyclic;
        /// Which parameters are a group: each tensor, the tensors of a layer, or each weight (tensors of two axes and more) and nothing else.
        groups: NoiseGroups = NoiseGroups::Tensor;
        /// all: whether the deviation is divided by the root of the number of groups, which makes schemes comparable.
        scaling: NoiseScaling = NoiseScaling::PerGroup;
        /// What is drawn: normal numbers, or signs.
        distribution: NoiseDistribution = NoiseDistribution::Normal;
        /// The first step without noise; left out: all have it.
        until_step: Option<u64> = None;
        /// Running statistics come from the perturbed parameters; if not, from another pass forward with the parameters themselves.
        bn_update_under_noise: bool = true;
    }

    /// Normalization layers that keep statistics over the batch: batch, noisy-batch, mean-only, l1, l2, linf and improved-group.
    batch_norm: BatchNormConfig {
        /// Weight of the new value in the running statistics, as in PyTorch.
        momentum: f64 = 0.1, [at least 0 and at most 1];
        /// Running statistics are the plain mean over all steps so far, whatever the momentum.
        cumulative: bool = false;
        /// Samples that share their statistics, where that is not the whole batch: ghost batches, which must divide it (not improved-group).
        ghost: Option<usize> = None, [at least 2];
        /// What every normalization layer adds to the variance before its root is taken, or to what else it divides by.
        epsilon: f64 = 1e-5, [above 0];
    }

    /// Layerwise batch-entropy regularization: the loss times 1 + weight · mean over layers of (batch entropy − target)².
    batch_entropy: BatchEntropyConfig {
        /// Weight of the term, beta; 0: no such term.
        weight | beta: f64 = 0.0, [at least 0];
        /// The target that every layer starts from, in nats; it is learned.
        alpha: f64 = 0.5;
        /// No target is below this.
        alpha_min: f64 = 0.2, [at least 0];
        /// Hidden values that take part: outputs (of blocks where the network has blocks, else all), all, or names separated by commas, such as act1.
        layers: String = String::from("outputs");
    }

    /// Sharpness measured while training goes on: the largest eigenvalues of the Hessian of the loss.
    measure: MeasureConfig {
        /// Steps from one measurement to the next; 0: none on the way; left out: ten over the run where they are cheap, else none.
        every: Option<usize> = None;
        /// Steps from one look at every layer to the next, from the first step on: lengths of weights, gradients and updates, activations;
        /// 0: none; left out: a hundred over the run, but no more than every hundredth step, or ten over a short run.
        layers_every: Option<usize> = None;
        /// Measure before the first step and after the last one.
        start_and_end: bool = true;
        /// How many eigenvalues, from the largest down.
        top: usize = 1, [at least 1];
        /// Training samples the loss is taken over, from the first one on; with ghost batches, as many of them as those divide.
        samples: usize = 500, [at least 1];
        /// Statistics the normalization layers use: of the batch, running, or frozen.
        norm_mode: NormMode = NormMode::Batch;
        /// Length of H v − λ v relative to λ v, below which an eigenvalue counts as found.
        tolerance: f64 = 1e-3, [above 0];
        /// Hessian products at most; no fewer than measure.top.
        max_iterations: usize = 100, [at least 1];
    }

    /// Penalty on the geometric complexity of the batch: how much the logits vary with the inputs.
    geometric_complexity: GeometricComplexityConfig {
        /// What it is multiplied by; 0: no penalty.
        weight: f64 = 0.0, [at least 0];
        /// Random directions it is estimated along in each step; 0: exactly, along every output, which norms over the batch rule out.
        probes: usize = 1, [at least 0 and at most 10000];
        /// Only every so-manieth step has the penalty, then so many times as strong.
        every: usize = 1, [at least 1];
    }

    /// Penalty on the largest singular values of linear and convolution layers.
    spectral: SpectralConfig {
        /// Half of it multiplies the sum of their squares; 0: no penalty.
        weight: f64 = 0.0, [at least 0];
    }

    /// Penalty on the squared length of the loss gradient.
    flatness: FlatnessConfig {
        /// What it is multiplied by; 0: no penalty.
        weight: f64 = 0.0, [at least 0];
    }

    /// Normal noise on the inputs in training.
    input_noise: InputNoiseConfig {
        /// Its standard deviation, in units of the inputs that the network sees; 0: none.
        deviation: f64 = 0.0, [at least 0];
    }

    /// Penalty on the squares of parameters, as part of the objective; the optimizer's weight_decay is not.
    l2: L2Config {
        /// Half of it multiplies the sum of their squares; 0: no penalty.
        weight: f64 = 0.0, [at least 0];
        /// Which parameters: patterns of paths with * for any text, and commas between them.
        parameters: String = String::from("*");
    }

    /// What is kept on disk to resume from.
    checkpoint: CheckpointConfig {
        /// Epochs from one checkpoint to the next.
        every_epochs: usize = 1, [at least 1];
        /// Steps from one checkpoint to the next, beside those at the end of epochs; left out: none in between.
        every_steps: Option<usize> = None, [at least 1];
        /// How many of the newest checkpoints are kept.
        keep: usize = 3, [at least 1];
        /// What the best epoch is known by, whose checkpoint is kept beside the newest: auto (test_accuracy where there are classes, else test_loss), test_accuracy, test_loss, train_accuracy, train_loss or none.
        best: BestBy = BestBy::Auto;
    }
}
