//! Random numbers as a pure function: the counter-based generator Philox4x32-10.
//!
//! A [`Key`] is made of a seed, the name of the place that draws (a site path such as `layer1.0.dropout`, or `data/order`) and a
//! step. The bits at counter `i` of a key are always the same, whatever was drawn before, on any number of threads.
//!
//! ```
//! use evenkeel_graph::random::Key;
//! let key = Key::new(7, "layer1.dropout", 412);
//! assert_eq!(key.block(5), Key::new(7, "layer1.dropout", 412).block(5));
//! let coin = key.random().below(2);
//! assert!(coin < 2);
//! ```
//!
//! Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011; checked against the known answers
//! that are published with Random123.

use crate::shape::DType;
use crate::tensor::Tensor;
use std::f64::consts::TAU;

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// The Philox4x32-10 bijection of a 128-bit counter (least significant word first) under a 64-bit key.
#[inline(always)]
pub fn philox4x32_10(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..ROUNDS {
        if round > 0 {
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        let (high0, low0) = split(u64::from(MULTIPLIERS[0]) * u64::from(counter[0]));
        let (high1, low1) = split(u64::from(MULTIPLIERS[1]) * u64::from(counter[2]));
        counter = [high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0];
    }
    counter
}

/// The number in [0, 1), a multiple of 2⁻⁵³, that 64 bits stand for.
#[inline(always)]
pub fn uniform(low: u32, high: u32) -> f64 {
    const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
    ((u64::from(high) << 32 | u64::from(low)) >> 11) as f64 * STEP
}

/// Two independent standard normal numbers from two independent uniform ones (Box and Muller).
///
/// Logarithm and trigonometry come from the crate `libm`, so the bits do not depend on the system's mathematics library.
pub fn box_muller(radius: f64, angle: f64) -> [f64; 2] {
    let radius = libm::sqrt(-2.0 * libm::log(1.0 - radius));
    let (sine, cosine) = libm::sincos(TAU * angle);
    [radius * cosine, radius * sine]
}

/// The high and the low word.
#[inline(always)]
const fn split(value: u64) -> (u32, u32) {
    ((value >> 32) as u32, value as u32)
}

/// FNV-1a, 64 bits: a hash of a name that never changes between versions or machines.
const fn fnv1a(name: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut index = 0;
    while index < name.len() {
        hash = (hash ^ name[index] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        index += 1;
    }
    hash
}

/// Which stream of random bits: seed, site and step. Two keys that differ in the step alone never share a block.
///
/// The seed keys one Philox block at the hash of the site; its first two words are the key of the stream. The step is the upper
/// half of the stream's counter, so each step owns 2⁶⁴ blocks of 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    words: [u32; 2],
    step: u64,
}

impl Key {
    /// The key of a seed, a site (hashed with FNV-1a, 64 bits) and a step.
    pub fn new(seed: u64, stream: &str, step: u64) -> Self {
        let (seed_high, seed_low) = split(seed);
        let (site_high, site_low) = split(fnv1a(stream.as_bytes()));
        let [first, second, ..] = philox4x32_10([site_low, site_high, 0, 0], [seed_low, seed_high]);
        Key { words: [first, second], step }
    }

    /// The key as a program is given it: an `I32` value `[4]` of words whose bits it is.
    pub fn tensor(&self) -> Tensor {
        let (step_high, step_low) = split(self.step);
        let words = [self.words[0], self.words[1], step_low, step_high];
        Tensor::new([4], words.map(|word| word as i32).to_vec()).unwrap_or_else(|| Tensor::zeros([4], DType::I32))
    }

    /// The key that [`Key::tensor`] gave these words.
    pub fn from_words(words: [i32; 4]) -> Key {
        let [first, second, low, high] = words.map(|word| word as u32);
        Key { words: [first, second], step: u64::from(high) << 32 | u64::from(low) }
    }

    /// The 128 bits at `counter`.
    #[inline(always)]
    pub fn block(&self, counter: u64) -> [u32; 4] {
        let (counter_high, counter_low) = split(counter);
        let (step_high, step_low) = split(self.step);
        philox4x32_10([counter_low, counter_high, step_low, step_high], self.words)
    }

    /// The numbers of this key in order, from block 0.
    pub fn random(self) -> Random {
        Random::new(self)
    }
}

/// The numbers of one [`Key`], drawn one after the other.
#[derive(Clone, Debug)]
pub struct Random {
    key: Key,
    counter: u64,
    block: [u32; 4],
    used: usize,
    spare_normal: Option<f64>,
}

impl Random {
    /// Starts at block 0 of `key`.
    pub fn new(key: Key) -> Self {
        Random { key, counter: 0, block: [0; 4], used: 4, spare_normal: None }
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.used >= self.block.len() {
            self.block = self.key.block(self.counter);
            self.counter = self.counter.wrapping_add(1);
            self.used = 0;
        }
        let word = self.block[self.used];
        self.used += 1;
        word
    }

    /// The next 64 bits: two draws of 32, the lower half first.
    pub fn next_u64(&mut self) -> u64 {
        let low = u64::from(self.next_u32());
        let high = u64::from(self.next_u32());
        (high << 32) | low
    }

    /// Uniform on [0, 1), a multiple of 2⁻⁵³.
    pub fn uniform_f64(&mut self) -> f64 {
        let low = self.next_u32();
        uniform(low, self.next_u32())
    }

    /// Standard normal by Box and Muller; every second value is kept from the draw before it.
    pub fn normal_f64(&mut self) -> f64 {
        if let Some(value) = self.spare_normal.take() {
            return value;
        }
        let radius = self.uniform_f64();
        let [first, second] = box_muller(radius, self.uniform_f64());
        self.spare_normal = Some(second);
        first
    }

    /// Uniform on 0 .. n without bias (Lemire's multiplication with rejection); 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 {
            return 0;
        }
        let mut product = u128::from(self.next_u64()) * u128::from(n);
        if (product as u64) < n {
            let rejected = n.wrapping_neg() % n;
            while (product as u64) < rejected {
                product = u128::from(self.next_u64()) * u128::from(n);
            }
        }
        (product >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_the_known_answers_published_with_random123() {
        assert_eq!(philox4x32_10([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox4x32_10([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox4x32_10([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn site_names_are_hashed_as_fnv_1a_is_published() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn seed_site_step_and_counter_each_change_the_bits() {
        let block = Key::new(1, "a", 2).block(3);
        assert_eq!(Key::new(1, "a", 2).block(3), block);
        for other in [
            Key::new(0, "a", 2).block(3),
            Key::new(1 << 32, "a", 2).block(3),
            Key::new(1, "b", 2).block(3),
            Key::new(1, "a", 3).block(3),
            Key::new(1, "a", 2 << 32).block(3),
            Key::new(1, "a", 2).block(4),
            Key::new(1, "a", 2).block(3 << 32),
        ] {
            assert_ne!(other, block);
        }
    }

    #[test]
    fn the_drawn_words_are_the_blocks_in_order() {
        let key = Key::new(9, "site", 0);
        let mut random = key.random();
        let words: Vec<u32> = (0..10).map(|_| random.next_u32()).collect();
        assert_eq!(words[..4], key.block(0));
        assert_eq!(words[4..8], key.block(1));
        assert_eq!(words[8..], key.block(2)[..2]);
    }

    #[test]
    fn uniform_and_normal_numbers_have_their_moments() {
        let mut random = Key::new(3, "moments", 0).random();
        let count = 200_000;
        let (mut mean, mut square) = (0.0, 0.0);
        let (mut normal_mean, mut normal_square, mut normal_fourth) = (0.0, 0.0, 0.0);
        for _ in 0..count {
            let uniform = random.uniform_f64();
            assert!((0.0..1.0).contains(&uniform));
            mean += uniform;
            square += uniform * uniform;
            let normal = random.normal_f64();
            normal_mean += normal;
            normal_square += normal.powi(2);
            normal_fourth += normal.powi(4);
        }
        let count = f64::from(count);
        assert!((mean / count - 0.5).abs() < 0.004);
        assert!((square / count - 1.0 / 3.0).abs() < 0.004);
        assert!((normal_mean / count).abs() < 0.01);
        assert!((normal_square / count - 1.0).abs() < 0.015);
        assert!((normal_fourth / count - 3.0).abs() < 0.12);
    }

    #[test]
    fn below_stays_below_reaches_everything_and_takes_any_bound() {
        let mut random = Key::new(4, "below", 0).random();
        let mut counts = [0_u32; 6];
        for _ in 0..60_000 {
            counts[random.below(6) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
        assert_eq!(random.below(0), 0);
        assert_eq!(random.below(1), 0);
        for _ in 0..100 {
            assert!(random.below(u64::MAX) < u64::MAX);
            assert!(random.below((1 << 63) + 1) <= 1 << 63);
        }
    }
}
