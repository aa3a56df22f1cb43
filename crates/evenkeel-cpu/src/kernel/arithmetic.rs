//! What loop bodies do with whole vectors. Every lane gets the bits that the functions of `elementwise` give it.

use super::conv::simd::{Array, Lanes};
use evenkeel_graph::op::Comparison;

/// Vectors with the cheap functions of loop bodies.
///
/// # Safety
/// As [`Lanes`]: every method may only run on a processor with the instruction set of the implementing type.
pub(crate) trait Arithmetic: Lanes {
    unsafe fn negate(self) -> Self;
    unsafe fn absolute(self) -> Self;
    unsafe fn root(self) -> Self;
    unsafe fn multiply(self, other: Self) -> Self;
    unsafe fn divide(self, other: Self) -> Self;
    /// The larger one; a NaN of either.
    unsafe fn maximum(self, other: Self) -> Self;
    /// The smaller one; a NaN of either.
    unsafe fn minimum(self, other: Self) -> Self;
    /// 1 where `self` is to `other` as asked, else 0.
    unsafe fn compare(self, comparison: Comparison, other: Self) -> Self;
    /// `yes` where `self` is not 0, else `no`.
    unsafe fn select(self, yes: Self, no: Self) -> Self;
    /// All lanes added up in halves: the second half to the first, and so on.
    unsafe fn total(self) -> Self::Scalar;
}

/// The vectors that a type of numbers is computed in on each instruction set.
pub(crate) trait Vectors: Sized {
    #[cfg(target_arch = "x86_64")]
    type Avx512: Arithmetic<Scalar = Self>;
    #[cfg(target_arch = "x86_64")]
    type Avx2: Arithmetic<Scalar = Self>;
    type Portable: Arithmetic<Scalar = Self>;
}

impl Vectors for f32 {
    #[cfg(target_arch = "x86_64")]
    type Avx512 = std::arch::x86_64::__m512;
    #[cfg(target_arch = "x86_64")]
    type Avx2 = std::arch::x86_64::__m256;
    type Portable = Array<f32, 8>;
}

impl Vectors for f64 {
    #[cfg(target_arch = "x86_64")]
    type Avx512 = std::arch::x86_64::__m512d;
    #[cfg(target_arch = "x86_64")]
    type Avx2 = std::arch::x86_64::__m256d;
    type Portable = Array<f64, 4>;
}

