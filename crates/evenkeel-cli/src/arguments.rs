//! What can be said on the command line.

use clap::{Args, Parser, Subcommand};
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

/// Where `--help` lists what every command understands.
const EVERYWHERE: &str = "Everywhere";

/// What every command understands.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Print one JSON document on stdout
    #[arg(long, global = true, help_heading = EVERYWHERE, display_order = 100)]
    pub(crate) json: bool,
    /// No progress and no notes on stderr, only warnings and errors
    #[arg(long, short, global = true, help_heading = EVERYWHERE, display_order = 101)]
    pub(crate) quiet: bool,
    /// Threads to use, results do not depend on it [default: all cores]
    #[arg(
        long, global = true, value_name = "N", allow_hyphen_values = true, help_heading = EVERYWHERE, display_order = 102,
        value_parser = clap::value_parser!(u16).range(1..=1024),
    )]
    pub(crate) threads: Option<u16>,
    /// Seed of every random choice [default: 0, or the run's]
    #[arg(
        long, global = true, value_name = "N", allow_hyphen_values = true, help_heading = EVERYWHERE, display_order = 103,
    )]
    pub(crate) seed: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train a network, measure it and write a report
    Train(Train),
    /// Train over a grid of values and seeds, e.g. `evenkeel sweep --grid lr=0.1,0.01 --seeds 5`
    Sweep(Sweep),
    /// Adapt the weights that a run starts from, e.g. `evenkeel init --method gradinit`
    Init(Init),
    /// Measure a run, e.g. `evenkeel measure RUN hessian --top 5`
    Measure(Measure),
    /// Write a run's report again
    Report(Report),
    /// List, compare, tag, delete, query and export runs
    Runs(Runs),
    /// Check published claims on this machine, e.g. `evenkeel reproduce 10`
    Reproduce(Reproduce),
    /// Print a configuration, the reference of all keys, or their JSON Schema
    Config(Config),
    /// List the networks of the zoo
    Models,
    /// List the data sets, look at one, or download one
    Data(Data),
    /// Write what an outside program needs to check a run
    Export(Export),
    /// Time the programs of training and curvature on this machine
    Bench(Bench),
}

/// What decides a run: a file, the settings that have flags of their own, and all others.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// A configuration; flags change it, `--set` changes both
    #[arg(value_name = "CONFIG.toml")]
    pub(crate) config: Option<PathBuf>,
    /// Data: digits, mnist:DIR, cifar10:DIR, csv:FILE, images:DIR, text:FILE or another form of `evenkeel data`
    #[arg(long, value_name = "SPEC")]
    pub(crate) data: Option<String>,
    /// Network of the zoo, see `evenkeel models`
    #[arg(long, value_name = "SPEC")]
    pub(crate) model: Option<String>,
    /// Normalization: none, batch, noisy-batch, mean-only, layer, group[:G], instance, rms, l1, l2, linf or improved-group[:G]
    #[arg(long, value_name = "NORM")]
    pub(crate) norm: Option<String>,
    /// Optimizer: sgd, adam, adamw, adamp, adamax, rmsprop, entropy-sgd, spherical-sgd or quasi-rmsprop
    #[arg(long, value_name = "NAME")]
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
    /// Memory that training may take, e.g. 2GiB; what would take more is computed again, which is slower
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub(crate) memory_limit: Option<String>,
    /// Any key of the configuration, e.g. `data.limit=10000`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// Train a network; without any argument on the embedded digits.
#[derive(Debug, Args)]
pub(crate) struct Train {
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// The run's folder [default: runs/MODEL-DATA-NNN]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Go on with the run in --out, or with the newest one under runs/
    #[arg(long)]
    pub(crate) resume: bool,
    /// Say what it takes, how much memory above all, and stop
    #[arg(long)]
    pub(crate) plan: bool,
}

/// Print the configuration that a file and flags come to, every key with its value; a run keeps the same in run.toml.
#[derive(Debug, Args)]
pub(crate) struct Config {
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// Every key with its meaning, its values and its default, as Markdown
    #[arg(long, conflicts_with = "schema")]
    pub(crate) reference: bool,
    /// The JSON Schema that editors check and complete a configuration by
    #[arg(long)]
    pub(crate) schema: bool,
}

