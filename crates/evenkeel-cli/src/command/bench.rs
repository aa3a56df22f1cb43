//! `evenkeel bench`.

use super::words;
use crate::arguments::{Bench as Flags, Common};
use crate::output::{Output, bytes, grouped, work_columns};
use evenkeel::bench::{Bench, Measured, Profile, Settings, What, standard};
use evenkeel::config::{Config, NormMode, Override, WeightNorm};
use evenkeel::{Error, Result};
use serde_json::json;

/// Runs a profile is taken over, at least and at most.
const PROFILED: (usize, usize) = (5, 50);

/// What `--set` may change: what a step or a product is made of.
const USED: [&str; 17] = [
    "activation",
    "loss",
    "label_smoothing",
    "optimizer",
    "entropy_sgd",
    "averaging",
    "weight_rescaling",
    "sharpness_aware",
    "batch_norm",
    "dropout",
    "noise_injection",
    "input_noise",
    "batch_entropy",
    "geometric_complexity",
    "spectral",
    "flatness",
    "l2",
];

pub(crate) fn run(flags: &Flags, common: &Common, output: &Output) -> Result<()> {
    let repeats = flags.repeat.as_deref().map(|word| words::whole("--repeat", word, 1)).transpose()?;
    let repeats = repeats.map(|repeats| usize::try_from(repeats).unwrap_or(usize::MAX));
    let config = config(flags, common)?;
    if names_no_case(flags) {
        return table(config.seed, repeats, output);
    }
    let settings = settings(flags, config)?;
    let mut bench = Bench::new(settings)?;
    let measured = bench.measure(repeats)?;
    output.text(&summary(&measured))?;
    let mut document = json!(measured);
    if flags.profile {
        let profile = bench.profile(measured.runs.clamp(PROFILED.0, PROFILED.1))?;
        output.text(&profile_text(&profile))?;
        document["profile"] = json!(profile);
    }
    output.document(&document)
}

fn names_no_case(flags: &Flags) -> bool {
    let Flags {
        model,
        batch_size,
        norm,
        weight_norm,
        input,
        what,
        repeated,
        block,
        norm_mode,
        dtype,
        memory_limit,
        set,
        repeat: _,
        profile,
    } = flags;
    let words = [model, batch_size, norm, weight_norm, input, what, block, norm_mode, dtype, memory_limit];
    words.iter().all(|word| word.is_none()) && set.is_empty() && !repeated && !profile
}

/// The flags that are settings of a run as well, read as `evenkeel train` reads them.
fn config(flags: &Flags, common: &Common) -> Result<Config> {
    let given = [
        ("--model", "model", &flags.model),
        ("--norm", "norm", &flags.norm),
        ("--weight-norm", "weight_norm", &flags.weight_norm),
        ("--batch-size", "batch_size", &flags.batch_size),
        ("--dtype", "dtype", &flags.dtype),
        ("--memory-limit", "memory_limit", &flags.memory_limit),
        ("--seed", "seed", &common.seed),
    ];
    let given = given.into_iter().filter_map(|(origin, key, value)| Some(Override::flag(origin, key, value.as_ref()?)));
    let mut given: Vec<Override> = given.collect();
    for set in &flags.set {
        let name = set.split('=').next().unwrap_or_default().trim();
        if !USED.contains(&name.split('.').next().unwrap_or_default()) {
            return Err(Error::input(format!("a timed program has no use for '{name}'"))
                .detail("expected", format!("a setting of {}", USED.join(", ")))
                .detail("got", set)
                .hint("`evenkeel bench --help` has flags for the rest"));
        }
        given.push(Override::set(set)?);
    }
    Config::resolve(None, &given)
}

fn settings(flags: &Flags, config: Config) -> Result<Settings> {
    let what = flags.what.as_deref().map(|word| words::choice("--what", word, What::ALL, What::word)).transpose()?;
    let block = flags.block.as_deref().map(|word| words::whole("--block", word, 1)).transpose()?;
    let mode = flags.norm_mode.as_deref().map(|word| words::norm_mode(word, NormMode::ALL)).transpose()?;
    let usual = Settings::new(config.model.clone(), what.unwrap_or(What::Step));
    Ok(Settings {
        norm: config.norm,
        weight_norm: config.weight_norm,
        input: flags.input.as_deref().map(shape).transpose()?.unwrap_or(usual.input),
        batch_size: if flags.batch_size.is_some() { config.batch_size } else { usual.batch_size },
        repeated: flags.repeated,
        block: block.map(|block| usize::try_from(block).unwrap_or(usize::MAX)),
        norm_mode: mode.unwrap_or(usual.norm_mode),
        dtype: config.dtype,
        memory_limit: config.memory_limit,
        seed: config.seed,
        set: flags.set.clone(),
        config,
        ..usual
    })
}

