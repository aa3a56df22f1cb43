//! Vectors of each instruction set behind one trait, and how large tiles of them may be.

use crate::kernel::instruction_set::InstructionSet;

/// A vector of scalars in registers.
///
/// # Safety
/// Every method may only run on a processor with the instruction set of the implementing type; the pointers must be valid for
/// the lanes they read or write.
pub(crate) trait Lanes: Copy {
    /// What a lane holds.
    type Scalar: Copy;
    /// Scalars in a vector.
    const N: usize;
    /// A vector of zeros.
    unsafe fn zero() -> Self;
    /// The scalar at `at` in every lane.
    unsafe fn splat(at: *const Self::Scalar) -> Self;
    /// `N` scalars from `at`, without alignment.
    unsafe fn load(at: *const Self::Scalar) -> Self;
    /// The first `count <= N` scalars from `at`, zeros in the other lanes.
    unsafe fn load_first(at: *const Self::Scalar, count: usize) -> Self;
    /// `self + other`.
    unsafe fn add(self, other: Self) -> Self;
    /// `self - other`.
    unsafe fn subtract(self, other: Self) -> Self;
    /// Half of it.
    unsafe fn half(self) -> Self;
    /// `self · factor + sum`.
    unsafe fn multiply_add(self, factor: Self, sum: Self) -> Self;
    /// `N` scalars to `at`.
    unsafe fn store(self, at: *mut Self::Scalar);
    /// The first `count <= N` scalars to `at`.
    unsafe fn store_first(self, at: *mut Self::Scalar, count: usize);
    /// Rows and columns of a square that [`Lanes::turn`] turns round.
    const SIDE: usize;
    /// `target[k · to + l] = source[l · from + k]` for all k and l below `SIDE`.
    unsafe fn turn(source: *const Self::Scalar, from: usize, target: *mut Self::Scalar, to: usize);
}

/// Asks for the line of the cache at `at`, which may lie anywhere; a hint without effect on values.
#[inline(always)]
pub(in crate::kernel) fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every processor of this architecture has the hint, and it never faults.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

impl InstructionSet {
    /// Scalars of `size` bytes in one vector.
    pub(crate) fn lanes(self, size: usize) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => 64 / size,
            _ => 32 / size,
        }
    }

    /// Most accumulator rows for tiles of one and of two vectors, bounded by the registers: rows · vectors + vectors + 1.
    pub(in crate::kernel) fn tile_rows(self) -> [usize; 2] {
        match self {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => [24, 14],
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => [12, 6],
            InstructionSet::Portable => [4, 2],
        }
    }
}

/// Eight (f32) or four (f64) scalars: two 128-bit registers where the compiler finds nothing better.
#[derive(Clone, Copy)]
pub(crate) struct Array<T, const N: usize>(pub(crate) [T; N]);

