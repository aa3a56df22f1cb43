//! `evenkeel measure RUN hessian`.

use super::words;
use crate::arguments::{Common, Hessian, Measure, Probe};
use crate::output::{Output, duration};
use evenkeel::Result;
use evenkeel::experiment::HessianProbe;
use evenkeel::optim::Schedule;
use evenkeel::store::{HessianMeasurement, Run};
use serde_json::json;

pub(crate) fn run(flags: &Measure, common: &Common, output: &Output) -> Result<()> {
    let Probe::Hessian(probe) = &flags.probe;
    let run = Run::open(&flags.run)?;
    let measurement = hessian(&run, probe, common, output)?;
    run.write_hessian(&measurement)?;
    let report = evenkeel::report::write_report(&run)?;
    output.text(&table(&measurement))?;
    let mut document = json!(measurement);
    document["run"] = json!(run.dir());
    document["report"] = json!(report);
    output.document(&document)?;
    if measurement.eigenvalues.iter().any(|eigenvalue| !eigenvalue.converged) {
        output.note("hint: not all residuals met the tolerance; raise `--max-iterations`, or compute in `--dtype f64`");
    }
    output.note(&format!("report  {}", report.display()));
    Ok(())
}

fn hessian(run: &Run, flags: &Hessian, common: &Common, output: &Output) -> Result<HessianMeasurement> {
    // Words first: a slip in one should not wait for the data.
    let mode = flags.norm_mode.as_deref().map(words::norm_mode).transpose()?;
    let (experiment, step, checkpoint) = words::load(run, flags.step, flags.dtype.as_deref())?;
    let config = &experiment.config;
    let steps_per_epoch = (experiment.dataset.train.len() / config.batch_size.max(1)).max(1) as u64;
    let schedule =
        Schedule::new(config.optimizer.learning_rate, &config.schedule, steps_per_epoch, config.epochs as u64);
    let last = (steps_per_epoch * config.epochs as u64).saturating_sub(1);
    let samples = flags.samples.unwrap_or_else(|| experiment.measured_samples());
    let defaults = HessianProbe::from_config(config, samples, schedule.rate(step.min(last)));
    let top = flags.top.get();
    let probe = HessianProbe {
        top,
        norm_mode: mode.unwrap_or(defaults.norm_mode),
        tolerance: flags.tolerance.unwrap_or(defaults.tolerance),
        max_iterations: flags.max_iterations.map_or(defaults.max_iterations.max(4 * top), |count| count.get()),
        seed: common.seed.unwrap_or(defaults.seed),
        ..defaults
    };
    output.note(&format!(
        "measuring {} at step {step}: {} samples, norm mode {}",
        run.dir().display(),
        probe.samples,
        probe.norm_mode.word()
    ));
    experiment.measure_hessian(experiment.state_of(&checkpoint)?, step, &probe)
}

fn table(measurement: &HessianMeasurement) -> String {
    let mut text = format!(
        "largest Hessian eigenvalues at step {}, {} samples, norm mode {}, {}\n",
        measurement.step, measurement.samples, measurement.norm_mode, measurement.dtype
    );
    for (index, eigenvalue) in measurement.eigenvalues.iter().enumerate() {
        let state = if eigenvalue.converged { "converged" } else { "not converged" };
        text += &format!("{:4}  {:14.6}  residual {:.1e}  {state}\n", index + 1, eigenvalue.value, eigenvalue.residual);
    }
    let rate = measurement.learning_rate;
    if let Some(top) = measurement.top().filter(|_| rate > 0.0) {
        text += &format!(
            "sharpness {:.4} is {:.2} of 2/lr = {:.4} (lr {rate:.4e})\n",
            top.value,
            top.value * rate / 2.0,
            2.0 / rate
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
