//! Images that are moved, mirrored and hidden in part.

use crate::config::{AugmentConfig, Padding};
use evenkeel_graph::random::Key;

/// The transforms of images in one epoch.
///
/// * crop (He, Zhang, Ren, Sun 2016, arXiv 1512.03385, section 4.2): p pixels of padding on each side, then a part of the old size whose
///   corner is uniform on (2p + 1)² places
/// * flip: left and right exchanged with probability ½
/// * cutout (DeVries, Taylor 2017, arXiv 1708.04552): a square of zeros whose centre is uniform over the image; what lies outside is lost
///
/// Cost: a copy of each image that is cropped or mirrored.
pub(super) struct Images<'c> {
    how: &'c AugmentConfig,
    shape: [usize; 3],
    crop: Key,
    flip: Key,
    cutout: Key,
}

impl<'c> Images<'c> {
    /// Of height, width and channels `shape`.
    pub(super) fn new(how: &'c AugmentConfig, shape: [usize; 3], seed: u64, epoch: u64) -> Self {
        let key = |stream| Key::new(seed, stream, epoch);
        Images { how, shape, crop: key("augment/crop"), flip: key("augment/flip"), cutout: key("augment/cutout") }
    }

    /// Transforms images `[N, H, W, C]`, whose numbers in the training part are `samples`.
    pub(super) fn apply<T: Copy + Default>(&self, images: &mut [T], samples: &[u32]) {
        let [height, width, channels] = self.shape;
        let mut before = Vec::new();
        for (image, &sample) in images.chunks_exact_mut(height * width * channels).zip(samples) {
            if self.how.crop > 0 || self.how.flip {
                before.clear();
                before.extend_from_slice(image);
                self.place(&before, image, self.corner(sample), self.is_mirrored(sample));
            }
            if let Some([rows, columns]) = self.hole(sample) {
                for row in image.chunks_exact_mut(width * channels).take(rows.end).skip(rows.start) {
                    row[columns.start * channels..columns.end * channels].fill(T::default());
                }
            }
        }
    }

    /// How far down and right of the padded image's corner the part begins: both in 0..=2p.
    fn corner(&self, sample: u32) -> [usize; 2] {
        pair(self.crop, sample).map(|bits| below(bits, 2 * self.how.crop + 1))
    }

    fn is_mirrored(&self, sample: u32) -> bool {
        self.how.flip && below(pair(self.flip, sample)[0], 2) == 1
    }

    /// Rows and columns that become zeros.
    fn hole(&self, sample: u32) -> Option<[std::ops::Range<usize>; 2]> {
        let side = self.how.cutout;
        let [height, width, _] = self.shape;
        let [row, column] = pair(self.cutout, sample);
        let span = |centre: usize, extent: usize| {
            let end = (centre + side).saturating_sub(side / 2).min(extent);
            centre.saturating_sub(side / 2)..end
        };
        (side > 0).then(|| [span(below(row, height), height), span(below(column, width), width)])
    }

    fn place<T: Copy + Default>(&self, from: &[T], to: &mut [T], [down, right]: [usize; 2], mirrored: bool) {
        let [height, width, channels] = self.shape;
        let column = |column: usize| if mirrored { width - 1 - column } else { column };
        let columns: Vec<Option<usize>> = (0..width).map(|at| self.source(column(at) + right, width)).collect();
        for (at, row) in to.chunks_exact_mut(width * channels).enumerate() {
            let source = self.source(at + down, height).map(|row| &from[row * width * channels..][..width * channels]);
            for (pixel, column) in row.chunks_exact_mut(channels).zip(&columns) {
                match (source, column) {
                    (Some(source), Some(column)) => {
                        pixel.copy_from_slice(&source[column * channels..(column + 1) * channels]);
                    }
                    _ => pixel.fill(T::default()),
                }
            }
        }
    }

    /// The row or column of the image that stands at a place of the padded one; none for zeros.
    fn source(&self, padded: usize, extent: usize) -> Option<usize> {
        let before = self.how.crop;
        match padded.checked_sub(before) {
            Some(inside) if inside < extent => Some(inside),
            _ if self.how.padding == Padding::Zero => None,
            None => Some(before - padded),
            Some(after) => Some(2 * (extent - 1) - after),
        }
    }
}

/// The two numbers of 64 bits that a sample has in a stream.
fn pair(key: Key, sample: u32) -> [u64; 2] {
    let [a, b, c, d] = key.block(u64::from(sample)).map(u64::from);
    [a | b << 32, c | d << 32]
}

