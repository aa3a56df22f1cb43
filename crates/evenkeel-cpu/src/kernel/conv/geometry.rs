//! Which input pixel meets which output pixel: shapes, and one axis at a time, the taps of the kernel.

use std::ops::Range;

/// The geometry of a convolution: activations `[N, H, W, C]`, weights `[kh, kw, c_in / groups, c_out]`, dense and row-major.
///
/// Output channel `o` belongs to group `o / (c_out / groups)` and sees the input channels of that group only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConvShape {
    /// Samples N.
    pub batch: usize,
    /// Input rows H.
    pub height: usize,
    /// Input columns W.
    pub width: usize,
    /// Input channels; a multiple of `groups`.
    pub in_channels: usize,
    /// Output channels; a multiple of `groups`.
    pub out_channels: usize,
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Steps between neighbouring outputs, at least 1.
    pub stride: [usize; 2],
    /// Zeros around the input: `[[top, bottom], [left, right]]`.
    pub padding: [[usize; 2]; 2],
    /// Steps between neighbouring taps of the kernel, at least 1.
    pub dilation: [usize; 2],
    /// Independent groups of channels, at least 1.
    pub groups: usize,
}

impl ConvShape {
    /// Rows and columns of the output; 0 where the kernel does not fit into the padded input.
    pub fn output(&self) -> [usize; 2] {
        let extent = |axis: usize, size: usize| {
            let padded = size + self.padding[axis][0] + self.padding[axis][1];
            let reach = self.dilation[axis] * self.kernel[axis].saturating_sub(1) + 1;
            if self.kernel[axis] == 0 || padded < reach { 0 } else { (padded - reach) / self.stride[axis] + 1 }
        };
        [extent(0, self.height), extent(1, self.width)]
    }

    /// Elements of the input, `N · H · W · c_in`.
    pub fn input_len(&self) -> usize {
        self.batch * self.height * self.width * self.in_channels
    }

    /// Elements of the output, `N · oh · ow · c_out`.
    pub fn output_len(&self) -> usize {
        let [height, width] = self.output();
        self.batch * height * width * self.out_channels
    }

    /// Elements of the weights, `kh · kw · (c_in / groups) · c_out`.
    pub fn weight_len(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.in_group() * self.out_channels
    }

    /// The same products with the pixels of all images in rows that are as long as useful, where every output reads one input
    /// pixel: a 1×1 convolution without stride and padding is a matrix product and does not care where a row ends.
    pub(super) fn flattened(&self) -> Option<ConvShape> {
        const LEAST: usize = 8;
        /// Most pixels, and most scalars of them: a row and its copy stay in the second-level cache.
        const ROW: [usize; 2] = [128, 1 << 16];
        if self.kernel != [1; 2] || self.stride != [1; 2] || self.padding != [[0; 2]; 2] {
            return None;
        }
        let pixels = self.batch * self.height * self.width;
        let most = ROW[0].min(ROW[1] / self.in_channels.max(self.out_channels).max(1)).max(LEAST);
        let width = (LEAST..=most.min(pixels)).rev().find(|width| pixels.is_multiple_of(*width))?;
        Some(ConvShape { batch: pixels / width, height: 1, width, ..self.clone() })
    }

    /// Whether each group is one channel in and one channel out.
    pub(super) fn depthwise(&self) -> bool {
        self.in_group() == 1 && self.out_group() == 1
    }

    /// Input channels of one group.
    pub(super) fn in_group(&self) -> usize {
        self.in_channels / self.groups
    }

    /// Output channels of one group.
    pub(super) fn out_group(&self) -> usize {
        self.out_channels / self.groups
    }

    /// Refuses a geometry that means nothing; part of the length checks at the public entry.
    pub(super) fn check(&self) {
        assert!(self.groups > 0, "convolution: groups is 0");
        assert!(self.in_channels.is_multiple_of(self.groups), "convolution: groups must divide the input channels");
        assert!(self.out_channels.is_multiple_of(self.groups), "convolution: groups must divide the output channels");
        assert!(!self.stride.contains(&0), "convolution: a stride is 0");
        assert!(!self.dilation.contains(&0), "convolution: a dilation is 0");
    }
}

/// One axis of a correlation: how outputs step over inputs, and the taps of the kernel in the order in which they read.
///
/// Output `i` reads input `i · stride + offset + t · spread` through tap `t`, if that input exists.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) stride: usize,
    /// Number of taps.
    pub(super) taps: usize,
    /// Where the first tap reads, relative to the strided output position; negative inside the padding.
    pub(super) offset: isize,
    /// Between the inputs of neighbouring taps.
    pub(super) spread: usize,
    /// Position of the first tap in the kernel, and the step to the next.
    kernel: (usize, isize),
}