macro_rules! array_arithmetic {
    ($scalar:ty, $n:literal) => {
        impl Arithmetic for Array<$scalar, $n> {
            #[inline(always)]
            unsafe fn negate(self) -> Self {
                Array(self.0.map(|x| -x))
            }
            #[inline(always)]
            unsafe fn absolute(self) -> Self {
                Array(self.0.map(<$scalar>::abs))
            }
            #[inline(always)]
            unsafe fn root(self) -> Self {
                Array(self.0.map(<$scalar>::sqrt))
            }
            #[inline(always)]
            unsafe fn multiply(self, other: Self) -> Self {
                Array(std::array::from_fn(|lane| self.0[lane] * other.0[lane]))
            }
            #[inline(always)]
            unsafe fn divide(self, other: Self) -> Self {
                Array(std::array::from_fn(|lane| self.0[lane] / other.0[lane]))
            }
            #[inline(always)]
            unsafe fn maximum(self, other: Self) -> Self {
                let larger = |x: $scalar, y: $scalar| if x > y || x.is_nan() { x } else { y };
                Array(std::array::from_fn(|lane| larger(self.0[lane], other.0[lane])))
            }
            #[inline(always)]
            unsafe fn minimum(self, other: Self) -> Self {
                let smaller = |x: $scalar, y: $scalar| if x < y || x.is_nan() { x } else { y };
                Array(std::array::from_fn(|lane| smaller(self.0[lane], other.0[lane])))
            }
            #[inline(always)]
            unsafe fn compare(self, comparison: Comparison, other: Self) -> Self {
                let mask = |truth: bool| if truth { 1.0 } else { 0.0 };
                macro_rules! each {
                    ($holds:tt) => {
                        Array(std::array::from_fn(|lane| mask(self.0[lane] $holds other.0[lane])))
                    };
                }
                match comparison {
                    Comparison::Greater => each!(>),
                    Comparison::Less => each!(<),
                    Comparison::Equal => each!(==),
                    Comparison::GreaterOrEqual => each!(>=),
                    Comparison::LessOrEqual => each!(<=),
                    Comparison::NotEqual => each!(!=),
                }
            }
            #[inline(always)]
            unsafe fn select(self, yes: Self, no: Self) -> Self {
                Array(std::array::from_fn(|lane| if self.0[lane] != 0.0 { yes.0[lane] } else { no.0[lane] }))
            }
            #[inline(always)]
            unsafe fn total(self) -> $scalar {
                let mut lanes = self.0;
                let mut half = $n / 2;
                while half > 0 {
                    for lane in 0..half {
                        lanes[lane] += lanes[lane + half];
                    }
                    half /= 2;
                }
                lanes[0]
            }
        }
    };
}
array_arithmetic!(f32, 8);
array_arithmetic!(f64, 4);

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Arithmetic, Comparison};
    use std::arch::x86_64::*;

    /// `$test` compares by a predicate, `$keep` keeps the lanes of a vector where the test holds, `$blend` takes the first of
    /// two vectors there.
    macro_rules! x86_arithmetic {
        ($vector:ty, $set:ident, $xor:ident, $and_not:ident, $root:ident, $multiply:ident, $divide:ident, $maximum:ident,
         $minimum:ident, $test:ident, $keep:expr, $blend:expr, $scalar:ty, $total:expr) => {
            impl Arithmetic for $vector {
                #[inline(always)]
                unsafe fn negate(self) -> Self {
                    // SAFETY: the caller runs on a processor with the instruction (trait contract).
                    unsafe { $xor(self, $set(-0.0)) }
                }
                #[inline(always)]
                unsafe fn absolute(self) -> Self {
                    // SAFETY: as in `negate`.
                    unsafe { $and_not($set(-0.0), self) }
                }
                #[inline(always)]
                unsafe fn root(self) -> Self {
                    // SAFETY: as in `negate`.
                    unsafe { $root(self) }
                }
                #[inline(always)]
                unsafe fn multiply(self, other: Self) -> Self {
                    // SAFETY: as in `negate`.
                    unsafe { $multiply(self, other) }
                }
                #[inline(always)]
                unsafe fn divide(self, other: Self) -> Self {
                    // SAFETY: as in `negate`.
                    unsafe { $divide(self, other) }
                }
                #[inline(always)]
                unsafe fn maximum(self, other: Self) -> Self {
                    // The instruction gives its second operand where the first is not larger.
                    // SAFETY: as in `negate`.
                    unsafe { $blend($test::<_CMP_UNORD_Q>(self, self), self, $maximum(self, other)) }
                }
                #[inline(always)]
                unsafe fn minimum(self, other: Self) -> Self {
                    // SAFETY: as in `negate`.
                    unsafe { $blend($test::<_CMP_UNORD_Q>(self, self), self, $minimum(self, other)) }
                }
                #[inline(always)]
                unsafe fn compare(self, comparison: Comparison, other: Self) -> Self {
                    // SAFETY: as in `negate`.
                    unsafe {
                        let one = $set(1.0);
                        match comparison {
                            Comparison::Greater => $keep($test::<_CMP_GT_OQ>(self, other), one),
                            Comparison::Less => $keep($test::<_CMP_LT_OQ>(self, other), one),
                            Comparison::Equal => $keep($test::<_CMP_EQ_OQ>(self, other), one),
                            Comparison::GreaterOrEqual => $keep($test::<_CMP_GE_OQ>(self, other), one),
                            Comparison::LessOrEqual => $keep($test::<_CMP_LE_OQ>(self, other), one),
                            Comparison::NotEqual => $keep($test::<_CMP_NEQ_UQ>(self, other), one),
                        }
                    }
                }
                #[inline(always)]
                unsafe fn select(self, yes: Self, no: Self) -> Self {
                    // SAFETY: as in `negate`.
                    unsafe { $blend($test::<_CMP_NEQ_UQ>(self, $set(0.0)), yes, no) }
                }
                #[inline(always)]
                unsafe fn total(self) -> $scalar {
                    // SAFETY: as in `negate`.
                    unsafe { $total(self) }
                }
            }
        };
    }

    x86_arithmetic!(
        __m512,
        _mm512_set1_ps,
        _mm512_xor_ps,
        _mm512_andnot_ps,
        _mm512_sqrt_ps,
        _mm512_mul_ps,
        _mm512_div_ps,
        _mm512_max_ps,
        _mm512_min_ps,
        _mm512_cmp_ps_mask,
        |mask, x| _mm512_maskz_mov_ps(mask, x),
        |mask, x, y| _mm512_mask_mov_ps(y, mask, x),
        f32,
        |x| _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps::<1>(x)).total()
    );
    x86_arithmetic!(
        __m512d,
        _mm512_set1_pd,
        _mm512_xor_pd,
        _mm512_andnot_pd,
        _mm512_sqrt_pd,
        _mm512_mul_pd,
        _mm512_div_pd,
        _mm512_max_pd,
        _mm512_min_pd,
        _mm512_cmp_pd_mask,
        |mask, x| _mm512_maskz_mov_pd(mask, x),
        |mask, x, y| _mm512_mask_mov_pd(y, mask, x),
        f64,
        |x| _mm256_add_pd(_mm512_castpd512_pd256(x), _mm512_extractf64x4_pd::<1>(x)).total()
    );
    x86_arithmetic!(
        __m256,
        _mm256_set1_ps,
        _mm256_xor_ps,
        _mm256_andnot_ps,
        _mm256_sqrt_ps,
        _mm256_mul_ps,
        _mm256_div_ps,
        _mm256_max_ps,
        _mm256_min_ps,
        _mm256_cmp_ps,
        |mask, x| _mm256_and_ps(mask, x),
        |mask, x, y| _mm256_blendv_ps(y, x, mask),
        f32,
        |x| {
            let four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    );
    x86_arithmetic!(
        __m256d,
        _mm256_set1_pd,
        _mm256_xor_pd,
        _mm256_andnot_pd,
        _mm256_sqrt_pd,
        _mm256_mul_pd,
        _mm256_div_pd,
        _mm256_max_pd,
        _mm256_min_pd,
        _mm256_cmp_pd,
        |mask, x| _mm256_and_pd(mask, x),
        |mask, x, y| _mm256_blendv_pd(y, x, mask),
        f64,
        |x| {
            let two = _mm_add_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd::<1>(x));
            _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)))
        }
    );
}
