//! How IDX files are read, the format of MNIST and Fashion-MNIST.
//!
//! Two zero bytes, one byte for the element type, one for the number of dimensions, the dimensions as big-endian 32-bit numbers,
//! then the elements, big-endian, the last dimension fastest. The header is not believed: memory grows as data arrives.

use std::path::{Path, PathBuf};

use super::source::{Source, check_folder, grouped, name, reserve};
use super::split::{Pixels, Split};
use crate::{Error, Result};

/// How many unpacked bytes a file may hold.
const LARGEST_FILE: u64 = 1 << 32;
/// Read at a time; a multiple of every element size.
const CHUNK: usize = 1 << 18;

/// Which of the two parts; the value is how its files begin.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Train,
    Test,
}

/// Reads one part of the data set called `data` from `folder`.
pub(super) fn load(data: &str, folder: &Path, part: Part, classes: usize) -> Result<Split> {
    let [image_file, label_file] = files(data, folder, part)?;
    let (labels, images) = rayon::join(|| read_labels(&label_file, classes), || read_images(&image_file));
    let (labels, (pixels, count, shape)) = (labels?, images?);
    check_counts((count, &image_file), (labels.len(), &label_file))?;
    let divisor = if matches!(pixels, Pixels::Bytes(_)) { 255.0 } else { 1.0 };
    Split::new(pixels, labels, shape, divisor)
}

/// Reads the headers of one part alone.
pub(super) fn survey(data: &str, folder: &Path, part: Part) -> Result<Split> {
    let [image_file, label_file] = files(data, folder, part)?;
    let labels = Header::of_labels(&mut Source::open(&label_file)?)?;
    let (images, count, shape) = Header::of_images(&mut Source::open(&image_file)?)?;
    check_counts((count, &image_file), (labels.count(), &label_file))?;
    let size = if images.element == Element::U8 { size_of::<u8>() } else { size_of::<f32>() };
    Ok(Split::unread(count, shape, size))
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

fn check_counts((images, image_file): (usize, &Path), (labels, label_file): (usize, &Path)) -> Result<()> {
    if images == labels {
        return Ok(());
    }
    Err(Error::input("images and labels differ in number")
        .detail("images", format!("{} in {}", grouped(images as u64), image_file.display()))
        .detail("labels", format!("{} in {}", grouped(labels as u64), label_file.display()))
        .hint("take both files from the same source"))
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
            .hint("copy the file into the folder, or check the folder after the colon")
    })
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Element {
    U8,
    I8,
    I16,
    I32,
    F32,
    F64,
}

impl Element {
    fn of_code(code: u8) -> Option<Self> {
        match code {
            0x08 => Some(Element::U8),
            0x09 => Some(Element::I8),
            0x0B => Some(Element::I16),
            0x0C => Some(Element::I32),
            0x0D => Some(Element::F32),
            0x0E => Some(Element::F64),
            _ => None,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Element::U8 | Element::I8 => 1,
            Element::I16 => 2,
            Element::I32 | Element::F32 => 4,
            Element::F64 => 8,
        }
    }

    fn is_integer(self) -> bool {
        !matches!(self, Element::F32 | Element::F64)
    }

    /// The value of one big-endian element; every type fits into f64.
    fn value(self, bytes: &[u8]) -> f64 {
        match (self, bytes) {
            (Element::U8, &[a]) => f64::from(a),
            (Element::I8, &[a]) => f64::from(a as i8),
            (Element::I16, &[a, b]) => f64::from(i16::from_be_bytes([a, b])),
            (Element::I32, &[a, b, c, d]) => f64::from(i32::from_be_bytes([a, b, c, d])),
            (Element::F32, &[a, b, c, d]) => f64::from(f32::from_be_bytes([a, b, c, d])),
            (Element::F64, &[a, b, c, d, e, f, g, h]) => f64::from_be_bytes([a, b, c, d, e, f, g, h]),
            _ => f64::NAN,
        }
    }
}

struct Header {
    element: Element,
    dimensions: Vec<usize>,
    /// Of the header itself.
    length: u64,
    /// Of header and elements together.
    total: u64,
}

