//! How samples are kept, and how a batch of them becomes numbers or tokens.

use super::normalization::Normalization;
use super::targets::{Numbers, Targets};
use super::text::Tokens;
use crate::{Error, Result};
use std::ops::RangeInclusive;

/// Pixels or characters as they were read: bytes stay bytes. Of samples that were not read the number of pixels and the bytes of each are known.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Pixels {
    Bytes(Vec<u8>),
    Floats(Vec<f32>),
    Text(Tokens),
    Unread { len: usize, size: usize },
}

impl Pixels {
    pub(super) fn len(&self) -> usize {
        match self {
            Pixels::Bytes(values) => values.len(),
            Pixels::Floats(values) => values.len(),
            Pixels::Text(tokens) => tokens.len(),
            Pixels::Unread { len, .. } => *len,
        }
    }

    /// Bytes of one.
    pub(super) fn size(&self) -> usize {
        match self {
            Pixels::Bytes(_) => size_of::<u8>(),
            Pixels::Floats(_) => size_of::<f32>(),
            Pixels::Text(tokens) => tokens.size(),
            Pixels::Unread { size, .. } => *size,
        }
    }

    /// The pixels of some samples of `image` pixels each.
    fn select(&self, rows: &[u32], image: usize) -> Result<Pixels> {
        fn gather<T: Copy>(values: &[T], rows: &[u32], image: usize) -> Result<Vec<T>> {
            let mut gathered = Vec::new();
            gathered.try_reserve_exact(rows.len() * image).map_err(|_| {
                Error::input("the samples do not fit into memory twice")
                    .hint("give the test samples in files of their own")
            })?;
            for &row in rows {
                gathered.extend_from_slice(&values[row as usize * image..(row as usize + 1) * image]);
            }
            Ok(gathered)
        }
        Ok(match self {
            Pixels::Bytes(values) => Pixels::Bytes(gather(values, rows, image)?),
            Pixels::Floats(values) => Pixels::Floats(gather(values, rows, image)?),
            Pixels::Unread { size, .. } => Pixels::Unread { len: rows.len() * image, size: *size },
            Pixels::Text(_) => return Err(Error::input("a text is in order: no samples can be taken out of it")),
        })
    }

    fn truncate(&mut self, len: usize) {
        match self {
            Pixels::Bytes(values) => {
                values.truncate(len);
                values.shrink_to_fit();
            }
            Pixels::Floats(values) => {
                values.truncate(len);
                values.shrink_to_fit();
            }
            Pixels::Text(tokens) => tokens.truncate(len),
            Pixels::Unread { len: all, .. } => *all = len.min(*all),
        }
    }

    /// Keeps the images at ascending `places`, of `image` pixels each.
    fn keep(&mut self, places: &[u32], image: usize) {
        fn move_up<T: Copy>(values: &mut [T], places: &[u32], image: usize) {
            for (to, &from) in places.iter().enumerate() {
                let from = from as usize * image;
                values.copy_within(from..from + image, to * image);
            }
        }
        match self {
            Pixels::Bytes(values) => move_up(values, places, image),
            Pixels::Floats(values) => move_up(values, places, image),
            Pixels::Text(_) | Pixels::Unread { .. } => {}
        }
        self.truncate(places.len() * image);
    }
}

/// Bytes of a label: a class, or a number to be predicted.
const LABEL: usize = size_of::<i32>();

/// A number that a batch can be made of: `f32` or `f64`.
pub trait Real: Copy + sealed::Sealed {
    /// Rounds to the nearest.
    fn from_f64(value: f64) -> Self;
}

impl Real for f32 {
    fn from_f64(value: f64) -> Self {
        value as f32
    }
}

