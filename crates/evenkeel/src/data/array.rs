//! How the elements of an array in a file become pixels or labels, whatever the format that frames them.
//!
//! A format says what an array holds and where its elements begin; it is not believed: memory grows as data arrives.

use std::path::Path;

use super::source::{Source, grouped, name, reserve};
use super::split::{Pixels, pixel_of};
use crate::{Error, Result};

/// Read at a time; a multiple of every element size.
const CHUNK: usize = 1 << 18;

/// The type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Element {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

impl Element {
    pub(super) fn bytes(self) -> usize {
        match self {
            Element::Bool | Element::U8 | Element::I8 => 1,
            Element::U16 | Element::I16 => 2,
            Element::U32 | Element::I32 | Element::F32 => 4,
            Element::U64 | Element::I64 | Element::F64 => 8,
        }
    }

    pub(super) fn is_integer(self) -> bool {
        !matches!(self, Element::F32 | Element::F64)
    }

    /// The value of one element; integers beyond 2⁵³ are rounded.
    fn value(self, bytes: &[u8], order: Order) -> f64 {
        let mut word = [0; 8];
        let size = bytes.len().min(word.len());
        for (place, &byte) in bytes.iter().take(size).enumerate() {
            word[if order == Order::Little { place } else { size - 1 - place }] = byte;
        }
        let bits = u64::from_le_bytes(word);
        match self {
            Element::Bool => f64::from(u8::from(bits != 0)),
            Element::U8 | Element::U16 | Element::U32 | Element::U64 => bits as f64,
            Element::I8 => f64::from(bits as i8),
            Element::I16 => f64::from(bits as i16),
            Element::I32 => f64::from(bits as i32),
            Element::I64 => bits as i64 as f64,
            Element::F32 => f64::from(f32::from_bits(bits as u32)),
            Element::F64 => f64::from_bits(bits),
        }
    }
}

/// Which byte of an element comes first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Order {
    Little,
    Big,
}

/// What a header says of an array: the last dimension is the fastest.
#[derive(Clone, Debug)]
pub(super) struct Array {
    pub(super) element: Element,
    pub(super) order: Order,
    pub(super) dimensions: Vec<usize>,
    /// The byte of the file at which the elements begin.
    start: u64,
    /// The byte after the last element.
    total: u64,
}

impl Array {
    /// An array whose dimensions are told at byte `told` of the file.
    pub(super) fn new(
        source: &Source<'_>,
        element: Element,
        order: Order,
        sizes: &[u64],
        told: u64,
        start: u64,
    ) -> Result<Self> {
        let shown = || if sizes.is_empty() { "one number".to_owned() } else { shape(sizes) };
        if sizes.contains(&0) {
            return Err(Error::input(format!("{} holds nothing", name(source.path())))
                .detail("file", source.path().display())
                .detail("byte", told)
                .detail("expected", "sizes of at least 1")
                .detail("got", shown()));
        }
        let limit = source.limit();
        let total = sizes
            .iter()
            .try_fold(element.bytes() as u64, |bytes, &size| bytes.checked_mul(size))
            .and_then(|bytes| bytes.checked_add(start))
            .filter(|&total| total <= limit);
        let dimensions: Option<Vec<usize>> = sizes.iter().map(|&size| usize::try_from(size).ok()).collect();
        match (total, dimensions) {
            (Some(total), Some(dimensions)) => Ok(Array { element, order, dimensions, start, total }),
            _ => Err(Error::input(format!("{} promises more than can be read", name(source.path())))
                .detail("file", source.path().display())
                .detail("byte", told)
                .detail("expected", format!("at most {} bytes", grouped(limit)))
                .detail("got", format!("{} elements of {} bytes", shown(), element.bytes()))
                .hint("the header is wrong: copy the file again from its source")),
        }
    }

    /// The number of elements.
    pub(super) fn count(&self) -> usize {
        self.dimensions.iter().product()
    }

    /// Bytes of a pixel in memory.
    pub(super) fn pixel_bytes(&self) -> usize {
        if self.element == Element::U8 { size_of::<u8>() } else { size_of::<f32>() }
    }

    fn offset(&self, index: usize) -> u64 {
        self.start + index as u64 * self.element.bytes() as u64
    }

