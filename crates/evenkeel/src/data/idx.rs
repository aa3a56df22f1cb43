//! How IDX files are read, the format of MNIST and Fashion-MNIST.
//!
//! Two zero bytes, one byte for the element type, one for the number of dimensions, the dimensions as big-endian 32-bit numbers,
//! then the elements, big-endian, the last dimension fastest.

use std::path::{Path, PathBuf};

use super::array::{Array, Element, Order, amount, check_counts};
use super::parts::Reading;
use super::source::{Source, check_folder, download, grouped, name, reserve};
use super::split::{Pixels, Split};
use crate::{Error, Result};

/// Which of the two parts; the value is how its files begin.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Train,
    Test,
}

/// Reads one part of the data set called `data` from `folder`, or the headers alone.
pub(super) fn load(data: &str, folder: &Path, part: Part, classes: usize, reading: Reading) -> Result<Split> {
    let [image_file, label_file] = files(data, folder, part)?;
    if reading == Reading::Sizes {
        let labels = of_labels(&mut Source::open(&label_file)?)?;
        let (images, count, shape) = of_images(&mut Source::open(&image_file)?)?;
        check_counts((count, &image_file), (labels.count(), &label_file))?;
        return Ok(Split::unread(count, shape, images.pixel_bytes()));
    }
    let (labels, images) = rayon::join(|| read_labels(&label_file, classes), || read_images(&image_file));
    let (labels, (pixels, count, shape)) = (labels?, images?);
    check_counts((count, &image_file), (labels.len(), &label_file))?;
    let divisor = if matches!(pixels, Pixels::Bytes(_)) { 255.0 } else { 1.0 };
    Split::new(pixels, labels, shape, divisor)
}

/// The files of images and of labels.
fn files(data: &str, folder: &Path, part: Part) -> Result<[PathBuf; 2]> {
    check_folder(data, folder)?;
    let prefix = match part {
        Part::Train => "train",
        Part::Test => "t10k",
    };
    Ok([find(data, folder, prefix, "images", 3)?, find(data, folder, prefix, "labels", 1)?])
}

/// The file under one of its usual names, an unpacked one first.
fn find(data: &str, folder: &Path, prefix: &str, what: &str, rank: usize) -> Result<PathBuf> {
    let names = [
        format!("{prefix}-{what}-idx{rank}-ubyte"),
        format!("{prefix}-{what}.idx{rank}-ubyte"),
        format!("{prefix}-{what}-idx{rank}-ubyte.gz"),
        format!("{prefix}-{what}.idx{rank}-ubyte.gz"),
    ];
    names.iter().map(|name| folder.join(name)).find(|path| path.is_file()).ok_or_else(|| {
        Error::input(format!("'{data}' lacks a file: {}", names[2]))
            .detail("folder", folder.display())
            .detail("expected", names.join(" or "))
            .hint(format!(
                "check the folder after the colon; {} downloads what is missing",
                download(data, folder).unwrap_or_default()
            ))
    })
}

/// The types by their code.
const ELEMENTS: [(u8, Element); 6] = [
    (0x08, Element::U8),
    (0x09, Element::I8),
    (0x0B, Element::I16),
    (0x0C, Element::I32),
    (0x0D, Element::F32),
    (0x0E, Element::F64),
];

/// Reads a header of one of these ranks.
fn header(source: &mut Source<'_>, ranks: &[u8], what: &str) -> Result<Array> {
    let mut magic = [0; 4];
    let got = source.fill(&mut magic)?;
    if got < magic.len() {
        return Err(source.ends_early(magic.len() as u64, got as u64, "the start of the header"));
    }
    let wrong = |source: &Source<'_>, byte: usize, expected: String| {
        Error::input(format!("{} is not an IDX file of {what}", name(source.path())))
            .detail("file", source.path().display())
            .detail("byte", byte)
            .detail("expected", expected)
            .detail("got", format!("{:02x} {:02x} {:02x} {:02x}", magic[0], magic[1], magic[2], magic[3]))
            .hint("check that the file is the one its name says")
    };
    if magic[..2] != [0, 0] {
        return Err(wrong(source, 0, "two zero bytes".into()));
    }
    let Some((_, element)) = ELEMENTS.into_iter().find(|(code, _)| *code == magic[2]) else {
        return Err(wrong(source, 2, "element type 08, 09, 0b, 0c, 0d or 0e".into()));
    };
    let rank = magic[3];
    if !ranks.contains(&rank) {
        let ranks: Vec<String> = ranks.iter().map(|rank| format!("{rank:02x}")).collect();
        return Err(wrong(source, 3, format!("{} dimensions", ranks.join(" or "))));
    }
    let length = 4 + 4 * u64::from(rank);
    let mut words = vec![0; 4 * usize::from(rank)];
    let got = source.fill(&mut words)?;
    if got < words.len() {
        return Err(source.ends_early(length, 4 + got as u64, "the header"));
    }
    let size = |word: &[u8]| word.iter().fold(0, |size, &byte| (size << 8) | u64::from(byte));
    let sizes: Vec<u64> = words.chunks_exact(4).map(size).collect();
    Array::new(source, element, Order::Big, &sizes, 4, length)
}

/// The header of a file of images: with it their number, and their height, width and channels.
fn of_images(source: &mut Source<'_>) -> Result<(Array, usize, [usize; 3])> {
    let array = header(source, &[3, 4], "images")?;
    let (count, shape) = match array.dimensions[..] {
        [count, height, width] => (count, [height, width, 1]),
        [count, height, width, channels] => (count, [height, width, channels]),
        _ => {
            return Err(
                Error::input("an IDX file of images needs 3 or 4 dimensions").detail("file", source.path().display())
            );
        }
    };
    Ok((array, count, shape))
}

fn of_labels(source: &mut Source<'_>) -> Result<Array> {
    let array = header(source, &[1], "labels")?;
    if array.element.is_integer() {
        return Ok(array);
    }
    Err(Error::input("labels are not whole numbers")
        .detail("file", source.path().display())
        .detail("byte", 2)
        .detail("expected", "element type 08, 09, 0b or 0c")
        .detail("got", if array.element == Element::F32 { "0d" } else { "0e" }))
}

/// Pixels, number of images, and their height, width and channels.
fn read_images(path: &Path) -> Result<(Pixels, usize, [usize; 3])> {
    let mut source = Source::open(path)?;
    let (array, count, shape) = of_images(&mut source)?;
    let pixels = array.pixels(&mut source, &amount(count, shape), shape)?;
    Ok((pixels, count, shape))
}

fn read_labels(path: &Path, classes: usize) -> Result<Vec<i32>> {
    let mut source = Source::open(path)?;
    let array = of_labels(&mut source)?;
    let of = format!("{} labels", grouped(array.count() as u64));
    let mut labels = Vec::new();
    array.numbers(&mut source, &of, |at, value| {
        if !(value >= 0.0 && value < classes as f64) {
            return Err(label_out_of_range(at.file, at.byte, at.index, classes, value));
        }
        reserve(&mut labels, 1, at.file)?;
        labels.push(value as i32);
        Ok(())
    })?;
    Ok(labels)
}

/// A label outside 0 .. classes.
pub(super) fn label_out_of_range(path: &Path, byte: u64, sample: usize, classes: usize, got: f64) -> Error {
    Error::input("a label is out of range")
        .detail("file", path.display())
        .detail("byte", byte)
        .detail("sample", sample)
        .detail("expected", format!("0..={}", classes.saturating_sub(1)))
        .detail("got", got)
        .hint("copy the file again from its source")
}