/// Train every combination of some values, with several seeds each: `--grid lr=0.1,0.01 --grid norm=batch,none --seeds 5`.
///
/// Runs go side by side, each in a folder of its own as `train` makes it. The same command again does what is left; with more values
/// or seeds it adds runs.
#[derive(Debug, Args)]
pub(crate) struct Sweep {
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// A setting and its values, by flag (lr, batch-size) or key; may be repeated. With commas in values: KEY='["a,b", "c"]'
    #[arg(long, value_name = "KEY=V1,V2,..", allow_hyphen_values = true)]
    pub(crate) grid: Vec<String>,
    /// How many seeds, from --seed on
    #[arg(long, value_name = "N", allow_hyphen_values = true, default_value = "1")]
    pub(crate) seeds: String,
    /// Runs at a time [default: as many as there are threads, fewer where memory is short]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) jobs: Option<String>,
    /// The folder of the sweep [default: runs/MODEL-DATA-by-KEYS]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Say which runs there are, how far they are and how much memory they take, and stop
    #[arg(long)]
    pub(crate) plan: bool,
}

/// List the data sets; with a command, look at one or download one.
#[derive(Debug, Args)]
pub(crate) struct Data {
    #[command(subcommand)]
    pub(crate) command: Option<DataCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Read a data set whole: counts, values, duplicates and some samples to look at
    Check(DataCheck),
    /// Download mnist, fashion-mnist or cifar10 and compare checksums; a download that stops goes on
    Fetch(DataFetch),
}

#[derive(Debug, Args)]
pub(crate) struct DataCheck {
    /// The data, e.g. mnist:data/mnist or csv:iris.csv
    #[arg(value_name = "SPEC")]
    pub(crate) data: String,
    /// Write samples of each class to this picture
    #[arg(long, value_name = "FILE.png")]
    pub(crate) sheet: Option<PathBuf>,
    /// A key of the configuration's section data, e.g. `data.test_fraction=0.3`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DataFetch {
    /// mnist, fashion-mnist or cifar10
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Folder to put the files into [default: data/mnist, data/fashion-mnist or data/cifar-10]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Ask this address in place of the official ones
    #[arg(long, value_name = "URL", hide = true)]
    pub(crate) from: Option<String>,
}

/// Prepare the weights that a run starts from: a new run at step 0, for `evenkeel train --resume` to go on with.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// A configuration, or a run's folder: its configuration, and its newest state to start from [default: the digits]
    #[arg(value_name = "CONFIG.toml|RUN")]
    pub(crate) from: Option<PathBuf>,
    /// gradinit, smart, data-dependent, or a rule that draws weights anew, e.g. lecun [default: the configuration's]
    #[arg(long, value_name = "METHOD")]
    pub(crate) method: Option<String>,
    /// Any key of the configuration, e.g. `init.iterations=200`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// The new run's folder [default: runs/MODEL-DATA-NNN]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// Measure a run.
#[derive(Debug, Args)]
#[command(subcommand_value_name = "PROBE", subcommand_help_heading = "Probes")]
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
    /// The batch entropy of every layer: how much of the samples it still tells apart
    BatchEntropy(LayerProbe),
    /// How much the logits vary with the inputs: the mean squared Jacobian over the chosen samples
    GeometricComplexity(GeometricComplexity),
}

#[derive(Debug, Args)]
pub(crate) struct GeometricComplexity {
    /// Random directions to estimate it along [default: exactly, along every output]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) probes: Option<String>,
    /// Statistics of normalization layers: running, or batch with probes
    #[arg(long, value_name = "MODE", default_value = "running")]
    pub(crate) norm_mode: String,
    /// The first N training samples [default: the run's measure.samples]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) samples: Option<String>,
    /// The checkpoint of this step, or best for that of the best epoch [default: the newest]
    #[arg(long, value_name = "STEP|best", allow_hyphen_values = true)]
    pub(crate) step: Option<String>,
    /// Compute in f32 or f64 [default: the run's dtype]
    #[arg(long, value_name = "TYPE")]
    pub(crate) dtype: Option<String>,
}

