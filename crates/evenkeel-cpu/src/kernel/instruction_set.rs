//! Which vector instructions this machine has.

/// The instructions kernels are compiled for, from the fastest down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InstructionSet {
    /// AVX-512 F, VL, BW and DQ with FMA.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2 with FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// What the target has at least.
    Portable,
}

impl InstructionSet {
    /// The best one this machine has; the standard library keeps the answer.
    pub(crate) fn detect() -> InstructionSet {
        InstructionSet::available()[0]
    }

    /// All that this machine can run, from the fastest down.
    pub(crate) fn available() -> &'static [InstructionSet] {
        #[cfg(target_arch = "x86_64")]
        {
            use InstructionSet::{Avx2, Avx512, Portable};
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
            {
                return &[Avx512, Avx2, Portable];
            }
            if avx2 {
                return &[Avx2, Portable];
            }
        }
        &[InstructionSet::Portable]
    }
}

/// Compiles the body of a function once for each instruction set and calls the best one this machine has.
///
/// The body must be an `#[inline(always)]` function, so that it takes on the features of the wrapper it ends up in.
macro_rules! dispatch {
    ($body:ident::<$t:ty>($($argument:ident: $type:ty),* $(,)?)) => {{
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
            unsafe fn avx512<T: $crate::kernel::real::Real>($($argument: $type),*) {
                // SAFETY: the caller's promise is the body's.
                unsafe { $body::<T>($($argument),*) }
            }
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2<T: $crate::kernel::real::Real>($($argument: $type),*) {
                // SAFETY: the caller's promise is the body's.
                unsafe { $body::<T>($($argument),*) }
            }
            match $crate::kernel::instruction_set::InstructionSet::detect() {
                // SAFETY: the features were found on this machine; the rest is the caller's promise.
                $crate::kernel::instruction_set::InstructionSet::Avx512 => unsafe { avx512::<$t>($($argument),*) },
                // SAFETY: as above.
                $crate::kernel::instruction_set::InstructionSet::Avx2 => unsafe { avx2::<$t>($($argument),*) },
                // SAFETY: the caller's promise is the body's.
                $crate::kernel::instruction_set::InstructionSet::Portable => unsafe { $body::<$t>($($argument),*) },
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        // SAFETY: the caller's promise is the body's.
        unsafe { $body::<$t>($($argument),*) }
    }};
}
pub(crate) use dispatch;