    /// Hands over the elements in pieces of whole elements, each with the number of the first, and checks the length.
    fn elements(
        &self,
        source: &mut Source<'_>,
        of: &str,
        mut take: impl FnMut(&Source<'_>, usize, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let size = self.element.bytes();
        let mut buffer = vec![0; CHUNK];
        let mut position = self.start;
        while position < self.total {
            let wanted = usize::try_from(self.total - position).unwrap_or(CHUNK).min(CHUNK);
            let got = source.fill(&mut buffer[..wanted])?;
            let first = usize::try_from(position - self.start).unwrap_or(usize::MAX) / size;
            take(source, first, &buffer[..got - got % size])?;
            position += got as u64;
            if got < wanted {
                return Err(source.ends_early(self.total, position, of));
            }
        }
        source.finish(self.total, of)
    }

    /// The elements as pixels of images of the given shape: bytes stay bytes, all else becomes a finite f32.
    pub(super) fn pixels(&self, source: &mut Source<'_>, of: &str, image: [usize; 3]) -> Result<Pixels> {
        if self.element == Element::U8 {
            let mut bytes = Vec::new();
            self.elements(source, of, |source, _, piece| {
                reserve(&mut bytes, piece.len(), source.path())?;
                bytes.extend_from_slice(piece);
                Ok(())
            })?;
            return Ok(Pixels::Bytes(bytes));
        }
        let size = self.element.bytes();
        let mut floats = Vec::new();
        self.elements(source, of, |source, first, piece| {
            reserve(&mut floats, piece.len() / size, source.path())?;
            for (index, bytes) in (first..).zip(piece.chunks_exact(size)) {
                let value = self.element.value(bytes, self.order);
                if !(value as f32).is_finite() {
                    let (what, place) = pixel_of(index, image);
                    return Err(Error::input(format!("a {what} is not a finite number"))
                        .detail("file", source.path().display())
                        .detail("byte", self.offset(index))
                        .detail("sample", index / image.iter().product::<usize>().max(1))
                        .detail(what, place)
                        .detail("expected", "a finite 32-bit number")
                        .detail("got", value)
                        .hint("mend or leave out this sample"));
                }
                floats.push(value as f32);
            }
            Ok(())
        })?;
        Ok(Pixels::Floats(floats))
    }

    /// Hands over the elements one by one, as numbers, with where each is.
    pub(super) fn numbers(
        &self,
        source: &mut Source<'_>,
        of: &str,
        mut take: impl FnMut(At<'_>, f64) -> Result<()>,
    ) -> Result<()> {
        let size = self.element.bytes();
        self.elements(source, of, |source, first, piece| {
            for (index, bytes) in (first..).zip(piece.chunks_exact(size)) {
                let at = At { file: source.path(), byte: self.offset(index), index };
                take(at, self.element.value(bytes, self.order))?;
            }
            Ok(())
        })
    }
}

/// Where in a file an element is.
pub(super) struct At<'a> {
    pub(super) file: &'a Path,
    pub(super) byte: u64,
    pub(super) index: usize,
}

/// Sizes as `60000×28×28`.
pub(super) fn shape<T: ToString>(sizes: &[T]) -> String {
    sizes.iter().map(T::to_string).collect::<Vec<_>>().join("×")
}

/// So many images of this shape, in words, for what a file should hold.
pub(super) fn amount(count: usize, [height, width, channels]: [usize; 3]) -> String {
    let count = grouped(count as u64);
    match (height, width, channels) {
        (1, 1, features) => format!("{count} samples of {features} features"),
        (_, _, 1) => format!("{count} images of {height}×{width}"),
        _ => format!("{count} images of {height}×{width}×{channels}"),
    }
}

/// Requires as many labels as images.
pub(super) fn check_counts((images, image_file): (usize, &Path), (labels, label_file): (usize, &Path)) -> Result<()> {
    if images == labels {
        return Ok(());
    }
    Err(Error::input("images and labels differ in number")
        .detail("images", format!("{} in {}", grouped(images as u64), image_file.display()))
        .detail("labels", format!("{} in {}", grouped(labels as u64), label_file.display()))
        .hint("take both from the same source"))
}
