//! Data of a user's own: two parts as their reader found them become training and test samples with classes; where only one was found,
//! the test is drawn from it.

use std::path::Path;

use evenkeel_graph::random::Key;

use super::classes::{Labels, classes};
use super::order::permutation;
use super::split::{Pixels, Split};
use super::{LoadOptions, Loaded};
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
    pub(super) labels: Labels,
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
    /// Finds the classes and sees to it that there is a test part. `path` is where the data came from.
    pub(super) fn finish(self, path: &Path, options: &LoadOptions) -> Result<Loaded> {
        let Parts { train, test } = self;
        let labels: Vec<&Labels> = [&train.labels].into_iter().chain(test.as_ref().map(|test| &test.labels)).collect();
        let (names, of_parts) = classes(&labels, path)?;
        let mut of_parts = of_parts.into_iter();
        let mut split = |part: Part| {
            let divisor = if matches!(part.pixels, Pixels::Bytes(_)) { 255.0 } else { 1.0 };
            match part.pixels {
                Pixels::Unread { size, .. } => Ok(Split::unread(part.labels.len(), part.shape, size)),
                pixels => Split::new(pixels, of_parts.next().unwrap_or_default(), part.shape, divisor),
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
