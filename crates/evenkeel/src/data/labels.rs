//! Labels that are wrong on purpose.

use super::order::permutation;
use super::source::grouped;
use super::split::Split;
use crate::{Error, Result};
use evenkeel_graph::random::{Key, Random};

/// Another class than `label`, each of them with the same chance; `label` itself where there is no other.
pub fn other_class(label: i32, classes: usize, random: &mut Random) -> i32 {
    let classes = classes.max(1) as i64;
    let further = 1 + random.below(classes as u64 - 1) as i64;
    if classes == 1 { label } else { (i64::from(label) + further).rem_euclid(classes) as i32 }
}

/// Gives exactly round(share · n) of n labels to other classes, fixed by the seed alone: which they are by the stream
/// `data/label_noise`, 0, and what they become, in that order, by 1.
///
/// This is symmetric label noise: each wrong class is as likely as the others. Where the wrong class is drawn among all, the right one
/// too, the same share stands for (classes − 1) / classes of it.
pub fn add_label_noise(labels: &mut [i32], classes: usize, share: f64, seed: u64) {
    let wrong = (share * labels.len() as f64).round() as usize;
    let order = permutation(Key::new(seed, STREAM, 0), labels.len());
    let mut random = Key::new(seed, STREAM, 1).random();
    for &place in order.iter().take(wrong) {
        let label = &mut labels[place as usize];
        *label = other_class(*label, classes, &mut random);
    }
}

const STREAM: &str = "data/label_noise";

/// As many of `count` samples of each class, within one: of every class the first ones. Without a `count` as many of each as the rarest
/// class has. The result is in the order of the samples.
///
/// # Errors
/// When a class has fewer samples than its part.
pub(super) fn balanced(labels: &[i32], classes: &[String], count: Option<usize>) -> Result<Vec<u32>> {
    let mut of_class = vec![0; classes.len()];
    // How many of its class come before each sample.
    let before: Vec<usize> = labels
        .iter()
        .map(|&label| match of_class.get_mut(label as usize) {
            Some(seen) => {
                *seen += 1;
                *seen - 1
            }
            None => usize::MAX,
        })
        .collect();
    let rarest = (0..classes.len()).min_by_key(|&class| of_class[class]);
    let (least, name) = rarest.map_or((0, ""), |class| (of_class[class], &classes[class]));
    let most = least * classes.len() + of_class.iter().filter(|&&found| found > least).count();
    let count = count.unwrap_or(least * classes.len());
    if count == 0 || count > most {
        return Err(Error::input("the classes cannot be balanced: one has too few training samples")
            .detail("key", "data.balanced")
            .detail("class", name)
            .detail("expected", format!("at least {}", grouped((count / classes.len().max(1)).max(1) as u64)))
            .detail("got", grouped(least as u64))
            .hint(match least {
                0 => "leave `data.balanced` out".to_owned(),
                _ => format!("lower `data.limit` to {most}, or leave `data.balanced` out"),
            }));
    }
    let whole = count / classes.len();
    let rest = count - whole * classes.len();
    // The classes that have one more are those that have it soonest.
    let mut left = rest;
    let mut take = |before: usize| {
        let one_more = before == whole && left > 0;
        left -= usize::from(one_more);
        before < whole || one_more
    };
    Ok((0..).zip(before).filter(|&(_, before)| take(before)).map(|(place, _)| place).collect())
}

/// Keeps a balanced part of the samples, see [`balanced`].
pub(super) fn balance(train: &mut Split, classes: &[String], count: Option<usize>) -> Result<()> {
    check_classes(train, "data.balanced")?;
    let samples = balanced(train.labels(), classes, count)?;
    train.keep(&samples);
    Ok(())
}

/// Makes a share of the labels wrong, see [`add_label_noise`].
pub(super) fn spoil(train: &mut Split, classes: &[String], share: f64, seed: u64) -> Result<()> {
    if share == 0.0 {
        return Ok(());
    }
    check_classes(train, "data.label_noise")?;
    if !(0.0..=1.0).contains(&share) || classes.len() < 2 {
        return Err(Error::input("label noise is a share of labels, and needs a class that is wrong")
            .detail("key", "data.label_noise")
            .detail("expected", "0 to 1, of at least 2 classes")
            .detail("got", format!("{share}, of {}", classes.len())));
    }
    add_label_noise(train.labels_mut(), classes.len(), share, seed);
    Ok(())
}

