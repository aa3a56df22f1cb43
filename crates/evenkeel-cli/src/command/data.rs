//! `evenkeel data`: what data there is, what is in it, and how it gets here.

use crate::arguments::{Common, Data, DataCheck, DataCommand, DataFetch};
use crate::output::{Output, bytes, grouped, number};
use evenkeel::config::{Config, Override};
use evenkeel::data::{self, Channel, Check, ClassCount, FetchEvent, FetchOptions, LoadOptions, Published};
use evenkeel::{Error, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

/// Classes and channels that are printed for a reader; JSON has all.
const PRINTED: usize = 20;
/// Columns of a terminal whose width is not known.
const WIDTH: usize = 80;

pub(crate) fn run(flags: &Data, common: &Common, output: &Output) -> Result<()> {
    match &flags.command {
        None => list(output),
        Some(DataCommand::Check(flags)) => check(flags, common, output),
        Some(DataCommand::Fetch(flags)) => fetch(flags, output),
    }
}

fn list(output: &Output) -> Result<()> {
    let sets = data::catalogue();
    let width = sets.iter().map(|set| set.form.len()).max().unwrap_or(0);
    let lines: String = sets
        .iter()
        .map(|set| {
            let counts = match (set.image_shape, set.classes, set.train, set.test) {
                (Some([height, columns, channels]), Some(classes), Some(train), Some(test)) => format!(
                    "{height}×{columns}×{channels}, {classes} classes, {:>6} training and {:>6} test samples",
                    grouped(train as u64),
                    grouped(test as u64),
                ),
                _ => "as many classes and samples as there are".to_string(),
            };
            format!("{:width$}  {counts}\n{:width$}  {}\n", set.form, "", set.description)
        })
        .collect();
    output.text(&lines)?;
    output.document(&json!({ "data": sets }))
}

fn check(flags: &DataCheck, common: &Common, output: &Output) -> Result<()> {
    let mut overrides = vec![Override::flag("SPEC", "data.source", &flags.data)];
    overrides.extend(common.seed.as_ref().map(|seed| Override::flag("--seed", "seed", seed)));
    for text in &flags.set {
        overrides.push(Override::set(text)?);
    }
    let config = Config::resolve(None, &overrides)?;
    let dataset = data::load(&config.data.source.parse()?, &LoadOptions::of_config(&config))?;
    let check = data::check(&dataset);
    if let Some(path) = &flags.sheet {
        data::write_sheet(&dataset, path)?;
        let what = if check.targets.is_some() { "the first samples" } else { "samples of each class" };
        output.note(&format!("{what}: {}", path.display()));
    }
    output.text(&shown(&check))?;
    if output.shows_pictures() {
        let columns = terminal_size::terminal_size().map_or(WIDTH, |(columns, _)| usize::from(columns.0));
        if let Some(sheet) = data::terminal_sheet(&dataset, columns) {
            output.text(&format!("\n{sheet}"))?;
        }
    }
    doubts(&check).iter().for_each(|doubt| output.warning(doubt));
    output.document(&json!(check))
}

/// What was found, for a reader.
fn shown(check: &Check) -> String {
    let about = &check.description;
    let shape: Vec<String> = about.image_shape.iter().map(usize::to_string).collect();
    let kind = match about.image_shape[..] {
        [1, 1, features] => format!("{} features", grouped(features as u64)),
        [characters] => format!("{} characters", grouped(characters as u64)),
        _ => shape.join("×"),
    };
    let mut lines = vec![
        about.spec.clone(),
        format!(
            "samples   {} to train on, {} to test on; each {kind}",
            grouped(about.train as u64),
            grouped(about.test as u64)
        ),
        String::new(),
    ];
    match &check.targets {
        Some(targets) => lines.extend(channels("target", &targets.train, &targets.test)),
        None => lines.extend(classes(&about.classes)),
    }
    if let Some(values) = &check.values {
        lines.push(String::new());
        lines.extend(channels("channel", &values.train, &values.test));
        lines.push(String::new());
        let (constant, places) = (grouped(values.constant as u64), grouped(values.places as u64));
        lines.push(format!("constant  {constant} of {places} values are the same in all training samples"));
    }
    if let Some(found) = &check.duplicates {
        let (shared, test) = (grouped(found.test_in_train as u64), grouped(about.test as u64));
        lines.push(format!("doubles   {shared} of {test} test samples are training samples too"));
        let (within, train) = (grouped(found.within_train as u64), grouped(about.train as u64));
        lines.push(format!("          {within} of {train} training samples come again"));
    }
    lines.join("\n") + "\n"
}

/// How many samples each class has.
fn classes(classes: &[ClassCount]) -> Vec<String> {
    let row = |[name, train, test]: [&str; 3], width: usize| format!("{name:width$}  {train:>9}  {test:>9}");
    let names: Vec<String> = classes.iter().map(|class| printable(&class.name)).collect();
    let width = names.iter().take(PRINTED).map(|name| name.chars().count()).max().unwrap_or(0).max("class".len());
    let mut lines = vec![row(["class", "train", "test"], width)];
    for (name, counts) in names.iter().zip(classes).take(PRINTED) {
        lines.push(row([name, &grouped(counts.train as u64), &grouped(counts.test as u64)], width));
    }
    lines.extend(more(names.len()));
    lines
}

/// What values the channels of samples, or the numbers to be predicted, have.
fn channels(what: &str, train: &[Channel], test: &[Channel]) -> Vec<String> {
    let mut lines = vec![format!("{what:<9}  {:>9}  {:>9}  {:>9}  {:>9}", "mean", "deviation", "smallest", "largest")];
    let row = |part: &str, place: usize, channel: &Channel| {
        let numbers =
            [channel.mean, channel.std, channel.min, channel.max].map(|value| format!("{:>9}", number(value)));
        let name = if train.len() == 1 { part.to_string() } else { format!("{part} {place}") };
        format!("{name:<9}  {}", numbers.join("  "))
    };
    for (place, (train, test)) in train.iter().zip(test).enumerate().take(PRINTED) {
        lines.push(row("train", place, train));
        lines.push(row("test", place, test));
    }
    lines.extend(more(train.len()));
    lines
}

fn more(all: usize) -> Option<String> {
    (all > PRINTED).then(|| format!("and {} more, which `--json` has", grouped((all - PRINTED) as u64)))
}

/// A name of a class as it can be printed: characters of a text may be line feeds.
fn printable(name: &str) -> String {
    if name.chars().any(char::is_control) || name.trim().is_empty() { format!("{name:?}") } else { name.to_string() }
}

/// What may be wrong with the data.
fn doubts(check: &Check) -> Vec<String> {
    let about = &check.description;
    let mut doubts = Vec::new();
    let absent = |count: &dyn Fn(&data::ClassCount) -> usize| -> Vec<String> {
        about.classes.iter().filter(|class| count(class) == 0).map(|class| printable(&class.name)).collect()
    };
    // Rare characters of a text are in one part alone.
    if check.values.is_some() {
        for (part, classes) in [("training", absent(&|class| class.train)), ("test", absent(&|class| class.test))] {
            if !classes.is_empty() {
                let shown = classes.iter().take(PRINTED).cloned().collect::<Vec<_>>().join(", ");
                doubts.push(format!(
                    "{} of {} classes have no {part} samples: {shown}",
                    classes.len(),
                    about.classes.len()
                ));
            }
        }
    }
    if let Some(found) = &check.duplicates
        && found.test_in_train > 0
    {
        let pairs: Vec<String> =
            found.first.iter().take(3).map(|pair| format!("test {} is training {}", pair.test, pair.train)).collect();
        doubts.push(format!(
            "test samples that are training samples too make a network look better than it is ({}; {} have another {})",
            pairs.join(", "),
            found.other_label,
            if check.targets.is_some() { "target" } else { "label" }
        ));
    }
    doubts
}

fn fetch(flags: &DataFetch, output: &Output) -> Result<()> {
    let set = Published::named(&flags.name)?;
    let folder = flags.out.clone().unwrap_or_else(|| set.folder.clone());
    let options = FetchOptions { from: flags.from.clone(), ..FetchOptions::default() };
    let bar = if output.shows_progress() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    let style = ProgressStyle::with_template("{msg}  {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left")
        .map_err(|error| Error::input(error.to_string()))?;
    bar.set_style(style);
    let note = |text: &str| bar.suspend(|| output.note(text));
    let result = data::fetch(&set, &folder, &options, &mut |event| match event {
        FetchEvent::Present { file } => note(&format!("{file} is there already")),
        FetchEvent::Started { file, address, done, total } => {
            let from = if done > 0 { format!(", from byte {} on", grouped(done)) } else { String::new() };
            note(&format!("fetching {address} ({}{from})", bytes(total as usize)));
            bar.set_length(total);
            bar.set_position(done);
            bar.reset_eta();
            bar.set_message(file.to_string());
        }
        FetchEvent::Received { done } => bar.set_position(done),
        FetchEvent::Again { file, reason } => note(&format!("{file}: {reason}; trying again")),
        FetchEvent::Finished { file } => note(&format!("{file} has the published checksum")),
    });
    bar.finish_and_clear();
    let fetched = result?;
    let spec = format!("{}:{}", set.name, folder.display());
    output.text(&format!("{spec}\n"))?;
    output.note(&format!("train on it with `evenkeel train --data {spec}`"));
    let files: Vec<_> = fetched
        .iter()
        .map(|file| json!({ "path": file.path, "bytes": file.bytes, "downloaded": file.downloaded }))
        .collect();
    output.document(&json!({ "data": spec, "files": files }))
}
