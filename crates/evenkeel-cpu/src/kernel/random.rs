//! Random numbers by place: element i is a function of the key and i alone, so any cut gives the same bits.

use super::instruction_set::dispatch;
use super::real::Real;
use evenkeel_graph::DType;
use evenkeel_graph::op::Distribution;
use evenkeel_graph::random::{Key, box_muller, uniform};
use rayon::prelude::*;

/// Elements that one thread draws at a time: whole blocks, each of two elements.
const RUN: usize = 8 * 1024;
/// Blocks drawn at once, so that the generator runs in vectors.
const LANES: usize = 16;

/// Fills `y` with the numbers of a key from its first block on: in f64 those that [`Key::random`] draws one after the other,
/// in f32 the same rounded (uniform ones down, so that they stay below 1).
pub(crate) fn fill<T: Real>(distribution: Distribution, key: Key, y: &mut [T]) {
    let draw = |(run, y): (usize, &mut [T])| {
        let first = (run * RUN / 2) as u64;
        dispatch!(draw::<T>(distribution: Distribution, key: Key, first: u64, y: &mut [T]));
    };
    if y.len() <= RUN {
        draw((0, y));
    } else {
        y.par_chunks_mut(RUN).enumerate().for_each(draw);
    }
}

/// Draws from block `first` on.
///
/// # Safety
/// None is needed; `dispatch` calls what it is given as unsafe.
#[inline(always)]
unsafe fn draw<T: Real>(distribution: Distribution, key: Key, first: u64, y: &mut [T]) {
    for (group, y) in y.chunks_mut(2 * LANES).enumerate() {
        let mut words = [[0u32; LANES]; 4];
        for lane in 0..LANES {
            let block = key.block(first + (group * LANES + lane) as u64);
            for (words, word) in words.iter_mut().zip(block) {
                words[lane] = word;
            }
        }
        let mut numbers = [T::ZERO; 2 * LANES];
        for lane in 0..LANES {
            let [a, b, c, d] = [words[0][lane], words[1][lane], words[2][lane], words[3][lane]];
            let pair = match distribution {
                // The 24 leading bits are those of the f64 number, cut off.
                Distribution::Uniform if T::DTYPE == DType::F32 => {
                    const STEP: f64 = 1.0 / (1 << 24) as f64;
                    [f64::from(b >> 8) * STEP, f64::from(d >> 8) * STEP]
                }
                Distribution::Uniform => [uniform(a, b), uniform(c, d)],
                Distribution::Normal => box_muller(uniform(a, b), uniform(c, d)),
            };
            numbers[2 * lane] = T::of(pair[0]);
            numbers[2 * lane + 1] = T::of(pair[1]);
        }
        y.copy_from_slice(&numbers[..y.len()]);
    }
}
