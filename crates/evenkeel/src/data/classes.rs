//! What the classes of data are that has no fixed list of them: the different labels of both parts.

use std::collections::HashMap;
use std::path::Path;

use super::array::At;
use super::source::grouped;
use crate::{Error, Result};

/// More classes than this are a column of names or measurements that was taken for labels.
const MOST_CLASSES: usize = 1 << 16;
/// Up to here every whole number is an f64.
const LARGEST_WHOLE: f64 = 9_007_199_254_740_992.0;

/// The labels of a part, as they are written, numbered in the order in which they were first seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels {
    texts: Vec<String>,
    numbers: HashMap<String, u32>,
    of_samples: Vec<u32>,
}

impl Labels {
    /// The number of samples.
    pub(super) fn len(&self) -> usize {
        self.of_samples.len()
    }

    /// The labels of some samples; classes that none of them has stay classes.
    pub(super) fn select(&self, rows: &[u32]) -> Self {
        let of_samples = rows.iter().map(|&row| self.of_samples[row as usize]).collect();
        Labels { of_samples, ..self.clone() }
    }

    /// The label of the next sample.
    pub(super) fn push(&mut self, text: &str, file: &Path) -> Result<()> {
        let number = match self.numbers.get(text) {
            Some(&number) => number,
            None if self.texts.len() >= MOST_CLASSES => {
                return Err(Error::input("there are more different labels than classes can be")
                    .detail("file", file.display())
                    .detail("expected", format!("at most {}", grouped(MOST_CLASSES as u64)))
                    .hint("are these the labels? names of samples are not classes; measurements are predicted with `--set data.targets=numbers`"));
            }
            None => {
                let number = self.texts.len() as u32;
                self.texts.push(text.to_owned());
                self.numbers.insert(text.to_owned(), number);
                number
            }
        };
        self.of_samples.push(number);
        Ok(())
    }

    /// The same for an element of an array, which has to be a whole number.
    pub(super) fn push_number(&mut self, value: f64, at: At<'_>) -> Result<()> {
        match whole(value) {
            Some(value) => self.push(&value.to_string(), at.file),
            None => Err(Error::input("a label is not a whole number")
                .detail("file", at.file.display())
                .detail("byte", at.byte)
                .detail("sample", at.index)
                .detail("expected", "the number of a class")
                .detail("got", value)
                .hint(
                    "give each sample a class; numbers to be predicted (regression) need `--set data.targets=numbers`",
                )),
        }
    }
}

/// A number without a fraction, as far as f64 has all of them.
pub(super) fn whole(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() <= LARGEST_WHOLE).then_some(value as i64)
}

/// The names of the classes, numbers in their order and other words by their letters, and the class of each sample of each part.
pub(super) fn classes(parts: &[&Labels], file: &Path) -> Result<(Vec<String>, Vec<Vec<i32>>)> {
    let mut names: Vec<&String> = parts.iter().flat_map(|part| &part.texts).collect();
    let number = |text: &String| text.parse::<f64>().ok().filter(|number| number.is_finite());
    if let Some(numbers) = names.iter().map(|text| number(text)).collect::<Option<Vec<f64>>>()
        && let Some(fraction) = numbers.into_iter().find(|&number| whole(number).is_none())
    {
        return Err(Error::input("the labels are numbers with a fraction, not classes")
            .detail("file", file.display())
            .detail("expected", "names or whole numbers")
            .detail("got", fraction)
            .hint("for numbers to be predicted (regression) use `--set data.targets=numbers`; else name the column of the classes `label`"));
    }
    let order = |text: &String| text.parse::<i64>();
    if names.iter().all(|name| order(name).is_ok()) {
        // Folders may be called 1 and 01: other words for one number are told apart by how they are written.
        names.sort_by(|a, b| order(a).ok().cmp(&order(b).ok()).then(a.cmp(b)));
    } else {
        names.sort();
    }
    names.dedup();
    let place: HashMap<&String, i32> = names.iter().copied().zip(0..).collect();
    let of_part = |part: &&Labels| {
        let classes: Vec<i32> = part.texts.iter().map(|text| place.get(text).copied().unwrap_or(0)).collect();
        part.of_samples.iter().map(|&number| classes[number as usize]).collect()
    };
    let of_parts = parts.iter().map(of_part).collect();
    Ok((names.into_iter().cloned().collect(), of_parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(texts: &[&str]) -> Labels {
        let mut labels = Labels::default();
        texts.iter().try_for_each(|text| labels.push(text, Path::new("labels"))).unwrap();
        labels
    }

    #[test]
    fn numbers_are_classes_in_their_order_and_words_by_their_letters() {
        let (names, of) = classes(&[&labels(&["10", "9", "10"]), &labels(&["-1", "9"])], Path::new("f")).unwrap();
        assert_eq!(names, ["-1", "9", "10"]);
        assert_eq!(of, [vec![2, 1, 2], vec![0, 1]]);
        let (names, of) = classes(&[&labels(&["dog", "10", "cat"])], Path::new("f")).unwrap();
        assert_eq!(names, ["10", "cat", "dog"]);
        assert_eq!(of, [[2, 0, 1]]);
    }

    #[test]
    fn numbers_with_a_fraction_are_no_classes() {
        let error = classes(&[&labels(&["1", "2.5"])], Path::new("f")).unwrap_err().to_string();
        assert!(error.contains("numbers with a fraction") && error.contains("got       2.5"), "{error}");
        let (names, _) = classes(&[&labels(&["a", "2.5"])], Path::new("f")).unwrap();
        assert_eq!(names, ["2.5", "a"]);
    }

    #[test]
    fn a_label_for_every_sample_is_not_a_class() {
        let mut labels = Labels::default();
        let push = |number: usize| labels.push(&number.to_string(), Path::new("names.csv"));
        let error = (0..=MOST_CLASSES).try_for_each(push).unwrap_err().to_string();
        assert!(error.contains("more different labels") && error.contains("at most 65,536"), "{error}");
    }
}