impl Real for f64 {
    fn from_f64(value: f64) -> Self {
        value
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// The training or the test part: images `[N, H, W, C]`, as compact as they were read, and their labels, each a class or some numbers
/// to be predicted; or a text, cut into samples of so many characters that follow each other, each labelled with the one after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    pixels: Pixels,
    targets: Targets<Vec<i32>>,
    image_shape: Vec<usize>,
    divisor: f64,
}

impl Split {
    /// Keeps pixels and labels together; a batch divides each pixel by `divisor`.
    pub(super) fn new(
        pixels: Pixels,
        targets: impl Into<Targets<Vec<i32>>>,
        image_shape: impl Into<Vec<usize>>,
        divisor: f64,
    ) -> Result<Self> {
        let split = Split { pixels, targets: targets.into(), image_shape: image_shape.into(), divisor };
        if split.is_text() && u32::try_from(split.len()).is_ok() {
            return Ok(split);
        }
        let image = split.image_len();
        let expected = split.targets.len().checked_mul(image);
        if image == 0 || expected != Some(split.pixels.len()) || u32::try_from(split.targets.len()).is_err() {
            return Err(Error::input("images and labels do not fit together")
                .detail("expected", format!("{} images of {image} pixels", split.targets.len()))
                .detail("got", format!("{} pixels", split.pixels.len())));
        }
        Ok(split)
    }

    /// So many samples that were not read, with pixels of `size` bytes.
    pub(super) fn unread(count: usize, image_shape: [usize; 3], size: usize) -> Self {
        let len = image_shape.iter().fold(count, |len, extent| len.saturating_mul(*extent));
        Split {
            pixels: Pixels::Unread { len, size },
            targets: Targets::Classes(Vec::new()),
            image_shape: image_shape.to_vec(),
            divisor: 1.0,
        }
    }

    /// The same samples with numbers to be predicted in the place of classes.
    pub(super) fn with_numbers(self, numbers: Numbers) -> Self {
        Split { targets: Targets::Numbers(numbers), ..self }
    }