impl Axis {
    /// Axis 0 (rows) or 1 (columns) of the convolution itself.
    pub(super) fn forward(shape: &ConvShape, axis: usize) -> Axis {
        Axis {
            inputs: [shape.height, shape.width][axis],
            outputs: shape.output()[axis],
            stride: shape.stride[axis],
            taps: shape.kernel[axis],
            offset: -(shape.padding[axis][0] as isize),
            spread: shape.dilation[axis],
            kernel: (0, 1),
        }
    }

    /// The input positions `phase, phase + stride, ..` of the input gradient along one axis.
    ///
    /// Position `h = phase + stride · i` receives from output `(h + padding − dilation · k) / stride` for the taps `k` where
    /// the division leaves no remainder: a correlation with stride 1 over the output, with every `stride / gcd`-th tap, the
    /// last of them first.
    pub(super) fn phase(shape: &ConvShape, axis: usize, phase: usize) -> Axis {
        let (size, stride, dilation) = ([shape.height, shape.width][axis], shape.stride[axis], shape.dilation[axis]);
        let common = gcd(stride, dilation);
        let at = |tap: usize| (phase + shape.padding[axis][0]) as isize - (tap * dilation) as isize;
        let step = stride / common;
        let first = (0..step.min(shape.kernel[axis])).find(|&tap| at(tap).rem_euclid(stride as isize) == 0);
        let taps = first.map_or(0, |first| (shape.kernel[axis] - first).div_ceil(step));
        let last = first.unwrap_or(0) + taps.saturating_sub(1) * step;
        Axis {
            inputs: shape.output()[axis],
            outputs: size.saturating_sub(phase).div_ceil(stride),
            stride: 1,
            taps,
            offset: at(last).div_euclid(stride as isize),
            spread: dilation / common,
            kernel: (last, -(step as isize)),
        }
    }

    /// The position of a tap in the kernel.
    pub(super) fn index(&self, tap: usize) -> usize {
        self.kernel.0.wrapping_add_signed(tap as isize * self.kernel.1)
    }

    /// Steps of the position in the kernel from tap to tap.
    pub(super) fn index_step(&self) -> isize {
        self.kernel.1
    }

    /// The distance between the inputs of the first and the last tap.
    pub(super) fn span(&self) -> usize {
        self.taps.saturating_sub(1) * self.spread
    }

    /// Whether neighbouring taps read neighbouring inputs.
    pub(super) fn consecutive(&self) -> bool {
        self.taps <= 1 || self.spread == 1
    }

    /// The input read by the first tap for output `at`; it may lie outside.
    pub(super) fn first_input(&self, at: usize) -> isize {
        (at * self.stride) as isize + self.offset
    }

    /// The input that a tap reads for output `at`, 0 for one in the padding before the first.
    pub(super) fn input(&self, at: usize, tap: usize) -> usize {
        (self.first_input(at) + (tap * self.spread) as isize).max(0) as usize
    }

    /// The taps that read an input for output `at`; the others read padding.
    pub(super) fn taps_at(&self, at: usize) -> Range<usize> {
        let first = self.first_input(at);
        let from = first.min(0).unsigned_abs().div_ceil(self.spread).min(self.taps);
        let to = (self.inputs as isize - first).max(0) as usize;
        from..to.div_ceil(self.spread).clamp(from, self.taps)
    }

    /// The outputs for which a tap reads an input.
    pub(super) fn outputs_of(&self, tap: usize) -> Range<usize> {
        let offset = self.offset + (tap * self.spread) as isize;
        let from = offset.min(0).unsigned_abs().div_ceil(self.stride).min(self.outputs);
        let to = (self.inputs as isize - offset).max(0) as usize;
        from..to.div_ceil(self.stride).clamp(from, self.outputs)
    }

    /// Step between the inputs kept in a copy: with a single tap only every `stride`-th input is ever read.
    pub(super) fn copy_step(&self) -> usize {
        if self.taps <= 1 { self.stride } else { 1 }
    }

    /// Step between neighbouring outputs inside such a copy.
    pub(super) fn copy_stride(&self) -> usize {
        if self.taps <= 1 { 1 } else { self.stride }
    }

    /// Inputs kept in the copy for a run of `outputs` outputs, padding included.
    pub(super) fn copy_len(&self, outputs: usize) -> usize {
        if outputs == 0 { 0 } else { (outputs - 1) * self.copy_stride() + self.span() + 1 }
    }
}

/// The greatest common divisor of two positive numbers.
fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
