//! x to a fixed power: by products and roots where these are exact enough, otherwise e to the (exponent · ln x).

use super::exponential::{exp_of_moderate, exp_of_sum};
use super::format::{Format, two_sum};
use super::logarithm::logarithm;
use super::polynomial;

/// x to the power of `exponent`, of each lane; special cases as C's `pow` has them.
#[inline(always)]
pub(in crate::kernel) fn power<F: Format, const N: usize>(x: [F; N], exponent: f64) -> [F; N] {
    macro_rules! lanes {
        (|$x:ident| $result:expr) => {{
            let mut y = x;
            for lane in 0..N {
                let $x = x[lane];
                y[lane] = $result;
            }
            y
        }};
    }
    if exponent == 0.0 {
        [F::ONE; N]
    } else if exponent == 1.0 {
        x
    } else if exponent == 2.0 {
        lanes!(|x| x * x)
    } else if exponent == 3.0 {
        lanes!(|x| x * x * x)
    } else if exponent == -1.0 {
        lanes!(|x| F::ONE / x)
    } else if exponent == 0.5 {
        lanes!(|x| root(x))
    } else if exponent == -0.5 {
        lanes!(|x| F::ONE / root(x))
    } else if !exponent.is_finite() {
        lanes!(|x| F::of(libm::pow(x.f64(), exponent)))
    } else if F::PRODUCTS_ARE_WIDER && (2.0 * exponent).fract() == 0.0 && exponent.abs() <= 32.0 {
        by_products(x, exponent)
    } else {
        let integer = exponent.fract() == 0.0;
        let odd = integer && (exponent * 0.5).fract() != 0.0;
        let [of_zero, of_infinity] = if exponent > 0.0 { [F::ZERO, F::INFINITY] } else { [F::INFINITY, F::ZERO] };
        lanes!(|x| {
            let a = x.abs();
            let magnitude = F::power_of_positive(a, exponent);
            let magnitude = if a == F::ZERO { of_zero } else { magnitude };
            let magnitude = if a == F::INFINITY { of_infinity } else { magnitude };
            // Neither a NaN nor a finite negative number has other than integer powers.
            let exists = x >= F::ZERO || (x < F::ZERO && (integer || a == F::INFINITY));
            let magnitude = if exists { magnitude } else { F::NAN };
            if odd { magnitude.with_sign_of(x) } else { magnitude }
        })
    }
}

/// √x, but +0 for −0 and +∞ for −∞, like x to the power of ½.
#[inline(always)]
fn root<F: Format>(x: F) -> F {
    // −0 + 0 = +0.
    (if x == -F::INFINITY { F::INFINITY } else { x + F::ZERO }).sqrt()
}

/// Squares and products in f64, for a power of some halves. In f32's terms they are exact.
#[inline(always)]
fn by_products<F: Format, const N: usize>(x: [F; N], exponent: f64) -> [F; N] {
    let mut result = [1.0f64; N];
    let mut square = [0.0f64; N];
    let halves = exponent.fract() != 0.0;
    for lane in 0..N {
        square[lane] = x[lane].f64();
    }
    if halves {
        for lane in 0..N {
            square[lane] = if x[lane] == -F::INFINITY { f64::INFINITY } else { square[lane] + 0.0 };
            result[lane] = square[lane].sqrt();
        }
    }
    // At most 32, as the caller has checked.
    let mut whole = exponent.abs() as u32;
    while whole > 0 {
        if whole & 1 == 1 {
            for lane in 0..N {
                result[lane] *= square[lane];
            }
        }
        for square in &mut square {
            *square *= *square;
        }
        whole >>= 1;
    }
    let mut y = x;
    for lane in 0..N {
        y[lane] = F::of(if exponent < 0.0 { 1.0 / result[lane] } else { result[lane] });
    }
    y
}

/// x to the power of `exponent` in f32, by way of f64. Needs 0 < x < ∞.
#[inline(always)]
pub(super) fn in_single(x: f32, exponent: f64) -> f32 {
    let (m, e) = f64::from(x).split();
    let product = exponent * logarithm(m, 0.0, e);
    // Far enough for zero and infinity of f32.
    let product = if product < -110.0 { -110.0 } else { product };
    let product = if product > 100.0 { 100.0 } else { product };
    exp_of_moderate(product) as f32
}

/// ⅔ and what its rounding left.
const TWO_THIRDS: [f64; 2] = [0.6666666666666666, 3.700743415417188e-17];
/// (2 artanh s − 2s − ⅔ s³) / s⁵ in powers of s², for |s| ≤ (√2 − 1) / (√2 + 1).
const LOG_REST: &[f64] = &[
    0.3999999999999998,
    0.2857142857144384,
    0.22222222217789553,
    0.18181818844047193,
    0.15384558422484654,
    0.13336264823651586,
    0.1167577230076801,
    0.119818380173393,
];

/// x to the power of `exponent` in f64. Needs 0 < x < ∞.
///
/// The exponent of e is up to 745 and its error counts in full, so that ln x is needed to 2⁻⁶⁵: as the sum of two numbers.
#[inline(always)]
pub(super) fn in_double(x: f64, exponent: f64) -> f64 {
    let subnormal = x < f64::LEAST_NORMAL;
    let (m, e) = (if subnormal { x * f64::LIFT } else { x }).split();
    let e = if subnormal { e - f64::LIFT_EXPONENT } else { e };

    // s = f / (2 + f), and its error from the remainder of the division.
    let f = m - 1.0;
    let divisor = 2.0 + f;
    let s = f / divisor;
    let (back, back_low) = two_product(s, divisor);
    let s_low = ((f - back) - back_low - s * (f - (divisor - 2.0))) / divisor;

    // ln m = 2s + s · p with p = ⅔ s² + s⁴ · …, of which the last is small enough for one number.
    let (square, square_low) = two_product(s, s);
    let square_low = square_low + (s + s) * s_low;
    let (third, third_low) = two_product(square, TWO_THIRDS[0]);
    let third_low = third_low + (square * TWO_THIRDS[1] + square_low * TWO_THIRDS[0]);
    let (p, p_low) = two_sum(third, square * square * polynomial(square, LOG_REST));
    let p_low = p_low + third_low;
    let (bend, bend_low) = two_product(s, p);
    let bend_low = bend_low + (s * p_low + s_low * p);
    let (mantissa, mantissa_low) = two_sum(s + s, bend);
    let mantissa_low = mantissa_low + (bend_low + (s_low + s_low));

    // ln x = e · ln 2 + ln m.
    let (log, log_low) = two_sum(e * f64::LN2_HIGH, mantissa);
    let (log, log_low) = two_sum(log, log_low + (mantissa_low + e * f64::LN2_LOW));

    // Beyond these bounds every power but that of 1 is zero or infinite.
    let exponent = exponent.clamp(-1e290, 1e290);
    let (product, product_low) = two_product(exponent, log);
    exp_of_sum(product, product_low + exponent * log_low)
}

/// The rounded product and its rounding error, for numbers below 2⁹⁹⁰ whose product's error is a normal number or zero.
#[inline(always)]
fn two_product(a: f64, b: f64) -> (f64, f64) {
    /// The two halves of the bits.
    #[inline(always)]
    fn halves(x: f64) -> (f64, f64) {
        let shifted = x * 134217729.0;
        let high = shifted - (shifted - x);
        (high, x - high)
    }
    let product = a * b;
    let ((a, a_low), (b, b_low)) = (halves(a), halves(b));
    (product, ((a * b - product) + (a * b_low + a_low * b)) + a_low * b_low)
}
