//! What exists: the primitive operations.
//!
//! Elementwise operations take operands of one shape; [`Op::Broadcast`] makes shapes equal and is always explicit in the
//! graph, so that its derivative (a sum) is, too. Contractions and windows carry their whole geometry.

use crate::shape::{DType, Shape};
use crate::tensor::Tensor;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A number known when the program is traced.
#[derive(Clone, Debug)]
pub enum Constant {
    /// One number everywhere.
    Splat(f64),
    /// An array.
    Dense(Arc<Tensor>),
}

impl PartialEq for Constant {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Constant::Splat(a), Constant::Splat(b)) => a.to_bits() == b.to_bits(),
            (Constant::Dense(a), Constant::Dense(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl Eq for Constant {}

impl Hash for Constant {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Constant::Splat(value) => value.to_bits().hash(state),
            Constant::Dense(tensor) => Arc::as_ptr(tensor).hash(state),
        }
    }
}

/// Functions of one number.
#[derive(Clone, Copy, Debug)]
pub enum Unary {
    /// −x
    Negate,
    /// eˣ
    Exp,
    /// eˣ − 1 without cancellation
    Expm1,
    /// ln x
    Log,
    /// ln(1 + x) without cancellation
    Log1p,
    /// √x
    Sqrt,
    /// 1/√x
    Rsqrt,
    /// tanh x
    Tanh,
    /// 1/(1 + e⁻ˣ)
    Sigmoid,
    /// the error function
    Erf,
    /// |x|
    Abs,
    /// −1, 0 or 1; derivative 0
    Sign,
    /// sin x
    Sin,
    /// cos x
    Cos,
    /// x to a fixed power
    Power(f64),
}

impl Unary {
    /// The function's name and the bits of its parameter: what makes two of them the same.
    fn key(self) -> (std::mem::Discriminant<Unary>, u64) {
        let bits = if let Unary::Power(exponent) = self { exponent.to_bits() } else { 0 };
        (std::mem::discriminant(&self), bits)
    }

    /// The value in f64, as constant folding needs it.
    pub fn evaluate(self, x: f64) -> f64 {
        match self {
            Unary::Negate => -x,
            Unary::Exp => libm::exp(x),
            Unary::Expm1 => libm::expm1(x),
            Unary::Log => libm::log(x),
            Unary::Log1p => libm::log1p(x),
            Unary::Sqrt => x.sqrt(),
            Unary::Rsqrt => 1.0 / x.sqrt(),
            Unary::Tanh => libm::tanh(x),
            Unary::Sigmoid => 1.0 / (1.0 + libm::exp(-x)),
            Unary::Erf => libm::erf(x),
            Unary::Abs => x.abs(),
            Unary::Sign => {
                if x > 0.0 {
                    1.0
                } else if x < 0.0 {
                    -1.0
                } else {
                    x
                }
            }
            Unary::Sin => libm::sin(x),
            Unary::Cos => libm::cos(x),
            Unary::Power(exponent) => libm::pow(x, exponent),
        }
    }
}

impl PartialEq for Unary {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Unary {}

impl Hash for Unary {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// Functions of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// a + b
    Add,
    /// a − b
    Subtract,
    /// a · b
    Multiply,
    /// a / b
    Divide,
    /// The larger one; NaN if either is. Where both are equal the derivative goes to the second, so that the derivative
    /// of max(x, 0) at 0 is 0.
    Maximum,
    /// The smaller one; NaN if either is. Ties as in `Maximum`.
    Minimum,
    /// aᵇ; NaN for a negative base with a fractional exponent.
    Power,
}

impl Binary {
    /// The value in f64, as constant folding needs it.
    pub fn evaluate(self, a: f64, b: f64) -> f64 {
        match self {
            Binary::Add => a + b,
            Binary::Subtract => a - b,
            Binary::Multiply => a * b,
            Binary::Divide => a / b,
            Binary::Maximum if a.is_nan() || b.is_nan() => f64::NAN,
            Binary::Minimum if a.is_nan() || b.is_nan() => f64::NAN,
            Binary::Maximum => a.max(b),
            Binary::Minimum => a.min(b),
            Binary::Power => libm::pow(a, b),
        }
    }
}

/// Comparisons; when either side is NaN, all but `NotEqual` are false.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// a > b
    Greater,
    /// a < b
    Less,
    /// a = b
    Equal,
    /// a ≥ b
    GreaterOrEqual,
    /// a ≤ b
    LessOrEqual,
    /// a ≠ b
    NotEqual,
}

