//! Which run does a word on the command line mean?

use std::path::{Path, PathBuf};

use super::reading::{Status, folder};
use super::{FILE, Index};
use crate::store::Run;
use crate::{Error, Result, nearest, sweep};

/// The fewest digits of an id that stand for it.
const FEWEST: usize = 4;

/// What a word means.
#[derive(Clone, Debug)]
pub enum Found {
    /// A run in its folder.
    Run(Run),
    /// A run that the index knows, and whose folder is gone.
    Missing {
        /// What it was called.
        name: String,
        /// What it is known by.
        id: String,
    },
}

impl Index {
    /// The run that `word` means: a folder, a name in the list, or the beginning of an id.
    ///
    /// # Errors
    /// When there is none, or an id has more than one.
    pub fn find(&self, word: &str) -> Result<Found> {
        if word.is_empty() {
            return Err(Error::input("a run has no empty name"));
        }
        for place in [PathBuf::from(word), folder(&self.base, word)] {
            if place.join("run.toml").is_file() {
                return Run::open(&place).map(Found::Run);
            }
        }
        let known = self.known()?;
        let by_id: Vec<_> = known.iter().filter(|known| word.len() >= FEWEST && known.id.starts_with(word)).collect();
        let by_name = known.iter().rev().find(|known| known.name == word);
        let base = std::fs::canonicalize(&self.base).unwrap_or_else(|_| self.base.clone());
        let by_path = known.iter().rev().find(|known| {
            let place = Path::new(word);
            place.parent().and_then(|parent| std::fs::canonicalize(parent).ok()).is_some_and(|parent| {
                place.file_name().is_some_and(|name| parent.join(name) == folder(&base, &known.name))
            })
        });
        match (by_name.or(by_path), by_id.as_slice()) {
            (Some(known), _) | (None, &[known]) if known.status == Status::Missing => {
                Ok(Found::Missing { name: known.name.clone(), id: known.id.clone() })
            }
            (Some(known), _) | (None, &[known]) => Run::open(&folder(&self.base, &known.name)).map(Found::Run),
            (None, []) => {
                let error = Error::input(format!("there is no run '{word}'"))
                    .detail("folder", self.base.display())
                    .detail("expected", "a run's folder, its name in `evenkeel runs`, or the beginning of its id");
                let near = nearest(word, known.iter().map(|known| known.name.as_str()));
                Err(match near {
                    Some(near) => error.hint(format!("did you mean '{near}'?")),
                    None => error.hint("`evenkeel runs` lists them; `evenkeel runs DIR ..` looks elsewhere"),
                })
            }
            (None, several) => {
                let ids: Vec<&str> = several.iter().map(|known| known.id.as_str()).collect();
                Err(Error::input(format!("'{word}' begins more than one id"))
                    .detail("got", ids.join(", "))
                    .hint("write more of it"))
            }
        }
    }

    /// Forgets a run whose folder is gone.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub fn forget(&mut self, id: &str) -> Result<()> {
        self.write("forget a run", |transaction| {
            transaction.execute("DELETE FROM runs WHERE id = ?1", [id]).map(|_| ())
        })
    }

    /// What a run is called in the index of its own folder: that folder, and the name.
    pub(crate) fn place_of(run: &Run) -> (PathBuf, String) {
        let full = std::fs::canonicalize(run.dir()).unwrap_or_else(|_| run.dir().to_owned());
        // A folder that is reached through a link is indexed where it is, a run of a sweep with the sweep's neighbours.
        let its_sweep = full.ancestors().skip(1).take(2).find(|folder| folder.join(sweep::BASE).is_file());
        let base = its_sweep.unwrap_or(&full).parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
        let name = full.strip_prefix(&base).map_or_else(|_| run.name(), |name| name.to_string_lossy().into_owned());
        (base, name)
    }

    /// Whether there is an index in the folder.
    pub fn exists(base: &Path) -> bool {
        base.join(FILE).is_file()
    }
}
