//! Samples in memory, as programs take them.

use crate::data::{Dataset, Real, Split};
use crate::{Error, Result};
use evenkeel_graph::{DType, Element, Tensor};

/// Inputs `[N, ..]` and labels of some samples: classes `[N]`, or `[N, T]` where every position has one, or numbers in the shape of the
/// network's answer. A network that gives back its inputs does not look at them.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The inputs, in the network's floating-point type, or `I32` for a network that reads tokens.
    pub inputs: Tensor,
    /// The labels, `I32` where they are classes, else in the network's floating-point type.
    pub labels: Tensor,
}

impl Batch {
    /// All samples of a split: images normalized as the data set says, in f32 or f64, or characters of a text.
    ///
    /// # Errors
    /// When the samples were not read, or are too many for one tensor.
    pub fn of(dataset: &Dataset, split: &Split, dtype: DType) -> Result<Batch> {
        let indices: Vec<u32> = (0..split.len() as u32).collect();
        Self::some_of(dataset, split, &indices, dtype)
    }

    /// The samples at `indices` of a split, as [`Batch::of`].
    ///
    /// # Errors
    /// When an index is outside the split.
    pub fn some_of(dataset: &Dataset, split: &Split, indices: &[u32], dtype: DType) -> Result<Batch> {
        if split.is_text() {
            return Self::of_text(split, indices);
        }
        match dtype {
            DType::F64 => Self::of_samples::<f64>(dataset, split, indices),
            _ => Self::of_samples::<f32>(dataset, split, indices),
        }
    }

    fn of_samples<T: Real + Element + Default>(dataset: &Dataset, split: &Split, indices: &[u32]) -> Result<Batch> {
        let shape = [&[indices.len()], &split.image_shape()[..]].concat();
        let mut inputs = vec![T::default(); indices.len() * split.image_len()];
        let elements = inputs.len();
        let labels = match split.target_width() {
            Some(width) => {
                let mut targets = vec![T::default(); indices.len() * width];
                split.inputs(indices, &dataset.normalization, &mut inputs)?;
                split.targets(indices, &mut targets)?;
                Tensor::new([indices.len(), width], targets)
            }
            None => {
                let mut labels = vec![0i32; indices.len()];
                split.batch(indices, &dataset.normalization, &mut inputs, &mut labels)?;
                Tensor::new([indices.len()], labels)
            }
        };
        match (Tensor::new(shape, inputs), labels) {
            (Some(inputs), Some(labels)) => Ok(Batch { inputs, labels }),
            _ => Err(Error::input("a batch has too many elements").detail("got", format!("{elements} elements"))),
        }
    }

