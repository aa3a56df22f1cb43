//! How is a run that failed gone on with, as one would type it?

use super::step::pass_name;
use crate::store::{Metrics, Run};
use crate::{Error, Result};
use evenkeel_cpu::NonFinite;
use std::path::Path;

/// Says what is kept of a run that diverged after `step` steps, and a command that goes on from it with a `smaller` rate.
pub(super) fn way_back(run: &Run, step: u64, smaller: &str, error: Error) -> Result<Error> {
    let dir = shell_word(run.dir());
    let Some(kept) = run.checkpoint_steps()?.last().copied() else { return Ok(error) };
    let place = run.checkpoint_dir(kept).display().to_string();
    if kept == step {
        // The step from the kept state itself fails, at any rate.
        if kept == 0 {
            return Ok(error.detail("kept", place).hint(
                "no step was made yet, so no rate helps: look at initialization_scale, at the weights of penalties, at noise, and \
                 at the inputs",
            ));
        }
        let config = shell_word(&run.config_path());
        let again = shell_word(Path::new(&format!("{}-again", run.dir().display())));
        return Ok(error
            .detail("kept", place)
            .hint(format!("train anew with a smaller rate: `evenkeel train {config} {smaller} --out {again}`")));
    }
    Ok(error
        .detail("kept", format!("{place}, a finite state"))
        .hint(format!("go on from there with a smaller rate: `evenkeel train --resume --out {dir} {smaller}`")))
}

/// What a resumed run no longer knows of the steps it has made.
pub(super) fn metrics_lost(run: &Run, known: &Metrics, broken: u64, step: u64) -> Error {
    Error::input("the metrics of steps that were made are damaged or gone")
        .detail("file", run.metrics_path().display())
        .detail("expected", format!("{step} steps"))
        .detail("got", format!("{} and {broken} broken lines", known.steps()))
        .hint("copy the file back for its curves; the checkpoints up to here are kept, since the best is not known")
}

/// Where numbers first stopped being finite, as a message says it.
pub(super) fn first_place(found: &NonFinite) -> String {
    let (channels, of) = found.channels;
    let weight = ["input param/", "input iterate/"].iter().find_map(|kind| found.operation.strip_prefix(kind));
    match weight {
        Some(weight) => format!("{weight}, as the step before left it; {channels} of {of} channels"),
        None => {
            let place = if found.scope.is_empty() { "the inputs" } else { &found.scope };
            format!("{place} ({}, {}; {channels} of {of} channels)", found.operation, pass_name(found.pass))
        }
    }
}

/// A tenth of the rate, or less where the sharpness asks for it; one digit, as one would type it.
pub(super) fn smaller_rate(rate: f64, lambda_max: Option<f64>) -> String {
    let bound = lambda_max.filter(|lambda| *lambda > 0.0).map_or(f64::INFINITY, |lambda| 1.0 / lambda);
    let scientific = format!("{:.0e}", (rate / 10.0).min(bound));
    match scientific.parse::<f64>() {
        Ok(rate) if (1e-4..1e4).contains(&rate) => rate.to_string(),
        _ => scientific,
    }
}

/// A path as a shell takes it.
pub(super) fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
