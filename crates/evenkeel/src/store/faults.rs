//! What is on disk when a change fails, the disk is full, the process is killed or the power is cut?
//!
//! [`during`] lets the changes of [`super::disk`] on this thread go well up to one of them. A power cut leaves what a file system
//! may leave: of files, what was synced; of names, those synced and any number of the later ones in the order they were made.

#![allow(clippy::unwrap_used)]

use super::disk::Change;
use std::cell::RefCell;
use std::fs;
use std::io::{self, ErrorKind as IoKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What happens at a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// Nothing: counts changes alone.
    Nothing,
    /// It is refused; those after it go well.
    Refused,
    /// The disk is full from here on; what would free space still works.
    Full,
    /// The process ends in the middle of it.
    Killed,
    /// The power ends in the middle of it, and so many of the last names that were not synced are lost.
    PowerCut(usize),
    /// No write takes more than some bytes, which is no fault: callers go on with the rest.
    Short,
}

thread_local! {
    static ACTIVE: RefCell<Option<Active>> = const { RefCell::new(None) };
}

struct Active {
    fault: Fault,
    at: usize,
    seen: usize,
    /// Files written and how much of them is safe, by their number in the file system.
    files: Vec<(u64, fs::File, u64)>,
    names: Vec<Undo>,
    /// Keeps what was replaced or removed.
    attic: TempDir,
}

/// How a change of names is taken back, while its folder is not synced.
enum Undo {
    Made(PathBuf),
    Renamed { from: PathBuf, to: PathBuf, replaced: Option<PathBuf> },
    Removed { path: PathBuf, kept: PathBuf },
}

/// How it went under a fault.
pub(super) struct During<T> {
    /// What the action came to.
    pub(super) result: T,
    /// Whether there was a change for the fault to happen at.
    pub(super) happened: bool,
    /// Changes seen.
    pub(super) changes: usize,
    /// Names that a power cut could have lost.
    pub(super) loose_names: usize,
}

/// Does `act` with a fault at change `at`, counted from 0. When there are no more than `at`, the power is cut after the last one.
pub(super) fn during<T>(fault: Fault, at: usize, beside: &Path, act: impl FnOnce() -> T) -> During<T> {
    let attic = tempfile::tempdir_in(beside).unwrap();
    let active = Active { fault, at, seen: 0, files: Vec::new(), names: Vec::new(), attic };
    ACTIVE.with(|slot| *slot.borrow_mut() = Some(active));
    let result = act();
    let active = ACTIVE.with(|slot| slot.borrow_mut().take()).unwrap();
    let (happened, changes, loose_names) = (active.seen > at, active.seen, active.names.len());
    if let Fault::PowerCut(lost) = fault {
        active.cut_power(lost);
    }
    During { result, happened, changes, loose_names }
}

/// What of the bytes one write takes.
pub(super) fn taken(bytes: &[u8]) -> &[u8] {
    let short = ACTIVE.with(|slot| slot.borrow().as_ref().is_some_and(|active| active.fault == Fault::Short));
    if short { &bytes[..bytes.len().min(7)] } else { bytes }
}

/// Makes the change, unless the fault is due.
pub(super) fn change<T>(change: Change<'_>, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let due = ACTIVE.with(|slot| slot.borrow_mut().as_mut().map_or(Ok(None), |active| active.due(&change)));
    let undo = due?;
    let done = act()?;
    ACTIVE.with(|slot| {
        if let Some(active) = slot.borrow_mut().as_mut() {
            active.done(&change, undo);
        }
    });
    Ok(done)
}

impl Active {
    /// Whether the change may be made, and how it would be taken back.
    fn due(&mut self, change: &Change<'_>) -> io::Result<Option<Undo>> {
        let number = self.seen;
        self.seen += 1;
        let failed = |kind: IoKind| Err(io::Error::new(kind, "a fault was asked for"));
        match self.fault {
            Fault::Refused if number == self.at => return failed(IoKind::Other),
            Fault::Full if number >= self.at => match change {
                Change::Write(..) | Change::Make(_) => {
                    half(change, number == self.at);
                    return failed(IoKind::StorageFull);
                }
                _ => {}
            },
            Fault::Killed | Fault::PowerCut(_) if number >= self.at => {
                half(change, number == self.at);
                return failed(IoKind::Other);
            }
            _ => {}
        }
        Ok(match change {
            Change::Make(path) => Some(Undo::Made(path.to_path_buf())),
            Change::Rename(from, to) => Some(Undo::Renamed {
                from: from.to_path_buf(),
                to: to.to_path_buf(),
                replaced: to.is_file().then(|| self.keep(to)),
            }),
            Change::Remove(path) => Some(Undo::Removed { path: path.to_path_buf(), kept: self.keep(path) }),
            _ => None,
        })
    }

    fn done(&mut self, change: &Change<'_>, undo: Option<Undo>) {
        self.names.extend(undo);
        match change {
            Change::Write(file, bytes) => {
                let metadata = file.metadata().unwrap();
                if !self.files.iter().any(|(number, ..)| *number == metadata.ino()) {
                    let safe = metadata.len() - bytes.len() as u64;
                    self.files.push((metadata.ino(), file.try_clone().unwrap(), safe));
                }
            }
            Change::Sync(file) => {
                let number = file.metadata().unwrap().ino();
                self.files.retain(|(known, ..)| *known != number);
            }
            Change::SyncFolder(folder) => self.names.retain(|undo| {
                let path = match undo {
                    Undo::Made(path) | Undo::Removed { path, .. } | Undo::Renamed { to: path, .. } => path,
                };
                path.parent() != Some(folder)
            }),
            _ => {}
        }
    }

    /// A copy of a file or folder that is about to go.
    fn keep(&self, path: &Path) -> PathBuf {
        let kept = self.attic.path().join(self.seen.to_string());
        copy(path, &kept);
        kept
    }

    fn cut_power(mut self, lost: usize) {
        for (_, file, safe) in &self.files {
            file.set_len(*safe).unwrap();
        }
        for undo in self.names.drain(..).rev().take(lost) {
            // What was made inside a folder that is lost as well is gone with it.
            let _ = match undo {
                Undo::Made(path) => fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path)),
                Undo::Renamed { from, to, replaced } => {
                    let back = fs::rename(&to, &from);
                    replaced.map_or(back, |replaced| fs::rename(replaced, to))
                }
                Undo::Removed { path, kept } => {
                    fs::remove_dir_all(&path).or(Ok(())).and_then(|()| fs::rename(kept, path))
                }
            };
        }
    }
}

/// What a process that ends in the middle of a change leaves: half the bytes, half a folder.
fn half(change: &Change<'_>, now: bool) {
    match change {
        Change::Write(file, bytes) if now => {
            let mut file: &fs::File = file;
            file.write_all(&bytes[..bytes.len() / 2]).unwrap();
        }
        Change::Remove(path) if now && path.is_dir() => {
            if let Some(entry) = fs::read_dir(path).unwrap().next() {
                let _ = fs::remove_file(entry.unwrap().path());
            }
        }
        _ => {}
    }
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}
