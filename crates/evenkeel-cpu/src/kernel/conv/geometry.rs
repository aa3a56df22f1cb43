//! Which input pixel meets which output pixel: shapes, and one axis at a time, the taps of the kernel.

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

/// One tap of the kernel along one axis: output `i` reads input `i · stride + offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tap {
    /// Position in the kernel.
    pub(super) index: usize,
    /// Where it reads, relative to the strided output position; negative inside the padding.
    pub(super) offset: isize,
}

/// One axis of a correlation: how outputs step over inputs, and the taps in the order of their offsets.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) stride: usize,
    pub(super) taps: Vec<Tap>,
}

impl Axis {
    /// Axis 0 (rows) or 1 (columns) of the convolution itself.
    pub(super) fn forward(shape: &ConvShape, axis: usize) -> Axis {
        let taps = (0..shape.kernel[axis])
            .map(|index| Tap {
                index,
                offset: (index * shape.dilation[axis]) as isize - shape.padding[axis][0] as isize,
            })
            .collect();
        let inputs = [shape.height, shape.width][axis];
        Axis { inputs, outputs: shape.output()[axis], stride: shape.stride[axis], taps }
    }

    /// The input positions `phase, phase + stride, ..` of the input gradient along one axis.
    ///
    /// Position `h = phase + stride · i` receives from output `(h + padding − dilation · k) / stride` for the taps `k` where
    /// the division leaves no remainder: a correlation with stride 1 over the output, with some of the taps.
    pub(super) fn phase(shape: &ConvShape, axis: usize, phase: usize) -> Axis {
        let (size, stride) = ([shape.height, shape.width][axis], shape.stride[axis]);
        let mut taps: Vec<Tap> = (0..shape.kernel[axis])
            .filter_map(|index| {
                let at = (phase + shape.padding[axis][0]) as isize - (index * shape.dilation[axis]) as isize;
                (at.rem_euclid(stride as isize) == 0).then(|| Tap { index, offset: at.div_euclid(stride as isize) })
            })
            .collect();
        taps.reverse();
        Axis { inputs: shape.output()[axis], outputs: size.saturating_sub(phase).div_ceil(stride), stride: 1, taps }
    }

    /// The smallest offset.
    pub(super) fn first(&self) -> isize {
        self.taps.first().map_or(0, |tap| tap.offset)
    }

    /// The distance between the smallest and the largest offset.
    pub(super) fn span(&self) -> usize {
        match (self.taps.first(), self.taps.last()) {
            (Some(first), Some(last)) => (last.offset - first.offset) as usize,
            _ => 0,
        }
    }

    /// Whether neighbouring taps read neighbouring inputs.
    pub(super) fn consecutive(&self) -> bool {
        self.taps.windows(2).all(|pair| pair[1].offset == pair[0].offset + 1)
    }

    /// Whether no tap of any output leaves the input.
    pub(super) fn inside(&self) -> bool {
        self.outputs > 0
            && self.first() >= 0
            && (self.outputs - 1) * self.stride + self.first() as usize + self.span() < self.inputs
    }

    /// The input read by `tap` for output `at`, if it is not padding.
    pub(super) fn input(&self, at: usize, tap: Tap) -> Option<usize> {
        let input = (at * self.stride) as isize + tap.offset;
        (0..self.inputs as isize).contains(&input).then_some(input as usize)
    }

    /// Step between the inputs kept in a copy: with a single tap only every `stride`-th input is ever read.
    pub(super) fn copy_step(&self) -> usize {
        if self.taps.len() <= 1 { self.stride } else { 1 }
    }

    /// Step between neighbouring outputs inside such a copy.
    pub(super) fn copy_stride(&self) -> usize {
        if self.taps.len() <= 1 { 1 } else { self.stride }
    }

    /// Inputs kept in the copy for a run of `outputs` outputs, padding included.
    pub(super) fn copy_len(&self, outputs: usize) -> usize {
        if outputs == 0 { 0 } else { (outputs - 1) * self.copy_stride() + self.span() + 1 }
    }
}
