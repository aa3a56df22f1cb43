//! The configuration of a run: which settings exist, where their values come from, and what is wrong with them.
//!
//! Every setting is a row of one table ([`KEYS`]); the struct [`Config`], the defaults, the checks, the short names, the files
//! that are written, the [`reference()`] and the [`schema()`] are all made from it. A value comes from the defaults, a TOML file, a flag or
//! `--set path.key=value`; the later of two wins:
//!
//! ```
//! use evenkeel::config::{Config, NormKind, Override};
//! use std::path::Path;
//!
//! let text = "epochs = 5\n[optimizer]\nlr = 0.05\n";
//! let overrides = [Override::flag("--epochs", "epochs", 3), Override::set("norm=none")?];
//! let config = Config::resolve(Some((Path::new("run.toml"), text)), &overrides)?;
//! assert_eq!((config.epochs, config.optimizer.learning_rate, config.norm), (3, 0.05, NormKind::None));
//!
//! let error = Config::resolve(None, &[Override::set("optimizer.lr=fast")?]).unwrap_err();
//! assert_eq!(error.what(), "optimizer.learning_rate must be a number");
//! # Ok::<(), evenkeel::Error>(())
//! ```
//!
//! Nothing that is not understood is passed over: an unknown key, a wrong type or a value outside its range is an error that shows the
//! place and what was probably meant.
//!
//! Where to start reading: `table` (what exists), then `resolve` (how values are collected) and `setting` (how one is read).

mod choice;
pub(crate) mod excerpt;
mod fault;
mod groups;
mod initialization;
mod lookup;
mod model;
mod norm;
mod resolve;
mod schema;
mod setting;
mod shape;
mod size;
mod table;
mod write;

pub use choice::{
    Activation, AveragingKind, BatchLaw, BestBy, DataTargets, Decays, DropoutLayers, DropoutMasks, EntropyVariant,
    InitMethod, LearnerKind, LeastCurvature, LookAhead, Loss, NoiseDistribution, NoiseGroups, NoiseScaling,
    NoiseScheme, NormMode, OptimizerKind, Overlap, Padding, Precision, RescalingOf, ScheduleKind, SecondMoment,
    WeightNorm,
};
pub use groups::{ParameterGroup, ParameterGroups};
pub use initialization::Initialization;
pub use model::{MODELS, ModelSpec, Sizes};
pub use norm::NormKind;
pub use resolve::Override;
pub use schema::schema;
pub use setting::Kind;
pub use shape::ImageShape;
pub use size::Size;
pub use table::{
    AugmentConfig, AveragingConfig, BatchEntropyConfig, BatchNormConfig, CheckpointConfig, Config, DataConfig,
    DropoutConfig, EntropySgdConfig, FlatnessConfig, GeometricComplexityConfig, InitConfig, InputNoiseConfig, KEYS,
    Key, L2Config, LearnerConfig, MeasureConfig, NoiseInjectionConfig, OptimizerConfig, ScheduleConfig,
    SharpnessAwareConfig, SpectralConfig, WeightRescalingConfig,
};
pub use write::{reference, reference_page};
