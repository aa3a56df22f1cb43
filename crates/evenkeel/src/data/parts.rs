//! Data of a user's own: two parts as their reader found them become training and test samples with classes or numbers to be predicted;
//! where only one was found, the test is drawn from it.

use std::path::Path;

use evenkeel_graph::random::Key;

use super::classes::{Labels, classes};
use super::order::permutation;
use super::split::{Pixels, Split};
use super::targets::Targets;
use super::{LoadOptions, Loaded};
use crate::config::ImageShape;
use crate::{Error, Result};

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Samples,
    /// How many samples there are and how large they are, and their labels.
    Sizes,
}

/// One part as its reader found it.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) pixels: Pixels,
    pub(super) targets: Targets<Labels>,
    /// Height, width and channels; features are channels of one pixel, so that each is normalized by itself.
    pub(super) shape: [usize; 3],
}

/// Both parts, where there are two.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) train: Part,
    pub(super) test: Option<Part>,
}

impl Parts {
    /// Finds the classes, gives samples their shape and sees to it that there is a test part. `path` is where the data came from.
    pub(super) fn finish(self, path: &Path, options: &LoadOptions) -> Result<Loaded> {
        let Parts { train, test } = self;
        let both = || [&train].into_iter().chain(&test);
        if let (Targets::Numbers(train), Some(Targets::Numbers(test))) =
            (&train.targets, test.as_ref().map(|test| &test.targets))
            && train.width() != test.width()
        {
            return Err(Error::input("training and test samples differ in how many numbers are predicted")
                .detail("file", path.display())
                .detail("training", train.width())
                .detail("test", test.width())
                .hint("take both from the same source"));
        }
        let labels: Vec<&Labels> = both().filter_map(|part| part.targets.labels()).collect();
        let (names, of_parts) = classes(&labels, path)?;
        let mut of_parts = of_parts.into_iter();
        let mut split = |part: Part| {
            let shape = options.shape.map_or(Ok(part.shape), |wanted| reshaped(part.shape, wanted, path))?;
            let divisor = if matches!(part.pixels, Pixels::Bytes(_)) { 255.0 } else { 1.0 };
            match (part.pixels, part.targets) {
                (Pixels::Unread { size, .. }, Targets::Classes(labels)) => Ok(Split::unread(labels.len(), shape, size)),
                (Pixels::Unread { size, .. }, Targets::Numbers(numbers)) => {
                    Ok(Split::unread(numbers.len(), shape, size).with_numbers(numbers))
                }
                (pixels, Targets::Classes(_)) => {
                    Split::new(pixels, of_parts.next().unwrap_or_default(), shape, divisor)
                }
                (pixels, Targets::Numbers(numbers)) => Split::new(pixels, Targets::Numbers(numbers), shape, divisor),
            }
        };
        let train = split(train)?;
        if let Some(test) = test {
            return Ok((train, split(test)?, names));
        }
        let name = path.display().to_string();
        let (rows, held) = hold_out(&name, train.len(), options)?;
        let test = train.select(&held)?;
        Ok((train.select(&rows)?, test, names))
    }
}

/// The shape that flat rows are given; samples that have one already keep it.
fn reshaped(shape: [usize; 3], wanted: ImageShape, path: &Path) -> Result<[usize; 3]> {
    let error = match shape {
        [1, 1, features] if features == wanted.numbers() => return Ok(wanted.0),
        _ if shape == wanted.0 => return Ok(shape),
        [1, 1, features] => Error::input("the samples do not fill images of this shape")
            .detail("key", "data.shape")
            .detail("file", path.display())
            .detail(
                "expected",
                format!("height, width and channels whose product is the number of features, {features}"),
            )
            .detail("got", format!("{wanted}, which is {}", wanted.numbers()))
            .hint("mend the shape, or leave `data.shape` out for features"),
        [height, width, channels] => Error::input("the samples are images of another shape already")
            .detail("key", "data.shape")
            .detail("file", path.display())
            .detail("expected", ImageShape([height, width, channels]))
            .detail("got", wanted)
            .hint("leave `data.shape` out"),
    };
    Err(error)
}

/// Which of `count` samples are trained on, and which are held back for the test: a permutation drawn with the seed (stream
/// `data/split`), its first `test_fraction` for the test.
pub(super) fn hold_out(what: &str, count: usize, options: &LoadOptions) -> Result<(Vec<u32>, Vec<u32>)> {
    let test = (count as f64 * options.test_fraction).round();
    if !(test >= 1.0 && test < count as f64) {
        return Err(Error::input(format!("the test fraction leaves a part of {what} empty"))
            .detail("key", "data.test_fraction")
            .detail("expected", format!("a number that gives both parts at least one of {count} samples, e.g. 0.2"))
            .detail("got", options.test_fraction)
            .hint("leave `data.test_fraction` out to take a fifth"));
    }
    let mut test_rows = permutation(Key::new(options.seed, "data/split", 0), count);
    let train_rows = test_rows.split_off((test as usize).min(count));
    Ok((train_rows, test_rows))
}
