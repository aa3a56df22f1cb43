//! How one file is downloaded: from one address after the other, on from where an earlier try ended, until its checksum is right.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;

use sha2::{Digest, Sha256};
use ureq::http::StatusCode;

use super::{FetchEvent, FetchOptions, Fetched, Published, PublishedFile};
use crate::data::source::grouped;
use crate::store::checkpoint::hexadecimal;
use crate::store::files::sync_folder;
use crate::{Error, Result};

/// Requests in a row that may bring nothing new.
const TRIES: u32 = 4;
/// Read at a time.
const PIECE: usize = 1 << 16;

/// How the files of a data set are downloaded.
pub(super) struct Download<'a> {
    agent: ureq::Agent,
    set: &'a Published,
    addresses: Vec<&'a str>,
    folder: &'a Path,
    options: &'a FetchOptions,
}

/// Why a try did not bring the file.
enum Failure {
    /// It may, when it is asked again.
    Again(Reason),
    /// Not from this address.
    Elsewhere(Reason),
    /// Nor from any other.
    Final(Error),
}

enum Reason {
    /// There was no answer.
    Unreachable(String),
    /// There was one, and it was not the file.
    Refused(String),
    /// What came is another file, with this checksum.
    Other(String),
}

impl Failure {
    fn again(reason: impl ToString) -> Self {
        Failure::Again(Reason::Refused(reason.to_string()))
    }
}

impl Reason {
    fn text(&self) -> &str {
        match self {
            Reason::Unreachable(text) | Reason::Refused(text) | Reason::Other(text) => text,
        }
    }
}

