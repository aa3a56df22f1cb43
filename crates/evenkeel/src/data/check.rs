//! What there is to know of a data set before a network is trained on it.

use std::collections::HashMap;

use serde::Serialize;

use super::split::{Pixels, Split};
use super::targets::Numbers;
use super::{Dataset, Description, Normalization, describe};

/// How many pairs of equal samples are named.
const NAMED: usize = 10;

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// Counts, classes and normalization.
    #[serde(flatten)]
    pub description: Description,
    /// Of images and features; a text has none.
    pub values: Option<Values>,
    /// The numbers to be predicted, where there are no classes.
    pub targets: Option<TargetValues>,
    /// Samples that come more than once; not looked for in a text.
    pub duplicates: Option<Duplicates>,
}

/// What values the samples have, scaled but not normalized.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Values {
    /// Of each channel of the training samples.
    pub train: Vec<Channel>,
    /// Of each channel of the test samples.
    pub test: Vec<Channel>,
    /// Values of a sample: height × width × channels.
    pub places: usize,
    /// How many of them are the same in all training samples.
    pub constant: usize,
}

/// What values the numbers to be predicted have, as they are trained on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetValues {
    /// Of each number of the training samples.
    pub train: Vec<Channel>,
    /// Of each number of the test samples.
    pub test: Vec<Channel>,
}

/// The values of one channel over all pixels of all samples of a part, or those of one number to be predicted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Channel {
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation, dividing by the number of values.
    pub std: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

/// Samples that are equal in every value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Duplicates {
    /// Test samples that are training samples as well.
    pub test_in_train: usize,
    /// Of these, those with another label or other numbers to be predicted there.
    pub other_label: usize,
    /// Training samples that came before.
    pub within_train: usize,
    /// The first of the test samples, and the training sample that each is equal to.
    pub first: Vec<Pair>,
}

/// Two equal samples, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// The sample of the test part.
    pub test: usize,
    /// The sample of the training part.
    pub train: usize,
}

/// Looks at every value of every sample. Values that are not finite cannot be there: they are refused when the data is read.
///
/// Cost: a few passes over the samples, and a table of their places.
pub fn check(dataset: &Dataset) -> Check {
    let (train, test) = (Extremes::of(&dataset.train), Extremes::of(&dataset.test));
    let values = train.zip(test).map(|(train, test)| Values {
        places: train.places.len(),
        constant: train.places.iter().filter(|(least, most)| least == most).count(),
        train: train.channels(&dataset.train),
        test: test.channels(&dataset.test),
    });
    let targets = dataset.train.numbers().zip(dataset.test.numbers());
    Check {
        description: describe(dataset),
        values,
        targets: targets.map(|(train, test)| TargetValues { train: of_numbers(train), test: of_numbers(test) }),
        duplicates: duplicates(&dataset.train, &dataset.test),
    }
}

/// The values of each number.
fn of_numbers(numbers: &Numbers) -> Vec<Channel> {
    let width = numbers.width();
    let channel = |place: usize| {
        let values = || numbers.values().iter().skip(place).step_by(width).map(|&value| f64::from(value));
        let count = numbers.len().max(1) as f64;
        let mean = values().sum::<f64>() / count;
        let square = values().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        let min = values().fold(f64::INFINITY, f64::min);
        Channel { mean, std: square.sqrt(), min, max: values().fold(f64::NEG_INFINITY, f64::max) }
    };
    (0..width).map(channel).collect()
}

/// The smallest and the largest value at each place of a sample, as read.
struct Extremes {
    places: Vec<(f64, f64)>,
}

impl Extremes {
    fn of(split: &Split) -> Option<Self> {
        fn over<T: Copy + PartialOrd + Into<f64>>(values: &[T], image: usize) -> Option<Vec<(f64, f64)>> {
            let first = values.get(..image)?;
            let (mut least, mut most) = (first.to_vec(), first.to_vec());
            for sample in values.chunks_exact(image) {
                for ((least, most), &value) in least.iter_mut().zip(&mut most).zip(sample) {
                    *least = if value < *least { value } else { *least };
                    *most = if value > *most { value } else { *most };
                }
            }
            Some(least.into_iter().map(Into::into).zip(most.into_iter().map(Into::into)).collect())
        }
        let image = split.image_len().max(1);
        let places = match split.pixels() {
            Pixels::Bytes(values) => over(values, image),
            Pixels::Floats(values) => over(values, image),
            Pixels::Text(_) | Pixels::Unread { .. } => None,
        };
        places.map(|places| Extremes { places })
    }

