//! sin x and cos x.

use super::format::{Angle, Format};
use super::polynomial;

/// The first function of each lane; where angles are too large for it, the second: they are rare.
macro_rules! lanes {
    ($x:ident => $moderate:ident, where large: $large:path) => {{
        let mut y = $x;
        for lane in 0..N {
            y[lane] = $moderate($x[lane]);
        }
        let mut large = 0;
        for x in $x {
            large |= u32::from(x.abs() > F::LARGEST_ANGLE);
        }
        if large != 0 {
            for (y, x) in y.iter_mut().zip($x).filter(|(_, x)| x.abs() > F::LARGEST_ANGLE) {
                *y = $large(x);
            }
        }
        y
    }};
}

/// sin x of each lane.
#[inline(always)]
pub(in crate::kernel) fn sin<F: Format, const N: usize>(x: [F; N]) -> [F; N] {
    lanes!(x => sin_of_moderate, where large: F::sin_slow)
}

/// cos x of each lane.
#[inline(always)]
pub(in crate::kernel) fn cos<F: Format, const N: usize>(x: [F; N]) -> [F; N] {
    lanes!(x => cos_of_moderate, where large: F::cos_slow)
}

#[inline(always)]
fn sin_of_moderate<F: Format>(x: F) -> F {
    let angle = x.angle();
    let y = quarter(angle, angle.odd);
    let y = if angle.half_turn { -y } else { y };
    // Keeps the sign of zero.
    if x == F::ZERO { x } else { y }
}

#[inline(always)]
fn cos_of_moderate<F: Format>(x: F) -> F {
    let angle = x.angle();
    let y = quarter(angle, !angle.odd);
    // One quarter turn more than the sine.
    if angle.half_turn != angle.odd { -y } else { y }
}

/// The cosine of an angle's remainder, or the sine.
#[inline(always)]
fn quarter<F: Format>(angle: Angle<F>, cosine: bool) -> F {
    let Angle { r, tail, .. } = angle;
    let square = r * r;
    let sine = r + (r * square * polynomial(square, F::SIN) + tail);
    let half = square * F::HALF;
    let start = F::ONE - half;
    let lost = (F::ONE - start) - half;
    let cosine_value = start + (lost + (square * square * polynomial(square, F::COS) - r * tail));
    if cosine { cosine_value } else { sine }
}
