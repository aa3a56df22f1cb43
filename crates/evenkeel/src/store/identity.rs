//! Who is a run, wherever its folder goes, and what do people call it?
//!
//! `RUN/identity.json` holds an id that is drawn once, when the run came into being, and its tags. A run that is renamed or moved is
//! known by it; tags are here and not in an index, so that no index holds anything that is not in the folders.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind as IoKind;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{Run, TEXT_LIMIT, files};
use crate::{Error, Result};

/// The longest tag, in characters.
const LONGEST_TAG: usize = 64;

/// What tells a run from all others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// Twelve hexadecimal digits.
    pub id: String,
    /// Seconds since 1970.
    pub created: f64,
    /// In alphabetical order.
    #[serde(default)]
    pub tags: BTreeSet<String>,
}

impl Run {
    /// The file of the identity.
    pub fn identity_path(&self) -> PathBuf {
        self.dir().join("identity.json")
    }

    /// The identity of the run; one that has none yet gets one.
    ///
    /// # Errors
    /// When the file cannot be read or is no identity, or there is none and none can be written.
    pub fn identity(&self) -> Result<Identity> {
        let path = self.identity_path();
        match fs::metadata(&path) {
            Err(error) if error.kind() == IoKind::NotFound => {
                // The configuration is the first thing a run writes.
                let born = fs::metadata(self.config_path()).and_then(|metadata| metadata.modified());
                let identity = Identity::new(born.unwrap_or_else(|_| SystemTime::now()));
                // Of two processes that try, one wins, and both read what it wrote.
                files::write_new(&path, &text(&identity)?)?;
            }
            Err(error) => return Err(Error::io("read the identity of the run", &path, &error)),
            Ok(_) => {}
        }
        let text = files::read_text(&path, TEXT_LIMIT)?;
        serde_json::from_str(&text).map_err(|error| {
            Error::input("the identity of the run is not readable")
                .detail("file", path.display())
                .detail("expected", "a JSON object with id, created and tags")
                .detail("got", error)
                .hint("remove the file: the run gets a new one, without tags")
        })
    }

    /// Gives the run a new id, as a copy of another run needs, and keeps its tags.
    pub(super) fn renew_identity(&self) -> Result<Identity> {
        let old = self.identity()?;
        let new = Identity { id: drawn(), ..old };
        files::write_atomically(&self.identity_path(), &text(&new)?)?;
        Ok(new)
    }

    /// Adds tags and takes others away; one that is there already, or is not there, is as it should be.
    ///
    /// # Errors
    /// When a tag is not one, or the identity cannot be read or written.
    pub fn tag(&self, add: &[String], remove: &[String]) -> Result<Identity> {
        add.iter().chain(remove).try_for_each(|tag| check_tag(tag))?;
        let mut identity = self.identity()?;
        identity.tags.extend(add.iter().cloned());
        identity.tags.retain(|tag| !remove.contains(tag));
        files::write_atomically(&self.identity_path(), &text(&identity)?)?;
        Ok(identity)
    }
}

impl Identity {
    fn new(born: SystemTime) -> Identity {
        Identity { id: drawn(), created: seconds(born), tags: BTreeSet::new() }
    }
}

/// Seconds since 1970.
pub(super) fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// An id that no other run has: keys of the standard library's hash maps come from the operating system's random numbers.
fn drawn() -> String {
    let now = seconds(SystemTime::now()).to_bits();
    format!("{:012x}", RandomState::new().hash_one((now, std::process::id())) >> 16)
}

fn text(identity: &Identity) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(identity)
        .map_err(|error| Error::input("cannot write the identity as JSON").detail("got", error))?;
    text.push(b'\n');
    Ok(text)
}

/// Errs unless `tag` can be typed in a filter without quotes.
fn check_tag(tag: &str) -> Result<()> {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '/');
    let first = tag.chars().next();
    if first.is_some_and(char::is_alphanumeric) && tag.chars().all(plain) && tag.chars().count() <= LONGEST_TAG {
        return Ok(());
    }
    Err(Error::input("that cannot be a tag")
        .detail(
            "expected",
            format!(
                "a letter or digit, then letters, digits, `.`, `_`, `-`, `:` and `/`, at most {LONGEST_TAG} of them"
            ),
        )
        .detail("got", format!("{tag:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> (tempfile::TempDir, Run) {
        let folder = tempfile::tempdir().unwrap();
        let run = Run::create(&folder.path().join("run"), "seed = 1\n").unwrap();
        (folder, run)
    }

    #[test]
    fn a_run_keeps_its_id_and_two_runs_have_two() {
        let (_folder, first) = run();
        let (_other, second) = run();
        let identity = first.identity().unwrap();
        assert_eq!(first.identity().unwrap(), identity);
        assert_eq!(identity.id.len(), 12);
        assert_ne!(second.identity().unwrap().id, identity.id);
        assert_ne!(first.renew_identity().unwrap().id, identity.id);
    }

    #[test]
    fn tags_come_and_go_and_odd_ones_are_refused() {
        let (_folder, run) = run();
        let tags = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        run.tag(&tags(&["good", "v1"]), &[]).unwrap();
        let left = run.tag(&tags(&["good"]), &tags(&["v1", "never-there"])).unwrap();
        assert_eq!(left.tags.into_iter().collect::<Vec<_>>(), ["good"]);
        for odd in ["", "-x", "two words", "a\nb", &"x".repeat(65)] {
            assert!(run.tag(&tags(&[odd]), &[]).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn a_broken_identity_is_told_with_its_file() {
        let (_folder, run) = run();
        fs::write(run.identity_path(), "{").unwrap();
        let error = run.identity().unwrap_err().to_string();
        assert!(error.contains("identity.json") && error.contains("remove the file"), "{error}");
    }
}
