//! How a data file is opened and read: packed or not, in bounded pieces, with its name in every error.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use flate2::bufread::MultiGzDecoder;

use crate::{Error, Result};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// How many bytes a small file may unpack to.
const LARGEST_UNPACKED: u64 = 1 << 32;

/// How the bytes lie in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
    Zip,
}

/// A data file as a stream of unpacked bytes. Whether it is gzip is seen from its first bytes, not from its name.
pub(super) struct Source<'a> {
    reader: Box<dyn Read + 'a>,
    path: PathBuf,
    packing: Packing,
    /// Of the file on disk.
    size: u64,
    cut: bool,
}

impl<'a> Source<'a> {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path).map_err(|error| Error::io("open a data file", path, &error))?;
        let size = file.metadata().map_err(|error| Error::io("read a data file", path, &error))?.len();
        let mut start = Vec::new();
        file.by_ref().take(2).read_to_end(&mut start).map_err(|error| Error::io("read a data file", path, &error))?;
        let packed = start == GZIP_MAGIC;
        let file = BufReader::with_capacity(1 << 16, io::Cursor::new(start).chain(file));
        let reader: Box<dyn Read + 'a> = if packed {
            let ahead = Ahead::of(MultiGzDecoder::new(file));
            Box::new(ahead.map_err(|error| Error::io("start a thread to unpack a data file", path, &error))?)
        } else {
            Box::new(file)
        };
        let packing = if packed { Packing::Gzip } else { Packing::Plain };
        Ok(Source { reader, path: path.to_owned(), packing, size, cut: false })
    }

    /// A part of an archive or of another file of `size` bytes, which has been opened already.
    pub(super) fn part(reader: impl Read + 'a, path: PathBuf, packing: Packing, size: u64) -> Self {
        Source { reader: Box::new(reader), path, packing, size, cut: false }
    }

    /// How many unpacked bytes it may hold at most: 4 GiB, or as many as the file has.
    pub(super) fn limit(&self) -> u64 {
        self.size.max(LARGEST_UNPACKED)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Fills `buffer` as far as the file reaches and returns how many bytes that was.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() && !self.cut {
            match self.reader.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if self.is_packed() && error.kind() == io::ErrorKind::UnexpectedEof => self.cut = true,
                Err(error) => return Err(self.damaged(&error)),
            }
        }
        Ok(filled)
    }

    /// Requires that nothing follows the `expected` bytes that were read; for a packed file this also checks its checksum.
    pub(super) fn finish(&mut self, expected: u64, of: &str) -> Result<()> {
        const LOOK: usize = 1 << 20;
        let mut rest = vec![0; 1 << 14];
        let mut extra = 0;
        while extra < LOOK {
            match self.fill(&mut rest)? {
                0 => break,
                count => extra += count,
            }
        }
        if self.cut {
            return Err(self.damaged(&io::Error::other("it stops before its checksum")));
        }
        if extra == 0 {
            return Ok(());
        }
        let more = if extra < LOOK { "" } else { "at least " };
        Err(Error::input(format!("{} is longer than its header says", name(&self.path)))
            .detail("file", self.path.display())
            .detail("expected", self.amount(expected, of))
            .detail("got", format!("{more}{} bytes", grouped(expected.saturating_add(extra as u64))))
            .hint("copy the file again from its source"))
    }

    /// The file stops before the bytes that its header or its format promises.
    pub(super) fn ends_early(&self, expected: u64, got: u64, of: &str) -> Error {
        Error::input(format!("{} ends early", name(&self.path)))
            .detail("file", self.path.display())
            .detail("expected", self.amount(expected, of))
            .detail("got", format!("{} bytes", grouped(got)))
            .hint("copy the file again from its source")
    }

    /// The packed stream or the archive cannot be read.
    pub(super) fn damaged(&self, error: &io::Error) -> Error {
        damaged(&self.path, self.packing, error)
    }

    pub(super) fn packing(&self) -> Packing {
        self.packing
    }

    pub(super) fn is_packed(&self) -> bool {
        self.packing != Packing::Plain
    }

    fn amount(&self, count: u64, of: &str) -> String {
        format!("{} bytes{} ({of})", grouped(count), if self.is_packed() { " unpacked" } else { "" })
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

/// A stream that a thread of its own reads ahead: unpacking takes longer than all that is done with the bytes.
struct Ahead {
    /// Pieces of the stream, an empty one at its end.
    pieces: Receiver<io::Result<Vec<u8>>>,
    /// Pieces that were read go back to be filled again.
    spent: Sender<Vec<u8>>,
    piece: Vec<u8>,
    /// Bytes of the piece that were read.
    read: usize,
    ended: bool,
}

impl Ahead {
    const PIECE: usize = 1 << 18;
    /// Pieces that may wait to be read.
    const WAITING: usize = 4;

    fn of(reader: impl Read + Send + 'static) -> io::Result<Self> {
        let (filled, pieces) = sync_channel(Self::WAITING);
        let (spent, empty) = channel();
        thread::Builder::new().name("unpack".into()).spawn(move || Self::fill(reader, &filled, &empty))?;
        Ok(Ahead { pieces, spent, piece: Vec::new(), read: 0, ended: false })
    }

    /// Goes on until the stream ends or fails, or nobody waits for it any more.
    fn fill(mut reader: impl Read, filled: &SyncSender<io::Result<Vec<u8>>>, empty: &Receiver<Vec<u8>>) {
        loop {
            let mut piece = empty.try_recv().unwrap_or_default();
            piece.clear();
            let result = reader.by_ref().take(Self::PIECE as u64).read_to_end(&mut piece);
            // What was read before a failure is part of the stream.
            let more = !piece.is_empty();
            if more && filled.send(Ok(piece)).is_err() {
                return;
            }
            let last = match result {
                Ok(0) => Ok(Vec::new()),
                Ok(_) => continue,
                Err(error) => Err(error),
            };
            // Nobody may be listening.
            let _ = filled.send(last);
            return;
        }
    }
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read == self.piece.len() && !self.ended {
            let lost = || Err(io::Error::other("the thread that unpacks it ended"));
            let next = self.pieces.recv().unwrap_or_else(|_| lost());
            self.ended = !next.as_ref().is_ok_and(|piece| !piece.is_empty());
            let piece = std::mem::replace(&mut self.piece, next?);
            self.read = 0;
            // At the end of the stream there is nobody to take it.
            let _ = self.spent.send(piece);
        }
        let count = (&self.piece[self.read..]).read(buffer)?;
        self.read += count;
        Ok(count)
    }
}

