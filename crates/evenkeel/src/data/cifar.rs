//! How CIFAR-10 is read: the official binary archive, or the files unpacked from it.
//!
//! A file holds 10,000 records of 3,073 bytes: a label, then the red, the green and the blue plane of 32×32 bytes, row by row.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::idx::label_out_of_range;
use super::parts::Reading;
use super::source::{Packing, Source, check_folder, download, grouped, name};
use super::split::{Pixels, Split};
use super::{CIFAR10_CLASSES, LoadOptions, Loaded, wanted};
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

/// Reads as many of the first training and test records as are wanted, or finds out from names and sizes alone what is there.
pub(super) fn load(folder: &Path, options: &LoadOptions, reading: Reading) -> Result<Loaded> {
    let (limit, test_limit) = (options.first(), options.test_limit);
    if reading == Reading::Samples {
        return read(folder, OFFICIAL, limit, test_limit);
    }
    if let Place::Folder(place) = find(folder, OFFICIAL)? {
        check_sizes(&place, OFFICIAL)?;
    }
    let [train, test] = counts(OFFICIAL, limit, test_limit)?;
    let split = |count| Split::unread(count, [SIDE, SIDE, CHANNELS], size_of::<u8>());
    Ok((split(train), split(test), CIFAR10_CLASSES.map(str::to_owned).to_vec()))
}

fn read(folder: &Path, records: usize, limit: Option<usize>, test_limit: Option<usize>) -> Result<Loaded> {
    let place = find(folder, records)?;
    let mut batches = Batches::new(records, counts(records, limit, test_limit)?);
    match place {
        Place::Folder(place) => batches.read_folder(&place)?,
        Place::Archive(archive) => batches.read_archive(&archive)?,
    }
    batches.finish()
}

/// How many training and how many test records are wanted.
fn counts(records: usize, limit: Option<usize>, test_limit: Option<usize>) -> Result<[usize; 2]> {
    Ok([wanted("limit", limit, TRAIN_FILES * records)?, wanted("test_limit", test_limit, records)?])
}

/// Where the files are.
enum Place {
    Folder(PathBuf),
    Archive(PathBuf),
}

fn find(folder: &Path, records: usize) -> Result<Place> {
    check_folder("cifar10", folder)?;
    let places = [folder.join(SUBFOLDER), folder.to_owned()];
    let missing = |place: &Path| FILES.iter().filter(|file| !place.join(file).is_file()).copied().collect::<Vec<_>>();
    let archive = folder.join(ARCHIVE);
    if let Some(place) = places.iter().find(|place| missing(place).is_empty()) {
        return Ok(Place::Folder(place.clone()));
    }
    if archive.is_file() {
        return Ok(Place::Archive(archive));
    }
    Err(match places.iter().find(|place| missing(place).len() < FILES.len()) {
        Some(place) => Error::input("'cifar10' is not complete")
            .detail("folder", place.display())
            .detail("expected", format!("{} files of {} bytes", FILES.len(), grouped(file_bytes(records))))
            .detail("missing", missing(place).join(", "))
            .hint("unpack the archive again, or put cifar-10-binary.tar.gz into the folder"),
        None => Error::input("'cifar10' is not in this folder")
            .detail("folder", folder.display())
            .detail("expected", format!("{ARCHIVE}, or {SUBFOLDER}/ with {} to {}", FILES[0], FILES[TRAIN_FILES]))
            .hint(format!(
                "check the folder after the colon; {} downloads the archive",
                download("cifar10", folder).unwrap_or_default()
            )),
    })
}

fn file_bytes(records: usize) -> u64 {
    (records * RECORD) as u64
}

fn check_size(path: &Path, records: usize, got: u64) -> Result<()> {
    let expected = file_bytes(records);
    if got == expected {
        return Ok(());
    }
    let wrong = if got < expected { "too short" } else { "too long" };
    let amount =
        format!("{} bytes ({} records of {})", grouped(expected), grouped(records as u64), grouped(RECORD as u64));
    Err(Error::input(format!("{} is {wrong}", name(path)))
        .detail("file", path.display())
        .detail("expected", amount)
        .detail("got", format!("{} bytes", grouped(got)))
        .hint("copy the data again from its source"))
}