impl Comparison {
    /// The truth of it in f64.
    pub fn evaluate(self, a: f64, b: f64) -> bool {
        match self {
            Comparison::Greater => a > b,
            Comparison::Less => a < b,
            Comparison::Equal => a == b,
            Comparison::GreaterOrEqual => a >= b,
            Comparison::LessOrEqual => a <= b,
            Comparison::NotEqual => a != b,
        }
    }
}

/// What random numbers are distributed like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Distribution {
    /// Uniform on [0, 1).
    Uniform,
    /// Standard normal.
    Normal,
}

/// How a reduction combines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// The sum; 0 over nothing.
    Sum,
    /// The largest, NaN if any is; −∞ over nothing.
    Maximum,
}

/// The geometry of a two-dimensional convolution (cross-correlation, as in deep learning).
///
/// Activations `[N, H, W, C]`, weights `[kh, kw, c_in / groups, c_out]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Convolution {
    /// Shape of the activations that go in.
    pub input: [usize; 4],
    /// Shape of the weights.
    pub weight: [usize; 4],
    /// Steps between windows, `[vertical, horizontal]`.
    pub stride: [usize; 2],
    /// Zeros around, `[[top, bottom], [left, right]]`.
    pub padding: [[usize; 2]; 2],
    /// Distance between taps, `[vertical, horizontal]`.
    pub dilation: [usize; 2],
    /// Groups of channels that do not mix.
    pub groups: usize,
}

impl Convolution {
    /// Shape of the activations that come out.
    pub fn output(&self) -> [usize; 4] {
        let window = Window {
            input: self.input,
            size: [self.weight[0], self.weight[1]],
            stride: self.stride,
            padding: self.padding,
            dilation: self.dilation,
        };
        let [n, h, w, _] = window.output();
        [n, h, w, self.weight[3]]
    }

    /// Multiply-adds times two of one application.
    pub fn flops(&self) -> u64 {
        let [n, h, w, c] = self.output();
        let [kh, kw, c_in, _] = self.weight;
        [n, h, w, c, kh, kw, c_in].iter().fold(2, |product: u64, &extent| product.saturating_mul(extent as u64))
    }
}

/// The geometry of a sliding window over `[N, H, W, C]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Shape of the activations that go in.
    pub input: [usize; 4],
    /// Extent, `[vertical, horizontal]`.
    pub size: [usize; 2],
    /// Steps between windows.
    pub stride: [usize; 2],
    /// Rows and columns around that belong to no sample, `[[top, bottom], [left, right]]`.
    pub padding: [[usize; 2]; 2],
    /// Distance between taps.
    pub dilation: [usize; 2],
}

impl Window {
    /// Shape of what comes out.
    pub fn output(&self) -> [usize; 4] {
        let extent = |axis: usize| {
            let padded = self.input[axis + 1] + self.padding[axis][0] + self.padding[axis][1];
            let reach = self.dilation[axis] * (self.size[axis].max(1) - 1) + 1;
            if padded < reach { 0 } else { (padded - reach) / self.stride[axis].max(1) + 1 }
        };
        [self.input[0], extent(0), extent(1), self.input[3]]
    }
}

/// Positions along one axis: `first`, `first + step`, .. , `count` of them.
///
/// A slice reads an axis at such positions, a pad writes one there; each is the transpose of the other. The step may be
/// negative but not 0, and is 1 where fewer than two positions leave it open, so that equal choices are equal values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Progression {
    first: usize,
    step: isize,
    count: usize,
}

impl Progression {
    /// `count` positions from `first` on, `step` apart.
    pub fn new(first: usize, step: isize, count: usize) -> Progression {
        match count {
            0 => Progression { first: 0, step: 1, count },
            1 => Progression { first, step: 1, count },
            _ => Progression { first, step, count },
        }
    }

    /// Every position of an axis.
    pub fn whole(extent: usize) -> Progression {
        Progression::new(0, 1, extent)
    }

    /// The first position; 0 when there is none.
    pub fn first(&self) -> usize {
        self.first
    }

    /// What lies between two positions.
    pub fn step(&self) -> isize {
        self.step
    }

    /// How many positions there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether these are all positions of an axis, in order.
    pub fn is_whole(&self, extent: usize) -> bool {
        *self == Progression::whole(extent)
    }

