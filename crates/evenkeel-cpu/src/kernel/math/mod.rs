//! Functions of numbers, written so that the compiler vectorises them: no branches, no tables, no calls.
//!
//! Everything is plain additions, multiplications and divisions, never a fused multiply-add, so that results have the same bits on
//! every instruction set and machine. Largest errors seen, in units in the last place, over four million f32 spread over all bit
//! patterns and a million f64 each; `tests` states the bounds and can try every f32:
//!
//! | function | f32 | f64 | how |
//! |---|---|---|---|
//! | exp | 0.84 | 0.85 | x = n ln 2 + r, a polynomial in r, times 2ⁿ in two steps so that subnormal results round once |
//! | expm1 | 1.45 | 1.39 | the same before 1 is added |
//! | log, log1p | 0.86 | 0.87 | x = 2ᵉ m, artanh of (m − 1) / (m + 1) |
//! | tanh | below 2 | 1.97 | (e²ˣ − 1) / (e²ˣ + 1) or 1 − 2 / (e²ˣ + 1) |
//! | sigmoid | 1.84 | 1.78 | e^−|x| so that nothing overflows, the rounding of 1 + e^−|x| taken back |
//! | erf | 1.15 | 1.16 | an odd polynomial to 1, then 1 − e^−h |
//! | sin, cos | 1.5 | 0.9 | x = n π/2 + r; beyond 1.6 · 10⁶ lane by lane with `libm` |
//! | power | 0.51 | 0.9 | products and roots, or e to the (exponent · ln x) with ln x in double f64; ±½, 3: up to 1.5 |
//!
//! Functions come in lanes, `[T; N]` → `[T; N]`, inlined into kernels that are compiled once per instruction set. `coefficients.py`
//! makes the polynomials, `golden.py` the exact values for the tests.

mod error_function;
mod exponential;
mod format;
mod logarithm;
mod power;
#[cfg(test)]
mod tests;
mod trigonometric;

pub(super) use format::Format;
pub(super) use power::power;
pub(super) use trigonometric::{cos, sin};

/// Makes a function of lanes of a function of one number. A macro, so that nothing hinders inlining: the loop must take on the
/// instruction set of the kernel it ends up in.
macro_rules! of_lanes {
    ($($module:ident::$function:ident, $name:literal;)*) => {
        $(
            #[doc = concat!($name, " of each lane.")]
            #[inline(always)]
            pub(super) fn $function<F: Format, const N: usize>(x: [F; N]) -> [F; N] {
                let mut y = x;
                for lane in 0..N {
                    y[lane] = $module::$function(x[lane]);
                }
                y
            }
        )*
    };
}

of_lanes! {
    exponential::exp, "eˣ";
    exponential::expm1, "eˣ − 1";
    exponential::sigmoid, "1 / (1 + e⁻ˣ)";
    exponential::tanh, "tanh x";
    logarithm::log, "ln x";
    logarithm::log1p, "ln(1 + x)";
    error_function::erf, "erf x";
}

/// Σ cₖ xᵏ.
#[inline(always)]
fn polynomial<F: Format>(x: F, coefficients: &[F]) -> F {
    let mut powers = coefficients.iter().rev().copied();
    let last = powers.next().unwrap_or(F::ZERO);
    powers.fold(last, |sum, coefficient| sum * x + coefficient)
}
