//! What the functions must know of `f32` and `f64`: their bits, their limits, and coefficients for their precision.

use crate::kernel::real::Real;

/// The two floating-point formats. The coefficients come from `coefficients.py`.
pub(in crate::kernel) trait Format: Real {
    const INFINITY: Self;
    const NAN: Self;
    const HALF: Self;
    const TWO: Self;
    /// The least normal number.
    const LEAST_NORMAL: Self;
    /// 2 to the number of mantissa bits and one: makes every subnormal number normal, exactly.
    const LIFT: Self;
    /// The power of two in `LIFT`.
    const LIFT_EXPONENT: Self;
    /// log₂ e.
    const LOG2_E: Self;
    /// ln 2, in so few bits that its product with any exponent is exact.
    const LN2_HIGH: Self;
    /// The rest of ln 2.
    const LN2_LOW: Self;
    /// Below it eˣ rounds to zero, but not far below.
    const EXP_LOWEST: Self;
    /// Above it eˣ is infinite, but not far above.
    const EXP_HIGHEST: Self;
    /// Below its negative eˣ − 1 rounds to −1; above it tanh rounds to 1.
    const EXPM1_SATURATED: Self;
    /// (eʳ − 1 − r) / r² for |r| ≤ ½ ln 2.
    const EXP: &'static [Self];
    /// (2 artanh s − 2s) / s³ in powers of s², for |s| ≤ (√2 − 1) / (√2 + 1).
    const LOG: &'static [Self];
    /// (sin r − r) / r³ in powers of r², for |r| ≤ π / 4.
    const SIN: &'static [Self];
    /// (cos r − 1 + r² / 2) / r⁴ in powers of r², for |r| ≤ π / 4.
    const COS: &'static [Self];
    /// erf(a) / a − 1 in powers of a², for a ≤ 1.
    const ERF: &'static [Self];
    /// −ln(1 − erf a) in powers of a − 1, for a from 1 to `ERF_SATURATED`.
    const ERF_TAIL: &'static [Self];
    /// Above it erf rounds to 1.
    const ERF_SATURATED: Self;
    /// Up to here an angle is reduced by subtraction.
    const LARGEST_ANGLE: Self;
    /// Products in f64 have bits and exponents to spare.
    const PRODUCTS_ARE_WIDER: bool;

    /// The nearest integer, of two the even one. Needs |self| < 2 to the number of mantissa bits less one.
    fn round(self) -> Self;
    /// 2ⁿ for an integer n among the exponents of normal numbers; one less gives 0, one more infinity.
    fn power_of_two(self) -> Self;
    /// (m, e) with self = m · 2ᵉ, √½ ≤ m < √2 and e an integer. Needs a positive normal number.
    fn split(self) -> (Self, Self);
    /// |self| with the sign of another number.
    fn with_sign_of(self, other: Self) -> Self;
    /// Subtracts the nearest multiple of π / 2. Needs |self| ≤ `LARGEST_ANGLE`.
    fn angle(self) -> Angle<Self>;
    /// The sine for any argument, one number at a time.
    fn sin_slow(self) -> Self;
    /// The cosine for any argument, one number at a time.
    fn cos_slow(self) -> Self;
    /// x to the power of an exponent. Needs 0 < self < ∞.
    fn power_of_positive(self, exponent: f64) -> Self;
}

/// An angle as n · π / 2 + r + tail, |r| ≤ π / 4 but for rounding.
#[derive(Clone, Copy)]
pub(in crate::kernel) struct Angle<F> {
    pub(super) r: F,
    /// What r cannot hold.
    pub(super) tail: F,
    /// n is odd.
    pub(super) odd: bool,
    /// n is 2 or 3, modulo 4.
    pub(super) half_turn: bool,
}

/// π / 2 in pieces of 33 bits, whose products with integers below 2²⁰ are exact, and the rest.
const QUARTER_TURN: [f64; 4] = [1.5707963267341256, 6.077100506303966e-11, 2.0222662487111665e-21, 8.4784276603689e-32];
/// The rest after the first piece.
const QUARTER_TURN_LOW: f64 = 6.077100506506192e-11;
/// 1.5 · 2⁵²: a sum with it has the rounded integer in its last bits.
const SHIFTER: f64 = 6755399441055744.0;