    /// The samples at `rows`, in that order.
    pub(super) fn select(&self, rows: &[u32]) -> Result<Self> {
        self.check_indices(rows)?;
        let pixels = self.pixels.select(rows, self.image_len())?;
        let targets = self.targets.select(rows);
        Ok(Split { pixels, targets, image_shape: self.image_shape.clone(), divisor: self.divisor })
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        // The last character of a text is only a label.
        (self.pixels.len() - usize::from(self.is_text())) / self.image_len().max(1)
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether samples are characters of a text: [`Split::tokens`] has them, not [`Split::batch`].
    pub fn is_text(&self) -> bool {
        matches!(self.pixels, Pixels::Text(_))
    }

    /// The class of each image, from 0; empty for a text, for samples with numbers to be predicted, and when the samples were not read.
    pub fn labels(&self) -> &[i32] {
        match &self.targets {
            Targets::Classes(classes) => classes,
            Targets::Numbers(_) => &[],
        }
    }

    pub(super) fn labels_mut(&mut self) -> &mut [i32] {
        match &mut self.targets {
            Targets::Classes(classes) => classes,
            Targets::Numbers(_) => &mut [],
        }
    }

    /// How many numbers of each sample are to be predicted; none where it has a class.
    pub fn target_width(&self) -> Option<usize> {
        self.numbers().map(Numbers::width)
    }

    /// The first number to be predicted that is not in a range.
    pub(crate) fn target_outside(&self, range: RangeInclusive<f32>) -> Option<f32> {
        self.numbers()?.values().iter().copied().find(|value| !range.contains(value))
    }

    /// Whether a sample has the class, or the numbers to be predicted, of another one of another split.
    pub(super) fn has_label_of(&self, sample: usize, other: &Split, original: usize) -> bool {
        match (self.numbers(), other.numbers()) {
            (Some(here), Some(there)) => here.of(sample) == there.of(original),
            _ => self.labels().get(sample) == other.labels().get(original),
        }
    }

    /// The numbers to be predicted.
    pub(super) fn numbers(&self) -> Option<&Numbers> {
        match &self.targets {
            Targets::Classes(_) => None,
            Targets::Numbers(numbers) => Some(numbers),
        }
    }

    /// Height, width and channels of an image, or the number of characters in a sample of a text.
    pub fn image_shape(&self) -> Vec<usize> {
        self.image_shape.clone()
    }

    /// The number of values of a sample: height × width × channels, or characters.
    pub fn image_len(&self) -> usize {
        self.image_shape.iter().product()
    }

    /// The number of labels of each class: images, or characters of a text.
    pub fn class_counts(&self, classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        let of_text = (1..=self.len() * self.image_len()).map_while(|place| match &self.pixels {
            Pixels::Text(tokens) => Some(tokens.at(place)),
            _ => None,
        });
        for label in self.labels().iter().copied().chain(of_text) {
            if let Some(count) = usize::try_from(label).ok().and_then(|class| counts.get_mut(class)) {
                *count += 1;
            }
        }
        counts
    }

    /// Copies the samples at `indices` into `out` (`[indices.len(), H, W, C]`) and `labels`, as (pixel / scale − mean) / std.
    ///
    /// The scale is 255 for byte images, 16 for `digits`, 1 for pixels of any other type. Every value is computed in f64 and rounded
    /// once, so an f64 batch is exact and an f32 batch is that batch rounded.
    ///
    /// # Errors
    /// When a buffer has another length than the batch needs, an index is out of range, the channels differ, or the samples have no
    /// classes.
    pub fn batch<T: Real>(
        &self,
        indices: &[u32],
        normalization: &Normalization,
        out: &mut [T],
        labels: &mut [i32],
    ) -> Result<()> {
        if self.target_width().is_some() {
            return Err(Error::input("the samples have no classes but numbers to be predicted")
                .hint("`Split::inputs` and `Split::targets` have both"));
        }
        if !self.is_text() {
            check_len("labels of the batch", indices.len(), labels.len())?;
        }
        self.inputs(indices, normalization, out)?;
        for (label, &index) in labels.iter_mut().zip(indices) {
            *label = self.labels()[index as usize];
        }
        Ok(())
    }

    /// Copies the numbers to be predicted of the samples at `indices` into `out` (`[indices.len(), K]`).
    ///
    /// # Errors
    /// When the buffer has another length than the batch needs, an index is out of range, or the samples have none.
    pub fn targets<T: Real>(&self, indices: &[u32], out: &mut [T]) -> Result<()> {
        let Some(numbers) = self.numbers() else {
            return Err(
                Error::input("the samples have no numbers to be predicted").hint("`Split::batch` has their classes")
            );
        };
        check_len("targets of the batch", indices.len().saturating_mul(numbers.width()), out.len())?;
        self.check_indices(indices)?;
        numbers.gather(indices, out);
        Ok(())
    }

    /// The samples alone, as [`Split::batch`] copies them.
    ///
    /// # Errors
    /// When the buffer has another length than the batch needs, an index is out of range, or the channels differ.
    pub fn inputs<T: Real>(&self, indices: &[u32], normalization: &Normalization, out: &mut [T]) -> Result<()> {
        if self.is_text() {
            return Err(Error::input("a text has no pixels").hint("`Split::tokens` has its characters"));
        }
        let channels = self.channels();
        let image = self.image_len();
        check_len("channels of the normalization", channels, normalization.mean.len())?;
        check_len("channels of the normalization", channels, normalization.std.len())?;
        check_len("values of the batch", indices.len().saturating_mul(image), out.len())?;
        self.check_indices(indices)?;
        if let Pixels::Unread { .. } = self.pixels {
            return Err(Error::input("a batch asks for samples that were not read").hint("`data::load` reads them"));
        }
        let images = out.chunks_exact_mut(image).zip(indices.iter().map(|&index| index as usize * image));
        match &self.pixels {
            Pixels::Bytes(values) => {
                let table = self.byte_table::<T>(normalization);
                for (target, start) in images {
                    let source = &values[start..start + image];
                    if let [only] = table.as_slice() {
                        for (to, &from) in target.iter_mut().zip(source) {
                            *to = only[usize::from(from)];
                        }
                    } else {
                        for (to, from) in target.chunks_exact_mut(channels).zip(source.chunks_exact(channels)) {
                            for ((to, &from), values) in to.iter_mut().zip(from).zip(&table) {
                                *to = values[usize::from(from)];
                            }
                        }
                    }
                }
            }
            Pixels::Floats(values) => {
                for (target, start) in images {
                    let source = &values[start..start + image];
                    for (to, from) in target.chunks_exact_mut(channels).zip(source.chunks_exact(channels)) {
                        for (channel, (to, &from)) in to.iter_mut().zip(from).enumerate() {
                            *to = T::from_f64(self.value(f64::from(from), channel, normalization));
                        }
                    }
                }
            }
            Pixels::Text(_) | Pixels::Unread { .. } => {}
        }
        Ok(())
    }

    /// Copies the characters of the samples at `indices` of a text into `inputs` (`[indices.len(), T]`), and the ones after them into
    /// `labels`.
    ///
    /// # Errors
    /// When a buffer has another length than the batch needs, an index is out of range, or these are images.
    pub fn tokens(&self, indices: &[u32], inputs: &mut [i32], labels: &mut [i32]) -> Result<()> {
        let Pixels::Text(tokens) = &self.pixels else {
            return Err(Error::input("images have no characters").hint("`Split::batch` has their pixels"));
        };
        let length = self.image_len();
        check_len("characters of the batch", indices.len().saturating_mul(length), inputs.len())?;
        check_len("labels of the batch", inputs.len(), labels.len())?;
        self.check_indices(indices)?;
        let samples = inputs.chunks_exact_mut(length).zip(labels.chunks_exact_mut(length));
        for ((inputs, labels), &index) in samples.zip(indices) {
            for (place, (input, label)) in inputs.iter_mut().zip(labels).enumerate() {
                let place = index as usize * length + place;
                (*input, *label) = (tokens.at(place), tokens.at(place + 1));
            }
        }
        Ok(())
    }

    fn check_indices(&self, indices: &[u32]) -> Result<()> {
        match indices.iter().enumerate().find(|(_, index)| **index as usize >= self.len()) {
            None => Ok(()),
            Some((position, index)) => Err(Error::input("a batch asks for a sample that is not there")
                .detail("position", position)
                .detail("expected", format!("a sample below {}", self.len()))
                .detail("got", index)),
        }
    }

    /// What each of the 256 bytes becomes in each channel.
    fn byte_table<T: Real>(&self, normalization: &Normalization) -> Vec<[T; 256]> {
        (0..self.channels())
            .map(|channel| std::array::from_fn(|byte| T::from_f64(self.value(byte as f64, channel, normalization))))
            .collect()
    }

    fn value(&self, pixel: f64, channel: usize, normalization: &Normalization) -> f64 {
        (pixel / self.divisor - normalization.mean[channel]) / normalization.std[channel]
    }

    /// The pixels or characters of all samples.
    pub(super) fn pixels(&self) -> &Pixels {
        &self.pixels
    }

    /// What pixels are scaled by.
    pub(super) fn divisor(&self) -> f64 {
        self.divisor
    }

    pub(super) fn channels(&self) -> usize {
        self.image_shape.get(2).copied().unwrap_or(0)
    }

    /// Bytes of memory that pixels and labels take.
    pub fn bytes(&self) -> usize {
        self.pixels.len().saturating_mul(self.pixels.size()).saturating_add(self.image_labels() * LABEL)
    }

    /// Labels that are kept beside the samples; a text has its own.
    fn image_labels(&self) -> usize {
        if self.is_text() { 0 } else { self.len() * self.target_width().unwrap_or(1) }
    }

    /// Whether the pixels are bytes.
    pub(super) fn is_bytes(&self) -> bool {
        self.pixels.size() == size_of::<u8>()
    }

    /// Keeps the images at these places, which are there and ascend.
    pub(super) fn keep(&mut self, places: &[u32]) {
        self.pixels.keep(places, self.image_len());
        self.targets = self.targets.select(places);
    }

    /// Keeps the first `len` samples.
    pub(super) fn truncate(&mut self, len: usize) {
        if len < self.len() {
            self.targets.truncate(len);
            self.pixels.truncate(len * self.image_len() + usize::from(self.is_text()));
        }
    }
}

/// Where in its sample the value number `index` of a file is: what it is, and where.
pub(super) fn pixel_of(index: usize, [height, width, channels]: [usize; 3]) -> (&'static str, String) {
    let place = index % (height * width * channels).max(1);
    if height == 1 && width == 1 {
        return ("feature", place.to_string());
    }
    let pixel = place / channels.max(1);
    ("pixel", format!("row {}, column {}", pixel / width.max(1), pixel % width.max(1)))
}

fn check_len(what: &str, expected: usize, got: usize) -> Result<()> {
    if expected == got {
        return Ok(());
    }
    Err(Error::input(format!("the number of {what} does not fit")).detail("expected", expected).detail("got", got))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_pixels_of_two_channels() -> Split {
        Split::new(Pixels::Bytes(vec![0, 255, 51, 255, 102, 255, 153, 255]), vec![1, 0], [1, 2, 2], 255.0).unwrap()
    }

    #[test]
    fn a_batch_is_scaled_normalized_and_in_the_order_asked_for() {
        let split = two_pixels_of_two_channels();
        let normalization = Normalization { mean: vec![0.2, 0.5], std: vec![0.5, 2.0] };
        let (mut out, mut labels) = ([0.0_f64; 8], [9; 2]);
        split.batch(&[1, 0], &normalization, &mut out, &mut labels).unwrap();
        assert_eq!(labels, [0, 1]);
        let expected = [0.4, 1.0, 0.6, 1.0, 0.0, 1.0, 0.2, 1.0];
        for (index, (got, pixel)) in out.iter().zip(expected).enumerate() {
            assert_eq!(*got, (pixel - normalization.mean[index % 2]) / normalization.std[index % 2]);
        }
    }

    #[test]
    fn an_f32_batch_is_the_f64_batch_rounded_once() {
        let split = two_pixels_of_two_channels();
        let normalization = Normalization::of(&split);
        let (mut single, mut double, mut labels) = ([0.0_f32; 8], [0.0_f64; 8], [0; 2]);
        split.batch(&[0, 1], &normalization, &mut single, &mut labels).unwrap();
        split.batch(&[0, 1], &normalization, &mut double, &mut labels).unwrap();
        assert!(single.iter().zip(double).all(|(single, double)| *single == double as f32));
    }

    #[test]
    fn a_batch_that_does_not_fit_is_refused() {
        let split = two_pixels_of_two_channels();
        let normalization = Normalization::identity(2);
        let mut out = [0.0_f32; 8];
        let message = |result: Result<()>| result.unwrap_err().to_string();
        let error = message(split.batch(&[0, 2], &normalization, &mut out, &mut [0; 2]));
        assert!(error.contains("position  1") && error.contains("a sample below 2"), "{error}");
        assert!(message(split.batch(&[0], &normalization, &mut out, &mut [0; 1])).contains("values of the batch"));
        assert!(message(split.batch(&[0, 1], &normalization, &mut out, &mut [0; 1])).contains("labels of the batch"));
        let identity = Normalization::identity(3);
        assert!(message(split.batch(&[0, 1], &identity, &mut out, &mut [0; 2])).contains("channels"));
    }

    #[test]
    fn samples_that_were_not_read_have_a_size_and_no_batches() {
        let mut split = Split::unread(3, [1, 2, 2], 1);
        split.truncate(2);
        let read = two_pixels_of_two_channels();
        assert_eq!((split.len(), split.image_shape(), split.bytes()), (read.len(), read.image_shape(), read.bytes()));
        assert_eq!(Normalization::of(&split), Normalization::identity(2));
        let error =
            split.batch(&[0], &Normalization::identity(2), &mut [0.0_f32; 4], &mut [0]).unwrap_err().to_string();
        assert!(error.contains("were not read"), "{error}");
    }

    #[test]
    fn what_is_kept_of_a_split_stays_together() {
        let mut split = Split::new(Pixels::Bytes((0..8).collect()), vec![5, 6, 7, 8], [1, 1, 2], 1.0).unwrap();
        split.keep(&[1, 3]);
        assert_eq!(split, Split::new(Pixels::Bytes(vec![2, 3, 6, 7]), vec![6, 8], [1, 1, 2], 1.0).unwrap());
    }

    #[test]
    fn an_empty_batch_is_fine() {
        two_pixels_of_two_channels().batch::<f32>(&[], &Normalization::identity(2), &mut [], &mut []).unwrap();
    }

    #[test]
    fn class_counts_count_each_class() {
        assert_eq!(two_pixels_of_two_channels().class_counts(3), [1, 1, 0]);
    }
}