    fn channels(&self, split: &Split) -> Vec<Channel> {
        let Normalization { mean, std } = Normalization::of(split);
        let channels = mean.len();
        let channel = |(channel, (mean, std)): (usize, (f64, f64))| {
            let of_channel = || self.places.iter().skip(channel).step_by(channels);
            let min = of_channel().fold(f64::INFINITY, |least, place| least.min(place.0)) / split.divisor();
            let max = of_channel().fold(f64::NEG_INFINITY, |most, place| most.max(place.1)) / split.divisor();
            // A normalization divides equal pixels by 1.
            Channel { mean, std: if min == max { 0.0 } else { std }, min, max }
        };
        mean.into_iter().zip(std).enumerate().map(channel).collect()
    }
}

fn duplicates(train: &Split, test: &Split) -> Option<Duplicates> {
    let (samples, tests) = (samples(train)?, samples(test)?);
    let mut places = HashMap::new();
    let mut found = Duplicates { test_in_train: 0, other_label: 0, within_train: 0, first: Vec::new() };
    for (place, sample) in samples.enumerate() {
        if places.contains_key(sample) {
            found.within_train += 1;
        } else {
            places.insert(sample, place);
        }
    }
    for (place, sample) in tests.enumerate() {
        let Some(&original) = places.get(sample) else { continue };
        found.test_in_train += 1;
        found.other_label += usize::from(!test.has_label_of(place, train, original));
        if found.first.len() < NAMED {
            found.first.push(Pair { test: place, train: original });
        }
    }
    Some(found)
}

/// The bytes of each sample.
fn samples(split: &Split) -> Option<impl Iterator<Item = &[u8]>> {
    let bytes: &[u8] = match split.pixels() {
        Pixels::Bytes(values) => values,
        Pixels::Floats(values) => bytemuck::cast_slice(values),
        Pixels::Text(_) | Pixels::Unread { .. } => return None,
    };
    Some(bytes.chunks_exact((split.image_len() * split.pixels().size()).max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataSpec;

    fn dataset(train: (Vec<u8>, Vec<i32>), test: (Vec<u8>, Vec<i32>)) -> Dataset {
        let split = |(pixels, labels)| Split::new(Pixels::Bytes(pixels), labels, [1, 2, 1], 255.0).unwrap();
        Dataset {
            spec: DataSpec::Digits,
            name: "digits",
            class_names: vec!["a".into(), "b".into()],
            image_shape: vec![1, 2, 1],
            train: split(train),
            test: split(test),
            normalization: Normalization::identity(1),
        }
    }

    #[test]
    fn values_that_never_change_and_samples_that_come_again_are_counted() {
        let train = (vec![7, 0, 7, 255, 7, 0, 7, 51], vec![0, 1, 0, 1]);
        let test = (vec![7, 0, 8, 0, 7, 255], vec![0, 0, 0]);
        let check = check(&dataset(train, test));
        let values = check.values.unwrap();
        assert_eq!((values.places, values.constant), (2, 1));
        assert_eq!((values.train[0].min, values.train[0].max), (0.0, 1.0));
        assert_eq!(values.test[0].mean, f64::from(7 + 8 + 7 + 255) / 6.0 / 255.0);
        let duplicates = check.duplicates.unwrap();
        assert_eq!((duplicates.test_in_train, duplicates.other_label, duplicates.within_train), (2, 1, 1));
        assert_eq!(duplicates.first, [Pair { test: 0, train: 0 }, Pair { test: 2, train: 1 }]);
    }

    #[test]
    fn equal_values_have_no_deviation() {
        let check = check(&dataset((vec![5; 4], vec![0, 1]), (vec![6; 2], vec![0])));
        let values = check.values.unwrap();
        assert_eq!((values.train[0].std, values.constant), (0.0, 2));
        assert_eq!(check.duplicates.unwrap().test_in_train, 0);
    }
}
