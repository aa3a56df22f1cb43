//! `evenkeel runs delete RUN..`.

use super::{current, forget_beside};
use crate::arguments::RunsDelete;
use crate::output::{Output, bytes};
use evenkeel::store::index::Found;
use evenkeel::store::{Index, Run};
use evenkeel::{Error, Result};
use serde_json::json;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

pub(super) fn run(base: &Path, flags: &RunsDelete, output: &Output) -> Result<()> {
    let (mut index, _) = current(base, output)?;
    // All are found before the first one goes.
    let mut found: Vec<Found> = Vec::new();
    for word in &flags.runs {
        let one = index.find(word)?;
        if !found.iter().any(|other| place(other) == place(&one)) {
            found.push(one);
        }
    }
    if !flags.yes {
        ask(&found, output)?;
    }
    let mut deleted = Vec::new();
    for one in found {
        let name = match one {
            Found::Missing { name, id } => {
                index.forget(&id)?;
                name
            }
            Found::Run(run) => delete(run, &mut index, output)?,
        };
        output.text(&format!("deleted {name}\n"))?;
        deleted.push(name);
    }
    output.document(&json!({ "deleted": deleted }))
}

/// What tells one from another.
fn place(found: &Found) -> PathBuf {
    match found {
        Found::Run(run) => std::fs::canonicalize(run.dir()).unwrap_or_else(|_| run.dir().to_owned()),
        Found::Missing { id, .. } => PathBuf::from(id),
    }
}

fn delete(run: Run, index: &mut Index, output: &Output) -> Result<String> {
    let id = run.identity().map(|identity| identity.id).ok();
    let dir = run.dir().to_owned();
    let name = dir.strip_prefix(index.base()).unwrap_or(&dir).display().to_string();
    let elsewhere =
        std::fs::canonicalize(index.base()).is_ok_and(|base| !place(&Found::Run(run.clone())).starts_with(base));
    run.remove()?;
    if let Some(id) = id {
        // The run is gone; a list that still shows it says so.
        let forgotten = index.forget(&id).and_then(|()| match elsewhere {
            true => forget_beside(&dir, &id),
            false => Ok(()),
        });
        if let Err(error) = forgotten {
            output.warning(&error.to_string());
        }
    }
    Ok(name)
}

/// Asks on a terminal, and refuses elsewhere.
fn ask(found: &[Found], output: &Output) -> Result<()> {
    let line = |one: &Found| match one {
        Found::Run(run) => format!("{}  ({})", run.dir().display(), bytes(run.bytes() as usize)),
        Found::Missing { name, .. } => format!("{name}  (gone; only its line in the list)"),
    };
    let refused = |what: &str| {
        let names: Vec<String> = found.iter().map(line).collect();
        Error::input(what.to_owned()).detail("runs", names.join(", ")).hint("add `--yes` to delete without being asked")
    };
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Err(refused("runs are deleted for good, and there is nobody to ask"));
    }
    found.iter().for_each(|one| output.ask(&format!("{}\n", line(one))));
    output.ask(&format!("delete {} for good? [y/N] ", if found.len() == 1 { "it" } else { "them" }));
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    match read {
        Ok(_) if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") => Ok(()),
        _ => Err(refused("nothing was deleted")),
    }
}
