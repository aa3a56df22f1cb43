//! How does a file get replaced without ever being seen half-written, and read without trusting it?

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind as IoKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::disk;
use crate::{Error, Result};

/// How often a claim is tried before it counts as refused.
const CLAIMS: usize = 10;

/// Writes `bytes` to `path` so that a reader, or a crash at any moment, finds either the old file or the whole new one.
///
/// The bytes go to a temporary file beside `path`, are synced, and the file is renamed over `path`; then the folder is
/// synced. The folder is made if it is not there. On failure the temporary is removed and an older file is untouched.
/// A symbolic link is followed, so that the file it names is replaced and not the link.
///
/// # Errors
/// When any of this fails, or when `path` is there and is not a regular file.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    stream_atomically(path, |file| write_all(file, path, bytes))
}

/// Like [`write_atomically`], with bytes that come while they are written.
///
/// # Errors
/// As [`write_atomically`], and whatever `write` says.
pub(super) fn stream_atomically(path: &Path, write: impl FnOnce(&mut disk::File) -> Result<()>) -> Result<()> {
    let target = match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => {
            return Err(Error::input("cannot replace what is not a regular file")
                .detail("file", path.display())
                .hint("give the path of a file"));
        }
        Ok(_) => fs::canonicalize(path).map_err(|error| Error::io("find the file", path, &error))?,
        Err(_) => path.to_owned(),
    };
    let temporary = write_temporary(&target, write)?;
    put_in_place(&temporary, &target, disk::rename)
        .map_err(|error| Error::io("put the file in place", path, &error))?;
    sync_folder(folder_of(&target))
}

/// Like [`write_atomically`], but never replaces: `false` when `path` is there already.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<bool> {
    let temporary = write_temporary(path, |file| write_all(file, path, bytes))?;
    match put_in_place(&temporary, path, disk::rename_to_new) {
        Ok(()) => sync_folder(folder_of(path)).map(|()| true),
        Err(error) if error.kind() == IoKind::AlreadyExists => Ok(false),
        Err(error) => Err(Error::io("put the file in place", path, &error)),
    }
}

/// Gives a temporary file its name, or removes it.
fn put_in_place(
    temporary: &Temporary,
    target: &Path,
    rename: fn(&Path, &Path) -> std::io::Result<()>,
) -> std::io::Result<()> {
    rename(&temporary.path, target).inspect_err(|_| temporary.discard())
}

/// Writes `value` as indented JSON with [`write_atomically`].
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::input("cannot write as JSON").detail("file", path.display()).detail("got", error))?;
    text.push('\n');
    write_atomically(path, text.as_bytes())
}

/// A file that has no name yet that anybody would read.
struct Temporary {
    path: PathBuf,
    /// Open, and so locked, until it has its name: [`sweep`] then knows that somebody still works on it.
    file: disk::File,
}

impl Temporary {
    /// What cannot be removed is swept by the next open; the error to tell is another one.
    fn discard(&self) {
        let _ = disk::remove(&self.path);
    }
}

fn write_all(file: &mut disk::File, target: &Path, bytes: &[u8]) -> Result<()> {
    file.write_all(bytes).map_err(|error| Error::io("write the file", target, &error))
}

fn write_temporary(target: &Path, write: impl FnOnce(&mut disk::File) -> Result<()>) -> Result<Temporary> {
    let folder = folder_of(target);
    let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    make_folder(folder)?;
    let failed = |error: std::io::Error| Error::io("write the file", target, &error);
    let prefix = format!(".{name}.tmp-");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).disable_cleanup(true);
    let make = || -> Result<Temporary> {
        let (file, path) = builder.make_in(folder, disk::File::create_new).map_err(failed)?.into_parts();
        let temporary = Temporary { path: path.to_path_buf(), file };
        // Not every file system has locks. Whoever sweeps holds one for an instant.
        let _ = temporary.file.inner().lock();
        Ok(temporary)
    };
    let mut temporary = make()?;
    // One that was swept before it was locked is made again.
    while fs::symlink_metadata(&temporary.path).is_err_and(|error| error.kind() == IoKind::NotFound) {
        temporary = make()?;
    }
    let written = write(&mut temporary.file).and_then(|()| temporary.file.sync().map_err(failed));
    written.inspect_err(|_| temporary.discard())?;
    Ok(temporary)
}