    /// Whether all positions lie on an axis of this extent, at different places.
    pub fn fits(&self, extent: usize) -> bool {
        let Some(steps) = self.count.checked_sub(1) else { return true };
        let last = isize::try_from(steps).ok().and_then(|steps| steps.checked_mul(self.step));
        let last = last.and_then(|reach| self.first.checked_add_signed(reach));
        self.step != 0 && self.first < extent && last.is_some_and(|last| last < extent)
    }

    /// The position with this number, for a number below the count.
    pub fn at(&self, number: usize) -> usize {
        self.first.wrapping_add_signed(self.step.wrapping_mul(number as isize))
    }

    /// The positions of this progression with the numbers of another.
    pub fn of(&self, numbers: &Progression) -> Progression {
        match numbers.count {
            0 => Progression::new(0, 1, 0),
            count => Progression::new(self.at(numbers.first), self.step.wrapping_mul(numbers.step), count),
        }
    }
}

/// One primitive operation. Operands are listed in the order the node holds them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// The n-th input of the program.
    Input(usize),
    /// A number or an array known now.
    Constant(Constant),
    /// 0, 1, 2, .. along one axis.
    Iota {
        /// The axis it counts along.
        axis: usize,
    },
    /// key → random numbers: a function of the key and the place alone; see [`crate::Graph::uniform`].
    Random(Distribution),
    /// A function of each element.
    Unary(Unary),
    /// A function of two elements at the same place.
    Binary(Binary),
    /// A mask from two elements at the same place.
    Compare(Comparison),
    /// mask, a, b: a where the mask is true, else b.
    Select,
    /// The same number in another type.
    Cast,
    /// Combines elements over axes, which vanish.
    Reduce {
        /// How elements combine.
        kind: Reduction,
        /// The axes that vanish, ascending.
        axes: Vec<usize>,
    },
    /// ln Σ eˣ over the last axis, which vanishes; exact for large |x|.
    LogSumExp,
    /// Position of the first largest element along the last axis, which vanishes.
    ArgMax,
    /// The same elements, in the same order, under another shape.
    Reshape,
    /// Axis `i` of the result is axis `permutation[i]` of the operand.
    Transpose {
        /// Where each axis of the result comes from.
        permutation: Vec<usize>,
    },
    /// Axis `i` of the operand becomes axis `axes[i]` of the result; the others repeat.
    Broadcast {
        /// Where each axis of the operand goes, ascending.
        axes: Vec<usize>,
    },
    /// Reads each axis of the operand at some positions.
    Slice(Vec<Progression>),
    /// The transpose of `Slice`: the operand is written at some positions of each axis, zeros are elsewhere.
    Pad(Vec<Progression>),
    /// Operands one after the other along an axis.
    Concat {
        /// The axis along which their extents add up.
        axis: usize,
    },
    /// x, indices → x[.., index, ..]: the places of one axis that the indices name, in their shape. An index outside the
    /// axis reads zeros, as a product with its one-hot vector would.
    Gather {
        /// The axis that the indices' axes replace.
        axis: usize,
    },
    /// y, indices → x: the transpose of `Gather`: each slice of y is added at the place its index names, in the order of
    /// the indices. An index outside the axis is left out.
    ScatterAdd {
        /// The axis that replaces the indices' axes.
        axis: usize,
    },
    /// a · b over the last two axes, the leading ones being a batch; either side may be read transposed.
    MatMul {
        /// Read `[.., K, M]` as `[.., M, K]`.
        transpose_lhs: bool,
        /// Read `[.., N, K]` as `[.., K, N]`.
        transpose_rhs: bool,
    },
    /// x, w → y.
    Conv(Convolution),
    /// ȳ, w → x̄: the transpose of `Conv` in x.
    ConvInputGradient(Convolution),
    /// x, ȳ → w̄: the transpose of `Conv` in w.
    ConvWeightGradient(Convolution),
    /// Sum over each window.
    WindowSum(Window),
    /// The transpose of `WindowSum`: each element goes to every place its window covers.
    WindowSpread(Window),
    /// Which tap of each window holds its first largest element (row-major over the window; taps in the padding do not count).
    WindowArgMax(Window),
    /// x, taps → the chosen element of each window.
    WindowTake(Window),
    /// y, taps: the transpose of `WindowTake`: each element goes back to the chosen place.
    WindowPut(Window),
}