/// A shape written as `28x28x1`.
fn shape(word: &str) -> Result<Vec<usize>> {
    let extents: Option<Vec<usize>> =
        word.split('x').map(|extent| extent.parse().ok().filter(|extent| *extent > 0)).collect();
    extents.ok_or_else(|| {
        Error::input(format!("--input cannot be '{word}'"))
            .detail("expected", "whole numbers of at least 1 with an x between them, as in 28x28x1")
            .detail("got", word)
    })
}

/// Times every case of the table, and prints each as soon as it is known.
fn table(seed: u64, repeats: Option<usize>, output: &Output) -> Result<()> {
    let cases = standard();
    let width = cases.iter().map(|case| case.name.chars().count()).max().unwrap_or(0);
    output.text(&format!(
        "{:width$}  {:>10}  {:>10}  {:>9}  {:>7}  {:>11}  {:>9}\n",
        threads(rayon::current_num_threads()),
        "median ms",
        "min ms",
        "GFLOP/s",
        "of peak",
        "memory",
        "compile"
    ))?;
    let mut documents = Vec::new();
    for case in cases {
        let measured = Bench::new(Settings { seed, ..case.settings })?.measure(repeats)?;
        output.text(&format!(
            "{:width$}  {:>10}  {:>10}  {:>9.1}  {:>6.1}%  {:>11}  {:>6.1} ms\n",
            case.name,
            milliseconds(measured.median_ms),
            milliseconds(measured.min_ms),
            measured.gflops,
            100.0 * measured.peak_share,
            bytes(measured.peak_bytes),
            measured.compile_ms,
        ))?;
        let mut document = json!({ "case": case.name });
        if let (Some(all), Some(found)) = (document.as_object_mut(), json!(measured).as_object_mut()) {
            all.append(found);
        }
        documents.push(document);
    }
    output.document(&json!({ "cases": documents }))
}

fn summary(measured: &Measured) -> String {
    let settings = &measured.settings;
    let input: Vec<String> = settings.input.iter().map(usize::to_string).collect();
    let mut text = format!(
        "{}{}{} of {}, norm {}{}, batch {} of {}, norm mode {}, {}, {}\n",
        settings.what,
        if settings.repeated { " repeated" } else { "" },
        settings.block.map_or(String::new(), |block| format!(" in {block} directions")),
        settings.model,
        settings.norm,
        match settings.weight_norm {
            WeightNorm::None => String::new(),
            made => format!(", weights {made}"),
        },
        grouped(settings.batch_size as u64),
        input.join("×"),
        settings.norm_mode,
        settings.dtype,
        threads(measured.threads),
    );
    let mut line = |label: &str, value: String| text += &format!("  {label:8}  {value}\n");
    settings.set.iter().for_each(|set| line("set", set.clone()));
    line("median", format!("{} ms over {} runs", milliseconds(measured.median_ms), grouped(measured.runs as u64)));
    if let Some(each) = measured.median_ms_per_vector {
        line("each", format!("{} ms a direction", milliseconds(each)));
    }
    line("fastest", format!("{} ms", milliseconds(measured.min_ms)));
    line("speed", format!("{:.1} GFLOP/s, {:.1}% of the peak", measured.gflops, 100.0 * measured.peak_share));
    line("memory", bytes(measured.peak_bytes));
    line("compiled", format!("in {:.1} ms", measured.compile_ms));
    text
}

fn profile_text(profile: &Profile) -> String {
    let gflops = |gflops: Option<f64>| gflops.map_or(String::new(), |gflops| format!("{gflops:.1} GFLOP/s"));
    let mut text = format!("\n{:>9}  {:>6}  {:>5}  by kind\n", "ms", "share", "steps");
    for kind in &profile.kinds {
        text += &format!(
            "{:>9}  {:>5.1}%  {:>5}  {:27}  {:>13}  {:>7.1} GB/s\n",
            milliseconds(kind.ms),
            100.0 * kind.share,
            kind.steps,
            kind.kind,
            gflops(kind.gflops),
            kind.gb_per_second
        );
    }
    text += &format!("{:>9}  in all\n\n{:>9}  the slowest steps\n", milliseconds(profile.total_ms), "ms");
    let columns = work_columns(profile.slowest.iter().map(|step| &step.work));
    for (step, columns) in profile.slowest.iter().zip(columns) {
        let rate = match step.gflops {
            None => format!("{:.1} GB/s over {}", step.gb_per_second, bytes(step.work.bytes as usize)),
            rate => gflops(rate),
        };
        text += &format!("{:>9}  {columns}  {rate}\n", milliseconds(step.ms));
    }
    text
}

fn threads(count: usize) -> String {
    format!("{count} thread{}", if count == 1 { "" } else { "s" })
}

/// Three to four digits of a time.
fn milliseconds(value: f64) -> String {
    match value {
        value if value < 1.0 => format!("{value:.4}"),
        value if value < 10.0 => format!("{value:.3}"),
        value if value < 100.0 => format!("{value:.2}"),
        value => format!("{value:.1}"),
    }
}
