//! ln x and ln(1 + x).

use super::format::{Format, two_sum};
use super::polynomial;

/// e · ln 2 + ln(m + low) for m = 1 + f between √½ and √2 and a `low` that m cannot hold.
///
/// With s = f / (2 + f), ln(1 + f) = 2 artanh s = f − s · (f − s² · Q(s²)).
#[inline(always)]
pub(super) fn logarithm<F: Format>(m: F, low: F, e: F) -> F {
    let f = m - F::ONE;
    let s = f / (F::TWO + f);
    let square = s * s;
    let rest = s * (f - square * polynomial(square, F::LOG));
    // The derivative 1 / m to two terms is enough for so small a part.
    let low = low - low * f * (F::ONE - f);
    e * F::LN2_HIGH + (f - (rest - (low + e * F::LN2_LOW)))
}

/// ln x.
#[inline(always)]
pub(super) fn log<F: Format>(x: F) -> F {
    let subnormal = x < F::LEAST_NORMAL;
    let (m, e) = (if subnormal { x * F::LIFT } else { x }).split();
    let e = if subnormal { e - F::LIFT_EXPONENT } else { e };
    special(x, x, logarithm(m, F::ZERO, e))
}

/// ln(1 + x).
#[inline(always)]
pub(super) fn log1p<F: Format>(x: F) -> F {
    let (sum, low) = two_sum(F::ONE, x);
    let (m, e) = sum.split();
    // In two steps, because e may be one more than exponents reach.
    let low = low * (F::ONE - e).power_of_two() * F::HALF;
    let result = logarithm(m, low, e);
    if x == F::ZERO { x } else { special(x, sum, result) }
}

/// `result`, except where `argument`, the number under the logarithm, is not positive and finite.
#[inline(always)]
fn special<F: Format>(x: F, argument: F, result: F) -> F {
    if argument > F::ZERO {
        if argument == F::INFINITY { x } else { result }
    } else if argument == F::ZERO {
        -F::INFINITY
    } else {
        F::NAN
    }
}
