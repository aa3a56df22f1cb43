//! The command `evenkeel`: train, measure and report on neural networks.
//!
//! Thin on purpose: flags become a configuration, the library does the work, this prints. Data goes to stdout, all else to
//! stderr. Exit codes: 0 ok, 1 a failed check, 2 bad usage or input, 3 a numerical failure, 130 interrupted (state saved).

mod arguments;
mod command;
mod interrupt;
mod output;

use arguments::{Arguments, Command};
use clap::Parser;
use clap::error::ErrorKind as Usage;
use evenkeel::{Error, ErrorKind};
use output::Output;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = match error.kind() {
                Usage::DisplayHelp | Usage::DisplayVersion => 0,
                _ => 2,
            };
            // Nothing is left to say when even this cannot be printed.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let output = Output::new(&arguments.common);
    match run(arguments, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error);
            ExitCode::from(match error.kind() {
                ErrorKind::Failed => 1,
                ErrorKind::Input | ErrorKind::Absent | ErrorKind::Memory => 2,
                ErrorKind::Numerical => 3,
                ErrorKind::Interrupted => 130,
            })
        }
    }
}

/// Runs a command on a pool of the asked number of threads, so that kernels start without handing work over.
fn run(arguments: Arguments, output: &Output) -> evenkeel::Result<()> {
    let mut pool = rayon::ThreadPoolBuilder::new();
    if let Some(threads) = arguments.common.threads {
        pool = pool.num_threads(usize::from(threads));
    }
    let pool = pool.build().map_err(|error| Error::input(format!("cannot start threads: {error}")))?;
    pool.install(|| match &arguments.command {
        Command::Train(flags) => command::train::run(flags, &arguments.common, output),
        Command::Sweep(flags) => command::sweep::run(flags, &arguments.common, output),
        Command::Init(flags) => command::init::run(flags, &arguments.common, output),
        Command::Measure(flags) => command::measure::run(flags, &arguments.common, output),
        Command::Report(flags) => command::report::run(flags, output),
        Command::Runs(flags) => command::runs::run(flags, output),
        Command::Reproduce(flags) => command::reproduce::run(flags, &arguments.common, output),
        Command::Config(flags) => command::config::run(flags, &arguments.common, output),
        Command::Models => command::list::models(output),
        Command::Data(flags) => command::data::run(flags, &arguments.common, output),
        Command::Export(flags) => command::export::run(flags, &arguments.common, output),
        Command::Bench(flags) => command::bench::run(flags, &arguments.common, output),
    })
}
