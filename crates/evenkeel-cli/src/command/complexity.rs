//! `evenkeel measure RUN geometric-complexity`.

use super::words;
use crate::arguments::{Common, GeometricComplexity};
use crate::output::{Output, duration, grouped};
use evenkeel::Result;
use evenkeel::config::NormMode;
use evenkeel::regularize::geometric_complexity::{Along, Complexity, ComplexityMeter, HowMeasured};
use evenkeel::store::Run;
use serde_json::{Value, json};
use std::time::Instant;

/// The probe's name in files and on the command line.
const PROBE: &str = "geometric-complexity";

/// What a measurement found, as it is kept and shown.
pub(crate) struct Found {
    /// The name of its file.
    pub(crate) name: String,
    /// What the file holds.
    pub(crate) document: Value,
    /// What is shown.
    pub(crate) text: String,
    /// Why the number may not be what was meant.
    pub(crate) warning: Option<String>,
}

pub(crate) fn measure(run: &Run, flags: &GeometricComplexity, common: &Common, output: &Output) -> Result<Found> {
    // Words first: a slip in one should not wait for the data.
    let mode = words::norm_mode(&flags.norm_mode, &[NormMode::Running, NormMode::Batch])?;
    let whole =
        |flag, word: &Option<String>, least| word.as_deref().map(|word| words::whole(flag, word, least)).transpose();
    let probes = whole("--probes", &flags.probes, 1)?;
    let samples = whole("--samples", &flags.samples, 1)?;
    let seed = whole("--seed", &common.seed, 0)?;
    let (experiment, step, checkpoint) = words::load(run, flags.step.as_deref(), flags.dtype.as_deref(), output)?;
    let count = samples.map_or_else(|| experiment.measured_samples(), |samples| samples as usize);
    let batch = experiment.samples(count)?;
    let state = experiment.state_of(checkpoint)?;
    output.note(&format!(
        "measuring {} at step {step}: {} samples, norm mode {}",
        run.dir().display(),
        grouped(count as u64),
        mode.word()
    ));
    let seed = seed.unwrap_or(experiment.config.seed);
    let along = probes.map_or(Along::Every, |probes| Along::signs(probes as usize));
    let how = HowMeasured { mode, along, seed, ..HowMeasured::default() };
    let start = Instant::now();
    let found = ComplexityMeter::new(&experiment.network, count, how)?.at(&batch, &state)?;
    let seconds = start.elapsed().as_secs_f64();
    let probed = probes.map_or(String::new(), |probes| format!("-{probes}"));
    let name = format!("{PROBE}-{step:06}-{}-{count}{probed}", mode.word());
    let mut document = json!({
        "probe": PROBE,
        "step": step,
        "norm_mode": mode.word(),
        "samples": count,
        "probes": probes,
        "dtype": experiment.network.dtype().to_string(),
        "seed": seed,
        "seconds": seconds,
        "version": env!("CARGO_PKG_VERSION"),
    });
    if let (Value::Object(document), Value::Object(found)) = (&mut document, json!(found)) {
        document.extend(found);
    }
    let text = table(&found, step, mode, probes, seconds);
    let warning = found.warning.map(|warning| format!("warning: {warning}"));
    Ok(Found { name, document, text, warning })
}

fn table(found: &Complexity, step: u64, mode: NormMode, probes: Option<u64>, seconds: f64) -> String {
    let how = probes.map_or("exact".into(), |probes| format!("by {} probes", grouped(probes)));
    let mut sorted = found.per_sample.clone();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share).round() as usize];
    format!(
        "geometric complexity at step {step}, {} training samples, norm mode {}, {how}\n  \
         mean      {:.6} ± {:.2e} (logits² per input²; {} outputs, {} inputs)\n  \
         samples   least {:.4}, median {:.4}, largest {:.4}\n  \
         time      {}\n",
        grouped(sorted.len() as u64),
        mode.word(),
        found.mean,
        found.standard_error,
        grouped(found.outputs as u64),
        grouped(found.inputs as u64),
        at(0.0),
        at(0.5),
        at(1.0),
        duration(seconds)
    )
}
