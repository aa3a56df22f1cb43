//! How is a checkpoint saved so that it is whole or not there, and read so that one wrong byte is noticed?
//!
//! Saving `checkpoints/000400/`: all files go to `checkpoints/.000400.tmp-PID/`, each synced, `manifest.json` last; the
//! folder is synced, renamed to its final name, and its parent synced. The manifest holds the length and the SHA-256 of
//! every file and, over its own text, of itself. Loading checks all of them before a number is used.
//!
//! Names beginning with a dot belong to work in progress: `.STEP.tmp-PID` being written, `.STEP.old-PID` an older
//! checkpoint moved aside to be replaced, `.STEP.gone-PID` one being removed. A writer holds a lock on the folder;
//! [`Run::open`] clears what is left of a dead one, and puts an `.old` back when its replacement never arrived.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, ErrorKind as IoKind, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{NamedTensor, Run, disk, files, tensors};
use crate::{Error, Result};

const PARAMETERS: &str = "parameters.safetensors";
const BUFFERS: &str = "buffers.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";
const MANIFEST: &str = "manifest.json";
const FILES: [&str; 4] = [PARAMETERS, BUFFERS, OPTIMIZER, STATE];
const MANIFEST_LIMIT: u64 = 1 << 16;
/// Bytes of small tensors that are written at once.
const GATHERED: usize = 1 << 16;

/// Everything a run needs to go on from a step; to be saved, it may borrow the tensors where they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint<'a> {
    /// The trained parameters.
    pub parameters: Vec<NamedTensor<'a>>,
    /// What layers remember without training it, e.g. running statistics.
    pub buffers: Vec<NamedTensor<'a>>,
    /// The state of the optimiser, e.g. momentum.
    pub optimizer: Vec<NamedTensor<'a>>,
    /// The rest: the key of the random numbers, the position of the loader, the state of the metrics.
    pub state: Value,
}

/// The newest whole checkpoint, and the broken ones that are newer.
#[derive(Clone, Debug)]
pub struct Latest {
    /// The step and the checkpoint; `None` when there is no whole one.
    pub found: Option<(u64, Checkpoint<'static>)>,
    /// Why each newer checkpoint was passed over, the newest first.
    pub broken: Vec<Error>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    step: u64,
    files: Vec<Entry>,
    /// SHA-256 of this text with this field empty.
    manifest_sha256: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    bytes: u64,
    sha256: String,
}

impl Run {
    /// The folder of the checkpoint of a step: `checkpoints/000400`.
    pub fn checkpoint_dir(&self, step: u64) -> PathBuf {
        self.checkpoints_dir().join(format!("{step:06}"))
    }

    /// Saves a checkpoint, in place of an older one of that step; when this returns, it survives a power cut. No tensor is copied.
    ///
    /// # Errors
    /// When it cannot be written: an older checkpoint of that step is then as it was. When the disk fails in the very last change, the
    /// new one may be in place already, and whole.
    pub fn save_checkpoint(&self, step: u64, checkpoint: &Checkpoint<'_>) -> Result<()> {
        let mut state = serde_json::to_vec_pretty(&checkpoint.state)
            .map_err(|error| Error::input("cannot write the state as JSON").detail("got", error))?;
        state.push(b'\n');
        let contents = [
            Contents::of(&checkpoint.parameters)?,
            Contents::of(&checkpoint.buffers)?,
            Contents::of(&checkpoint.optimizer)?,
            Contents { beginning: state, tensors: &[] },
        ];
        let parent = self.checkpoints_dir();
        files::make_folder(&parent)?;
        let _lock = lock(&parent);
        let temporary = aside(&parent, step, "tmp");
        let result = write_folder(&temporary, step, &contents).and_then(|()| self.put_in_place(step, &temporary));
        if result.is_err() {
            // The error to tell is the first one; what cannot be removed here is swept by the next open.
            let _ = disk::remove(&temporary);
        }
        result
    }