impl Op {
    /// The operation's name in errors and listings.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Input(_) => "input",
            Op::Constant(_) => "constant",
            Op::Iota { .. } => "iota",
            Op::Random(Distribution::Uniform) => "uniform",
            Op::Random(Distribution::Normal) => "normal",
            Op::Unary(unary) => match unary {
                Unary::Negate => "negate",
                Unary::Exp => "exp",
                Unary::Expm1 => "expm1",
                Unary::Log => "log",
                Unary::Log1p => "log1p",
                Unary::Sqrt => "sqrt",
                Unary::Rsqrt => "rsqrt",
                Unary::Tanh => "tanh",
                Unary::Sigmoid => "sigmoid",
                Unary::Erf => "erf",
                Unary::Abs => "abs",
                Unary::Sign => "sign",
                Unary::Sin => "sin",
                Unary::Cos => "cos",
                Unary::Power(_) => "power",
            },
            Op::Binary(binary) => match binary {
                Binary::Add => "add",
                Binary::Subtract => "subtract",
                Binary::Multiply => "multiply",
                Binary::Divide => "divide",
                Binary::Maximum => "maximum",
                Binary::Minimum => "minimum",
                Binary::Power => "power",
            },
            Op::Compare(_) => "compare",
            Op::Select => "select",
            Op::Cast => "cast",
            Op::Reduce { kind: Reduction::Sum, .. } => "sum",
            Op::Reduce { kind: Reduction::Maximum, .. } => "max",
            Op::LogSumExp => "log-sum-exp",
            Op::ArgMax => "argmax",
            Op::Reshape => "reshape",
            Op::Transpose { .. } => "transpose",
            Op::Broadcast { .. } => "broadcast",
            Op::Slice(_) => "slice",
            Op::Pad(_) => "pad",
            Op::Concat { .. } => "concat",
            Op::Gather { .. } => "gather",
            Op::ScatterAdd { .. } => "scatter-add",
            Op::MatMul { .. } => "matmul",
            Op::Conv(_) => "convolution",
            Op::ConvInputGradient(_) => "convolution-input-gradient",
            Op::ConvWeightGradient(_) => "convolution-weight-gradient",
            Op::WindowSum(_) => "window-sum",
            Op::WindowSpread(_) => "window-spread",
            Op::WindowArgMax(_) => "window-argmax",
            Op::WindowTake(_) => "window-take",
            Op::WindowPut(_) => "window-put",
        }
    }

    /// Whether an element costs a transcendental function: tens of arithmetic operations.
    pub fn is_transcendental(&self) -> bool {
        use Unary::{Cos, Erf, Exp, Expm1, Log, Log1p, Power, Sigmoid, Sin, Tanh};
        matches!(
            self,
            Op::Binary(Binary::Power)
                | Op::Unary(Cos | Erf | Exp | Expm1 | Log | Log1p | Power(_) | Sigmoid | Sin | Tanh)
        )
    }

    /// Whether each element of the result depends on the operands' elements at the same place only.
    pub fn is_elementwise(&self) -> bool {
        matches!(self, Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Cast)
    }
}

/// Extents of a matrix product: batch, rows, inner, columns.
pub fn matmul_extents(lhs: &Shape, rhs: &Shape, transpose_lhs: bool, transpose_rhs: bool) -> Option<[usize; 4]> {
    let (rank_l, rank_r) = (lhs.len(), rhs.len());
    if rank_l < 2 || rank_l != rank_r || lhs[..rank_l - 2] != rhs[..rank_r - 2] {
        return None;
    }
    let (a, b) = (lhs[rank_l - 2], lhs[rank_l - 1]);
    let (m, k) = if transpose_lhs { (b, a) } else { (a, b) };
    let (a, b) = (rhs[rank_r - 2], rhs[rank_r - 1]);
    let (k2, n) = if transpose_rhs { (b, a) } else { (a, b) };
    (k == k2).then(|| [lhs[..rank_l - 2].iter().product(), m, k, n])
}

/// A number as it is after rounding to an element type.
pub fn round_to(value: f64, dtype: DType) -> f64 {
    match dtype {
        DType::F64 => value,
        DType::F32 => f64::from(value as f32),
        DType::I32 => f64::from(value as i32),
        DType::Bool => f64::from(u8::from(value != 0.0)),
    }
}