fn check_classes(train: &Split, key: &str) -> Result<()> {
    let (what, hint) = match train.target_width() {
        Some(_) => ("these have numbers to be predicted", "leave it out, or `data.targets`"),
        None if train.is_text() => ("a text has none", "leave it out: the labels of a text are its characters"),
        None => return Ok(()),
    };
    Err(Error::input(format!("{key} is for samples that have a class, and {what}")).detail("key", key).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|class| format!("class {class}")).collect()
    }

    fn counts(labels: impl IntoIterator<Item = i32>, classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        labels.into_iter().for_each(|label| counts[label as usize] += 1);
        counts
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

        #[test]
        fn exactly_the_share_of_the_labels_becomes_that_of_another_class(
            classes in 2..12_usize, count in 0..300_usize, share in 0.0..=1.0_f64, seed: u64
        ) {
            let right: Vec<i32> = (0..count).map(|n| (n * 7 % classes) as i32).collect();
            let mut labels = right.clone();
            add_label_noise(&mut labels, classes, share, seed);
            let wrong = right.iter().zip(&labels).filter(|(right, label)| right != label).count();
            prop_assert_eq!(wrong, (share * count as f64).round() as usize);
            prop_assert!(labels.iter().all(|label| (0..classes as i32).contains(label)));
            let mut again = right;
            add_label_noise(&mut again, classes, share, seed);
            prop_assert_eq!(again, labels);
        }

        #[test]
        fn classes_of_a_balanced_part_differ_by_one_at_most(
            labels in proptest::collection::vec(0..5_i32, 0..200), wanted in proptest::option::of(1..220_usize)
        ) {
            let found = counts(labels.iter().copied(), 5);
            let least = found.iter().copied().min().unwrap_or(0);
            match balanced(&labels, &names(5), wanted) {
                Ok(samples) => {
                    prop_assert_eq!(samples.len(), wanted.unwrap_or(5 * least));
                    prop_assert!(samples.is_sorted_by(|a, b| a < b));
                    let taken = counts(samples.iter().map(|&sample| labels[sample as usize]), 5);
                    let (low, high) = (taken.iter().min().unwrap(), taken.iter().max().unwrap());
                    prop_assert!(high - low <= 1, "{:?}", taken);
                    // Of each class the first ones.
                    for class in 0..5 {
                        let first = (0_u32..).zip(&labels).filter(|(_, label)| **label == class).take(taken[class as usize]);
                        prop_assert!(first.map(|(place, _)| place).all(|place| samples.contains(&place)));
                    }
                }
                Err(_) => {
                    let most = 5 * least + found.iter().filter(|found| **found > least).count();
                    prop_assert!(wanted.unwrap_or(5 * least) == 0 || wanted.is_some_and(|wanted| wanted > most));
                }
            }
        }
    }

    #[test]
    fn each_wrong_class_is_as_likely_as_the_others() {
        let mut labels = vec![3; 90_000];
        add_label_noise(&mut labels, 10, 1.0, 5);
        let counts = counts(labels, 10);
        assert_eq!(counts[3], 0);
        // χ² with 8 degrees of freedom is below 26.1 in 999 of 1,000 draws.
        let off: f64 = counts
            .iter()
            .enumerate()
            .filter(|(class, _)| *class != 3)
            .map(|(_, &n)| (n as f64 - 1e4).powi(2) / 1e4)
            .sum();
        assert!(off < 26.1, "{off}: {counts:?}");
    }

    /// Old runs resume only if these never change.
    #[test]
    fn wrong_labels_are_those_of_every_earlier_version() {
        let mut labels: Vec<i32> = (0..10).collect();
        add_label_noise(&mut labels, 10, 0.5, 42);
        assert_eq!(labels, [0, 8, 7, 3, 4, 5, 1, 2, 8, 6]);
    }

    #[test]
    fn classes_that_cannot_be_balanced_are_named() {
        let error = balanced(&[0, 1, 0, 1, 0, 2], &names(3), Some(6)).unwrap_err().to_string();
        assert!(error.contains("class     class 2") && error.contains("lower `data.limit` to 5"), "{error}");
        assert_eq!(balanced(&[0, 1, 0, 1, 0, 2], &names(3), None).unwrap(), [0, 1, 5]);
        // Class 1 has its second sample sooner than class 0.
        assert_eq!(balanced(&[1, 0, 1, 0], &names(2), Some(3)).unwrap(), [0, 1, 2]);
        let error = balanced(&[0, 0], &names(2), None).unwrap_err().to_string();
        assert!(error.contains("class 1") && error.contains("hint: leave `data.balanced` out"), "{error}");
    }
}