    fn of_text(split: &Split, indices: &[u32]) -> Result<Batch> {
        let shape = [&[indices.len()], &split.image_shape()[..]].concat();
        let elements = shape.iter().product();
        let (mut inputs, mut labels) = (vec![0i32; elements], vec![0i32; elements]);
        split.tokens(indices, &mut inputs, &mut labels)?;
        match (Tensor::new(&shape[..], inputs), Tensor::new(&shape[..], labels)) {
            (Some(inputs), Some(labels)) => Ok(Batch { inputs, labels }),
            _ => Err(Error::input("a batch has too many elements").detail("got", format!("{elements} elements"))),
        }
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.inputs.shape().first().copied().unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The samples at `indices`, in that order; one may come more than once.
    ///
    /// # Errors
    /// When an index is not below [`Batch::len`].
    pub fn take(&self, indices: &[u32]) -> Result<Batch> {
        if let Some(outside) = indices.iter().find(|&&index| index as usize >= self.len()) {
            return Err(Error::input("there is no such sample")
                .detail("expected", format!("a number below {}", self.len()))
                .detail("got", outside));
        }
        match (rows(&self.inputs, indices), rows(&self.labels, indices)) {
            (Some(inputs), Some(labels)) => Ok(Batch { inputs, labels }),
            _ => Err(Error::input("inputs and labels must be floats or integers, a row for each sample")),
        }
    }

    /// The same samples with other classes: what `class` makes of the place and the class of each label.
    ///
    /// # Errors
    /// When the labels are no classes.
    pub fn relabelled(self, mut class: impl FnMut(usize, i32) -> i32) -> Result<Batch> {
        let Some(labels) = self.labels.as_slice::<i32>() else {
            return Err(Error::input("only classes can be exchanged").detail("got", self.labels.dtype()));
        };
        let labels: Vec<i32> = labels.iter().enumerate().map(|(place, &label)| class(place, label)).collect();
        match Tensor::new(self.labels.shape(), labels) {
            Some(labels) => Ok(Batch { labels, ..self }),
            None => Err(Error::input("there is a label for each sample")),
        }
    }

    /// The same samples with classes `[N]` as shares of classes `[N, classes]`, in the type of the inputs: all of one class, and nothing of
    /// the others. From there they can be mixed. A class that is none of them has no share anywhere. What are numbers already stays.
    ///
    /// A [`Trainer`](crate::train::Trainer) learns shares where its options say so.
    ///
    /// # Errors
    /// When a sample has more than one label, or there are too many classes for a tensor.
    pub fn with_shares(self, classes: usize) -> Result<Batch> {
        let Some(labels) = self.labels.as_slice::<i32>() else { return Ok(self) };
        let wrong = || {
            Error::input("classes cannot become shares of classes")
                .detail("expected", "a class for each sample")
                .detail("got", format!("{} of {classes} classes", self.labels.shape()))
        };
        let size = labels.len().checked_mul(classes).filter(|_| self.labels.shape().len() == 1).ok_or_else(wrong)?;
        let mut shares = vec![0.0; size];
        for (row, &label) in shares.chunks_exact_mut(classes.max(1)).zip(labels) {
            if let Some(share) = usize::try_from(label).ok().and_then(|class| row.get_mut(class)) {
                *share = 1.0;
            }
        }
        let labels = Tensor::from_f64([labels.len(), classes], self.inputs.dtype(), &shares).ok_or_else(wrong)?;
        Ok(Batch { labels, ..self })
    }

    /// The first `count` samples, or all where there are fewer.
    pub fn first(&self, count: usize) -> Batch {
        let indices: Vec<u32> = (0..count.min(self.len()) as u32).collect();
        // The indices are inside: only a batch whose inputs and labels do not belong together has none to give.
        self.take(&indices).unwrap_or_else(|_| self.clone())
    }
}

/// The rows of a tensor at `indices`.
fn rows(tensor: &Tensor, indices: &[u32]) -> Option<Tensor> {
    fn gather<T: Element>(from: &[T], shape: Vec<usize>, row: usize, indices: &[u32]) -> Option<Tensor> {
        let mut elements = Vec::with_capacity(row * indices.len());
        for &index in indices {
            elements.extend_from_slice(from.get(index as usize * row..(index as usize + 1) * row)?);
        }
        Tensor::new(shape, elements)
    }
    let mut shape = tensor.shape().to_vec();
    let row: usize = shape[1..].iter().product();
    shape[0] = indices.len();
    match tensor.dtype() {
        DType::F32 => gather(tensor.as_slice::<f32>()?, shape, row, indices),
        DType::F64 => gather(tensor.as_slice::<f64>()?, shape, row, indices),
        DType::I32 => gather(tensor.as_slice::<i32>()?, shape, row, indices),
        DType::Bool => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_taken_in_the_order_asked_for_and_one_may_come_twice() {
        let inputs = Tensor::new([3, 2], vec![0.0_f32, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        let batch = Batch { inputs, labels: Tensor::new([3], vec![7, 8, 9]).unwrap() };
        let taken = batch.take(&[2, 0, 2]).unwrap();
        assert_eq!(taken.inputs.as_slice::<f32>().unwrap(), [4.0, 5.0, 0.0, 1.0, 4.0, 5.0]);
        assert_eq!(taken.labels.as_slice::<i32>().unwrap(), [9, 7, 9]);
        assert_eq!(batch.first(2), batch.take(&[0, 1]).unwrap());
        assert_eq!(batch.first(9), batch);
    }

    #[test]
    fn classes_become_shares_of_classes_once() {
        let inputs = Tensor::zeros([3, 2], DType::F64);
        let batch = Batch { inputs, labels: Tensor::new([3], vec![1, 0, 5]).unwrap() };
        let shares = batch.with_shares(2).unwrap();
        assert_eq!(shares.labels, Tensor::new([3, 2], vec![0.0, 1.0, 1.0, 0.0, 0.0, 0.0]).unwrap());
        assert_eq!(shares.clone().with_shares(2).unwrap(), shares);
        let rows = Batch { inputs: Tensor::zeros([1, 2], DType::I32), labels: Tensor::zeros([1, 2], DType::I32) };
        assert!(rows.with_shares(3).is_err());
    }

    #[test]
    fn a_sample_that_is_not_there_is_refused() {
        let batch =
            Batch { inputs: Tensor::new([1, 1], vec![0.0_f64]).unwrap(), labels: Tensor::zeros([1], DType::I32) };
        let error = batch.take(&[0, 1]).unwrap_err().to_string();
        assert!(error.contains("a number below 1"), "{error}");
    }
}