/// x's nearest multiple of π / 2, as a number and, modulo 4, in two bits.
#[inline(always)]
fn quarter_turns(x: f64) -> (f64, u64) {
    let shifted = x * std::f64::consts::FRAC_2_PI + SHIFTER;
    (shifted - SHIFTER, shifted.to_bits())
}

/// The rounded sum and its rounding error.
#[inline(always)]
pub(super) fn two_sum<F: Real>(a: F, b: F) -> (F, F) {
    let sum = a + b;
    let b_part = sum - a;
    (sum, (a - (sum - b_part)) + (b - b_part))
}

/// What both formats do alike, given their bits.
macro_rules! bits {
    ($float:ident, $bits:ident, mantissa: $mantissa:literal, bias: $bias:literal) => {
        const INFINITY: $float = $float::INFINITY;
        const NAN: $float = $float::NAN;
        const HALF: $float = 0.5;
        const TWO: $float = 2.0;
        const LEAST_NORMAL: $float = $float::MIN_POSITIVE;
        const LIFT: $float = (2u64 << $mantissa) as $float;
        const LIFT_EXPONENT: $float = ($mantissa + 1) as $float;
        const LOG2_E: $float = std::$float::consts::LOG2_E;

        #[inline(always)]
        fn round(self) -> $float {
            const SHIFTER: $float = (3u64 << ($mantissa - 1)) as $float;
            (self + SHIFTER) - SHIFTER
        }

        #[inline(always)]
        fn power_of_two(self) -> $float {
            // The sum's last bits are the biased exponent; shifted to its place, they push all others out.
            const SHIFTER: $float = ((3u64 << ($mantissa - 1)) + $bias) as $float;
            $float::from_bits((self + SHIFTER).to_bits() << $mantissa)
        }

        #[inline(always)]
        fn split(self) -> ($float, $float) {
            const ROOT_OF_HALF: $bits = std::$float::consts::FRAC_1_SQRT_2.to_bits();
            const MANTISSA: $bits = (1 << $mantissa) - 1;
            // 2 to the mantissa bits: integers below fit into its last bits.
            const INTEGERS: $bits = ($bias + $mantissa) << $mantissa;
            // The exponent field counts from √½ instead of 1.
            let bits = self.to_bits().wrapping_add((($bias as $bits) << $mantissa) - ROOT_OF_HALF);
            let exponent = $float::from_bits(bits >> $mantissa | INTEGERS) - ((1u64 << $mantissa) + $bias) as $float;
            ($float::from_bits((bits & MANTISSA).wrapping_add(ROOT_OF_HALF)), exponent)
        }

        #[inline(always)]
        fn with_sign_of(self, other: $float) -> $float {
            self.copysign(other)
        }
    };
}

impl Format for f32 {
    bits!(f32, u32, mantissa: 23, bias: 127);
    const LN2_HIGH: f32 = 0.693_145_75;
    const LN2_LOW: f32 = 1.428_606_8e-6;
    const EXP_LOWEST: f32 = -104.0;
    const EXP_HIGHEST: f32 = 89.0;
    const EXPM1_SATURATED: f32 = 20.0;
    const EXP: &'static [f32] = &[0.5, 0.16666663, 0.041666422, 0.008334053, 0.0013938725, 0.00019549047];
    const LOG: &'static [f32] = &[0.66666776, 0.39977583, 0.2987083];
    const SIN: &'static [f32] = &[-0.16666655, 0.008332189, -0.00019518276];
    const COS: &'static [f32] = &[0.041666646, -0.001388731, 2.4432327e-05];
    const ERF: &'static [f32] =
        &[0.12837917, -0.37612626, 0.11283579, -0.026853347, 0.005187162, -0.0007997853, 7.806903e-05];
    const ERF_TAIL: &'static [f32] =
        &[1.8496056, 2.6389627, 0.8431724, 0.041264378, -0.009462885, 0.0014933425, -9.3417795e-05];
    const ERF_SATURATED: f32 = 4.0;
    const LARGEST_ANGLE: f32 = 1.6e6;
    const PRODUCTS_ARE_WIDER: bool = true;

