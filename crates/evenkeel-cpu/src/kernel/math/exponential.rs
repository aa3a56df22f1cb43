//! eˣ, eˣ − 1 and the functions made of them.

use super::format::Format;
use super::polynomial;

/// x as n · ln 2 + r, and eʳ − 1 as its two parts r and `rest`.
struct Reduced<F> {
    n: F,
    r: F,
    rest: F,
}

/// Reduces x + small. Needs x between `EXP_LOWEST` and `EXP_HIGHEST`.
#[inline(always)]
fn reduce<F: Format>(x: F, small: F) -> Reduced<F> {
    let n = (x * F::LOG2_E).round();
    // Exact: the product has few enough bits, the difference cancels.
    let high = x - n * F::LN2_HIGH;
    let low = n * F::LN2_LOW - small;
    let r = high - low;
    let tail = (high - r) - low;
    Reduced { n, r, rest: r * r * polynomial(r, F::EXP) + tail }
}

/// value · 2ⁿ, rounded once, for n up to twice as far as exponents reach.
#[inline(always)]
fn scale<F: Format>(value: F, n: F) -> F {
    // The first factor is normal for small n and finite for large.
    let (shift, factor) = if n < F::ZERO { (F::LIFT_EXPONENT, F::ONE / F::LIFT) } else { (-F::ONE, F::TWO) };
    value * (n + shift).power_of_two() * factor
}

/// x moved into the range where eˣ is neither zero nor infinite, and one step beyond.
#[inline(always)]
fn clamp<F: Format>(x: F) -> F {
    let x = if x < F::EXP_LOWEST { F::EXP_LOWEST } else { x };
    if x > F::EXP_HIGHEST { F::EXP_HIGHEST } else { x }
}

/// eˣ.
#[inline(always)]
pub(super) fn exp<F: Format>(x: F) -> F {
    let Reduced { n, r, rest } = reduce(clamp(x), F::ZERO);
    scale(F::ONE + (r + rest), n)
}

/// e to the x + small.
#[inline(always)]
pub(super) fn exp_of_sum<F: Format>(x: F, small: F) -> F {
    let clamped = clamp(x);
    let Reduced { n, r, rest } = reduce(clamped, if clamped == x { small } else { F::ZERO });
    scale(F::ONE + (r + rest), n)
}

/// eˣ for x that need no care: their result is a normal number.
#[inline(always)]
pub(super) fn exp_of_moderate<F: Format>(x: F) -> F {
    let Reduced { n, r, rest } = reduce(x, F::ZERO);
    (F::ONE + (r + rest)) * n.power_of_two()
}

/// eˣ − 1.
#[inline(always)]
pub(super) fn expm1<F: Format>(x: F) -> F {
    let clamped = if x < -F::EXPM1_SATURATED { -F::EXPM1_SATURATED } else { x };
    let clamped = if clamped > F::EXP_HIGHEST { F::EXP_HIGHEST } else { clamped };
    let Reduced { n, r, rest } = reduce(clamped, F::ZERO);
    // Half of the result, because 2ⁿ may not exist.
    let power = (n - F::ONE).power_of_two();
    let scaled = ((power - F::HALF) + (r + rest) * power) * F::TWO;
    // Nothing to scale: keeps small results whole, and the sign of zero.
    if x == F::ZERO {
        x
    } else if n == F::ZERO {
        r + rest
    } else {
        scaled
    }
}

/// 1 / (1 + e⁻ˣ), as e^−|x| / (1 + e^−|x|) for negative x, so that nothing overflows on the way.
#[inline(always)]
pub(super) fn sigmoid<F: Format>(x: F) -> F {
    let power = exp(-x.abs());
    let below = F::ONE + power;
    let lost = power - (below - F::ONE);
    let negative = x < F::ZERO;
    let quotient = (if negative { power } else { F::ONE }) / below;
    // What the rounding of the divisor did, taken back: 1 / (1 + e^−|x|) is the quotient or what it lacks to 1.
    quotient - quotient * (lost * (if negative { F::ONE - quotient } else { quotient }))
}

/// (e²ˣ − 1) / (e²ˣ + 1), as 1 − 2 / (e²ˣ + 1) where that is the more exact.
#[inline(always)]
pub(super) fn tanh<F: Format>(x: F) -> F {
    let a = x.abs();
    let a = if a > F::EXPM1_SATURATED { F::EXPM1_SATURATED } else { a };
    let Reduced { n, r, rest } = reduce(a + a, F::ZERO);
    let power = n.power_of_two();
    let (first, second) = (r * power, rest * power);
    let excess = first + second;
    let start = power + F::ONE;
    let below = start + excess;
    let lost = excess - (below - start);
    // From 0.52 on.
    let large = n > F::ONE;
    let above = (power - F::ONE) + first;
    let number = above + second;
    let slip = if large { F::ZERO } else { second - (number - above) };
    let quotient = (if large { F::TWO } else { number }) / below;
    // What rounding did to both, taken back: 2 / (e²ˣ + 1) is the quotient or what it lacks to 1.
    let share = (if large { quotient } else { F::ONE - quotient }) * F::HALF;
    let quotient = quotient + (slip - quotient * lost) * share;
    (if large { F::ONE - quotient } else { quotient }).with_sign_of(x)
}
