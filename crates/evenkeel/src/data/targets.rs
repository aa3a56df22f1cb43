//! What samples are labelled with where it is no class: numbers that are to be predicted.

use std::path::Path;

use super::classes::Labels;
use super::source::reserve;
use super::split::Real;
use crate::Result;

/// As many numbers of each sample, one sample after another.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Numbers {
    values: Vec<f32>,
    width: usize,
}

impl Numbers {
    /// No samples yet, of so many numbers each, at least 1.
    pub(super) fn new(width: usize) -> Self {
        Numbers { values: Vec::new(), width: width.max(1) }
    }

    /// The next number.
    pub(super) fn push(&mut self, value: f32, file: &Path) -> Result<()> {
        reserve(&mut self.values, 1, file)?;
        self.values.push(value);
        Ok(())
    }

    /// The number of samples.
    pub(super) fn len(&self) -> usize {
        self.values.len() / self.width
    }

    /// How many numbers a sample has.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    /// Those of one sample; none where it is not there.
    pub(super) fn of(&self, sample: usize) -> &[f32] {
        self.values.chunks_exact(self.width).nth(sample).unwrap_or_default()
    }

    /// Those of some samples, in their order.
    pub(super) fn select(&self, rows: &[u32]) -> Self {
        let values = rows.iter().flat_map(|&row| self.of(row as usize).iter().copied()).collect();
        Numbers { values, width: self.width }
    }

    /// Those of the first `len` samples.
    pub(super) fn truncate(&mut self, len: usize) {
        self.values.truncate(len * self.width);
    }

    /// Copies those of some samples.
    pub(super) fn gather<T: Real>(&self, rows: &[u32], out: &mut [T]) {
        for (to, &row) in out.chunks_exact_mut(self.width).zip(rows) {
            for (to, &from) in to.iter_mut().zip(self.of(row as usize)) {
                *to = T::from_f64(f64::from(from));
            }
        }
    }
}

/// What samples are labelled with: classes, as [`Labels`] while they are found or as numbers in a split, or numbers to be predicted.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Targets<C> {
    Classes(C),
    Numbers(Numbers),
}

impl Targets<Labels> {
    /// Where they are classes.
    pub(super) fn labels(&self) -> Option<&Labels> {
        match self {
            Targets::Classes(labels) => Some(labels),
            Targets::Numbers(_) => None,
        }
    }

    /// The number of samples.
    pub(super) fn len(&self) -> usize {
        match self {
            Targets::Classes(labels) => labels.len(),
            Targets::Numbers(numbers) => numbers.len(),
        }
    }
}

impl From<Vec<i32>> for Targets<Vec<i32>> {
    fn from(classes: Vec<i32>) -> Self {
        Targets::Classes(classes)
    }
}

impl Targets<Vec<i32>> {
    /// The number of samples.
    pub(super) fn len(&self) -> usize {
        match self {
            Targets::Classes(classes) => classes.len(),
            Targets::Numbers(numbers) => numbers.len(),
        }
    }

    /// Those of some samples, in their order.
    pub(super) fn select(&self, rows: &[u32]) -> Self {
        match self {
            Targets::Classes(classes) => {
                Targets::Classes(rows.iter().filter_map(|&row| classes.get(row as usize).copied()).collect())
            }
            Targets::Numbers(numbers) => Targets::Numbers(numbers.select(rows)),
        }
    }

    /// Those of the first `len` samples.
    pub(super) fn truncate(&mut self, len: usize) {
        match self {
            Targets::Classes(classes) => classes.truncate(len),
            Targets::Numbers(numbers) => numbers.truncate(len),
        }
    }
}
