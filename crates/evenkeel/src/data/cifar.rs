//! How CIFAR-10 is read: the official binary archive, or the files unpacked from it.
//!
//! A file holds 10,000 records of 3,073 bytes: a label, then the red, the green and the blue plane of 32×32 bytes, row by row.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::idx::label_out_of_range;
use super::source::{Source, check_folder, grouped, name};
use super::split::{Pixels, Split};
use super::{CIFAR10_CLASSES, too_many};
use crate::{Error, Result};

const SIDE: usize = 32;
const CHANNELS: usize = 3;
const PLANE: usize = SIDE * SIDE;
const IMAGE: usize = CHANNELS * PLANE;
const RECORD: usize = 1 + IMAGE;
const CLASSES: usize = 10;
/// Records in a file of the official data.
const OFFICIAL: usize = 10_000;
/// Records read at a time.
const CHUNK: usize = 64;
const TRAIN_FILES: usize = 5;
const FILES: [&str; TRAIN_FILES + 1] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
];
const NAMES_FILE: &str = "batches.meta.txt";
const NAMES_LIMIT: u64 = 1 << 14;
const SUBFOLDER: &str = "cifar-10-batches-bin";
const ARCHIVE: &str = "cifar-10-binary.tar.gz";
/// How far an archive is unpacked; the official one holds 184 MB.
const UNPACKED_LIMIT: u64 = 1 << 30;

/// The training part, the test part and the names of the classes.
pub(super) type Loaded = (Split, Split, Vec<String>);

/// Reads the first `limit` training and the first `test_limit` test records.
pub(super) fn load(folder: &Path, limit: Option<usize>, test_limit: Option<usize>) -> Result<Loaded> {
    read(folder, OFFICIAL, limit, test_limit)
}

fn read(folder: &Path, records: usize, limit: Option<usize>, test_limit: Option<usize>) -> Result<Loaded> {
    check_folder("cifar10", folder)?;
    let mut batches = Batches::new(records, limit, test_limit)?;
    let places = [folder.join(SUBFOLDER), folder.to_owned()];
    let missing = |place: &Path| FILES.iter().filter(|file| !place.join(file).is_file()).copied().collect::<Vec<_>>();
    let archive = folder.join(ARCHIVE);
    if let Some(place) = places.iter().find(|place| missing(place).is_empty()) {
        batches.read_folder(place)?;
    } else if archive.is_file() {
        batches.read_archive(&archive)?;
    } else {
        let started = places.iter().find(|place| missing(place).len() < FILES.len());
        return Err(match started {
            Some(place) => Error::input("'cifar10' is not complete")
                .detail("folder", place.display())
                .detail("expected", format!("{} files of {} bytes", FILES.len(), grouped(batches.file_bytes())))
                .detail("missing", missing(place).join(", "))
                .hint("unpack the archive again, or put cifar-10-binary.tar.gz into the folder"),
            None => Error::input("'cifar10' is not in this folder")
                .detail("folder", folder.display())
                .detail("expected", format!("{ARCHIVE}, or {SUBFOLDER}/ with {} to {}", FILES[0], FILES[TRAIN_FILES]))
                .hint("put the official binary archive into the folder, or check the folder after the colon"),
        });
    }
    batches.finish()
}

/// What is read so far.
struct Batches {
    records: usize,
    train: Images,
    test: Images,
    class_names: Option<Vec<String>>,
}

/// Images and labels, allocated whole and filled file by file.
struct Images {
    pixels: Vec<u8>,
    labels: Vec<i32>,
}

impl Images {
    fn new(count: usize) -> Self {
        Images { pixels: vec![0; count * IMAGE], labels: vec![0; count] }
    }
}

impl Batches {
    fn new(records: usize, limit: Option<usize>, test_limit: Option<usize>) -> Result<Self> {
        let count = |option: &str, limit: Option<usize>, all: usize| match limit {
            Some(limit) if limit > all => Err(too_many(option, limit, all)),
            limit => Ok(limit.unwrap_or(all)),
        };
        Ok(Batches {
            records,
            train: Images::new(count("limit", limit, TRAIN_FILES * records)?),
            test: Images::new(count("test_limit", test_limit, records)?),
            class_names: None,
        })
    }

    fn file_bytes(&self) -> u64 {
        (self.records * RECORD) as u64
    }

    fn check_size(&self, path: &Path, got: u64) -> Result<()> {
        if got == self.file_bytes() {
            return Ok(());
        }
        let wrong = if got < self.file_bytes() { "too short" } else { "too long" };
        Err(Error::input(format!("{} is {wrong}", name(path)))
            .detail("file", path.display())
            .detail(
                "expected",
                format!(
                    "{} bytes ({} records of {})",
                    grouped(self.file_bytes()),
                    grouped(self.records as u64),
                    grouped(RECORD as u64)
                ),
            )
            .detail("got", format!("{} bytes", grouped(got)))
            .hint("copy the data again from its source"))
    }

    fn read_folder(&mut self, folder: &Path) -> Result<()> {
        let paths = FILES.map(|file| folder.join(file));
        for path in &paths {
            let size = fs::metadata(path).map_err(|error| Error::io("read a data file", path, &error))?.len();
            self.check_size(path, size)?;
        }
        let names = folder.join(NAMES_FILE);
        if names.is_file() {
            let file = fs::File::open(&names).map_err(|error| Error::io("open a data file", &names, &error))?;
            self.read_class_names(&names, file)?;
        }
        for (index, path) in paths.iter().enumerate() {
            let mut file = fs::File::open(path).map_err(|error| Error::io("open a data file", path, &error))?;
            self.read_file(index, path, &mut file, &|error| Error::io("read a data file", path, error))?;
        }
        Ok(())
    }

