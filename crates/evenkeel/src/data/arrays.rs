//! Data of a user's own in arrays: samples and labels by the names `x_train`, `y_train`, `x_test` and `y_test`, or their like.

use std::path::{Path, PathBuf};

use super::array::{Array, amount, check_counts, shape};
use super::classes::Labels;
use super::parts::{Part, Parts, Reading};
use super::source::{Source, grouped, name};
use super::split::Pixels;
use super::targets::{Numbers, Targets};
use crate::config::DataTargets;
use crate::{Error, Result};

/// The four arrays by their place in a list of names.
const TRAIN: [usize; 2] = [0, 1];
const TEST: [usize; 2] = [2, 3];

/// Something that holds arrays by names.
pub(super) trait Arrays {
    /// What the arrays of samples and labels are called: those to train on, then those to test on.
    const NAMES: [&'static str; 4];

    /// The array of this name with its elements next to be read, where there is one.
    fn open(&mut self, name: &str) -> Result<Option<(Array, Source<'_>)>>;

    /// The file or folder.
    fn path(&self) -> &Path;
}

/// Reads both parts; labels come first, since they are few.
pub(super) fn parts<A: Arrays>(arrays: &mut A, targets: DataTargets, reading: Reading) -> Result<Parts> {
    let Some(train) = part(arrays, TRAIN, targets, reading)? else {
        return Err(lacks(arrays, A::NAMES[0]));
    };
    Ok(Parts { train, test: part(arrays, TEST, targets, reading)? })
}

fn part<A: Arrays>(
    arrays: &mut A,
    [samples, labels]: [usize; 2],
    targets: DataTargets,
    reading: Reading,
) -> Result<Option<Part>> {
    let [samples, labels] = [A::NAMES[samples], A::NAMES[labels]];
    let found = match arrays.open(labels)? {
        Some((array, source)) => Some(match targets {
            DataTargets::Classes => read_labels(&array, source)?,
            DataTargets::Numbers => read_numbers(&array, source)?,
        }),
        None => None,
    };
    let opened = match arrays.open(samples)? {
        Some((array, source)) => {
            let path = source.path().to_owned();
            let (count, image) = images(&array, &path)?;
            Some((read_samples(&array, source, (count, image), reading, found.as_ref())?, image))
        }
        None => None,
    };
    match (opened, found) {
        (Some((pixels, shape)), Some((targets, _))) => Ok(Some(Part { pixels, targets, shape })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(lacks(arrays, labels)),
        (None, Some(_)) => Err(lacks(arrays, samples)),
    }
}

fn read_samples(
    array: &Array,
    mut source: Source<'_>,
    (count, image): (usize, [usize; 3]),
    reading: Reading,
    targets: Option<&(Targets<Labels>, PathBuf)>,
) -> Result<Pixels> {
    if let Some((targets, file)) = targets {
        check_counts((count, source.path()), (targets.len(), file))?;
    }
    if reading == Reading::Sizes {
        return Ok(Pixels::Unread { len: array.count(), size: array.pixel_bytes() });
    }
    array.pixels(&mut source, &amount(count, image), image)
}

/// The number of samples and the height, width and channels of each.
fn images(array: &Array, path: &Path) -> Result<(usize, [usize; 3])> {
    let (count, image) = match array.dimensions[..] {
        [count] => (count, [1, 1, 1]),
        [count, features] => (count, [1, 1, features]),
        [count, height, width] => (count, [height, width, 1]),
        [count, height, width, channels] => (count, [height, width, channels]),
        _ => {
            return Err(Error::input("samples need an array of one to four dimensions")
                .detail("file", path.display())
                .detail(
                    "expected",
                    "[samples, features], [samples, height, width] or [samples, height, width, channels]",
                )
                .detail("got", if array.dimensions.is_empty() { "one number".into() } else { shape(&array.dimensions) })
                .hint("reshape the array before it is saved"));
        }
    };
    // No picture is 3 pixels high with as many channels as columns.
    if let [1 | 3, width, channels] = image
        && width == channels
        && width >= 8
    {
        return Err(Error::input("the channels of the images come first")
            .detail("file", path.display())
            .detail("expected", format!("{count}×{width}×{channels}×{}", image[0]))
            .detail("got", shape(&array.dimensions))
            .hint("save them channels-last: `numpy.transpose(x, (0, 2, 3, 1))`"));
    }
    Ok((count, image))
}

fn read_labels(array: &Array, mut source: Source<'_>) -> Result<(Targets<Labels>, PathBuf)> {
    let path = source.path().to_owned();
    let (1, Some(count)) = (array.dimensions.iter().skip(1).product::<usize>(), array.dimensions.first().copied())
    else {
        return Err(Error::input("labels need one number a sample")
            .detail("file", path.display())
            .detail("expected", "[samples]")
            .detail("got", if array.dimensions.is_empty() { "one number".into() } else { shape(&array.dimensions) })
            .hint("one-hot labels become numbers by `y.argmax(axis=1)`; for numbers to be predicted use `--set data.targets=numbers`"));
    };
    let mut labels = Labels::default();
    let of = format!("{} labels", grouped(count as u64));
    array.numbers(&mut source, &of, |at, value| labels.push_number(value, at))?;
    Ok((Targets::Classes(labels), path))
}

/// Numbers to be predicted, one a sample or a row of them.
fn read_numbers(array: &Array, mut source: Source<'_>) -> Result<(Targets<Labels>, PathBuf)> {
    let path = source.path().to_owned();
    let (count, width) = match array.dimensions[..] {
        [count] => (count, 1),
        [count, width] => (count, width),
        _ => {
            return Err(Error::input("targets need a number or a row of numbers a sample")
                .detail("file", path.display())
                .detail("expected", "[samples] or [samples, numbers]")
                .detail("got", if array.dimensions.is_empty() { "one number".into() } else { shape(&array.dimensions) })
                .hint("reshape the array before it is saved: `y.reshape(len(y), -1)`"));
        }
    };
    let mut numbers = Numbers::new(width);
    let of = format!("{} targets of {}", grouped(count as u64), grouped(width as u64));
    array.numbers(&mut source, &of, |at, value| {
        if !(value as f32).is_finite() {
            return Err(Error::input("a target is not a finite number")
                .detail("file", at.file.display())
                .detail("byte", at.byte)
                .detail("sample", at.index / width)
                .detail("expected", "a finite 32-bit number")
                .detail("got", value)
                .hint("mend or leave out this sample"));
        }
        numbers.push(value as f32, at.file)
    })?;
    Ok((Targets::Numbers(numbers), path))
}

fn lacks<A: Arrays>(arrays: &A, array: &str) -> Error {
    let path = arrays.path();
    Error::input(format!("{} lacks {array}", name(path)))
        .detail("file", path.display())
        .detail(
            "expected",
            format!("{} and {}, and for the test {} and {}", A::NAMES[0], A::NAMES[1], A::NAMES[2], A::NAMES[3]),
        )
        .hint("save the arrays under these names; without the last two a part is held back for the test")
}