/// The files of a folder, none of them too short or too long.
fn check_sizes(folder: &Path, records: usize) -> Result<[PathBuf; FILES.len()]> {
    let paths = FILES.map(|file| folder.join(file));
    for path in &paths {
        let size = fs::metadata(path).map_err(|error| Error::io("read a data file", path, &error))?.len();
        check_size(path, records, size)?;
    }
    Ok(paths)
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
    fn new(records: usize, [train, test]: [usize; 2]) -> Self {
        Batches { records, train: Images::new(train), test: Images::new(test), class_names: None }
    }

    fn read_folder(&mut self, folder: &Path) -> Result<()> {
        let paths = check_sizes(folder, self.records)?;
        let names = folder.join(NAMES_FILE);
        if names.is_file() {
            let file = fs::File::open(&names).map_err(|error| Error::io("open a data file", &names, &error))?;
            self.read_class_names(&names, file)?;
        }
        let read = |(path, target): (&PathBuf, Target<'_>)| {
            let mut file = fs::File::open(path).map_err(|error| Error::io("open a data file", path, &error))?;
            target.read(path, &mut file, &|error| Error::io("read a data file", path, error))
        };
        // All of them at once; of several failures the first file's is told.
        let results: Vec<Result<()>> = paths.par_iter().zip(self.targets()).map(read).collect();
        results.into_iter().collect()
    }

    /// Where the records of each file go.
    fn targets(&mut self) -> Vec<Target<'_>> {
        let mut targets = Vec::new();
        for (images, files) in [(&mut self.train, TRAIN_FILES), (&mut self.test, 1)] {
            let (mut labels, mut pixels) = (&mut images.labels[..], &mut images.pixels[..]);
            for _ in 0..files {
                let count = self.records.min(labels.len());
                let (these, rest) = labels.split_at_mut(count);
                let (planes, further) = pixels.split_at_mut(count * IMAGE);
                targets.push(Target { labels: these, pixels: planes });
                (labels, pixels) = (rest, further);
            }
        }
        targets
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
                return super::source::damaged(path, Packing::Gzip, &error);
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
                check_size(&shown, self.records, entry.size())?;
                self.targets().swap_remove(index).read(&shown, &mut entry, &damaged)?;
                found[index] = true;
            } else if inner == NAMES_FILE {
                self.read_class_names(&shown, entry)?;
            }
        }
        let missing: Vec<&str> = FILES.iter().zip(found).filter(|(_, found)| !found).map(|(file, _)| *file).collect();
        if !missing.is_empty() {
            return Err(Error::input(format!("{} is not complete", name(path)))
                .detail("file", path.display())
                .detail("expected", format!("{} files of {} bytes", FILES.len(), grouped(file_bytes(self.records))))
                .detail("missing", missing.join(", "))
                .hint("copy the file again from its source; it must be the binary version of CIFAR-10"));
        }
        // Reading to the end has the checksum of the archive compared.
        io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(|error| damaged(&error))?;
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

/// Where the records of one file go: as many as are wanted.
struct Target<'a> {
    labels: &'a mut [i32],
    pixels: &'a mut [u8],
}

impl Target<'_> {
    /// Reads the records and turns planes into channels-last pixels.
    fn read(self, path: &Path, reader: &mut dyn Read, failed: &dyn Fn(&io::Error) -> Error) -> Result<()> {
        let mut buffer = vec![0; CHUNK * RECORD];
        let chunks = self.labels.chunks_mut(CHUNK).zip(self.pixels.chunks_mut(CHUNK * IMAGE));
        for (chunk, (labels, pixels)) in chunks.enumerate() {
            let buffer = &mut buffer[..labels.len() * RECORD];
            reader.read_exact(buffer).map_err(|error| failed(&error))?;
            let images = labels.iter_mut().zip(pixels.chunks_exact_mut(IMAGE));
            for (offset, (record, (label, image))) in buffer.chunks_exact(RECORD).zip(images).enumerate() {
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
}

#[cfg(test)]
#[path = "cifar_tests.rs"]
mod tests;
