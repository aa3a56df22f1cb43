//! The functions of a loop body, each applied to a whole slot.

use super::instruction_set::InstructionSet;
use super::real::Real;
use crate::fuse::Scalar;
use evenkeel_graph::op::{Binary, Comparison, Unary};

/// Elements a dear function takes at once.
const LANES: usize = 16;

/// Applies a function to `count` elements of up to three operands.
///
/// # Safety
/// The processor has the instruction set. Every pointer is valid for `count` elements, and the result overlaps no operand.
pub(crate) type Execute<T> = unsafe fn(Scalar, usize, *mut T, [*mut T; 3]);

/// The function for the best instruction set of this machine. Each is compiled apart from the loop that calls it, so that
/// the compiler meets one short loop at a time.
pub(crate) fn compiled<T: Real>() -> Execute<T> {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
        unsafe fn avx512<T: Real>(scalar: Scalar, count: usize, to: *mut T, x: [*mut T; 3]) {
            // SAFETY: the caller's promise.
            unsafe { execute(scalar, count, to, x) }
        }
        #[target_feature(enable = "avx2,fma")]
        unsafe fn avx2<T: Real>(scalar: Scalar, count: usize, to: *mut T, x: [*mut T; 3]) {
            // SAFETY: the caller's promise.
            unsafe { execute(scalar, count, to, x) }
        }
        match InstructionSet::detect() {
            InstructionSet::Avx512 => return avx512::<T>,
            InstructionSet::Avx2 => return avx2::<T>,
            InstructionSet::Portable => {}
        }
    }
    execute::<T>
}

#[inline(always)]
unsafe fn execute<T: Real>(scalar: Scalar, count: usize, to: *mut T, x: [*mut T; 3]) {
    // SAFETY: valid for `count` elements and apart from each other, by the caller's promise; unused operands repeat others.
    let (to, [a, b, c]) = unsafe {
        (std::slice::from_raw_parts_mut(to, count), x.map(|x| std::slice::from_raw_parts(x.cast_const(), count)))
    };
    let mask = |truth: bool| if truth { T::ONE } else { T::ZERO };
    macro_rules! apply {
        (|$x:ident| $result:expr) => {
            to.iter_mut().zip(a).for_each(|(to, &$x)| *to = $result)
        };
        (|$x:ident, $y:ident| $result:expr) => {
            to.iter_mut().zip(a).zip(b).for_each(|((to, &$x), &$y)| *to = $result)
        };
    }
    // A macro and no function with a closure, which might not be inlined and then miss the instruction set.
    macro_rules! lanes {
        (|$x:ident| $result:expr) => {{
            let (whole, rest) = a.as_chunks::<LANES>();
            let (whole_to, rest_to) = to.as_chunks_mut::<LANES>();
            for (to, &$x) in whole_to.iter_mut().zip(whole) {
                *to = $result;
            }
            let mut $x = [T::ONE; LANES];
            $x[..rest.len()].copy_from_slice(rest);
            if !rest.is_empty() {
                rest_to.copy_from_slice(&$result[..rest.len()]);
            }
        }};
    }
    match scalar {
        Scalar::Copy => apply!(|x| x),
        Scalar::Whole => apply!(|x| T::of(f64::from(x.f64() as i32))),
        Scalar::Truth => apply!(|x| mask(x != T::ZERO)),
        Scalar::Unary(unary) => match unary {
            Unary::Negate => apply!(|x| -x),
            Unary::Exp => lanes!(|x| T::exp(x)),
            Unary::Expm1 => lanes!(|x| T::expm1(x)),
            Unary::Log => lanes!(|x| T::log(x)),
            Unary::Log1p => lanes!(|x| T::log1p(x)),
            Unary::Sqrt => apply!(|x| x.sqrt()),
            Unary::Rsqrt => apply!(|x| T::ONE / x.sqrt()),
            Unary::Tanh => lanes!(|x| T::tanh(x)),
            Unary::Sigmoid => lanes!(|x| T::sigmoid(x)),
            Unary::Erf => lanes!(|x| T::erf(x)),
            Unary::Abs => apply!(|x| x.abs()),
            Unary::Sign => apply!(|x| {
                let (up, down) = (mask(x > T::ZERO), mask(x < T::ZERO));
                // Zero and NaN stay what they are.
                if up + down == T::ZERO { x } else { up - down }
            }),
            Unary::Sin => lanes!(|x| T::sin(x)),
            Unary::Cos => lanes!(|x| T::cos(x)),
            Unary::Power(exponent) => lanes!(|x| T::power(x, exponent)),
        },
        Scalar::Binary(binary) => match binary {
            Binary::Add => apply!(|x, y| x + y),
            Binary::Subtract => apply!(|x, y| x - y),
            Binary::Multiply => apply!(|x, y| x * y),
            Binary::Divide => apply!(|x, y| x / y),
            Binary::Maximum => apply!(|x, y| if x > y || x.is_nan() { x } else { y }),
            Binary::Minimum => apply!(|x, y| if x < y || x.is_nan() { x } else { y }),
            Binary::Power => apply!(|x, y| T::of(libm::pow(x.f64(), y.f64()))),
        },
        Scalar::Compare(comparison) => match comparison {
            Comparison::Greater => apply!(|x, y| mask(x > y)),
            Comparison::Less => apply!(|x, y| mask(x < y)),
            Comparison::Equal => apply!(|x, y| mask(x == y)),
            Comparison::GreaterOrEqual => apply!(|x, y| mask(x >= y)),
            Comparison::LessOrEqual => apply!(|x, y| mask(x <= y)),
            Comparison::NotEqual => apply!(|x, y| mask(x != y)),
        },
        Scalar::Select => {
            for (((to, &m), &x), &y) in to.iter_mut().zip(a).zip(b).zip(c) {
                *to = if m != T::ZERO { x } else { y };
            }
        }
    }
}
