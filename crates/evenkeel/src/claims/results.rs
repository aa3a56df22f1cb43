//! A folder of results: one file a claim, and one page of all of them.

use super::outcome::Outcome;
use super::page;
use crate::store::{files, write_atomically};
use crate::{Error, Result};
use std::fs;
use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};

/// The largest result that is read, in bytes.
const LIMIT: u64 = 64 << 20;

/// The results in a folder.
///
/// ```text
/// DIR/
///   10.8.json      what became of claim 8 of paper 10, written as soon as it is known
///   claims.html    all of them, with their figures
/// ```
#[derive(Clone, Debug)]
pub struct Results {
    dir: PathBuf,
}

/// What a folder of results holds.
#[derive(Debug)]
pub struct Found {
    /// The results, by paper and claim.
    pub outcomes: Vec<Outcome>,
    /// Files that are no results, or damaged ones, with the reason.
    pub passed_over: Vec<Error>,
}

impl Results {
    /// The results in `dir`, which is made with the first result.
    pub fn in_dir(dir: impl Into<PathBuf>) -> Results {
        Results { dir: dir.into() }
    }

    /// The file of one claim.
    pub fn path(&self, outcome: &Outcome) -> PathBuf {
        self.dir.join(format!("{}.json", outcome.id()))
    }

    /// Keeps a result, in place of an older one of the same claim.
    ///
    /// # Errors
    /// When the file cannot be written; an older one is then still whole.
    pub fn write(&self, outcome: &Outcome) -> Result<()> {
        files::write_json(&self.path(outcome), outcome)
    }

    /// All results of the folder; none when it is not there.
    ///
    /// # Errors
    /// When the folder cannot be listed. A file that is no result is no error: see [`Found::passed_over`].
    pub fn read(&self) -> Result<Found> {
        let failed = |error: std::io::Error| Error::io("list the results", &self.dir, &error);
        let mut found = Found { outcomes: Vec::new(), passed_over: Vec::new() };
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == IoKind::NotFound => return Ok(found),
            Err(error) => return Err(failed(error)),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.ends_with(".json") && !name.starts_with('.') {
                paths.push(path);
            }
        }
        paths.sort();
        for path in paths {
            match read(&path) {
                Ok(outcome) => found.outcomes.push(outcome),
                Err(error) => found.passed_over.push(error),
            }
        }
        found.outcomes.sort_by_key(|outcome| (outcome.paper.clone(), in_order(&outcome.claim)));
        Ok(found)
    }

    /// Writes the page of all results, and returns its path and what was passed over.
    ///
    /// # Errors
    /// When the folder cannot be listed or the page not be written.
    pub fn write_page(&self) -> Result<(PathBuf, Vec<Error>)> {
        let found = self.read()?;
        let path = self.dir.join("claims.html");
        write_atomically(&path, page::render(&found)?.as_bytes())?;
        Ok((path, found.passed_over))
    }
}

fn read(path: &Path) -> Result<Outcome> {
    let text = files::read_text(path, LIMIT)?;
    let outcome: Outcome = serde_json::from_str(&text).map_err(|error| {
        Error::input("a file among the results is none, or damaged")
            .detail("file", path.display())
            .detail("got", error)
            .hint("remove it, or run its claim again")
    })?;
    if path.file_stem().and_then(|stem| stem.to_str()) != Some(outcome.id().as_str()) {
        return Err(Error::input("a file among the results does not have the name of its claim")
            .detail("file", path.display())
            .detail("expected", format!("{}.json", outcome.id()))
            .hint("rename or remove it"));
    }
    Ok(outcome)
}

/// `2` before `2b` before `10`.
fn in_order(claim: &str) -> (u64, String) {
    let digits = claim.bytes().take_while(u8::is_ascii_digit).count();
    (claim[..digits].parse().unwrap_or(u64::MAX), claim[digits..].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_in_the_order_of_their_numbers() {
        let mut claims = ["10", "2b", "x", "2", "1"];
        claims.sort_by_key(|claim| in_order(claim));
        assert_eq!(claims, ["1", "2", "2b", "10", "x"]);
    }
}
