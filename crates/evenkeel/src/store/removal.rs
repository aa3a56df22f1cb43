//! How does a run go, so that nobody ever sees half of it?

use std::fs;
use std::path::{Path, PathBuf};

use super::{Run, files};
use crate::{Error, Result};

impl Run {
    /// Removes the run and all it holds: its folder is renamed in one step to a name that nobody looks at, and emptied there. What a
    /// process that was killed on the way left is cleared by the next removal beside it.
    ///
    /// # Errors
    /// When another process trains it, or the folder cannot be renamed, and then the run is as it was; or when it cannot be emptied, and
    /// then what is left is where it was.
    pub fn remove(self) -> Result<()> {
        let claim = self.claim().map_err(|error| error.hint("stop it first"))?;
        let dir = fs::canonicalize(self.dir()).map_err(|error| Error::io("find the run", self.dir(), &error))?;
        let parent = files::folder_of(&dir);
        sweep(parent);
        let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let gone = parent.join(format!(".{name}.gone-{}", std::process::id()));
        fs::rename(&dir, &gone).map_err(|error| Error::io("remove the run", &dir, &error))?;
        files::sync_folder(parent)?;
        let emptied = fs::remove_dir_all(&gone).map_err(|error| {
            // What is left of it is shown where it was, so that it can be removed again.
            let place = if fs::rename(&gone, &dir).is_ok() { &dir } else { &gone };
            Error::io("empty the folder of a removed run", place, &error)
        });
        drop(claim);
        emptied
    }

    /// Bytes that the run takes on the disk.
    pub fn bytes(&self) -> u64 {
        fn below(dir: &Path) -> u64 {
            let entries = fs::read_dir(dir).into_iter().flatten().flatten();
            let size = |entry: fs::DirEntry| match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => below(&entry.path()),
                Ok(metadata) => metadata.len(),
                Err(_) => 0,
            };
            entries.map(size).sum()
        }
        below(self.dir())
    }
}

/// Clears what removals that were cut short left in a folder. Best effort: it does no harm.
fn sweep(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let left = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).filter(|name| name.starts_with('.'));
        let number = name.and_then(|name| name.rsplit_once(".gone-")).map(|(_, number)| number);
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    for path in entries.map(|entry| entry.path()).filter(left) {
        // A removal that is still at work holds the lock.
        if fs::File::open(&path).is_ok_and(|folder| folder.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_run_leaves_nothing_and_takes_along_what_another_removal_left() {
        let folder = tempfile::tempdir().unwrap();
        let run = Run::create(&folder.path().join("run"), "seed = 1\n").unwrap();
        fs::create_dir(folder.path().join(".older.gone-123")).unwrap();
        assert_eq!(run.bytes(), 9);
        run.remove().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_run_that_is_trained_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let run = Run::create(&folder.path().join("run"), "seed = 1\n").unwrap();
        let claim = run.claim().unwrap();
        let error = run.clone().remove().unwrap_err().to_string();
        assert!(error.contains("another process is training this run"), "{error}");
        drop(claim);
        run.remove().unwrap();
    }
}
