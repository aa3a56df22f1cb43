//! The error function.

use super::exponential::exp_of_moderate;
use super::format::Format;
use super::polynomial;

/// erf x: an odd polynomial up to 1, beyond it 1 − e^−h with h = −ln(1 − erf |x|), which is nearly a parabola.
#[inline(always)]
pub(super) fn erf<F: Format>(x: F) -> F {
    let a = x.abs();
    let a = if a > F::ERF_SATURATED { F::ERF_SATURATED } else { a };
    let near = a + a * polynomial(a * a, F::ERF);
    let far = F::ONE - exp_of_moderate(-polynomial(a - F::ONE, F::ERF_TAIL));
    (if a < F::ONE { near } else { far }).with_sign_of(x)
}
