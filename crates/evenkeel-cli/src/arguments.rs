//! What can be said on the command line.

use clap::{Args, Parser, Subcommand};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Train, measure and report on neural networks: exact curvature, one binary, the same bits on any number of threads.
#[derive(Debug, Parser)]
#[command(name = "evenkeel", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Print one JSON document on stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No progress and no hints on stderr
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Threads to use [default: all cores]; results do not depend on it
    #[arg(long, global = true, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Seed of every random choice
    #[arg(long, global = true, value_name = "N")]
    pub(crate) seed: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train a network, measure it and write a report
    Train(Train),
    /// Measure a run: `evenkeel measure RUN hessian --top 5`
    Measure(Measure),
    /// Write a run's report anew
    Report(Report),
    /// List the networks of the zoo
    Models,
    /// List the data sets
    Data,
    /// Write what an outside program needs to check a run
    Export(Export),
}

/// Train a network; without any argument on the embedded digits.
#[derive(Debug, Args)]
pub(crate) struct Train {
    /// A configuration file; flags and `--set` come after it
    #[arg(value_name = "CONFIG.toml")]
    pub(crate) config: Option<PathBuf>,
    /// digits, mnist:DIR, fashion-mnist:DIR or cifar10:DIR
    #[arg(long, value_name = "SPEC")]
    pub(crate) data: Option<String>,
    /// A network of the zoo, see `evenkeel models`
    #[arg(long, value_name = "SPEC")]
    pub(crate) model: Option<String>,
    /// Normalization: none or batch
    #[arg(long, value_name = "N")]
    pub(crate) norm: Option<String>,
    /// Optimizer: sgd
    #[arg(long, value_name = "O")]
    pub(crate) optimizer: Option<String>,
    /// Passes over the training data
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) epochs: Option<String>,
    /// Samples in a step
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) batch_size: Option<String>,
    /// Learning rate
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    pub(crate) lr: Option<String>,
    /// Any key of the configuration, e.g. `--set data.limit=10000`; may be given several times
    #[arg(long, value_name = "PATH.KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// The run's folder [default: runs/MODEL-DATA-NNN]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Go on with the run in --out, or with the newest one under runs/
    #[arg(long)]
    pub(crate) resume: bool,
    /// Print parameters and memory, and stop
    #[arg(long)]
    pub(crate) plan: bool,
}

/// Measure a run.
#[derive(Debug, Args)]
pub(crate) struct Measure {
    /// The run's folder
    pub(crate) run: PathBuf,
    #[command(subcommand)]
    pub(crate) probe: Probe,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Probe {
    /// The largest eigenvalues of the loss Hessian, exact over the chosen samples
    Hessian(Hessian),
}

#[derive(Debug, Args)]
pub(crate) struct Hessian {
    /// How many of the largest eigenvalues
    #[arg(long, value_name = "K", default_value = "1")]
    pub(crate) top: NonZeroUsize,
    /// Statistics of normalization layers: batch, running or frozen [default: the run's measure.norm_mode]
    #[arg(long, value_name = "MODE")]
    pub(crate) norm_mode: Option<String>,
    /// The first N training samples [default: the run's measure.samples]
    #[arg(long, value_name = "N")]
    pub(crate) samples: Option<usize>,
    /// The checkpoint of this step [default: the newest]
    #[arg(long, value_name = "STEP")]
    pub(crate) step: Option<u64>,
    /// Relative residual below which an eigenvalue counts as found [default: the run's measure.tolerance]
    #[arg(long, value_name = "X")]
    pub(crate) tolerance: Option<f64>,
    /// Hessian products at most [default: the run's measure.max_iterations]
    #[arg(long, value_name = "N")]
    pub(crate) max_iterations: Option<NonZeroUsize>,
    /// Compute in f32 or f64 [default: the run's]
    #[arg(long, value_name = "TYPE")]
    pub(crate) dtype: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// The run's folder
    pub(crate) run: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The run's folder
    pub(crate) run: PathBuf,
    /// Write inputs, parameters, loss, logits, gradient and products of one batch to this safetensors file
    #[arg(long, value_name = "FILE.safetensors")]
    pub(crate) oracle: PathBuf,
    /// Samples in the batch
    #[arg(long, value_name = "N", default_value = "64")]
    pub(crate) batch: usize,
    /// Compute in f32 or f64 [default: the run's]
    #[arg(long, value_name = "TYPE")]
    pub(crate) dtype: Option<String>,
    /// Statistics of normalization layers: batch or running
    #[arg(long, value_name = "MODE", default_value = "batch")]
    pub(crate) norm_mode: String,
    /// The checkpoint of this step [default: the newest]
    #[arg(long, value_name = "STEP")]
    pub(crate) step: Option<u64>,
}