impl<'a> Download<'a> {
    pub(super) fn new(set: &'a Published, folder: &'a Path, options: &'a FetchOptions) -> Self {
        let patience = Some(options.patience);
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_resolve(patience)
            .timeout_connect(patience)
            .timeout_recv_response(patience)
            .timeout_recv_body(patience)
            .user_agent(concat!("evenkeel/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        let addresses = match &options.from {
            Some(address) => vec![address.as_str()],
            None => set.addresses.iter().map(String::as_str).collect(),
        };
        Download { agent, set, addresses, folder, options }
    }

    /// Sees to it that the file is there.
    pub(super) fn file(&self, file: &PublishedFile, report: &mut dyn FnMut(FetchEvent<'_>)) -> Result<Fetched> {
        let path = self.folder.join(&file.name);
        let fetched = |downloaded| Fetched { path: path.clone(), bytes: file.bytes, downloaded };
        if path.exists() {
            check_present(&path, file)?;
            report(FetchEvent::Present { file: &file.name });
            return Ok(fetched(false));
        }
        let mut part = Part::open(self.folder.join(format!("{}.part", file.name)))?;
        let mut failures = Vec::new();
        for base in &self.addresses {
            let address = format!("{}/{}", base.trim_end_matches('/'), file.name);
            match self.from(&address, file, &mut part, report) {
                Ok(()) => {
                    part.become_file(&path)?;
                    report(FetchEvent::Finished { file: &file.name });
                    return Ok(fetched(true));
                }
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Again(reason) | Failure::Elsewhere(reason)) => failures.push((address, reason)),
            }
        }
        let kept = part.leave();
        Err(self.failed(file, &failures, kept))
    }

    /// Asks an address until the file is whole, or it has nothing new to give.
    fn from(
        &self,
        address: &str,
        file: &PublishedFile,
        part: &mut Part,
        report: &mut dyn FnMut(FetchEvent<'_>),
    ) -> std::result::Result<(), Failure> {
        let (mut tries, mut most) = (0, part.length().map_err(Failure::Final)?);
        loop {
            let reason = match self.attempt(address, file, part, report) {
                Err(Failure::Again(reason)) => reason,
                other => return other,
            };
            let length = part.length().map_err(Failure::Final)?;
            tries = if length > most { 1 } else { tries + 1 };
            most = most.max(length);
            if tries >= TRIES {
                return Err(Failure::Again(reason));
            }
            report(FetchEvent::Again { file: &file.name, reason: reason.text() });
            thread::sleep(self.options.pause * 2_u32.pow(tries - 1));
        }
    }

    /// One request for what is not here yet.
    fn attempt(
        &self,
        address: &str,
        file: &PublishedFile,
        part: &mut Part,
        report: &mut dyn FnMut(FetchEvent<'_>),
    ) -> std::result::Result<(), Failure> {
        let (mut hash, mut done) = part.hash(file.bytes).map_err(Failure::Final)?;
        let resumed = done > 0;
        if done < file.bytes {
            let mut request = self.agent.get(address);
            if resumed {
                request = request.header("Range", format!("bytes={done}-"));
            }
            let mut response = request.call().map_err(failure)?;
            let status = response.status();
            let range = response.headers().get("Content-Range").and_then(|range| range.to_str().ok());
            let goes_on = range.is_some_and(|range| range.starts_with(&format!("bytes {done}-")));
            match status {
                StatusCode::PARTIAL_CONTENT if goes_on => {}
                StatusCode::OK => {
                    // The whole file, whatever was asked for.
                    part.empty().map_err(Failure::Final)?;
                    (hash, done) = (Sha256::new(), 0);
                }
                StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                    part.empty().map_err(Failure::Final)?;
                    return Err(Failure::again("the server does not go on from where the file ends here"));
                }
                _ => {
                    let reason = Reason::Refused(format!("the server says {status}"));
                    let busy = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status);
                    let later = busy || status.is_server_error();
                    return Err(if later { Failure::Again(reason) } else { Failure::Elsewhere(reason) });
                }
            }
            report(FetchEvent::Started { file: &file.name, address, done, total: file.bytes });
            let mut reader = response.body_mut().as_reader();
            let mut piece = vec![0; PIECE];
            loop {
                let read = match reader.read(&mut piece) {
                    Ok(0) => break,
                    Ok(read) => read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(Failure::again(error)),
                };
                done += read as u64;
                if done > file.bytes {
                    part.empty().map_err(Failure::Final)?;
                    let reason = format!("more than {} bytes", grouped(file.bytes));
                    return Err(Failure::Elsewhere(Reason::Other(reason)));
                }
                part.write(&piece[..read]).map_err(Failure::Final)?;
                hash.update(&piece[..read]);
                report(FetchEvent::Received { done });
            }
            if done < file.bytes {
                let (got, all) = (grouped(done), grouped(file.bytes));
                return Err(Failure::again(format!("the connection ended after {got} of {all} bytes")));
            }
        }
        let got = hexadecimal(hash);
        if got == file.sha256 {
            return Ok(());
        }
        part.empty().map_err(Failure::Final)?;
        Err(if resumed {
            Failure::again("what was here before does not belong to the file; it is downloaded from its start")
        } else {
            Failure::Elsewhere(Reason::Other(got))
        })
    }

    /// What to tell when no address had the file.
    fn failed(&self, file: &PublishedFile, failures: &[(String, Reason)], kept: u64) -> Error {
        let other = failures.iter().any(|(_, reason)| matches!(reason, Reason::Other(_)));
        let unreachable = failures.iter().all(|(_, reason)| matches!(reason, Reason::Unreachable(_)));
        let mut error = Error::input(match (other, unreachable) {
            (true, _) => format!("what was downloaded is not the published {}", file.name),
            (false, true) => format!("{} cannot be downloaded: no server can be reached", file.name),
            (false, false) => format!("{} cannot be downloaded", file.name),
        });
        for (address, reason) in failures {
            error = error.detail("address", address);
            error = match reason {
                Reason::Unreachable(reason) | Reason::Refused(reason) => error.detail("reason", reason),
                Reason::Other(got) => error
                    .detail("expected", format!("{} bytes, SHA-256 {}", grouped(file.bytes), file.sha256))
                    .detail("got", got),
            };
        }
        if kept > 0 {
            error = error.detail(
                "kept",
                format!("{} of {} bytes; the same command goes on from there", grouped(kept), grouped(file.bytes)),
            );
        }
        let absent =
            self.set.files.iter().map(|file| file.name.as_str()).filter(|name| !self.folder.join(name).exists());
        let absent: Vec<&str> = absent.collect();
        let them = if absent.len() == 1 { "it" } else { "them" };
        error.hint(format!(
            "on a machine with a connection download {} from {}/, put {them} into {}, and run the same command again, which checks {them}",
            absent.join(", "),
            self.addresses.first().unwrap_or(&"").trim_end_matches('/'),
            self.folder.display()
        ))
    }
}

fn failure(error: ureq::Error) -> Failure {
    let unreachable = |reason: &str| Failure::Elsewhere(Reason::Unreachable(reason.to_owned()));
    match error {
        ureq::Error::HostNotFound => unreachable("the name of the server cannot be looked up"),
        // The standard library has no kind for it.
        ureq::Error::Io(error) if error.to_string().contains("lookup address") => {
            unreachable("the name of the server cannot be looked up")
        }
        ureq::Error::ConnectionFailed => unreachable("no connection"),
        ureq::Error::Io(error)
            if matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable
            ) =>
        {
            unreachable(&error.to_string())
        }
        ureq::Error::Io(_) | ureq::Error::Timeout(_) => Failure::Again(Reason::Unreachable(error.to_string())),
        ureq::Error::Protocol(_) => Failure::again(error),
        other => Failure::Elsewhere(Reason::Refused(other.to_string())),
    }
}