/// Of a probe that looks at hidden values.
#[derive(Debug, Args)]
pub(crate) struct LayerProbe {
    /// Statistics of normalization layers: batch or running [default: the run's measure.norm_mode]
    #[arg(long, value_name = "MODE")]
    pub(crate) norm_mode: Option<String>,
    /// The first N training samples, as one batch [default: the run's measure.samples]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) samples: Option<String>,
    /// The checkpoint of this step, or best for that of the best epoch [default: the newest]
    #[arg(long, value_name = "STEP|best", allow_hyphen_values = true)]
    pub(crate) step: Option<String>,
    /// Compute in f32 or f64 [default: the run's dtype]
    #[arg(long, value_name = "TYPE")]
    pub(crate) dtype: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Hessian {
    /// How many of the largest eigenvalues
    #[arg(long, value_name = "K", allow_hyphen_values = true, default_value = "1")]
    pub(crate) top: String,
    /// Statistics of normalization layers: batch, running or frozen [default: the run's measure.norm_mode]
    #[arg(long, value_name = "MODE")]
    pub(crate) norm_mode: Option<String>,
    /// The first N training samples [default: the run's measure.samples]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) samples: Option<String>,
    /// The checkpoint of this step, or best for that of the best epoch [default: the newest]
    #[arg(long, value_name = "STEP|best", allow_hyphen_values = true)]
    pub(crate) step: Option<String>,
    /// Relative residual below which an eigenvalue counts as found [default: the run's measure.tolerance]
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    pub(crate) tolerance: Option<String>,
    /// Hessian products at most [default: the run's measure.max_iterations, and 4 for each eigenvalue]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) max_iterations: Option<String>,
    /// Compute in f32 or f64 [default: the run's dtype]
    #[arg(long, value_name = "TYPE")]
    pub(crate) dtype: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// The run's folder
    pub(crate) run: PathBuf,
    /// Print what was found last of each layer, too: lengths of weight, gradient and update, activations
    #[arg(long)]
    pub(crate) layers: bool,
}

/// List the runs of a folder, the youngest first, or do something with them.
#[derive(Debug, Args)]
#[command(subcommand_value_name = "ACTION", subcommand_help_heading = "Actions")]
pub(crate) struct Runs {
    /// The folder of the runs [default: runs]
    pub(crate) dir: Option<PathBuf>,
    /// Only runs that fit, e.g. "optimizer.learning_rate > 0.01 and test_accuracy >= 0.9 and tag = good"
    #[arg(long = "where", value_name = "FILTER", allow_hyphen_values = true)]
    pub(crate) filter: Option<String>,
    /// By a setting, a metric or a sum of them, the least first, e.g. test_loss or "test_loss - train_loss"
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) sort: Option<String>,
    /// The greatest first
    #[arg(long)]
    pub(crate) descending: bool,
    /// At most so many
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) limit: Option<String>,
    #[command(subcommand)]
    pub(crate) action: Option<RunsAction>,
}

/// What can be done with runs; RUN is a folder, a name in the list, or the beginning of an id.
#[derive(Debug, Subcommand)]
pub(crate) enum RunsAction {
    /// Show in what runs differ, in settings and in what became of them
    Compare(RunsCompare),
    /// Write all points of runs for other programs
    Export(RunsExport),
    /// Give a run tags and take others away, e.g. `evenkeel runs tag RUN +good -bad`
    Tag(RunsTag),
    /// Remove runs with all they hold
    Delete(RunsDelete),
    /// Answer a SELECT over the tables runs, config, tags, summary, metrics and points
    Sql(RunsSql),
}

