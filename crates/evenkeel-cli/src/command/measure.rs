//! `evenkeel measure RUN PROBE`.

use super::{complexity, words};
use crate::arguments::{Common, Hessian, LayerProbe, Measure, Probe};
use crate::output::{Output, duration, grouped, layer_rows, number};
use evenkeel::config::NormMode;
use evenkeel::experiment::HessianProbe;
use evenkeel::store::{HessianMeasurement, LayerMeasurement, Run};
use evenkeel::{Error, Result};
use serde_json::{Value, json};

pub(crate) fn run(flags: &Measure, common: &Common, output: &Output) -> Result<()> {
    let run = Run::open(&flags.run)?;
    match &flags.probe {
        Probe::Hessian(probe) => {
            let found = hessian(&run, probe, common, output)?;
            let open = found.eigenvalues.iter().any(|eigenvalue| !eigenvalue.converged);
            let hint =
                "hint: not all residuals met the tolerance: raise `--max-iterations`, or compute in `--dtype f64`";
            keep(&run, &found.name(), json!(found), &table(&found), open.then_some(hint), output)
        }
        Probe::BatchEntropy(probe) => {
            let found = batch_entropy(&run, probe, output)?;
            keep(&run, &found.name(), json!(found), &layer_table(&found), None, output)
        }
        Probe::GeometricComplexity(probe) => {
            let found = complexity::measure(&run, probe, common, output)?;
            keep(&run, &found.name, found.document, &found.text, found.warning.as_deref(), output)
        }
    }
}

/// Keeps a measurement with its run, shows it, and writes the report again.
fn keep(run: &Run, name: &str, mut document: Value, text: &str, hint: Option<&str>, output: &Output) -> Result<()> {
    let report = run.write_measurement(name, &document).and_then(|()| evenkeel::report::write_report(run));
    // Numbers that took minutes are shown even where they cannot be kept.
    output.text(text)?;
    document["run"] = json!(run.dir());
    document["report"] = json!(report.as_ref().ok());
    output.document(&document)?;
    hint.into_iter().for_each(|hint| output.note(hint));
    output.note(&format!("report  {}", report?.display()));
    Ok(())
}

fn batch_entropy(run: &Run, flags: &LayerProbe, output: &Output) -> Result<LayerMeasurement> {
    // Words first, as for the Hessian.
    let modes = [NormMode::Batch, NormMode::Running];
    let mode = flags.norm_mode.as_deref().map(|word| words::norm_mode(word, &modes)).transpose()?;
    let samples = flags.samples.as_deref().map(|word| words::whole("--samples", word, 2)).transpose()?;
    let (experiment, step, checkpoint) = words::load(run, flags.step.as_deref(), flags.dtype.as_deref(), output)?;
    let samples = samples.map_or_else(|| experiment.measured_samples(), |samples| samples as usize);
    let usual = match experiment.config.measure.norm_mode {
        NormMode::Running => NormMode::Running,
        _ => NormMode::Batch,
    };
    experiment.measure_batch_entropy(&experiment.state_of(checkpoint)?, step, samples, mode.unwrap_or(usual))
}

fn layer_table(found: &LayerMeasurement) -> String {
    let mut text = format!(
        "{} at step {}, {} samples, norm mode {}, {}\n",
        found.title,
        found.step,
        grouped(found.samples),
        found.norm_mode,
        found.dtype
    );
    text += &layer_rows(&found.layers, &found.columns);
    text + &format!("{}, {}\n", found.summary, duration(found.seconds))
}

fn hessian(run: &Run, flags: &Hessian, common: &Common, output: &Output) -> Result<HessianMeasurement> {
    // Words first: a slip in one should not wait for the data.
    let mode = flags.norm_mode.as_deref().map(|word| words::norm_mode(word, NormMode::ALL)).transpose()?;
    let whole =
        |flag, word: &Option<String>, least| word.as_deref().map(|word| words::whole(flag, word, least)).transpose();
    let top = words::whole("--top", &flags.top, 1)?;
    let samples = whole("--samples", &flags.samples, 1)?;
    let max_iterations = whole("--max-iterations", &flags.max_iterations, top)?;
    let seed = whole("--seed", &common.seed, 0)?;
    let tolerance = flags.tolerance.as_deref().map(|word| words::positive("--tolerance", word)).transpose()?;
    let (experiment, step, checkpoint) = words::load(run, flags.step.as_deref(), flags.dtype.as_deref(), output)?;
    let parameters = experiment.network.parameter_count() as u64;
    if top > parameters {
        return Err(Error::input("the Hessian has fewer eigenvalues than that")
            .detail("expected", format!("--top of at most {parameters}, the number of parameters"))
            .detail("got", top));
    }
    let top = top as usize;
    let config = &experiment.config;
    let samples = samples.map_or_else(|| experiment.measured_samples(), |samples| samples as usize);
    let defaults = HessianProbe::from_config(config, samples, experiment.pace_at(step, &checkpoint.state)?);
    let probe = HessianProbe {
        top,
        norm_mode: mode.unwrap_or(defaults.norm_mode),
        tolerance: tolerance.unwrap_or(defaults.tolerance),
        max_iterations: max_iterations
            .map_or(defaults.max_iterations.max(top.saturating_mul(4)), |count| count as usize),
        seed: seed.unwrap_or(defaults.seed),
        ..defaults
    };
    let state = experiment.state_of(checkpoint)?;
    experiment.samples(probe.samples)?;
    output.note(&format!(
        "measuring {} at step {step}: {} samples, norm mode {}",
        run.dir().display(),
        grouped(probe.samples as u64),
        probe.norm_mode.word()
    ));
    experiment.measure_hessian(state, step, &probe)
}

fn table(measurement: &HessianMeasurement) -> String {
    let mut text = format!(
        "largest Hessian eigenvalues at step {}, {} samples, norm mode {}, {}\n",
        measurement.step,
        grouped(measurement.samples),
        measurement.norm_mode,
        measurement.dtype
    );
    for (index, eigenvalue) in measurement.eigenvalues.iter().enumerate() {
        let state = if eigenvalue.converged { "converged" } else { "not converged" };
        text += &format!("{:4}  {:14.6}  residual {:.1e}  {state}\n", index + 1, eigenvalue.value, eigenvalue.residual);
    }
    let rate = measurement.learning_rate;
    if let Some(top) = measurement.top().filter(|_| rate > 0.0) {
        text += &format!(
            "sharpness {} is {} of 2/lr = {} (lr {})\n",
            number(top.value),
            number(top.value * rate / 2.0),
            number(2.0 / rate),
            number(rate)
        );
    }
    text += &format!(
        "loss {:.6}, {} products, {}\n",
        measurement.loss,
        measurement.products,
        duration(measurement.seconds)
    );
    text
}