/// A file that is there already has to be the published one; it is the user's, and stays as it is.
fn check_present(path: &Path, file: &PublishedFile) -> Result<()> {
    let failed = |error: io::Error| Error::io("read the file", path, &error);
    let mut present = File::open(path).map_err(failed)?;
    let bytes = present.metadata().map_err(failed)?.len();
    let got = if bytes == file.bytes {
        hexadecimal(hash_of(&mut present).map_err(failed)?.0)
    } else {
        format!("{} bytes", grouped(bytes))
    };
    if got == file.sha256 {
        return Ok(());
    }
    Err(Error::input(format!("{} is there, and is not the published file", file.name))
        .detail("file", path.display())
        .detail("expected", format!("{} bytes, SHA-256 {}", grouped(file.bytes), file.sha256))
        .detail("got", got)
        .hint("move it away, or choose another folder with `--out DIR`"))
}

/// The hash of what is left of a file, and how many bytes that was.
fn hash_of(file: &mut File) -> io::Result<(Sha256, u64)> {
    let (mut hash, mut length, mut piece) = (Sha256::new(), 0, vec![0; PIECE]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok((hash, length)),
            read => {
                hash.update(&piece[..read]);
                length += read as u64;
            }
        }
    }
}

/// What is here of a file so far. One process at a time has it.
struct Part {
    file: File,
    path: PathBuf,
}

impl Part {
    fn open(path: PathBuf) -> Result<Self> {
        let file = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let file = file.map_err(|error| Error::io("write the download", &path, &error))?;
        // Not every file system has locks.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(Error::input("another process is downloading this file")
                .detail("file", path.display())
                .hint("wait until it is done, or choose another folder with `--out DIR`"));
        }
        Ok(Part { file, path })
    }

    fn length(&self) -> Result<u64> {
        Ok(self.file.metadata().map_err(|error| self.failed(&error))?.len())
    }

    /// The hash and the number of the bytes that are here, with the next to be written after them; too many are none.
    fn hash(&mut self, most: u64) -> Result<(Sha256, u64)> {
        if self.length()? > most {
            self.empty()?;
        }
        let start = self.file.seek(SeekFrom::Start(0));
        start.and_then(|_| hash_of(&mut self.file)).map_err(|error| self.failed(&error))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| self.failed(&error))
    }

    fn empty(&mut self) -> Result<()> {
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(|error| self.failed(&error))
    }

    /// Gives the whole file its name.
    fn become_file(self, path: &Path) -> Result<()> {
        let placed = self.file.sync_all().and_then(|()| std::fs::rename(&self.path, path));
        placed.map_err(|error| Error::io("put the file in place", path, &error))?;
        sync_folder(path.parent().unwrap_or(Path::new(".")))
    }

    /// Keeps what is worth going on with, and says how much that is.
    fn leave(self) -> u64 {
        let length = self.length().unwrap_or(0);
        if length == 0 {
            // An empty file does no harm.
            let _ = std::fs::remove_file(&self.path);
        }
        length
    }

    fn failed(&self, error: &io::Error) -> Error {
        Error::io("write the download", &self.path, error)
    }
}
