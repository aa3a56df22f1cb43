//! `evenkeel export RUN --oracle FILE`.

use super::words;
use crate::arguments::{Common, Export};
use crate::output::Output;
use evenkeel::Result;
use evenkeel::config::NormMode;
use evenkeel::oracle::oracle;
use evenkeel::store::{Run, write_safetensors};
use serde_json::json;
use std::collections::BTreeMap;

pub(crate) fn run(flags: &Export, common: &Common, output: &Output) -> Result<()> {
    let mode = words::norm_mode(&flags.norm_mode, &[NormMode::Batch, NormMode::Running])?;
    let batch = words::whole("--batch", &flags.batch, 1)?;
    let seed = common.seed.as_deref().map(|word| words::whole("--seed", word, 0)).transpose()?;
    let run = Run::open(&flags.run)?;
    let (experiment, step, checkpoint) = words::load(&run, flags.step.as_deref(), flags.dtype.as_deref(), output)?;
    let seed = seed.unwrap_or(experiment.config.seed);
    let tensors = oracle(&experiment, &experiment.state_of(checkpoint)?, batch as usize, mode, seed)?;
    let about = json!({
        "batch": batch,
        "norm_mode": mode.word(),
        "dtype": experiment.network.dtype().to_string(),
        "step": step,
        "seed": seed,
    });
    let mut config = experiment.config.to_json();
    config["oracle"] = about.clone();
    let metadata = BTreeMap::from([("evenkeel".to_string(), config.to_string())]);
    write_safetensors(&flags.oracle, &tensors, &metadata)?;
    output.text(&format!("{}: {} tensors\n", flags.oracle.display(), tensors.len()))?;
    output.document(&json!({ "run": run.dir(), "oracle": flags.oracle, "tensors": tensors.len(), "about": about }))
}