/// What a failed read means for the user.
pub(super) fn damaged(path: &Path, packing: Packing, error: &io::Error) -> Error {
    let text = error.to_string();
    let kind = match packing {
        Packing::Plain => return Error::io("read a data file", path, error),
        Packing::Gzip => "gzip file",
        Packing::Zip => "part of a zip archive",
    };
    let reason = if text.contains("matching checksum") || text.contains("Invalid checksum") {
        "the content does not have the checksum (CRC-32) the file states".to_owned()
    } else {
        text
    };
    Error::input(format!("{} is a damaged {kind}", name(path)))
        .detail("file", path.display())
        .detail("reason", reason)
        .hint("copy the file again from its source")
}

/// Requires that the folder of a data set is there.
pub(super) fn check_folder(data: &str, folder: &Path) -> Result<()> {
    match fs::metadata(folder) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(Error::input(format!("'{data}' needs a folder, and this is a file"))
            .detail("expected", "the folder that holds the files")
            .detail("got", folder.display())
            .hint("name the folder that holds this file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let hint = match download(data, folder) {
                Some(command) => format!("check the path; {command} downloads the files"),
                None => "check the path; `evenkeel data` lists the data sets and the files they need".to_owned(),
            };
            Err(Error::input(format!("the folder of '{data}' is not there"))
                .detail("folder", folder.display())
                .hint(hint))
        }
        Err(error) => Err(Error::io("look into the folder of the data", folder, &error)),
    }
}

/// The command that downloads the files of a published data set.
pub(super) fn download(data: &str, folder: &Path) -> Option<String> {
    let published = super::published().iter().any(|set| set.name == data);
    published.then(|| format!("`evenkeel data fetch {data} --out {}`", folder.display()))
}

/// The last part of a path, for the first line of an error.
pub(super) fn name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// A number with a comma between thousands.
pub(super) fn grouped(number: impl Into<u128>) -> String {
    let digits = number.into().to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The memory for `more` further values, or an error.
pub(super) fn reserve<T>(values: &mut Vec<T>, more: usize, path: &Path) -> Result<()> {
    values.try_reserve(more).map_err(|_| {
        Error::input(format!("{} does not fit into memory", name(path)))
            .detail("file", path.display())
            .detail("got", format!("{} values so far", grouped(values.len() as u64)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        let shown: Vec<String> = [0_u64, 999, 1000, 47_040_016].into_iter().map(grouped).collect();
        assert_eq!(shown, ["0", "999", "1,000", "47,040,016"]);
    }
}
