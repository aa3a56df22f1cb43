//! The transforms of each instruction set.

use super::super::simd::Array;
use super::transform::{self, Filter, FilterGradient, Gather, Scatter, Transforms};
use crate::kernel::instruction_set::InstructionSet;

/// Compiles the transforms for one vector type, with the instruction set enabled for their whole bodies.
macro_rules! transforms {
    ($name:ident, $lanes:ty, $scalar:ty, [$($feature:literal)?]) => {
        mod $name {
            use super::*;

            transforms!(@one inputs, $lanes, Gather<'_, $scalar>, [$($feature)?]);
            transforms!(@one gradients, $lanes, Gather<'_, $scalar>, [$($feature)?]);
            transforms!(@one outputs, $lanes, Scatter<'_, $scalar>, [$($feature)?]);
            transforms!(@one weights, $lanes, Filter<$scalar>, [$($feature)?]);
            transforms!(@one weight_gradients, $lanes, FilterGradient<$scalar>, [$($feature)?]);

            pub(super) static TRANSFORMS: Transforms<$scalar> =
                Transforms { inputs, gradients, outputs, weights, weight_gradients };
        }
    };
    (@one $body:ident, $lanes:ty, $operands:ty, [$($feature:literal)?]) => {
        $(#[target_feature(enable = $feature)])?
        unsafe fn $body(operands: &$operands) {
            // SAFETY: the features are enabled here, and the caller passes on the rest of the contract.
            unsafe { transform::$body::<$lanes>(operands) }
        }
    };
}

transforms!(portable_f32, Array<f32, 8>, f32, []);
transforms!(portable_f64, Array<f64, 4>, f64, []);
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{__m256, __m256d, __m512, __m512d};

    use super::*;

    transforms!(avx2_f32, __m256, f32, ["avx2,fma"]);
    transforms!(avx2_f64, __m256d, f64, ["avx2,fma"]);
    transforms!(avx512_f32, __m512, f32, ["avx512f"]);
    transforms!(avx512_f64, __m512d, f64, ["avx512f"]);

    pub(super) static AVX2: (&Transforms<f32>, &Transforms<f64>) = (&avx2_f32::TRANSFORMS, &avx2_f64::TRANSFORMS);
    pub(super) static AVX512: (&Transforms<f32>, &Transforms<f64>) = (&avx512_f32::TRANSFORMS, &avx512_f64::TRANSFORMS);
}

/// The transforms for an instruction set that this processor has.
pub(in super::super) fn transforms_f32(level: InstructionSet) -> &'static Transforms<f32> {
    match level {
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => x86::AVX512.0,
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => x86::AVX2.0,
        InstructionSet::Portable => &portable_f32::TRANSFORMS,
    }
}

/// The transforms for an instruction set that this processor has.
pub(in super::super) fn transforms_f64(level: InstructionSet) -> &'static Transforms<f64> {
    match level {
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => x86::AVX512.1,
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => x86::AVX2.1,
        InstructionSet::Portable => &portable_f64::TRANSFORMS,
    }
}
