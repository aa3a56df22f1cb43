//! Sliding windows over `[N, H, W, C]`: max and average pooling.

use super::contraction::{fits_padding, fits_reach};
use crate::error::Error;
use crate::graph::Var;
use crate::op::{Op, Window};
use crate::shape::{DType, Shape};

impl<'g> Var<'g> {
    /// The largest element of each window. Padding never wins; a window that lies wholly in the padding is refused.
    #[track_caller]
    pub fn max_pool(self, size: [usize; 2], stride: [usize; 2], padding: [[usize; 2]; 2]) -> Var<'g> {
        self.max_pool_general(size, stride, padding, [1, 1])
    }

    /// The largest element of each window, whose taps may lie apart.
    #[track_caller]
    pub fn max_pool_general(
        self,
        size: [usize; 2],
        stride: [usize; 2],
        padding: [[usize; 2]; 2],
        dilation: [usize; 2],
    ) -> Var<'g> {
        let Some(window) = self.window("max-pool", size, stride, padding, dilation) else { return self.poison() };
        if misses(&window) {
            return self.without_an_element("max-pool", &window);
        }
        let output = Shape::from(window.output());
        let taps = self.graph().push(Op::WindowArgMax(window.clone()), &[self.id()], output, DType::I32);
        self.window_take(taps, &window)
    }

    /// The mean of each window, padding counted as zeros.
    #[track_caller]
    pub fn average_pool(self, size: [usize; 2], stride: [usize; 2], padding: [[usize; 2]; 2]) -> Var<'g> {
        self.average_pool_general(size, stride, padding, [1, 1], true)
    }

    /// The mean of each window, whose taps may lie apart: over all taps with padding as zeros, or over those in the sample
    /// alone; then a window that lies wholly in the padding is refused.
    #[track_caller]
    pub fn average_pool_general(
        self,
        size: [usize; 2],
        stride: [usize; 2],
        padding: [[usize; 2]; 2],
        dilation: [usize; 2],
        count_padding: bool,
    ) -> Var<'g> {
        let Some(window) = self.window("average-pool", size, stride, padding, dilation) else { return self.poison() };
        let sum = self.window_sum_with(&window);
        if count_padding {
            return sum / (size[0] as f64 * size[1] as f64);
        }
        if misses(&window) {
            return self.without_an_element("average-pool", &window);
        }
        // The sum of ones over one channel of one sample: how many taps of each window lie in it.
        let [_, rows, columns, _] = window.input;
        let one = Window { input: [1, rows, columns, 1], ..window };
        sum / self.graph().splat(1.0, one.input, self.dtype()).window_sum_with(&one)
    }

    /// The mean over `size` bins a direction, at most one an element: bin i of n goes from ⌊i E / n⌋ up to ⌈(i + 1) E / n⌉.
    #[track_caller]
    pub fn adaptive_average_pool(self, size: [usize; 2]) -> Var<'g> {
        self.adaptive_pool("adaptive-average-pool", size, |bin, axis| bin.mean(&[axis]))
    }

    /// The largest element over the bins of [`Var::adaptive_average_pool`].
    #[track_caller]
    pub fn adaptive_max_pool(self, size: [usize; 2]) -> Var<'g> {
        self.adaptive_pool("adaptive-max-pool", size, |bin, axis| bin.max(&[axis]))
    }

    /// A bin is a rectangle: rows are combined first, then columns.
    #[track_caller]
    fn adaptive_pool(self, operation: &str, size: [usize; 2], combine: fn(Var<'g>, usize) -> Var<'g>) -> Var<'g> {
        if self.is_poison() {
            return self;
        }
        let shape = self.shape();
        let fits = shape.len() == 4 && (0..2).all(|axis| (1..=shape[axis + 1]).contains(&size[axis]));
        if !fits || !self.dtype().is_float() {
            let problem =
                format!("needs floating-point activations [N, H, W, C] with an element for each of {size:?} bins");
            return self.graph().fail(Error::new(operation, problem, vec![self.operand()]));
        }
        let along = |x: Var<'g>, axis: usize, count: usize| {
            let extent = shape[axis];
            let bin = |bin: usize| {
                let range = bin * extent / count..((bin + 1) * extent).div_ceil(count);
                let part = combine(x.slice_along(axis, range), axis);
                let mut kept = x.shape().to_vec();
                kept[axis] = 1;
                part.reshape(kept)
            };
            x.graph().concat(&(0..count).map(bin).collect::<Vec<_>>(), axis)
        };
        along(along(self, 1, size[0]), 2, size[1])
    }

    /// The sum of each window, padding counted as zeros.
    #[track_caller]
    pub fn window_sum(self, size: [usize; 2], stride: [usize; 2], padding: [[usize; 2]; 2]) -> Var<'g> {
        let Some(window) = self.window("window-sum", size, stride, padding, [1, 1]) else { return self.poison() };
        self.window_sum_with(&window)
    }

    #[track_caller]
    fn without_an_element(self, operation: &str, window: &Window) -> Var<'g> {
        let problem = format!("padding {:?} leaves windows {:?} without an element", window.padding, window.size);
        self.graph().fail(Error::new(operation, problem, vec![self.operand()]))
    }

    #[track_caller]
    pub(crate) fn window_sum_with(self, window: &Window) -> Var<'g> {
        self.graph().push(Op::WindowSum(window.clone()), &[self.id()], window.output().into(), self.dtype())
    }

    /// The transpose of a window sum: `self` is shaped like its output.
    #[track_caller]
    pub(crate) fn window_spread(self, window: &Window) -> Var<'g> {
        self.graph().push(Op::WindowSpread(window.clone()), &[self.id()], window.input.into(), self.dtype())
    }

    /// The chosen element of each window.
    #[track_caller]
    pub(crate) fn window_take(self, taps: Var<'g>, window: &Window) -> Var<'g> {
        let op = Op::WindowTake(window.clone());
        self.graph().push(op, &[self.id(), taps.id()], window.output().into(), self.dtype())
    }

    /// Each element back to the chosen place of its window, added up.
    #[track_caller]
    pub(crate) fn window_put(self, taps: Var<'g>, window: &Window) -> Var<'g> {
        self.graph().push(Op::WindowPut(window.clone()), &[self.id(), taps.id()], window.input.into(), self.dtype())
    }

    #[track_caller]
    fn window(
        self,
        operation: &str,
        size: [usize; 2],
        stride: [usize; 2],
        padding: [[usize; 2]; 2],
        dilation: [usize; 2],
    ) -> Option<Window> {
        if self.is_poison() {
            return None;
        }
        let problem = match self.shape()[..] {
            [n, h, w, c] if self.dtype().is_float() => {
                let window = Window { input: [n, h, w, c], size, stride, padding, dilation };
                if size.contains(&0) || stride.contains(&0) || dilation.contains(&0) {
                    "window extents, strides and dilations must be at least 1".to_string()
                } else if !fits_padding(&window.input, padding) || !fits_reach(size, dilation) {
                    format!("padding {padding:?}, window {size:?} or dilation {dilation:?} is too large")
                } else {
                    return Some(window);
                }
            }
            _ => "needs floating-point activations [N, H, W, C]".to_string(),
        };
        self.graph().fail(Error::new(operation, problem, vec![self.operand()]));
        None
    }
}

/// Whether some window may lie wholly in the padding, or step over the sample from one side to the other.
fn misses(window: &Window) -> bool {
    (0..2).any(|axis| {
        let reach = window.dilation[axis] * (window.size[axis] - 1) + 1;
        let outside = window.padding[axis].iter().any(|&extent| extent >= reach);
        outside || window.input[axis + 1] < window.dilation[axis] && window.padding[axis] != [0, 0]
    })
}
