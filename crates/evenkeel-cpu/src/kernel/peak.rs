//! How fast this machine multiplies and adds at best: the yardstick speeds are told against.

use super::instruction_set::InstructionSet;
use evenkeel_graph::DType;
use std::hint::black_box;
use std::time::Instant;

/// Multiply-adds in each sum of a burst: a millisecond or two, so that a burst fits between two interruptions.
const ROUNDS: usize = 400_000;
/// Bursts tried; the fastest counts.
const BURSTS: usize = 8;

/// The multiply-add peak in GFLOP/s (two operations a multiply-add) of all threads of the `rayon` pool it is called in.
///
/// Measured, not looked up: independent vector multiply-adds in registers, with the widest instructions kernels are compiled
/// for, on all threads at once; the best of several bursts. Cost: about 0.1 s.
pub fn multiply_add_peak(dtype: DType) -> f64 {
    let burst = || -> f64 { rayon::broadcast(|_| burst_of_one_thread(dtype)).into_iter().sum() };
    (0..BURSTS).map(|_| burst()).fold(0.0, f64::max)
}

fn burst_of_one_thread(dtype: DType) -> f64 {
    let set = InstructionSet::detect();
    let lanes = set.lanes(dtype.bytes());
    let start = Instant::now();
    match (set, dtype) {
        // SAFETY: the features were found on this machine.
        #[cfg(target_arch = "x86_64")]
        (InstructionSet::Avx512, DType::F64) => unsafe { x86::avx512_f64() },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        (InstructionSet::Avx512, _) => unsafe { x86::avx512_f32() },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        (InstructionSet::Avx2, DType::F64) => unsafe { x86::avx2_f64() },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        (InstructionSet::Avx2, _) => unsafe { x86::avx2_f32() },
        (InstructionSet::Portable, DType::F64) => portable::<f64, 4>(0.5, 1.5),
        (InstructionSet::Portable, _) => portable::<f32, 8>(0.5, 1.5),
    }
    (2 * ROUNDS * SUMS * lanes) as f64 / start.elapsed().as_secs_f64() / 1e9
}

/// Independent sums: enough to hide the latency of a multiply-add, and few enough to stay in registers.
const SUMS: usize = 12;

/// Sums in arrays, for the compiler to find vectors in.
fn portable<T, const LANES: usize>(factor: T, term: T)
where
    T: Copy + std::ops::Mul<Output = T> + std::ops::Add<Output = T>,
{
    let (factor, term) = (black_box([factor; LANES]), black_box([term; LANES]));
    let mut sums = [factor; SUMS];
    for _ in 0..ROUNDS {
        for sum in &mut sums {
            for lane in 0..LANES {
                sum[lane] = factor[lane] * sum[lane] + term[lane];
            }
        }
    }
    black_box(sums);
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{ROUNDS, SUMS};
    use std::arch::x86_64::*;
    use std::hint::black_box;

    macro_rules! burst {
        ($name:ident, $features:literal, $splat:ident, $multiply_add:ident) => {
            #[target_feature(enable = $features)]
            pub(super) fn $name() {
                let (factor, term) = ($splat(black_box(0.5)), $splat(black_box(1.5)));
                let mut sums = [factor; SUMS];
                for _ in 0..ROUNDS {
                    for sum in &mut sums {
                        *sum = $multiply_add(factor, *sum, term);
                    }
                }
                black_box(sums);
            }
        };
    }
    burst!(avx512_f32, "avx512f", _mm512_set1_ps, _mm512_fmadd_ps);
    burst!(avx512_f64, "avx512f", _mm512_set1_pd, _mm512_fmadd_pd);
    burst!(avx2_f32, "avx2,fma", _mm256_set1_ps, _mm256_fmadd_ps);
    burst!(avx2_f64, "avx2,fma", _mm256_set1_pd, _mm256_fmadd_pd);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_of_this_machine_is_a_positive_number_in_both_types() {
        for dtype in [DType::F32, DType::F64] {
            let peak = multiply_add_peak(dtype);
            assert!(peak.is_finite() && peak > 0.0, "{dtype}: {peak}");
        }
    }
}
