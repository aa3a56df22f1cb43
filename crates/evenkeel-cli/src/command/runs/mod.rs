//! `evenkeel runs`: the list of all runs, and what is done with them.

mod compare;
mod delete;
mod export;
mod list;
mod sql;
mod tag;

use super::train::RUNS;
use crate::arguments::{Runs, RunsAction};
use crate::output::Output;
use evenkeel::store::index::{Changes, Found};
use evenkeel::store::{Index, Run};
use evenkeel::{Error, Result};
use indicatif::ProgressBar;
use std::path::{Path, PathBuf};

pub(crate) fn run(flags: &Runs, output: &Output) -> Result<()> {
    let Some(action) = &flags.action else { return list::run(flags, output) };
    let given = [
        ("--where", flags.filter.is_some()),
        ("--sort", flags.sort.is_some()),
        ("--descending", flags.descending),
        ("--limit", flags.limit.is_some()),
    ];
    if let Some((flag, _)) = given.into_iter().find(|(_, given)| *given) {
        return Err(Error::input(format!("{flag} belongs to the list of the runs alone"))
            .hint("leave it out here; `evenkeel runs --where ..` lists"));
    }
    let base = base(flags);
    match action {
        RunsAction::Compare(compare) => compare::run(&base, compare, output),
        RunsAction::Export(export) => export::run(&base, export, output),
        RunsAction::Tag(tag) => tag::run(&base, tag, output),
        RunsAction::Delete(delete) => delete::run(&base, delete, output),
        RunsAction::Sql(sql) => sql::run(&base, sql, output),
    }
}

/// The folder of the runs.
fn base(flags: &Runs) -> PathBuf {
    flags.dir.clone().unwrap_or_else(|| PathBuf::from(RUNS))
}

/// The index as it is now; what was done to have one is told.
fn current(base: &Path, output: &Output) -> Result<(Index, Changes)> {
    if base.join("run.toml").is_file() {
        return Err(Error::input("this is a run, not a folder of runs")
            .detail("file", base.display())
            .hint(format!("`evenkeel runs {}` lists what is beside it", parent(base).display())));
    }
    if base == Path::new(RUNS) && !base.exists() {
        // Runs elsewhere have paths.
        return Ok((Index::in_memory(base)?, Changes::default()));
    }
    let bar = if output.shows_progress() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    let current = Index::current(base, &mut |done, of| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let (index, changes, told) = current?;
    told.iter().for_each(|error| output.warning(&error.to_string()));
    changes.unreadable.iter().for_each(|error| output.warning(&error.to_string()));
    for (from, to) in &changes.moved {
        output.note(&format!("{from} is now {to}"));
    }
    for name in &changes.gone {
        output.note(&format!("{name} is gone; `evenkeel runs delete {name}` takes it off the list"));
    }
    Ok((index, changes))
}

/// The runs that words mean; all of them must be there.
fn found(index: &Index, words: &[String]) -> Result<Vec<Run>> {
    let present = |word: &String| match index.find(word)? {
        Found::Run(run) => Ok(run),
        Found::Missing { name, .. } => Err(Error::input(format!("the folder of {name} is gone"))
            .detail("folder", index.base().display())
            .hint(format!("put it back, or take it off the list with `evenkeel runs delete {name}`"))),
    };
    words.iter().map(present).collect()
}

/// The folder that a folder is in.
fn parent(dir: &Path) -> &Path {
    dir.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

/// Forgets a run in the index of the folder that it was in, where there is one.
fn forget_beside(dir: &Path, id: &str) -> Result<()> {
    let parent = parent(dir);
    if Index::exists(parent) { Index::open(parent)?.forget(id) } else { Ok(()) }
}

/// Brings the index of a run's own folder up to date, where there is one. The run itself is what counts, so this may fail.
fn update(run: &Run, output: &Output) {
    let parent = parent(run.dir());
    if Index::exists(parent)
        && let Err(error) = Index::open(parent).and_then(|mut index| index.update(&run.name()))
    {
        output.warning(&error.to_string());
    }
}
