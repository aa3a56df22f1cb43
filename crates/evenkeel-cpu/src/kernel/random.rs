//! Random numbers by place: element i is a function of the key and i alone, so any cut gives the same bits.

use super::instruction_set::dispatch;
use super::math;
use super::real::Real;
use evenkeel_graph::DType;
use evenkeel_graph::op::Distribution;
use evenkeel_graph::random::{Key, box_muller, uniform};
use rayon::prelude::*;
use std::f64::consts::TAU;

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
        let numbers = match distribution {
            Distribution::Uniform => even(&words),
            Distribution::Normal if T::DTYPE == DType::F32 => rounded_normal(&words),
            Distribution::Normal => pairs(&words, |[a, b, c, d]| box_muller(uniform(a, b), uniform(c, d))),
        };
        y.copy_from_slice(&numbers[..y.len()]);
    }
}

/// The words of [`LANES`] blocks, first words together.
type Words = [[u32; LANES]; 4];

/// Two numbers a block.
#[inline(always)]
fn pairs<T: Real>(words: &Words, pair: impl Fn([u32; 4]) -> [f64; 2]) -> [T; 2 * LANES] {
    let mut numbers = [T::ZERO; 2 * LANES];
    for lane in 0..LANES {
        let [first, second] = pair([words[0][lane], words[1][lane], words[2][lane], words[3][lane]]);
        numbers[2 * lane] = T::of(first);
        numbers[2 * lane + 1] = T::of(second);
    }
    numbers
}

#[inline(always)]
fn even<T: Real>(words: &Words) -> [T; 2 * LANES] {
    if T::DTYPE == DType::F32 {
        // The 24 leading bits are those of the f64 number, cut off.
        const STEP: f64 = 1.0 / (1 << 24) as f64;
        pairs(words, |[_, b, _, d]| [f64::from(b >> 8) * STEP, f64::from(d >> 8) * STEP])
    } else {
        pairs(words, |[a, b, c, d]| [uniform(a, b), uniform(c, d)])
    }
}

/// Two normal numbers a block, and the sine and cosine that they were made with, by functions that run in vectors: a few units in the last
/// place from [`box_muller`].
#[inline(always)]
fn near_normal(words: &Words) -> ([[f64; LANES]; 2], [[f64; LANES]; 2]) {
    let (mut radius, mut angle) = ([0.0; LANES], [0.0; LANES]);
    for lane in 0..LANES {
        radius[lane] = 1.0 - uniform(words[0][lane], words[1][lane]);
        angle[lane] = TAU * uniform(words[2][lane], words[3][lane]);
    }
    let logarithm = math::log(radius);
    let factors = [math::cos(angle), math::sin(angle)];
    let mut numbers = factors;
    for lane in 0..LANES {
        let radius = f64::sqrt(-2.0 * logarithm[lane]);
        numbers[0][lane] *= radius;
        numbers[1][lane] *= radius;
    }
    (numbers, factors)
}

/// The numbers of [`box_muller`] rounded to f32. Rounding hides the last places of f64 but for one number in millions: where they could
/// show, it is drawn again as there.
#[inline(always)]
fn rounded_normal<T: Real>(words: &Words) -> [T; 2 * LANES] {
    let ([first, second], [cosine, sine]) = near_normal(words);
    let mut open = [false; LANES];
    for lane in 0..LANES {
        open[lane] = could_round_otherwise(first[lane], cosine[lane]) | could_round_otherwise(second[lane], sine[lane]);
    }
    let mut numbers = [T::ZERO; 2 * LANES];
    for lane in 0..LANES {
        numbers[2 * lane] = T::of(first[lane]);
        numbers[2 * lane + 1] = T::of(second[lane]);
    }
    if open.contains(&true) {
        let exact: [T; 2 * LANES] = pairs(words, |[a, b, c, d]| box_muller(uniform(a, b), uniform(c, d)));
        for lane in (0..LANES).filter(|&lane| open[lane]) {
            numbers[2 * lane..][..2].copy_from_slice(&exact[2 * lane..][..2]);
        }
    }
    numbers
}

/// Units in the last place of f64 that [`near_normal`] is right to, with eight times what a test allows.
const MARGIN: u64 = 64;

/// The smallest sine or cosine that counts.
const LEAST_FACTOR: f64 = 1.0 / 1024.0;

/// Whether a number so near to `value` rounds to another f32. Where `factor`, sine or cosine, is almost 0 nothing is sure.
#[inline(always)]
fn could_round_otherwise(value: f64, factor: f64) -> bool {
    const CUT_OFF: u64 = (1 << 29) - 1;
    // The bits that f32 has no room for, as a distance from the middle between two f32.
    let from_middle = (value.to_bits() & CUT_OFF).wrapping_sub(CUT_OFF.div_ceil(2) - MARGIN);
    (from_middle <= 2 * MARGIN) | (factor.abs() < LEAST_FACTOR) | (value == 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_by_vectors_are_well_within_the_margin_of_those_of_the_host() {
        let key = Key::new(3, "margin", 1);
        let mut farthest = 0;
        for group in 0..20_000 {
            let blocks: [[u32; 4]; LANES] = std::array::from_fn(|lane| key.block((group * LANES + lane) as u64));
            let words: Words = std::array::from_fn(|word| std::array::from_fn(|lane| blocks[lane][word]));
            let (numbers, factors) = near_normal(&words);
            for lane in 0..LANES {
                let [a, b, c, d] = blocks[lane];
                for (number, wanted) in box_muller(uniform(a, b), uniform(c, d)).into_iter().enumerate() {
                    if factors[number][lane].abs() >= LEAST_FACTOR {
                        farthest = farthest.max(numbers[number][lane].to_bits().abs_diff(wanted.to_bits()));
                    }
                }
            }
        }
        assert!((1..=MARGIN / 8).contains(&farthest), "{farthest} units");
    }

    #[test]
    fn numbers_at_the_middle_between_two_of_single_precision_are_open() {
        let middle = f64::from(1.5f32) + f64::from(f32::EPSILON) / 2.0;
        let beside = |units: i64| f64::from_bits(middle.to_bits().wrapping_add_signed(units));
        for (units, open) in [(0, true), (64, true), (-64, true), (65, false), (-65, false), (1 << 28, false)] {
            assert_eq!(could_round_otherwise(beside(units), 0.5), open, "{units}");
            assert_eq!(could_round_otherwise(-beside(units), 0.5), open, "{units}");
        }
        assert!(could_round_otherwise(1.5, 1e-4));
    }
}