impl Header {
    fn read(source: &mut Source, ranks: &[u8], what: &str) -> Result<Self> {
        let mut magic = [0; 4];
        let got = source.fill(&mut magic)?;
        if got < magic.len() {
            return Err(source.ends_early(magic.len() as u64, got as u64, "the start of the header"));
        }
        let wrong = |source: &Source, byte: usize, expected: String| {
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
        let Some(element) = Element::of_code(magic[2]) else {
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
        let sizes: Vec<u32> = words
            .chunks_exact(4)
            .map(|word| word.iter().fold(0, |size, &byte| (size << 8) | u32::from(byte)))
            .collect();
        let shown = sizes.iter().map(u32::to_string).collect::<Vec<_>>().join("×");
        if let Some(position) = sizes.iter().position(|&size| size == 0) {
            return Err(Error::input(format!("{} holds nothing", name(source.path())))
                .detail("file", source.path().display())
                .detail("byte", 4 + 4 * position)
                .detail("expected", "sizes of at least 1")
                .detail("got", shown));
        }
        let total = sizes
            .iter()
            .try_fold(element.bytes() as u64, |bytes, &size| bytes.checked_mul(u64::from(size)))
            .and_then(|bytes| bytes.checked_add(length))
            .filter(|&total| total <= LARGEST_FILE);
        let dimensions: Option<Vec<usize>> = sizes.iter().map(|&size| usize::try_from(size).ok()).collect();
        match (total, dimensions) {
            (Some(total), Some(dimensions)) => Ok(Header { element, dimensions, length, total }),
            _ => Err(Error::input(format!("{} promises more than can be read", name(source.path())))
                .detail("file", source.path().display())
                .detail("byte", 4)
                .detail("expected", format!("at most {} bytes", grouped(LARGEST_FILE)))
                .detail("got", format!("{shown} elements of {} bytes", element.bytes()))
                .hint("the header is wrong, or the file is not IDX: copy it again from its source")),
        }
    }

    /// The header of a file of images: with it their number, and their height, width and channels.
    fn of_images(source: &mut Source) -> Result<(Self, usize, [usize; 3])> {
        let header = Self::read(source, &[3, 4], "images")?;
        let (count, shape) = match header.dimensions[..] {
            [count, height, width] => (count, [height, width, 1]),
            [count, height, width, channels] => (count, [height, width, channels]),
            _ => {
                return Err(Error::input("an IDX file of images needs 3 or 4 dimensions")
                    .detail("file", source.path().display()));
            }
        };
        Ok((header, count, shape))
    }

    fn of_labels(source: &mut Source) -> Result<Self> {
        let header = Self::read(source, &[1], "labels")?;
        if header.element.is_integer() {
            return Ok(header);
        }
        Err(Error::input("labels are not whole numbers")
            .detail("file", source.path().display())
            .detail("byte", 2)
            .detail("expected", "element type 08, 09, 0b or 0c")
            .detail("got", if header.element == Element::F32 { "0d" } else { "0e" }))
    }

    /// The number of elements.
    fn count(&self) -> usize {
        self.dimensions.iter().product()
    }

    /// Hands over the elements in pieces of whole elements, each with the number of the first, and checks the length.
    fn elements(
        &self,
        source: &mut Source,
        of: &str,
        mut take: impl FnMut(&Source, usize, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let size = self.element.bytes();
        let mut buffer = vec![0; CHUNK];
        let mut position = self.length;
        while position < self.total {
            let wanted = usize::try_from(self.total - position).unwrap_or(CHUNK).min(CHUNK);
            let got = source.fill(&mut buffer[..wanted])?;
            let first = usize::try_from(position - self.length).unwrap_or(usize::MAX) / size;
            take(source, first, &buffer[..got - got % size])?;
            position += got as u64;
            if got < wanted {
                return Err(source.ends_early(self.total, position, of));
            }
        }
        source.finish(self.total, of)
    }

    fn offset(&self, index: usize) -> u64 {
        self.length + index as u64 * self.element.bytes() as u64
    }
}

/// Pixels, number of images, and their height, width and channels.
fn read_images(path: &Path) -> Result<(Pixels, usize, [usize; 3])> {
    let mut source = Source::open(path)?;
    let (header, count, shape) = Header::of_images(&mut source)?;
    let [height, width, channels] = shape;
    let of = format!("{} images of {height}×{width}", grouped(count as u64))
        + &if channels == 1 { String::new() } else { format!("×{channels}") };
    if header.element == Element::U8 {
        let mut bytes = Vec::new();
        header.elements(&mut source, &of, |source, _, piece| {
            reserve(&mut bytes, piece.len(), source.path())?;
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        return Ok((Pixels::Bytes(bytes), count, shape));
    }
    let size = header.element.bytes();
    let image = height * width * channels;
    let mut floats = Vec::new();
    header.elements(&mut source, &of, |source, first, piece| {
        reserve(&mut floats, piece.len() / size, source.path())?;
        for (index, bytes) in (first..).zip(piece.chunks_exact(size)) {
            let value = header.element.value(bytes);
            if !(value as f32).is_finite() {
                let pixel = index % image;
                return Err(Error::input("a pixel is not a finite number")
                    .detail("file", source.path().display())
                    .detail("byte", header.offset(index))
                    .detail("sample", index / image)
                    .detail("pixel", format!("row {}, column {}", pixel / channels / width, pixel / channels % width))
                    .detail("expected", "a finite 32-bit number")
                    .detail("got", value)
                    .hint("mend or leave out this sample"));
            }
            floats.push(value as f32);
        }
        Ok(())
    })?;
    Ok((Pixels::Floats(floats), count, shape))
}

fn read_labels(path: &Path, classes: usize) -> Result<Vec<i32>> {
    let mut source = Source::open(path)?;
    let header = Header::of_labels(&mut source)?;
    let of = format!("{} labels", grouped(header.count() as u64));
    let size = header.element.bytes();
    let mut labels = Vec::new();
    header.elements(&mut source, &of, |source, first, piece| {
        reserve(&mut labels, piece.len() / size, source.path())?;
        for (index, bytes) in (first..).zip(piece.chunks_exact(size)) {
            let value = header.element.value(bytes);
            if !(value >= 0.0 && value < classes as f64) {
                return Err(label_out_of_range(source.path(), header.offset(index), index, classes, value));
            }
            labels.push(value as i32);
        }
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