    fn put_in_place(&self, step: u64, temporary: &Path) -> Result<()> {
        let parent = self.checkpoints_dir();
        let target = self.checkpoint_dir(step);
        let failed = |error: std::io::Error| Error::io("put the checkpoint in place", &target, &error);
        if fs::symlink_metadata(&target).is_err() {
            disk::rename(temporary, &target).map_err(failed)?;
            return files::sync_folder(&parent);
        }
        let old = aside(&parent, step, "old");
        disk::remove(&old).and_then(|()| disk::rename(&target, &old)).map_err(failed)?;
        if let Err(error) = disk::rename(temporary, &target) {
            // Back to what was; if this fails too, the next open does it.
            let _ = disk::rename(&old, &target);
            return Err(failed(error));
        }
        files::sync_folder(&parent)?;
        // What cannot be removed is swept by the next open.
        let _ = disk::remove(&old);
        Ok(())
    }

    /// Loads the checkpoint of a step. Memory: its tensors.
    ///
    /// # Errors
    /// When it is not there, or any byte of it is not the one that was saved; the error names the file.
    pub fn load_checkpoint(&self, step: u64) -> Result<Checkpoint<'static>> {
        let folder = self.checkpoint_dir(step);
        if !folder.is_dir() {
            let steps = self.checkpoint_steps()?;
            return Err(Error::input(format!("there is no checkpoint of step {step}"))
                .detail("file", folder.display())
                .detail("got", if steps.is_empty() { "no checkpoint at all".to_owned() } else { listed(&steps) })
                .hint("choose one of those, or train longer"));
        }
        let manifest = read_manifest(&folder, step)?;
        let entry = |index: usize| &manifest.files[index];
        let tensors = |index: usize| {
            let read = |input: &mut dyn Read, length: u64| tensors::read(input, length).map(|file| file.tensors);
            read_checked(&folder, entry(index), read)
        };
        // The state first: it is small, and tells the most.
        let state = read_checked(&folder, entry(3), |input, _| {
            let unreadable = |error| Error::input("the state of a checkpoint is not readable").detail("got", error);
            serde_json::from_reader(input).map_err(unreadable)
        })?;
        Ok(Checkpoint { parameters: tensors(0)?, buffers: tensors(1)?, optimizer: tensors(2)?, state })
    }

    /// Loads the newest checkpoint that is whole; broken ones are passed over and reported.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn load_latest(&self) -> Result<Latest> {
        let mut broken = Vec::new();
        for step in self.checkpoint_steps()?.into_iter().rev() {
            match self.load_checkpoint(step) {
                Ok(checkpoint) => return Ok(Latest { found: Some((step, checkpoint)), broken }),
                Err(error) => broken.push(error),
            }
        }
        Ok(Latest { found: None, broken })
    }

    /// The steps there are checkpoints of, whole or not, in ascending order.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn checkpoint_steps(&self) -> Result<Vec<u64>> {
        let folder = self.checkpoints_dir();
        let failed = |error: std::io::Error| Error::io("list the checkpoints", &folder, &error);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == IoKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut steps = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            let step = name.to_str().and_then(|name| name.parse::<u64>().ok());
            steps.extend(step.filter(|step| name.to_str() == Some(&format!("{step:06}"))));
        }
        steps.sort_unstable();
        Ok(steps)
    }

    /// Removes all but the newest `count` checkpoints (at least 1 is kept) and those of the steps that are kept `also`.
    ///
    /// One with a broken manifest or a file of a wrong length does not count and is not removed: it is evidence, and
    /// [`Run::load_latest`] passes over it.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn keep_checkpoints(&self, count: usize, also: impl Fn(u64) -> bool) -> Result<()> {
        let _lock = lock(&self.checkpoints_dir());
        let whole = self.checkpoint_steps()?.into_iter().rev().filter(|step| self.looks_whole(*step));
        let old: Vec<u64> = whole.skip(count.max(1)).filter(|step| !also(*step)).collect();
        self.remove_checkpoints(&old)
    }

    /// Whether the manifest of a checkpoint is sound and its files have the lengths it tells; cheap, no tensor is read.
    pub(crate) fn looks_whole(&self, step: u64) -> bool {
        let folder = self.checkpoint_dir(step);
        let is_there =
            |entry: &Entry| fs::metadata(folder.join(&entry.name)).is_ok_and(|metadata| metadata.len() == entry.bytes);
        read_manifest(&folder, step).is_ok_and(|manifest| manifest.files.iter().all(is_there))
    }

    /// Removes the checkpoints, whole or not, beyond a step: what a resume from that step will write again.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn remove_checkpoints_after(&self, step: u64) -> Result<()> {
        let _lock = lock(&self.checkpoints_dir());
        let later: Vec<u64> = self.checkpoint_steps()?.into_iter().rev().filter(|later| *later > step).collect();
        self.remove_checkpoints(&later)
    }

    fn remove_checkpoints(&self, steps: &[u64]) -> Result<()> {
        let parent = self.checkpoints_dir();
        let gone = |step: &u64| aside(&parent, *step, "gone");
        let failed = |step: &u64, error: std::io::Error| {
            Error::io("remove the old checkpoint", &self.checkpoint_dir(*step), &error)
        };
        // Renamed first, and that made sure of, so that nobody finds half a checkpoint under its name.
        for step in steps {
            let renamed =
                disk::remove(&gone(step)).and_then(|()| disk::rename(&self.checkpoint_dir(*step), &gone(step)));
            renamed.map_err(|error| failed(step, error))?;
        }
        if !steps.is_empty() {
            files::sync_folder(&parent)?;
        }
        steps.iter().try_for_each(|step| disk::remove(&gone(step)).map_err(|error| failed(step, error)))
    }
}