/// Uniform on 0..n from 64 random bits; no number is more likely than another by more than n / 2⁶⁴.
fn below(bits: u64, n: usize) -> usize {
    ((u128::from(bits) * n as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 3] = [4, 5, 2];

    /// Images of different pixels, none of them 0.
    fn images(count: usize) -> Vec<f32> {
        (0..count * 40).map(|place| place as f32 + 1.0).collect()
    }

    fn augmented(how: &AugmentConfig, count: usize, epoch: u64) -> Vec<f32> {
        let mut pixels = images(count);
        let samples: Vec<u32> = (0..count as u32).collect();
        Images::new(how, SHAPE, 3, epoch).apply(&mut pixels, &samples);
        pixels
    }

    fn chi_square(counts: &[usize]) -> f64 {
        let expected = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
        counts.iter().map(|&count| (count as f64 - expected).powi(2) / expected).sum()
    }

    #[test]
    fn an_image_mirrored_twice_is_itself_and_half_of_them_are() {
        let how = AugmentConfig { flip: true, ..AugmentConfig::default() };
        let once = augmented(&how, 1000, 7);
        let mut twice = once.clone();
        Images::new(&how, SHAPE, 3, 7).apply(&mut twice, &(0..1000).collect::<Vec<u32>>());
        assert_eq!(twice, images(1000));
        let mirrored = once.chunks(40).zip(images(1000).chunks(40)).filter(|(a, b)| a != b).count();
        // 500 ± 3.3 deviations of 15.8.
        assert!((448..=552).contains(&mirrored), "{mirrored}");
        let (flipped, plain) = once
            .chunks(40)
            .zip(images(1000).chunks(40))
            .find(|(a, b)| a != b)
            .map(|(a, b)| (a.to_vec(), b.to_vec()))
            .unwrap();
        assert_eq!((&flipped[..2], &flipped[8..10]), (&plain[8..10], &plain[..2]), "channels stay in order");
    }

    #[test]
    fn corners_of_crops_are_uniform_and_crops_are_parts_of_the_padded_image() {
        let how = AugmentConfig { crop: 2, ..AugmentConfig::default() };
        let transforms = Images::new(&how, SHAPE, 3, 0);
        let mut counts = [0; 25];
        for sample in 0..50_000 {
            let [down, right] = transforms.corner(sample);
            counts[down * 5 + right] += 1;
        }
        // 24 degrees of freedom: below 51.2 in 999 of 1,000 draws.
        assert!(chi_square(&counts) < 51.2, "{counts:?}");
        let cropped = augmented(&how, 50, 0);
        for (sample, (crop, image)) in cropped.chunks(40).zip(images(50).chunks(40)).enumerate() {
            let [down, right] = transforms.corner(sample as u32);
            for (place, &value) in crop.iter().enumerate() {
                let (row, column, channel) = (place / 10 + down, place / 2 % 5 + right, place % 2);
                let inside = (2..6).contains(&row) && (2..7).contains(&column);
                assert_eq!(value, if inside { image[((row - 2) * 5 + column - 2) * 2 + channel] } else { 0.0 });
            }
        }
    }

    #[test]
    fn reflections_leave_out_the_border_and_shift_nothing_else() {
        let how = AugmentConfig { crop: 3, padding: Padding::Reflect, ..AugmentConfig::default() };
        let transforms = Images::new(&how, SHAPE, 0, 0);
        let row: Vec<usize> = (0..10).filter_map(|padded| transforms.source(padded, 4)).collect();
        assert_eq!(row, [3, 2, 1, 0, 1, 2, 3, 2, 1, 0]);
        assert!(augmented(&how, 20, 0).iter().all(|value| *value != 0.0));
    }

    #[test]
    fn a_hole_is_a_square_less_what_lies_outside() {
        for side in [1, 2, 3, 5] {
            let how = AugmentConfig { cutout: side, ..AugmentConfig::default() };
            let cut = augmented(&how, 2000, 1);
            let holes: Vec<usize> =
                cut.chunks(40).map(|image| image.iter().filter(|value| **value == 0.0).count()).collect();
            let (least, most) = (holes.iter().min().unwrap(), holes.iter().max().unwrap());
            // A centre in a corner leaves the larger half of each side, or the smaller.
            let low = side.div_ceil(2).min(side - side / 2).min(side / 2 + 1).min(4);
            assert_eq!(*most, 2 * side.min(4) * side.min(5), "side {side}");
            assert!(*least >= 2 * low * low.min(5) && holes.iter().all(|hole| hole % 2 == 0), "side {side}: {least}");
        }
        // The centre is uniform: a hole of one pixel shows where it is.
        let how = AugmentConfig { cutout: 1, ..AugmentConfig::default() };
        let mut counts = [0; 20];
        for image in augmented(&how, 20_000, 0).chunks(40) {
            counts[image.iter().position(|value| *value == 0.0).unwrap() / 2] += 1;
        }
        // 19 degrees of freedom.
        assert!(chi_square(&counts) < 43.8, "{counts:?}");
    }

    #[test]
    fn what_a_sample_becomes_depends_on_seed_epoch_and_sample_and_on_nothing_else() {
        let how = AugmentConfig { crop: 2, flip: true, cutout: 2, ..AugmentConfig::default() };
        let all = augmented(&how, 30, 4);
        let mut some = images(30)[29 * 40..].to_vec();
        Images::new(&how, SHAPE, 3, 4).apply(&mut some, &[29]);
        assert_eq!(some, all[29 * 40..]);
        assert_ne!(all, augmented(&how, 30, 5));
    }
}
