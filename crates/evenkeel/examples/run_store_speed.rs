//! How long do a list of runs and the curves of one take, and what does a record cost a step?
//!
//! `cargo run --release -p evenkeel --example run_store_speed -- DIR [RUNS [METRICS [STEPS]]]` makes RUNS runs (1,000) of METRICS
//! metrics (300) at STEPS steps (1,000) in DIR, which must not be there yet, and prints medians of seconds. The metrics of ten runs are
//! written and the others are links to them, so that 1,000 runs take the disk of ten; whatever reads a run reads all of its bytes.

use std::fs;
use std::path::Path;
use std::time::Instant;

use evenkeel::store::index::Order;
use evenkeel::store::index::filter::{Filter, SortKey};
use evenkeel::store::{Index, Record, Run};
use evenkeel::{Error, Result};

/// Runs whose metrics are files of their own.
const WRITTEN: usize = 10;
const REPEATS: usize = 7;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: usize| arguments.get(index).map_or(Some(default), |word| word.parse().ok());
    let (Some(dir), Some(runs), Some(metrics), Some(steps)) =
        (arguments.first(), number(1, 1000), number(2, 300), number(3, 1000))
    else {
        return Err(Error::input("usage: run_store_speed DIR [RUNS [METRICS [STEPS]]]"));
    };
    let base = Path::new(dir);
    let record_seconds = make(base, runs, metrics, steps)?;
    println!("one record of {metrics} values appended  {:.1} µs", 1e6 * record_seconds);

    let start = Instant::now();
    let (_, changes, _) = Index::current(base, &mut |_, _| {})?;
    println!("{} runs indexed for the first time  {:.1} s", changes.read, start.elapsed().as_secs_f64());

    let filter =
        Filter::parse("optimizer.learning_rate > 0.01 and test_accuracy >= 0.5 and not tag = none or seed >= 0")?;
    let order = Order::By { key: SortKey::parse("test_loss")?, descending: false };
    let listed = median(|| {
        let (index, ..) = Index::current(base, &mut |_, _| {})?;
        index.list(Some(&filter), &order, None).map(|runs| runs.len())
    })?;
    println!("the list opened, filtered and sorted  {:.3} s  ({} runs)", listed.0, listed.1);

    let run = Run::open(&base.join("run-0007"))?;
    let curves = median(|| Ok(run.metrics()?.records.iter().map(|record| record.values.len()).sum()))?;
    println!("all curves of one run read  {:.3} s  ({} points)", curves.0, curves.1);
    let (mut index, ..) = Index::current(base, &mut |_, _| {})?;
    let one = "SELECT step, value FROM points JOIN runs USING (run) WHERE name = 'run-0007' AND metric = 'layer7.weight.norm'";
    let queried = median(|| Ok(index.query(one)?.rows.len()))?;
    println!("one curve by SQL  {:.3} s  ({} points)", queried.0, queried.1);
    let all = "SELECT metric, step, value FROM points JOIN runs USING (run) WHERE name = 'run-0007'";
    let queried = median(|| Ok(index.query(all)?.rows.len()))?;
    println!("all curves of one run by SQL  {:.3} s  ({} points)", queried.0, queried.1);
    Ok(())
}

/// Makes the runs, and returns the seconds that one record takes to be appended.
fn make(base: &Path, runs: usize, metrics: usize, steps: usize) -> Result<f64> {
    let names: Vec<String> = ["loss", "test_loss", "test_accuracy"]
        .map(str::to_owned)
        .into_iter()
        .chain((0..).map(|index| format!("layer{index}.weight.norm")))
        .take(metrics)
        .collect();
    let mut seconds = f64::NAN;
    for index in 0..runs {
        let rate = 0.001 * (1 + index % 100) as f64;
        let overrides = [
            evenkeel::config::Override::set(&format!("optimizer.learning_rate={rate}"))?,
            evenkeel::config::Override::set(&format!("seed={index}"))?,
        ];
        let config = evenkeel::config::Config::resolve(None, &overrides)?.to_toml();
        let run = Run::create(&base.join(format!("run-{index:04}")), &config)?;
        if index < WRITTEN {
            let mut writer = run.metrics_writer()?;
            let records: Vec<Record> = (1..=steps as u64)
                .map(|step| Record {
                    step,
                    epoch: step as f64 / 100.0,
                    // As many digits as real numbers have.
                    values: names
                        .iter()
                        .enumerate()
                        .map(|(at, name)| (name.clone(), course(step, at, index)))
                        .collect(),
                })
                .collect();
            let start = Instant::now();
            records.iter().try_for_each(|record| writer.append(record))?;
            seconds = start.elapsed().as_secs_f64() / steps as f64;
        } else {
            let source = base.join(format!("run-{:04}", index % WRITTEN)).join("metrics");
            let place = run.metrics_path();
            fs::hard_link(&source, &place).map_err(|error| Error::io("link the metrics", &place, &error))?;
        }
        let summary = serde_json::json!({ "steps": steps, "test_loss": rate, "test_accuracy": 1.0 - rate });
        if let serde_json::Value::Object(summary) = summary {
            run.write_summary(&summary)?;
        }
    }
    Ok(seconds)
}

fn course(step: u64, metric: usize, run: usize) -> f64 {
    (1.0 + metric as f64) / (step as f64 + run as f64 + 2.0).sqrt()
}

/// The median of the seconds some runs of `work` take, and what it came to.
fn median(mut work: impl FnMut() -> Result<usize>) -> Result<(f64, usize)> {
    let mut seconds = Vec::new();
    let mut result = 0;
    for _ in 0..REPEATS {
        let start = Instant::now();
        result = work()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    Ok((seconds[REPEATS / 2], result))
}