/// Clears what a dead writer left; best effort, and nothing while another process writes.
pub(super) fn sweep(folder: &Path) {
    let Ok(handle) = File::open(folder) else { return };
    if matches!(handle.try_lock(), Err(fs::TryLockError::WouldBlock)) {
        return;
    }
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let Some((step, work)) = name.strip_prefix('.').and_then(|name| name.split_once('.')) else { continue };
        if step.is_empty() || !step.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let target = folder.join(step);
        if work.starts_with("old-") && fs::symlink_metadata(&target).is_err() {
            let _ = disk::rename(&path, &target);
        } else if ["tmp-", "old-", "gone-"].iter().any(|prefix| work.starts_with(prefix)) {
            let _ = disk::remove(&path);
        }
    }
}

/// Waits for other writers of this folder and keeps them out; where a file system has no locks, goes on without.
fn lock(folder: &Path) -> Option<File> {
    let handle = File::open(folder).ok()?;
    handle.lock().ok()?;
    Some(handle)
}

fn aside(parent: &Path, step: u64, work: &str) -> PathBuf {
    parent.join(format!(".{step:06}.{work}-{}", std::process::id()))
}

/// What a file holds.
struct Contents<'c> {
    beginning: Vec<u8>,
    /// What follows, as it lies in memory.
    tensors: &'c [NamedTensor<'c>],
}

impl<'c> Contents<'c> {
    fn of(tensors: &'c [NamedTensor<'c>]) -> Result<Self> {
        Ok(Contents { beginning: tensors::header(tensors, &BTreeMap::new())?, tensors })
    }

    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(&self.beginning[..]).chain(tensors::in_order(self.tensors).map(|tensor| &tensor.bytes[..]))
    }

    fn digest(&self) -> String {
        let mut digest = Sha256::new();
        self.parts().for_each(|part| digest.update(part));
        hexadecimal(digest)
    }
}

fn write_folder(folder: &Path, step: u64, contents: &[Contents<'_>; 4]) -> Result<()> {
    let made = disk::remove(folder).and_then(|()| disk::make_folder(folder));
    made.map_err(|error| Error::io("write the checkpoint", folder, &error))?;
    let digests = || contents.each_ref().map(Contents::digest);
    let write = || FILES.iter().zip(contents).try_for_each(|(name, one)| write_synced(&folder.join(name), one.parts()));
    // The processor takes digests while the disk writes.
    let (written, digests) = thread::scope(|scope| match thread::Builder::new().spawn_scoped(scope, digests) {
        Ok(beside) => (write(), beside.join().unwrap_or_else(|_| digests())),
        Err(_) => (write(), digests()),
    });
    written?;
    let entry = |((name, contents), sha256): ((&&str, &Contents<'_>), String)| Entry {
        name: (*name).to_owned(),
        bytes: contents.parts().map(|part| part.len() as u64).sum(),
        sha256,
    };
    let files = FILES.iter().zip(contents).zip(digests).map(entry).collect();
    let mut manifest = Manifest { format: 1, step, files, manifest_sha256: String::new() };
    manifest.manifest_sha256 = sha256(manifest.text()?.as_bytes());
    write_synced(&folder.join(MANIFEST), std::iter::once(manifest.text()?.as_bytes()))?;
    files::sync_folder(folder)
}

/// Writes the parts of a file one after the other, as they lie.
fn write_synced<'p>(path: &Path, mut parts: impl Iterator<Item = &'p [u8]>) -> Result<()> {
    let written = disk::File::create_new(path).and_then(|file| {
        // Small parts are gathered, large ones go by the buffer.
        let mut buffered = BufWriter::with_capacity(GATHERED, file);
        parts.try_for_each(|part| buffered.write_all(part))?;
        buffered.into_inner()?.sync()
    });
    written.map_err(|error| Error::io("write the checkpoint", path, &error))
}

impl Manifest {
    fn text(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self);
        text.map(|text| text + "\n").map_err(|error| Error::input("cannot write the manifest").detail("got", error))
    }
}