#[derive(Debug, Args)]
pub(crate) struct RunsCompare {
    /// Two runs or more
    #[arg(value_name = "RUN", required = true, num_args = 2..)]
    pub(crate) runs: Vec<String>,
    /// Also write a page with the curves of all metrics; runs that differ in the seed alone are a mean with a band
    #[arg(long, value_name = "FILE.html")]
    pub(crate) report: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RunsExport {
    /// The runs
    #[arg(value_name = "RUN", required = true, num_args = 1..)]
    pub(crate) runs: Vec<String>,
    /// csv, parquet or tensorboard
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: String,
    /// The file to write; for TensorBoard the folder, which gets one for each run
    #[arg(long, value_name = "PATH")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RunsTag {
    /// The run
    pub(crate) run: String,
    /// +TAG adds, -TAG takes away
    #[arg(value_name = "+TAG|-TAG", required = true, num_args = 1.., allow_hyphen_values = true)]
    pub(crate) changes: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RunsDelete {
    /// The runs
    #[arg(value_name = "RUN", required = true, num_args = 1..)]
    pub(crate) runs: Vec<String>,
    /// Without being asked
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunsSql {
    /// One statement that reads
    pub(crate) query: String,
}

/// Run the experiments behind published claims, and say whether they come out here.
#[derive(Debug, Args)]
pub(crate) struct Reproduce {
    /// A paper's claims or one of them, e.g. `10` or `14.2b` [default: all]
    #[arg(value_name = "NN[.k]")]
    pub(crate) claims: Vec<String>,
    /// Say which claims there are and about how long each takes on two cores, and stop
    #[arg(long)]
    pub(crate) list: bool,
    /// Size of the experiments: cpu (minutes) or gpu (the papers' own)
    #[arg(long, value_name = "SCALE", default_value = "cpu")]
    pub(crate) scale: String,
    /// How many seeds [default: each claim's own number]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) seeds: Option<String>,
    /// Folder for the results and their page [default: runs/claims]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Folder that holds mnist, fashion-mnist and cifar-10 [default: data, then ../shared/data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The run's folder
    pub(crate) run: PathBuf,
    /// Write inputs, parameters, loss, logits, gradient and products of one batch to this safetensors file
    #[arg(long, value_name = "FILE.safetensors")]
    pub(crate) oracle: PathBuf,
    /// Samples in the batch
    #[arg(long, value_name = "N", allow_hyphen_values = true, default_value = "64")]
    pub(crate) batch: String,
    /// Compute in f32 or f64 [default: the run's dtype]
    #[arg(long, value_name = "TYPE")]
    pub(crate) dtype: Option<String>,
    /// Statistics of normalization layers: batch or running
    #[arg(long, value_name = "MODE", default_value = "batch")]
    pub(crate) norm_mode: String,
    /// The checkpoint of this step, or best for that of the best epoch [default: the newest]
    #[arg(long, value_name = "STEP|best", allow_hyphen_values = true)]
    pub(crate) step: Option<String>,
}

/// Time one compiled program on inputs that are ready; without any of the flags below but --repeat, a table of them.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Network of the zoo, see `evenkeel models` [default: mlp]
    #[arg(long, value_name = "SPEC")]
    pub(crate) model: Option<String>,
    /// Samples at once [default: 128, transformer: 32]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) batch_size: Option<String>,
    /// Normalization, as in `evenkeel train` [default: batch; transformer: layer]
    #[arg(long, value_name = "NORM")]
    pub(crate) norm: Option<String>,
    /// What layers make of their weights: none, normalized or standardized [default: none]
    #[arg(long, value_name = "KIND")]
    pub(crate) weight_norm: Option<String>,
    /// One sample's shape, e.g. 28x28x1, or 64 tokens [default: what the network is usually shown]
    #[arg(long, value_name = "HxWxC")]
    pub(crate) input: Option<String>,
    /// The program: forward, grad, step, hvp or ggnvp [default: step]
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) what: Option<String>,
    /// Products at a fixed point: what depends on the point alone is kept
    #[arg(long)]
    pub(crate) repeated: bool,
    /// Products with K directions at once
    #[arg(long, value_name = "K", allow_hyphen_values = true)]
    pub(crate) block: Option<String>,
    /// Statistics of normalization layers: batch, running or frozen [default: batch; forward: running]
    #[arg(long, value_name = "MODE")]
    pub(crate) norm_mode: Option<String>,
    /// Compute in f32 or f64 [default: f32]
    #[arg(long, value_name = "TYPE")]
    pub(crate) dtype: Option<String>,
    /// Memory a run may take, e.g. 200MiB; what would take more is computed again
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub(crate) memory_limit: Option<String>,
    /// A setting of a run that the program has, e.g. optimizer.name=adam or batch_entropy.weight=0.5
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Timed runs [default: those of a second, at least 5]
    #[arg(long, value_name = "R", allow_hyphen_values = true)]
    pub(crate) repeat: Option<String>,
    /// Also tell where the time goes: by kind of work, and the ten slowest steps
    #[arg(long)]
    pub(crate) profile: bool,
}