    /// Goes through the archive once, as a stream, and keeps the records that are wanted.
    fn read_archive(&mut self, path: &Path) -> Result<()> {
        let source = Source::open(path)?;
        let packed = source.is_packed();
        let damaged = |error: &io::Error| -> Error {
            let error = if error.kind() == io::ErrorKind::UnexpectedEof {
                io::Error::other("it stops before the end of the archive")
            } else {
                io::Error::new(error.kind(), error.to_string())
            };
            if packed {
                return super::source::damaged(path, true, &error);
            }
            Error::input(format!("{} is not a readable archive", name(path)))
                .detail("file", path.display())
                .detail("expected", "a tar archive packed with gzip")
                .detail("reason", error)
                .hint("copy the file again from its source")
        };
        let mut found = [false; FILES.len()];
        let mut archive = tar::Archive::new(source.take(UNPACKED_LIMIT));
        for entry in archive.entries().map_err(|error| damaged(&error))? {
            let mut entry = entry.map_err(|error| damaged(&error))?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let inner: PathBuf = match entry.path() {
                Ok(inner) => inner.into_owned(),
                Err(_) => continue,
            };
            let shown = path.join(&inner);
            let inner = name(&inner);
            if let Some(index) = FILES.iter().position(|file| **file == inner) {
                self.check_size(&shown, entry.size())?;
                self.read_file(index, &shown, &mut entry, &damaged)?;
                found[index] = true;
            } else if inner == NAMES_FILE {
                self.read_class_names(&shown, entry)?;
            }
        }
        let missing: Vec<&str> = FILES.iter().zip(found).filter(|(_, found)| !found).map(|(file, _)| *file).collect();
        if !missing.is_empty() {
            return Err(Error::input(format!("{} is not complete", name(path)))
                .detail("file", path.display())
                .detail("expected", format!("{} files of {} bytes", FILES.len(), grouped(self.file_bytes())))
                .detail("missing", missing.join(", "))
                .hint("copy the file again from its source; it must be the binary version of CIFAR-10"));
        }
        // Reading to the end has the checksum of the archive compared.
        io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(|error| damaged(&error))?;
        Ok(())
    }

    /// Reads as many records of file number `index` as are wanted, and turns planes into channels-last pixels.
    fn read_file(
        &mut self,
        index: usize,
        path: &Path,
        reader: &mut dyn Read,
        failed: &dyn Fn(&io::Error) -> Error,
    ) -> Result<()> {
        let (images, start) =
            if index < TRAIN_FILES { (&mut self.train, index * self.records) } else { (&mut self.test, 0) };
        let end = (start + self.records).min(images.labels.len());
        let start = start.min(end);
        let labels = images.labels[start..end].chunks_mut(CHUNK);
        let pixels = images.pixels[start * IMAGE..end * IMAGE].chunks_mut(CHUNK * IMAGE);
        let mut buffer = vec![0; CHUNK * RECORD];
        for (chunk, (labels, pixels)) in labels.zip(pixels).enumerate() {
            let buffer = &mut buffer[..labels.len() * RECORD];
            reader.read_exact(buffer).map_err(|error| failed(&error))?;
            let targets = labels.iter_mut().zip(pixels.chunks_exact_mut(IMAGE));
            for (offset, (record, (label, image))) in buffer.chunks_exact(RECORD).zip(targets).enumerate() {
                let sample = chunk * CHUNK + offset;
                let (class, planes) = (record[0], &record[1..]);
                if usize::from(class) >= CLASSES {
                    let byte = (sample * RECORD) as u64;
                    return Err(label_out_of_range(path, byte, sample, CLASSES, f64::from(class)));
                }
                *label = i32::from(class);
                let (red, rest) = planes.split_at(PLANE);
                let (green, blue) = rest.split_at(PLANE);
                for (pixel, ((&red, &green), &blue)) in
                    image.chunks_exact_mut(CHANNELS).zip(red.iter().zip(green).zip(blue))
                {
                    pixel.copy_from_slice(&[red, green, blue]);
                }
            }
        }
        Ok(())
    }

    fn read_class_names(&mut self, path: &Path, reader: impl Read) -> Result<()> {
        let wrong = |got: String| {
            Error::input(format!("{} does not name the classes", name(path)))
                .detail("file", path.display())
                .detail("expected", format!("{CLASSES} names, one a line"))
                .detail("got", got)
                .hint("copy the file again from its source, or remove it: the names are built in too")
        };
        let mut text = String::new();
        reader.take(NAMES_LIMIT).read_to_string(&mut text).map_err(|error| wrong(error.to_string()))?;
        let names: Vec<String> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
        if names.len() != CLASSES {
            return Err(wrong(format!("{} names", names.len())));
        }
        self.class_names = Some(names);
        Ok(())
    }

    fn finish(self) -> Result<Loaded> {
        let split =
            |images: Images| Split::new(Pixels::Bytes(images.pixels), images.labels, [SIDE, SIDE, CHANNELS], 255.0);
        let names = self.class_names.unwrap_or_else(|| CIFAR10_CLASSES.map(str::to_owned).to_vec());
        Ok((split(self.train)?, split(self.test)?, names))
    }
}

#[cfg(test)]
#[path = "cifar_tests.rs"]
mod tests;