fn read_manifest(folder: &Path, step: u64) -> Result<Manifest> {
    let path = folder.join(MANIFEST);
    let hint = "resume from an older checkpoint, or copy this one again from its source";
    if !path.exists() {
        return Err(Error::input("a checkpoint is not whole: its manifest is missing")
            .detail("file", path.display())
            .hint(hint));
    }
    let broken = |expected: String, got: String| {
        Error::input("a checkpoint is damaged: its manifest is not the one that was saved")
            .detail("file", path.display())
            .detail("expected", expected)
            .detail("got", got)
            .hint(hint)
    };
    let text = files::read_text(&path, MANIFEST_LIMIT)?;
    let manifest: Manifest =
        serde_json::from_str(&text).map_err(|error| broken("a manifest in JSON".to_owned(), error.to_string()))?;
    let unsigned = Manifest { manifest_sha256: String::new(), ..manifest.clone() };
    let actual = sha256(unsigned.text()?.as_bytes());
    if actual != manifest.manifest_sha256 {
        return Err(broken(format!("sha256 {}", manifest.manifest_sha256), format!("sha256 {actual}")));
    }
    if manifest.text()? != text {
        return Err(broken("the text as it was saved".to_owned(), "other spacing or order".to_owned()));
    }
    if manifest.format != 1 {
        return Err(broken("format 1".to_owned(), format!("format {}", manifest.format)));
    }
    if manifest.step != step {
        return Err(broken(format!("step {step}"), format!("step {}", manifest.step)));
    }
    let names: Vec<&str> = manifest.files.iter().map(|entry| entry.name.as_str()).collect();
    if names != FILES {
        return Err(broken(FILES.join(", "), names.join(", ")));
    }
    Ok(manifest)
}

/// What `read` makes of a file, once every byte of it is known to be the one that was saved.
fn read_checked<T>(folder: &Path, entry: &Entry, read: impl FnOnce(&mut dyn Read, u64) -> Result<T>) -> Result<T> {
    let path = folder.join(&entry.name);
    let broken = |expected: String, got: String| {
        Error::input("a checkpoint is damaged: a file is not the one that was saved")
            .detail("file", path.display())
            .detail("expected", expected)
            .detail("got", got)
            .hint("resume from an older checkpoint, or copy this one again from its source")
    };
    let length = match fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == IoKind::NotFound => {
            return Err(broken(format!("{} bytes", entry.bytes), "no such file".to_owned()));
        }
        Err(error) => return Err(Error::io("read the checkpoint", &path, &error)),
    };
    if length != entry.bytes {
        return Err(broken(format!("{} bytes", entry.bytes), format!("{length} bytes")));
    }
    let mut input = BufReader::new(Digesting { input: files::open_regular(&path)?, digest: Sha256::new() });
    let made = read(&mut input, length);
    // What was not read so far counts as well.
    std::io::copy(&mut input, &mut std::io::sink()).map_err(|error| Error::io("read the checkpoint", &path, &error))?;
    let actual = hexadecimal(input.into_inner().digest);
    if actual != entry.sha256 {
        return Err(broken(format!("sha256 {}", entry.sha256), format!("sha256 {actual}")));
    }
    made.map_err(|error| error.detail("file", path.display()))
}

/// Reads, and takes the digest of what is read.
struct Digesting<R> {
    input: R,
    digest: Sha256,
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.digest.update(&buffer[..read]);
        Ok(read)
    }
}

fn sha256(bytes: &[u8]) -> String {
    hexadecimal(Sha256::new_with_prefix(bytes))
}

pub(crate) fn hexadecimal(digest: Sha256) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn listed(steps: &[u64]) -> String {
    let steps: Vec<String> = steps.iter().map(u64::to_string).collect();
    format!("checkpoints of steps {}", steps.join(", "))
}