/// Makes a folder and those it is in, so that they survive a power cut.
pub(super) fn make_folder(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder_of(folder);
    make_folder(parent)?;
    match disk::make_folder(folder) {
        // Somebody else was faster.
        Err(error) if error.kind() == IoKind::AlreadyExists && folder.is_dir() => Ok(()),
        made => made.map_err(|error| Error::io("make the folder", folder, &error)),
    }?;
    sync_folder(parent)
}

/// The folder a path is in; `.` for a bare name.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Makes renames and new names in `folder` survive a power cut.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    disk::sync_folder(folder).map_err(|error| Error::io("sync the folder", folder, &error))
}

/// Removes temporaries of [`write_atomically`] in `folder` that no living process holds. Best effort: they do no harm.
pub(crate) fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let ours = path.file_name().and_then(|name| name.to_str()).is_some_and(is_temporary);
        if !ours || !path.is_file() {
            continue;
        }
        // The lock is held until the file is gone: whoever has just made it waits, and then sees that it is.
        if let Ok(file) = File::open(&path)
            && file.try_lock().is_ok()
        {
            let _ = disk::remove(&path);
        }
    }
}

/// Whether a name is one that [`write_atomically`] gives to a file in work.
pub(super) fn is_temporary(name: &str) -> bool {
    let random = name.strip_prefix('.').and_then(|name| name.rsplit_once(".tmp-")).map(|(_, random)| random);
    random.is_some_and(|random| random.len() == 6 && random.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Keeps all other processes from claiming a folder, until the handle is dropped or this process ends in whatever way. Where a file
/// system has no locks, nobody is kept out.
///
/// # Errors
/// `taken`, when another process has claimed it.
pub(crate) fn claim(dir: &Path, taken: &str) -> Result<Option<File>> {
    let Ok(handle) = File::open(dir) else { return Ok(None) };
    // Whoever looks whether it is claimed holds the lock for an instant.
    for _ in 0..CLAIMS {
        match handle.try_lock() {
            Ok(()) => return Ok(Some(handle)),
            Err(TryLockError::Error(_)) => return Ok(None),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    Err(Error::input(taken)
        .detail("file", dir.display())
        .hint("wait until it is done or stop it, or take another folder with `--out DIR`"))
}

/// Opens a file to read, which a folder or a pipe is not.
pub(super) fn open_regular(path: &Path) -> Result<File> {
    let failed = |error: std::io::Error| Error::io("read the file", path, &error);
    let file = File::open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(Error::input("cannot read what is not a regular file").detail("file", path.display()));
    }
    Ok(file)
}

/// Reads a whole file that may be at most `limit` bytes long.
pub(super) fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let failed = |error: std::io::Error| Error::io("read the file", path, &error);
    let mut bytes = Vec::new();
    open_regular(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(Error::input("the file is longer than anything Evenkeel writes there")
            .detail("file", path.display())
            .detail("expected", format!("at most {limit} bytes"))
            .hint("check that this is the right file"));
    }
    Ok(bytes)
}

/// Reads a whole UTF-8 file that may be at most `limit` bytes long.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String> {
    String::from_utf8(read_bounded(path, limit)?).map_err(|error| {
        Error::input("the file is not UTF-8 text")
            .detail("file", path.display())
            .detail("byte", error.utf8_error().valid_up_to())
    })
}

/// Errs unless `name` is a plain file name: ASCII letters, digits, `.`, `_` and `-`, not starting with a dot.
pub(super) fn check_name(what: &str, name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > 200 || name.starts_with('.') || !name.chars().all(plain) {
        return Err(Error::input(format!("the {what} cannot be a file name"))
            .detail("expected", "letters, digits, `.`, `_` and `-`, not starting with `.`, at most 200 of them")
            .detail("got", format!("{name:?}"))
            .hint("choose another name"));
    }
    Ok(())
}