    #[inline(always)]
    fn angle(self) -> Angle<f32> {
        let x = f64::from(self);
        let (turns, bits) = quarter_turns(x);
        let r = (x - turns * QUARTER_TURN[0]) - turns * QUARTER_TURN_LOW;
        Angle { r: r as f32, tail: 0.0, odd: bits & 1 != 0, half_turn: bits & 2 != 0 }
    }

    fn sin_slow(self) -> f32 {
        libm::sinf(self)
    }

    fn cos_slow(self) -> f32 {
        libm::cosf(self)
    }

    #[inline(always)]
    fn power_of_positive(self, exponent: f64) -> f32 {
        super::power::in_single(self, exponent)
    }
}

impl Format for f64 {
    bits!(f64, u64, mantissa: 52, bias: 1023);
    const LN2_HIGH: f64 = 0.693147180559663;
    const LN2_LOW: f64 = 2.8235290563031577e-13;
    const EXP_LOWEST: f64 = -746.0;
    const EXP_HIGHEST: f64 = 710.0;
    const EXPM1_SATURATED: f64 = 40.0;
    const EXP: &'static [f64] = &[
        0.5000000000000001,
        0.1666666666666667,
        0.041666666666648505,
        0.008333333333328525,
        0.0013888888897427517,
        0.0001984126986685304,
        2.4801570938616604e-05,
        2.7557262002601673e-06,
        2.757100568865701e-07,
        2.5104002319044765e-08,
        1.6736772670643635e-09,
    ];
    const LOG: &'static [f64] = &[
        0.6666666666666708,
        0.3999999999954818,
        0.2857142871748519,
        0.22222200810015183,
        0.1818345980382751,
        0.15316499167217856,
        0.14773219772761068,
    ];
    const SIN: &'static [f64] = &[
        -0.16666666666666666,
        0.008333333333333042,
        -0.0001984126984096247,
        2.755731907398163e-06,
        -2.5052070921952033e-08,
        1.605431135011605e-10,
        -7.389446163677986e-13,
    ];
    const COS: &'static [f64] = &[
        0.041666666666666595,
        -0.0013888888888873333,
        2.4801587288992894e-05,
        -2.755731421356541e-07,
        2.087570483517306e-09,
        -1.1358716393934322e-11,
    ];
    const ERF: &'static [f64] = &[
        0.1283791670955126,
        -0.376126389031841,
        0.11283791670971098,
        -0.026866170648031096,
        0.005223977652691327,
        -0.0008548328535673154,
        0.00012055386186682556,
        -1.4926881253306325e-05,
        1.6481054746802455e-06,
        -1.6557078872800676e-07,
        1.6012847182037862e-08,
        -1.6463139688103439e-09,
        1.4340667995144263e-10,
    ];
    const ERF_TAIL: &'static [f64] = &[
        1.8496055099332482,
        2.6389675142347837,
        0.843107256359107,
        0.04156109803021172,
        -0.010033825225799091,
        0.001977901474782138,
        -0.00023731737737605151,
        -2.6293966955277713e-05,
        2.7194778064460335e-05,
        -9.665975338672494e-06,
        2.12684171682105e-06,
        -2.0127283494086886e-07,
        -5.981012468772736e-08,
        3.4050458354199384e-08,
        -8.687951949235629e-09,
        1.347881812162618e-09,
        -1.2223439319315479e-10,
        4.996959083464159e-12,
    ];
    const ERF_SATURATED: f64 = 6.0;
    const LARGEST_ANGLE: f64 = 1.6e6;
    const PRODUCTS_ARE_WIDER: bool = false;

    #[inline(always)]
    fn angle(self) -> Angle<f64> {
        let (turns, bits) = quarter_turns(self);
        let (high, first) = two_sum(self - turns * QUARTER_TURN[0], -turns * QUARTER_TURN[1]);
        let (high, second) = two_sum(high, -turns * QUARTER_TURN[2]);
        let low = (first + second) - turns * QUARTER_TURN[3];
        let r = high + low;
        Angle { r, tail: (high - r) + low, odd: bits & 1 != 0, half_turn: bits & 2 != 0 }
    }

    fn sin_slow(self) -> f64 {
        libm::sin(self)
    }

    fn cos_slow(self) -> f64 {
        libm::cos(self)
    }

    #[inline(always)]
    fn power_of_positive(self, exponent: f64) -> f64 {
        super::power::in_double(self, exponent)
    }
}
