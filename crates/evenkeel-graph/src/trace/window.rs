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
        let Some(window) = self.window("max-pool", size, stride, padding) else { return self.poison() };
        // An axis without elements that is padded has windows, but nothing in them.
        let empty = |axis: usize| window.input[axis + 1] == 0 && padding[axis] != [0, 0];
        if (0..2).any(|axis| padding[axis].iter().any(|&extent| extent >= size[axis]) || empty(axis)) {
            let problem = format!("padding {padding:?} leaves windows {size:?} without an element");
            return self.graph().fail(Error::new("max-pool", problem, vec![self.operand()]));
        }
        let output = Shape::from(window.output());
        let taps = self.graph().push(Op::WindowArgMax(window.clone()), &[self.id()], output, DType::I32);
        self.window_take(taps, &window)
    }

    /// The mean of each window, padding counted as zeros.
    #[track_caller]
    pub fn average_pool(self, size: [usize; 2], stride: [usize; 2], padding: [[usize; 2]; 2]) -> Var<'g> {
        self.window_sum(size, stride, padding) / (size[0] as f64 * size[1] as f64)
    }

    /// The sum of each window, padding counted as zeros.
    #[track_caller]
    pub fn window_sum(self, size: [usize; 2], stride: [usize; 2], padding: [[usize; 2]; 2]) -> Var<'g> {
        let Some(window) = self.window("window-sum", size, stride, padding) else { return self.poison() };
        self.window_sum_with(&window)
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
    fn window(self, operation: &str, size: [usize; 2], stride: [usize; 2], padding: [[usize; 2]; 2]) -> Option<Window> {
        if self.is_poison() {
            return None;
        }
        let problem = match self.shape()[..] {
            [n, h, w, c] if self.dtype().is_float() => {
                let window = Window { input: [n, h, w, c], size, stride, padding, dilation: [1, 1] };
                if size.contains(&0) || stride.contains(&0) {
                    "window extents and strides must be at least 1".to_string()
                } else if !fits_padding(&window.input, padding) || !fits_reach(size, [1, 1]) {
                    format!("padding {padding:?} or window {size:?} is too large")
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
