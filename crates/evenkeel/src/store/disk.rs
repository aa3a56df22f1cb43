//! Through what does everything go that the store changes on disk?
//!
//! Each function is one change, which the operating system makes or refuses. What is shipped calls the standard library and
//! nothing else; tests refuse a change, fill the disk or cut the power at any of them (`faults.rs`).

use std::fs;
use std::io::{self, ErrorKind as IoKind, Write};
use std::path::Path;

#[cfg(not(all(test, unix)))]
use direct::change;

#[cfg(all(test, unix))]
use super::faults::change;

/// One change of what is on disk.
#[derive(Debug)]
#[cfg_attr(not(all(test, unix)), expect(dead_code, reason = "what is changed is only looked at by tests"))]
pub(super) enum Change<'c> {
    /// A new, empty file or folder.
    Make(&'c Path),
    /// Bytes at the end of a file.
    Write(&'c fs::File, &'c [u8]),
    /// A file is cut.
    Cut,
    /// What was written to a file is to survive a power cut.
    Sync(&'c fs::File),
    /// So are the names in a folder.
    SyncFolder(&'c Path),
    /// A new name, in place of what had it.
    Rename(&'c Path, &'c Path),
    /// A file or a folder with all that is in it goes.
    Remove(&'c Path),
}

#[cfg(not(all(test, unix)))]
mod direct {
    pub(super) fn change<T>(_: super::Change<'_>, act: impl FnOnce() -> std::io::Result<T>) -> std::io::Result<T> {
        act()
    }
}

/// A file that is written from its beginning to its end.
#[derive(Debug)]
pub(super) struct File(fs::File);

impl File {
    /// Makes a file that is not there yet.
    pub(super) fn create_new(path: &Path) -> io::Result<File> {
        change(Change::Make(path), || fs::File::create_new(path).map(File))
    }

    /// Opens a file that is there, to read it and to write at its end.
    pub(super) fn append(path: &Path) -> io::Result<File> {
        fs::OpenOptions::new().read(true).append(true).open(path).map(File)
    }

    /// Drops what lies beyond a length.
    pub(super) fn set_len(&self, length: u64) -> io::Result<()> {
        change(Change::Cut, || self.0.set_len(length))
    }

    /// Waits until the disk has it.
    pub(super) fn sync(&self) -> io::Result<()> {
        change(Change::Sync(&self.0), || self.0.sync_all())
    }

    /// To look at it: changes go through this module.
    pub(super) fn inner(&self) -> &fs::File {
        &self.0
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        #[cfg(all(test, unix))]
        let bytes = super::faults::taken(bytes);
        change(Change::Write(&self.0, bytes), || (&self.0).write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes a folder in one that is there.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    change(Change::Make(path), || fs::create_dir(path))
}

/// Gives a file or folder another name; a file of that name is replaced.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    change(Change::Rename(from, to), || fs::rename(from, to))
}

/// Gives a file another name, unless something has it already.
pub(super) fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    change(Change::Rename(from, to), || {
        let mut named = tempfile::TempPath::try_from_path(from)?;
        named.disable_cleanup(true);
        named.persist_noclobber(to).map_err(|error| error.error)
    })
}

/// Removes a file, or a folder and what is in it; what is not there is gone already.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => change(Change::Remove(path), || fs::remove_dir_all(path)),
        Ok(_) => change(Change::Remove(path), || fs::remove_file(path)),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == IoKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Removes a folder that is empty.
pub(super) fn remove_empty(path: &Path) -> io::Result<()> {
    change(Change::Remove(path), || fs::remove_dir(path))
}

/// Makes renames and new names in a folder survive a power cut, where the file system can.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    match change(Change::SyncFolder(path), || fs::File::open(path)?.sync_all()) {
        // Some network file systems cannot sync a folder, and say so.
        Err(error) if matches!(error.kind(), IoKind::InvalidInput | IoKind::Unsupported) => Ok(()),
        synced => synced,
    }
}
