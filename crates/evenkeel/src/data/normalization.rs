//! What brings the channels of samples to mean 0 and deviation 1.

use super::split::{Pixels, Split};
use rayon::prelude::*;

/// Mean and standard deviation of each channel, in units of the scaled pixels; a batch holds (pixel − mean) / std.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Normalization {
    /// One mean a channel.
    pub mean: Vec<f64>,
    /// One standard deviation a channel, dividing by the number of values; 1 where all pixels are equal.
    pub std: Vec<f64>,
}

impl Normalization {
    /// Changes nothing: mean 0, standard deviation 1.
    pub fn identity(channels: usize) -> Self {
        Normalization { mean: vec![0.0; channels], std: vec![1.0; channels] }
    }

    /// The statistics of all pixels of a split. Sums of bytes are exact.
    pub fn of(split: &Split) -> Self {
        let channels = split.channels();
        let count = split.pixels().len() / channels.max(1);
        let moments: Vec<(f64, f64)> = match split.pixels() {
            Pixels::Bytes(values) => byte_sums(values, channels)
                .into_iter()
                .map(|[sum, square]| {
                    let (count, sum, square) = (u128::from(count as u64), u128::from(sum), u128::from(square));
                    let scale = count as f64 * split.divisor();
                    (sum as f64 / scale, ((count * square - sum * sum) as f64).sqrt() / scale)
                })
                .collect(),
            Pixels::Floats(values) => {
                // Pixel by pixel, since there may be as many channels as a table has columns.
                let sum = |of: &dyn Fn(usize, f64) -> f64| {
                    let mut sums = vec![0.0; channels];
                    for pixel in values.chunks_exact(channels.max(1)) {
                        for (channel, (sum, &value)) in sums.iter_mut().zip(pixel).enumerate() {
                            *sum += of(channel, f64::from(value));
                        }
                    }
                    sums.into_iter().map(|sum: f64| sum / count as f64).collect::<Vec<f64>>()
                };
                let means = sum(&|_, value| value);
                let squares = sum(&|channel, value| (value - means[channel]).powi(2));
                means
                    .iter()
                    .zip(squares)
                    .map(|(mean, square)| (mean / split.divisor(), square.sqrt() / split.divisor()))
                    .collect()
            }
            Pixels::Text(_) | Pixels::Unread { .. } => return Normalization::identity(channels),
        };
        Normalization {
            mean: moments.iter().map(|(mean, _)| if mean.is_finite() { *mean } else { 0.0 }).collect(),
            std: moments.iter().map(|(_, std)| if *std > 0.0 && std.is_finite() { *std } else { 1.0 }).collect(),
        }
    }
}

/// Sum and sum of squares of each channel. Cost: a pass over the bytes, on all threads.
fn byte_sums(values: &[u8], channels: usize) -> Vec<[u64; 2]> {
    /// So many bytes side by side at least, whose sums do not wait for each other.
    const ABREAST: usize = 64;
    /// So many squares of bytes add up within 32 bits.
    const ROWS: usize = 1 << 16;
    let row = channels * ABREAST.div_ceil(channels);
    let parts = values.par_chunks(row * ROWS).map(|part| {
        let (mut sums, mut squares) = (vec![0_u32; row], vec![0_u32; row]);
        for row in part.chunks(row) {
            for ((sum, square), &value) in sums.iter_mut().zip(&mut squares).zip(row) {
                let value = u32::from(value);
                *sum += value;
                *square += value * value;
            }
        }
        let mut totals = vec![[0_u64; 2]; channels];
        for (place, (sum, square)) in sums.into_iter().zip(squares).enumerate() {
            let total = &mut totals[place % channels];
            *total = [total[0] + u64::from(sum), total[1] + u64::from(square)];
        }
        totals
    });
    let add = |mut a: Vec<[u64; 2]>, b: Vec<[u64; 2]>| {
        a.iter_mut().zip(b).for_each(|(a, b)| *a = [a[0] + b[0], a[1] + b[1]]);
        a
    };
    parts.reduce(|| vec![[0; 2]; channels], add)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two samples of two pixels of two channels.
    fn bytes() -> Split {
        Split::new(Pixels::Bytes(vec![0, 255, 51, 255, 102, 255, 153, 255]), vec![1, 0], [1, 2, 2], 255.0).unwrap()
    }

    #[test]
    fn bytes_and_floats_of_the_same_pixels_have_the_same_statistics() {
        let floats = vec![0.0, 255.0, 51.0, 255.0, 102.0, 255.0, 153.0, 255.0];
        let floats = Split::new(Pixels::Floats(floats), vec![1, 0], [1, 2, 2], 255.0).unwrap();
        let (of_bytes, of_floats) = (Normalization::of(&bytes()), Normalization::of(&floats));
        assert!((of_bytes.mean[0] - 0.3).abs() < 1e-15 && (of_bytes.std[0] - 0.05_f64.sqrt()).abs() < 1e-15);
        assert!((of_bytes.mean[0] - of_floats.mean[0]).abs() < 1e-15);
        assert!((of_bytes.std[0] - of_floats.std[0]).abs() < 1e-15);
    }

    #[test]
    fn sums_of_bytes_are_exact_for_any_number_of_pixels_and_channels() {
        // More white pixels in a row than their squares can be added up in 32 bits.
        assert_eq!(byte_sums(&vec![255; 5_000_000], 1), [[255 * 5_000_000, 255 * 255 * 5_000_000]]);
        for channels in [1, 2, 3, 7, 100] {
            let values: Vec<u8> = (0..channels * 331).map(|place| (place * 89) as u8).collect();
            let expected: Vec<[u64; 2]> = (0..channels)
                .map(|channel| {
                    let of_channel = || values.iter().skip(channel).step_by(channels).map(|&value| u64::from(value));
                    [of_channel().sum(), of_channel().map(|value| value * value).sum()]
                })
                .collect();
            assert_eq!(byte_sums(&values, channels), expected);
        }
    }

    #[test]
    fn a_channel_of_equal_pixels_has_standard_deviation_one() {
        assert_eq!(Normalization::of(&bytes()).std[1], 1.0);
    }
}
