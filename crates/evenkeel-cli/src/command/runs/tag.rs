//! `evenkeel runs tag RUN +good -bad`.

use super::{current, found, update};
use crate::arguments::RunsTag;
use crate::output::Output;
use evenkeel::{Error, Result};
use serde_json::json;
use std::path::Path;

pub(super) fn run(base: &Path, flags: &RunsTag, output: &Output) -> Result<()> {
    let (mut add, mut remove) = (Vec::new(), Vec::new());
    for change in &flags.changes {
        match change.split_at_checked(1) {
            // Of the same tag the last word counts.
            Some(("+", tag)) => {
                remove.retain(|other| other != tag);
                add.push(tag.to_owned());
            }
            Some(("-", tag)) if !tag.starts_with('-') => remove.push(tag.to_owned()),
            _ => {
                return Err(Error::input(format!("'{change}' neither adds nor takes away a tag"))
                    .detail("expected", "+TAG or -TAG")
                    .detail("got", change)
                    .hint(format!(
                        "write it as in `evenkeel runs tag {} +good -bad`; other flags come first",
                        flags.run
                    )));
            }
        }
    }
    let run = found(&current(base, output)?.0, std::slice::from_ref(&flags.run))?.remove(0);
    let identity = run.tag(&add, &remove)?;
    update(&run, output);
    let tags: Vec<&str> = identity.tags.iter().map(String::as_str).collect();
    output.text(&format!(
        "{}  {}\n",
        run.name(),
        if tags.is_empty() { "no tags".to_owned() } else { tags.join(" ") }
    ))?;
    output.document(&json!({ "run": run.dir(), "id": identity.id, "tags": tags }))
}