macro_rules! array_lanes {
    ($scalar:ty, $n:literal) => {
        impl Lanes for Array<$scalar, $n> {
            type Scalar = $scalar;
            const N: usize = $n;
            #[inline(always)]
            unsafe fn zero() -> Self {
                Array([0.0; $n])
            }
            #[inline(always)]
            unsafe fn splat(at: *const $scalar) -> Self {
                // SAFETY: `at` is valid for one scalar (trait contract).
                Array([unsafe { *at }; $n])
            }
            #[inline(always)]
            unsafe fn load(at: *const $scalar) -> Self {
                // SAFETY: `at` is valid for N scalars (trait contract); an array of scalars needs no more than their alignment.
                Array(unsafe { *at.cast::<[$scalar; $n]>() })
            }
            #[inline(always)]
            unsafe fn load_first(at: *const $scalar, count: usize) -> Self {
                let mut lanes = [0.0; $n];
                for (lane, value) in lanes.iter_mut().enumerate().take(count) {
                    // SAFETY: `at` is valid for `count` scalars (trait contract).
                    *value = unsafe { *at.add(lane) };
                }
                Array(lanes)
            }
            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                Array(std::array::from_fn(|lane| self.0[lane] + other.0[lane]))
            }
            #[inline(always)]
            unsafe fn subtract(self, other: Self) -> Self {
                Array(std::array::from_fn(|lane| self.0[lane] - other.0[lane]))
            }
            #[inline(always)]
            unsafe fn half(self) -> Self {
                Array(self.0.map(|value| 0.5 * value))
            }
            #[inline(always)]
            unsafe fn multiply_add(self, factor: Self, sum: Self) -> Self {
                // Without the instruction, a fused multiply-add is a call into the C library for each lane.
                let fused = cfg!(any(target_feature = "fma", target_arch = "aarch64"));
                let one = |a: $scalar, b: $scalar, c: $scalar| if fused { a.mul_add(b, c) } else { a * b + c };
                Array(std::array::from_fn(|lane| one(self.0[lane], factor.0[lane], sum.0[lane])))
            }
            #[inline(always)]
            unsafe fn store(self, at: *mut $scalar) {
                // SAFETY: `at` is valid for N scalars (trait contract).
                unsafe { *at.cast::<[$scalar; $n]>() = self.0 };
            }
            #[inline(always)]
            unsafe fn store_first(self, at: *mut $scalar, count: usize) {
                for (lane, &value) in self.0.iter().enumerate().take(count) {
                    // SAFETY: `at` is valid for `count` scalars (trait contract).
                    unsafe { *at.add(lane) = value };
                }
            }
            const SIDE: usize = 4;
            #[inline(always)]
            unsafe fn turn(source: *const $scalar, from: usize, target: *mut $scalar, to: usize) {
                for k in 0..4 {
                    // SAFETY: both squares are valid (trait contract).
                    let turned: [$scalar; 4] = std::array::from_fn(|l| unsafe { *source.add(l * from + k) });
                    // SAFETY: as above.
                    unsafe { *target.add(k * to).cast::<[$scalar; 4]>() = turned };
                }
            }
        }
    };
}
array_lanes!(f32, 8);
array_lanes!(f64, 4);

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    //! 256-bit and 512-bit vectors.

    use std::arch::x86_64::*;

    use super::Lanes;

    macro_rules! x86_lanes {
        ($vector:ty, $scalar:ty, $n:literal, $zero:ident, $set:ident, $load:ident, $fma:ident, $store:ident, $add:ident, $subtract:ident, $multiply:ident, $first:expr, $load_first:expr, $side:literal, $turn:ident) => {
            impl Lanes for $vector {
                type Scalar = $scalar;
                const N: usize = $n;
                #[inline(always)]
                unsafe fn zero() -> Self {
                    // SAFETY: the caller runs on a processor with the instruction (trait contract).
                    unsafe { $zero() }
                }
                #[inline(always)]
                unsafe fn splat(at: *const $scalar) -> Self {
                    // SAFETY: as in `zero`; `at` is valid for one scalar.
                    unsafe { $set(*at) }
                }
                #[inline(always)]
                unsafe fn load(at: *const $scalar) -> Self {
                    // SAFETY: as in `zero`; `at` is valid for N scalars, and the load needs no alignment.
                    unsafe { $load(at) }
                }
                #[inline(always)]
                unsafe fn load_first(at: *const $scalar, count: usize) -> Self {
                    // SAFETY: as in `zero`; lanes outside the mask are not read, those inside are valid (trait contract).
                    unsafe { $load_first(at, count) }
                }
                #[inline(always)]
                unsafe fn add(self, other: Self) -> Self {
                    // SAFETY: as in `zero`.
                    unsafe { $add(self, other) }
                }
                #[inline(always)]
                unsafe fn subtract(self, other: Self) -> Self {
                    // SAFETY: as in `zero`.
                    unsafe { $subtract(self, other) }
                }
                #[inline(always)]
                unsafe fn half(self) -> Self {
                    // SAFETY: as in `zero`.
                    unsafe { $multiply(self, $set(0.5)) }
                }
                #[inline(always)]
                unsafe fn multiply_add(self, factor: Self, sum: Self) -> Self {
                    // SAFETY: as in `zero`.
                    unsafe { $fma(self, factor, sum) }
                }
                #[inline(always)]
                unsafe fn store(self, at: *mut $scalar) {
                    // SAFETY: as in `load`, for writing.
                    unsafe { $store(at, self) }
                }
                #[inline(always)]
                unsafe fn store_first(self, at: *mut $scalar, count: usize) {
                    // SAFETY: as in `zero`; lanes outside the mask are not touched, those inside are valid (trait contract).
                    unsafe { $first(at, self, count) }
                }
                const SIDE: usize = $side;
                #[inline(always)]
                unsafe fn turn(source: *const $scalar, from: usize, target: *mut $scalar, to: usize) {
                    // SAFETY: as in `zero`; both squares are valid (trait contract).
                    unsafe { $turn(source, from, target, to) }
                }
            }
        };
    }

    x86_lanes!(
        __m512,
        f32,
        16,
        _mm512_setzero_ps,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_fmadd_ps,
        _mm512_storeu_ps,
        _mm512_add_ps,
        _mm512_sub_ps,
        _mm512_mul_ps,
        |at, vector, count: usize| _mm512_mask_storeu_ps(at, ((1u32 << count) - 1) as __mmask16, vector),
        |at, count: usize| _mm512_maskz_loadu_ps(((1u32 << count) - 1) as __mmask16, at),
        8,
        turn_eight
    );
    x86_lanes!(
        __m512d,
        f64,
        8,
        _mm512_setzero_pd,
        _mm512_set1_pd,
        _mm512_loadu_pd,
        _mm512_fmadd_pd,
        _mm512_storeu_pd,
        _mm512_add_pd,
        _mm512_sub_pd,
        _mm512_mul_pd,
        |at, vector, count: usize| _mm512_mask_storeu_pd(at, ((1u32 << count) - 1) as __mmask8, vector),
        |at, count: usize| _mm512_maskz_loadu_pd(((1u32 << count) - 1) as __mmask8, at),
        4,
        turn_four
    );
    x86_lanes!(
        __m256,
        f32,
        8,
        _mm256_setzero_ps,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_fmadd_ps,
        _mm256_storeu_ps,
        _mm256_add_ps,
        _mm256_sub_ps,
        _mm256_mul_ps,
        |at: *mut f32, vector, count: usize| {
            let mut lanes = [0.0f32; 8];
            _mm256_storeu_ps(lanes.as_mut_ptr(), vector);
            std::ptr::copy_nonoverlapping(lanes.as_ptr(), at, count);
        },
        |at: *const f32, count: usize| {
            let mut lanes = [0.0f32; 8];
            std::ptr::copy_nonoverlapping(at, lanes.as_mut_ptr(), count);
            _mm256_loadu_ps(lanes.as_ptr())
        },
        8,
        turn_eight
    );
    x86_lanes!(
        __m256d,
        f64,
        4,
        _mm256_setzero_pd,
        _mm256_set1_pd,
        _mm256_loadu_pd,
        _mm256_fmadd_pd,
        _mm256_storeu_pd,
        _mm256_add_pd,
        _mm256_sub_pd,
        _mm256_mul_pd,
        |at: *mut f64, vector, count: usize| {
            let mut lanes = [0.0f64; 4];
            _mm256_storeu_pd(lanes.as_mut_ptr(), vector);
            std::ptr::copy_nonoverlapping(lanes.as_ptr(), at, count);
        },
        |at: *const f64, count: usize| {
            let mut lanes = [0.0f64; 4];
            std::ptr::copy_nonoverlapping(at, lanes.as_mut_ptr(), count);
            _mm256_loadu_pd(lanes.as_ptr())
        },
        4,
        turn_four
    );

    /// A square of eight f32: pairs of rows interleaved, then pairs of pairs, then the halves of the vectors.
    ///
    /// # Safety
    /// The processor has AVX; eight rows of eight scalars are valid in both squares.
    #[inline(always)]
    unsafe fn turn_eight(source: *const f32, from: usize, target: *mut f32, to: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let row: [__m256; 8] = std::array::from_fn(|l| _mm256_loadu_ps(source.add(l * from)));
            let low = |a: usize| _mm256_unpacklo_ps(row[a], row[a + 1]);
            let high = |a: usize| _mm256_unpackhi_ps(row[a], row[a + 1]);
            let four = |a: usize| {
                let (l, h, m, n) = (low(a), high(a), low(a + 2), high(a + 2));
                [
                    _mm256_shuffle_ps::<0x44>(l, m),
                    _mm256_shuffle_ps::<0xEE>(l, m),
                    _mm256_shuffle_ps::<0x44>(h, n),
                    _mm256_shuffle_ps::<0xEE>(h, n),
                ]
            };
            let (upper, lower) = (four(0), four(4));
            for k in 0..4 {
                _mm256_storeu_ps(target.add(k * to), _mm256_permute2f128_ps::<0x20>(upper[k], lower[k]));
                _mm256_storeu_ps(target.add((k + 4) * to), _mm256_permute2f128_ps::<0x31>(upper[k], lower[k]));
            }
        }
    }

    /// A square of four f64, likewise.
    ///
    /// # Safety
    /// The processor has AVX; four rows of four scalars are valid in both squares.
    #[inline(always)]
    unsafe fn turn_four(source: *const f64, from: usize, target: *mut f64, to: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let row: [__m256d; 4] = std::array::from_fn(|l| _mm256_loadu_pd(source.add(l * from)));
            let upper = [_mm256_unpacklo_pd(row[0], row[1]), _mm256_unpackhi_pd(row[0], row[1])];
            let lower = [_mm256_unpacklo_pd(row[2], row[3]), _mm256_unpackhi_pd(row[2], row[3])];
            for k in 0..2 {
                _mm256_storeu_pd(target.add(k * to), _mm256_permute2f128_pd::<0x20>(upper[k], lower[k]));
                _mm256_storeu_pd(target.add((k + 2) * to), _mm256_permute2f128_pd::<0x31>(upper[k], lower[k]));
            }
        }
    }
}
