//! Arithmetic, comparisons and functions of each element; shapes are made equal by broadcasting, aligned at the right.

use crate::error::Error;
use crate::graph::Var;
use crate::op::{Binary, Comparison, Op, Unary};
use crate::shape::{DType, Shape};
use std::ops::{Add, BitAnd, BitOr, Div, Mul, Neg, Not, Sub};

macro_rules! unary_methods {
    ($($(#[$doc:meta])* $method:ident => $op:expr;)*) => {
        impl<'g> Var<'g> {
            $($(#[$doc])* #[track_caller] pub fn $method(self) -> Var<'g> { self.unary($op) })*
        }
    };
}

unary_methods! {
    /// eˣ
    exp => Unary::Exp;
    /// eˣ − 1 without cancellation.
    expm1 => Unary::Expm1;
    /// Natural logarithm.
    log => Unary::Log;
    /// ln(1 + x) without cancellation.
    log1p => Unary::Log1p;
    /// Square root.
    sqrt => Unary::Sqrt;
    /// 1/√x
    rsqrt => Unary::Rsqrt;
    /// Hyperbolic tangent.
    tanh => Unary::Tanh;
    /// 1/(1 + e⁻ˣ)
    sigmoid => Unary::Sigmoid;
    /// The error function.
    erf => Unary::Erf;
    /// |x|
    abs => Unary::Abs;
    /// −1, 0 or 1; its derivative is 0.
    sign => Unary::Sign;
    /// Sine.
    sin => Unary::Sin;
    /// Cosine.
    cos => Unary::Cos;
}

impl<'g> Var<'g> {
    /// x to a fixed power.
    #[track_caller]
    pub fn power(self, exponent: f64) -> Var<'g> {
        self.unary(Unary::Power(exponent))
    }

    /// x · x
    #[track_caller]
    pub fn square(self) -> Var<'g> {
        self * self
    }

    /// max(x, 0), with derivative 0 at 0; NaN stays NaN.
    #[track_caller]
    pub fn relu(self) -> Var<'g> {
        self.maximum(self.like(0.0))
    }

    /// x · Φ(x) with the exact error function.
    #[track_caller]
    pub fn gelu(self) -> Var<'g> {
        let half = self * 0.5;
        half + half * (self * std::f64::consts::FRAC_1_SQRT_2).erf()
    }

    /// The larger of two values at each place.
    #[track_caller]
    pub fn maximum(self, other: Var<'g>) -> Var<'g> {
        self.binary(Binary::Maximum, other)
    }

    /// The smaller of two values at each place.
    #[track_caller]
    pub fn minimum(self, other: Var<'g>) -> Var<'g> {
        self.binary(Binary::Minimum, other)
    }

    /// x to a power that is a value too; the base must not be negative where the exponent is not whole.
    ///
    /// The derivative in the exponent is xʸ ln x, and 0 where x is 0; that in the base is 0 where both are 0.
    #[track_caller]
    pub fn raised_to(self, exponent: Var<'g>) -> Var<'g> {
        if self.dtype() == DType::I32 {
            return self.graph().fail(Error::new("power", "needs floating-point numbers", vec![self.operand()]));
        }
        self.binary(Binary::Power, exponent)
    }

    /// The mask self > other.
    #[track_caller]
    pub fn greater(self, other: Var<'g>) -> Var<'g> {
        self.compare(Comparison::Greater, other)
    }

    /// The mask self < other.
    #[track_caller]
    pub fn less(self, other: Var<'g>) -> Var<'g> {
        self.compare(Comparison::Less, other)
    }

    /// The mask self = other.
    #[track_caller]
    pub fn equal(self, other: Var<'g>) -> Var<'g> {
        self.compare(Comparison::Equal, other)
    }

    /// The mask self ≥ other.
    #[track_caller]
    pub fn greater_or_equal(self, other: Var<'g>) -> Var<'g> {
        self.compare(Comparison::GreaterOrEqual, other)
    }

    /// The mask self ≤ other.
    #[track_caller]
    pub fn less_or_equal(self, other: Var<'g>) -> Var<'g> {
        self.compare(Comparison::LessOrEqual, other)
    }

    /// The mask self ≠ other; true where either is NaN.
    #[track_caller]
    pub fn not_equal(self, other: Var<'g>) -> Var<'g> {
        self.compare(Comparison::NotEqual, other)
    }

    /// With `self` a mask: `a` where it is true, else `b`.
    #[track_caller]
    pub fn select(self, a: Var<'g>, b: Var<'g>) -> Var<'g> {
        let Some((a, b)) = self.aligned("select", a, b) else { return self.poison() };
        let Some((mask, a)) = self.aligned("select", self, a) else { return self.poison() };
        let Some((a, b)) = self.aligned("select", a, b) else { return self.poison() };
        if mask.dtype() != DType::Bool || a.dtype() != b.dtype() {
            let operands = vec![mask.operand(), a.operand(), b.operand()];
            return self.graph().fail(Error::new("select", "needs a mask and two values of one type", operands));
        }
        self.graph().push(Op::Select, &[mask.id(), a.id(), b.id()], a.shape(), a.dtype())
    }

    /// The same numbers in another type (floats to integers truncate; masks become 0 and 1).
    #[track_caller]
    pub fn cast(self, dtype: DType) -> Var<'g> {
        if self.dtype() == dtype {
            return self;
        }
        self.graph().push(Op::Cast, &[self.id()], self.shape(), dtype)
    }

    /// A constant with this value's shape and type.
    #[track_caller]
    pub fn like(self, value: f64) -> Var<'g> {
        if self.is_poison() { self } else { self.graph().splat(value, self.shape(), self.dtype()) }
    }

    #[track_caller]
    pub(crate) fn unary(self, op: Unary) -> Var<'g> {
        let dtype = self.dtype();
        let allowed = dtype.is_float() || (dtype == DType::I32 && matches!(op, Unary::Negate | Unary::Abs));
        if !allowed && !self.is_poison() {
            let op = Op::Unary(op);
            return self.graph().fail(Error::new(op.name(), "needs floating-point numbers", vec![self.operand()]));
        }
        self.graph().push(Op::Unary(op), &[self.id()], self.shape(), dtype)
    }

    #[track_caller]
    pub(crate) fn binary(self, op: Binary, other: Var<'g>) -> Var<'g> {
        let op = Op::Binary(op);
        let Some((a, b)) = self.aligned(op.name(), self, other) else { return self.poison() };
        if a.dtype() != b.dtype() || a.dtype() == DType::Bool {
            let problem = "needs two numbers of one type (use `cast`)";
            return self.graph().fail(Error::new(op.name(), problem, vec![a.operand(), b.operand()]));
        }
        self.graph().push(op, &[a.id(), b.id()], a.shape(), a.dtype())
    }

    #[track_caller]
    fn compare(self, comparison: Comparison, other: Var<'g>) -> Var<'g> {
        let Some((a, b)) = self.aligned("compare", self, other) else { return self.poison() };
        if a.dtype() != b.dtype() {
            let problem = "needs two values of one type (use `cast`)";
            return self.graph().fail(Error::new("compare", problem, vec![a.operand(), b.operand()]));
        }
        self.graph().push(Op::Compare(comparison), &[a.id(), b.id()], a.shape(), DType::Bool)
    }

    /// Broadcasts two values to their common shape, or remembers that there is none.
    #[track_caller]
    fn aligned(self, operation: &str, a: Var<'g>, b: Var<'g>) -> Option<(Var<'g>, Var<'g>)> {
        if !a.meets(operation, b) {
            return None;
        }
        let (left, right) = (a.shape(), b.shape());
        match common_shape(&left, &right) {
            Some(shape) => Some((a.broadcast_to(&shape), b.broadcast_to(&shape))),
            None => {
                let operands = vec![a.operand(), b.operand()];
                self.graph().fail(Error::new(operation, format!("{left} and {right} do not broadcast"), operands));
                None
            }
        }
    }

    pub(crate) fn poison(self) -> Var<'g> {
        // An error was remembered before: any operation on a poisoned value gives one.
        self.graph().var(crate::graph::POISON)
    }
}

/// The shape both broadcast to, aligned at the right; extents must be equal or 1.
fn common_shape(a: &Shape, b: &Shape) -> Option<Shape> {
    let rank = a.len().max(b.len());
    let extent = |shape: &Shape, axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis]);
    (0..rank)
        .map(|axis| match (extent(a, axis), extent(b, axis)) {
            (a, b) if a == b => Some(a),
            (1, b) => Some(b),
            (a, 1) => Some(a),
            _ => None,
        })
        .collect::<Option<Vec<_>>>()
        .map(Shape::from)
}

/// Both masks.
impl<'g> BitAnd for Var<'g> {
    type Output = Var<'g>;
    #[track_caller]
    fn bitand(self, other: Var<'g>) -> Var<'g> {
        self.select(other, other.like(0.0))
    }
}

/// Either mask.
impl<'g> BitOr for Var<'g> {
    type Output = Var<'g>;
    #[track_caller]
    fn bitor(self, other: Var<'g>) -> Var<'g> {
        self.select(other.like(1.0), other)
    }
}

/// Where the mask is false.
impl<'g> Not for Var<'g> {
    type Output = Var<'g>;
    #[track_caller]
    fn not(self) -> Var<'g> {
        self.select(self.like(0.0), self.like(1.0))
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $op:ident;)*) => {$(
        impl<'g> $trait for Var<'g> {
            type Output = Var<'g>;
            #[track_caller]
            fn $method(self, other: Var<'g>) -> Var<'g> {
                self.binary(Binary::$op, other)
            }
        }
        impl<'g> $trait<f64> for Var<'g> {
            type Output = Var<'g>;
            #[track_caller]
            fn $method(self, other: f64) -> Var<'g> {
                self.binary(Binary::$op, self.like(other))
            }
        }
        impl<'g> $trait<Var<'g>> for f64 {
            type Output = Var<'g>;
            #[track_caller]
            fn $method(self, other: Var<'g>) -> Var<'g> {
                other.like(self).binary(Binary::$op, other)
            }
        }
    )*};
}

operators! {
    Add add Add;
    Sub sub Subtract;
    Mul mul Multiply;
    Div div Divide;
}

impl<'g> Neg for Var<'g> {
    type Output = Var<'g>;
    #[track_caller]
    fn neg(self) -> Var<'g> {
        self.unary(Unary::Negate)
    }
}
