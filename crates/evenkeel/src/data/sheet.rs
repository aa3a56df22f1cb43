//! Samples to look at: a contact sheet as a PNG file, and a small one for a terminal.

use std::path::Path;

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::Dataset;
use super::split::{Pixels, Split};
use crate::store::write_atomically;
use crate::{Error, Result};

/// Samples of a class side by side.
const ACROSS: usize = 10;
/// Classes below each other.
const CLASSES: usize = 20;
/// Small pictures are enlarged about to this, large ones made smaller.
const SIDE: usize = 64;
const LARGEST: usize = 256;
/// Between pictures, and its color.
const GAP: usize = 2;
const PAPER: u8 = 64;
/// Columns of a terminal that a picture takes at most.
const COLUMNS: usize = 16;

/// Writes the first training samples of each class (a row a class, in the order of the labels, at most 10 samples of 20 classes); without
/// classes the first samples, in one row.
///
/// # Errors
/// When the samples are no pictures, or the file cannot be written.
pub fn write_sheet(dataset: &Dataset, path: &Path) -> Result<()> {
    let pictures = Pictures::of(dataset)?;
    let [height, width] = pictures.size;
    let longest = height.max(width).max(1);
    let scaled = |extent: usize| match SIDE / longest {
        0 if longest > LARGEST => (extent * LARGEST / longest).max(1),
        factor => extent * factor.max(1),
    };
    let (height, width) = (scaled(height), scaled(width));
    let rows: Vec<Vec<usize>> = pictures.first_of_classes(ACROSS).into_iter().take(CLASSES).collect();
    let across = rows.iter().map(Vec::len).max().unwrap_or(0);
    let (all_height, all_width) = (rows.len() * (height + GAP) + GAP, across * (width + GAP) + GAP);
    let mut sheet = vec![PAPER; all_height * all_width * 3];
    for (row, samples) in rows.iter().enumerate() {
        for (column, &sample) in samples.iter().enumerate() {
            let picture = pictures.picture(sample, height, width);
            for (line, pixels) in picture.chunks_exact(width).enumerate() {
                let y = GAP + row * (height + GAP) + line;
                let at = (y * all_width + GAP + column * (width + GAP)) * 3;
                sheet[at..at + width * 3].copy_from_slice(pixels.as_flattened());
            }
        }
    }
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes)
        .write_image(&sheet, all_width as u32, all_height as u32, ExtendedColorType::Rgb8)
        .map_err(|error| {
            Error::input("cannot make the contact sheet").detail("file", path.display()).detail("got", error)
        })?;
    write_atomically(path, &bytes)
}

/// The first training sample of each class, or of all where there are no classes, in half-block characters of 24-bit color, for a terminal
/// of so many columns; lines end with a line feed. `None` where samples are no pictures.
pub fn terminal_sheet(dataset: &Dataset, columns: usize) -> Option<String> {
    let pictures = Pictures::of(dataset).ok()?;
    let [height, width] = pictures.size;
    let small = COLUMNS.min(width).min(columns.max(1));
    let (height, width) = ((height * small / width).clamp(2, 2 * COLUMNS), small);
    let samples: Vec<usize> = pictures.first_of_classes(1).into_iter().take(CLASSES).flatten().collect();
    let mut text = String::new();
    for samples in samples.chunks(((columns + 1) / (width + 1)).max(1)) {
        let drawn: Vec<Vec<[u8; 3]>> = samples.iter().map(|&sample| pictures.picture(sample, height, width)).collect();
        for line in 0..height.div_ceil(2) {
            for picture in &drawn {
                let pixel = |row: usize, column: usize| picture.get(row * width + column).copied().unwrap_or_default();
                for column in 0..width {
                    let ([r, g, b], [x, y, z]) = (pixel(2 * line, column), pixel(2 * line + 1, column));
                    text.push_str(&format!("\x1b[38;2;{r};{g};{b};48;2;{x};{y};{z}m▀"));
                }
                text.push_str("\x1b[0m ");
            }
            text.push('\n');
        }
        text.push('\n');
    }
    Some(text)
}

/// Training samples that can be looked at.
struct Pictures<'a> {
    split: &'a Split,
    classes: usize,
    size: [usize; 2],
    channels: usize,
    /// What is black, and what is white.
    range: (f32, f32),
}

impl<'a> Pictures<'a> {
    fn of(dataset: &'a Dataset) -> Result<Self> {
        let split = &dataset.train;
        let range = match split.pixels() {
            Pixels::Bytes(_) => (0.0, split.divisor() as f32),
            Pixels::Floats(values) => {
                let (least, most) = values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(least, most), &value| {
                    (least.min(value), most.max(value))
                });
                (least, if most > least { most } else { least + 1.0 })
            }
            Pixels::Text(_) | Pixels::Unread { .. } => return Err(no_pictures(dataset)),
        };
        match split.image_shape()[..] {
            [height, width, channels] if height * width > 1 => {
                Ok(Pictures { split, classes: dataset.class_names.len(), size: [height, width], channels, range })
            }
            _ => Err(no_pictures(dataset)),
        }
    }

    /// The first `count` samples of each class that has any; of all where there are no classes.
    fn first_of_classes(&self, count: usize) -> Vec<Vec<usize>> {
        if self.split.target_width().is_some() {
            return vec![(0..self.split.len().min(count)).collect()];
        }
        let mut rows = vec![Vec::new(); self.classes];
        for (sample, &label) in self.split.labels().iter().enumerate() {
            if let Some(row) = usize::try_from(label).ok().and_then(|label| rows.get_mut(label))
                && row.len() < count
            {
                row.push(sample);
            }
        }
        rows.retain(|row| !row.is_empty());
        rows
    }

    /// A sample in another size: each pixel is the mean of those it covers. Three channels are red, green and blue; of others the first
    /// is shown.
    fn picture(&self, sample: usize, height: usize, width: usize) -> Vec<[u8; 3]> {
        let [rows, columns] = self.size;
        let start = sample * rows * columns * self.channels;
        let value = |row: usize, column: usize, channel: usize| {
            let channel = if self.channels == 3 { channel } else { 0 };
            let at = start + (row * columns + column) * self.channels + channel;
            match self.split.pixels() {
                Pixels::Bytes(values) => f32::from(values[at]),
                Pixels::Floats(values) => values[at],
                Pixels::Text(_) | Pixels::Unread { .. } => 0.0,
            }
        };
        let covered = |place: usize, of: usize, all: usize| {
            let first = place * all / of;
            first..((place + 1) * all / of).max(first + 1)
        };
        let (black, white) = self.range;
        let pixel = |y: usize, x: usize| {
            std::array::from_fn(|channel| {
                let (mut sum, mut count) = (0.0, 0);
                for row in covered(y, height, rows) {
                    for column in covered(x, width, columns) {
                        sum += (value(row, column, channel) - black) / (white - black);
                        count += 1;
                    }
                }
                (sum / count as f32 * 255.0).round() as u8
            })
        };
        (0..height).flat_map(|y| (0..width).map(move |x| (y, x))).map(|(y, x)| pixel(y, x)).collect()
    }
}

fn no_pictures(dataset: &Dataset) -> Error {
    Error::input("these samples are no pictures")
        .detail("data", &dataset.spec)
        .detail("expected", "images of more than one pixel")
        .hint("leave out `--sheet`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{DataSpec, LoadOptions, load};

    fn digits() -> Dataset {
        load(&DataSpec::Digits, &LoadOptions::default()).unwrap()
    }

    #[test]
    fn a_sheet_shows_ten_samples_of_each_class_enlarged() {
        let folder = tempfile::tempdir().unwrap();
        let (digits, path) = (digits(), folder.path().join("sheet.png"));
        write_sheet(&digits, &path).unwrap();
        let sheet = image::open(&path).unwrap().into_rgb8();
        assert_eq!(sheet.dimensions(), (10 * 66 + 2, 10 * 66 + 2));
        let first = digits.train.labels().iter().position(|&label| label == 0).unwrap();
        let Pixels::Bytes(pixels) = digits.train.pixels() else { panic!("the digits are bytes") };
        // The middle of each of its pixels, eight times enlarged.
        for (place, &pixel) in pixels[first * 64..][..64].iter().enumerate() {
            let at = |place: usize| (2 + place * 8 + 4) as u32;
            let expected = (f32::from(pixel) / 16.0 * 255.0).round() as u8;
            assert_eq!(sheet.get_pixel(at(place % 8), at(place / 8)).0, [expected; 3]);
        }
        assert_eq!(sheet.get_pixel(0, 0).0, [PAPER; 3]);
    }

    #[test]
    fn without_classes_a_sheet_shows_the_first_samples() {
        let folder = tempfile::tempdir().unwrap();
        let row = |n: usize| format!("0,{n},9,{}\n", n as f64 / 3.0);
        std::fs::write(folder.path().join("t.csv"), (0..40).map(row).collect::<String>()).unwrap();
        let options = LoadOptions {
            targets: crate::config::DataTargets::Numbers,
            shape: Some(crate::config::ImageShape([1, 3, 1])),
            ..LoadOptions::default()
        };
        let dataset = load(&DataSpec::Csv(folder.path().join("t.csv")), &options).unwrap();
        assert_eq!(Pictures::of(&dataset).unwrap().first_of_classes(3), [[0, 1, 2]]);
        let path = folder.path().join("sheet.png");
        write_sheet(&dataset, &path).unwrap();
        let sheet = image::open(&path).unwrap();
        assert_eq!((sheet.width(), sheet.height()), (10 * (63 + 2) + 2, 21 + 2 + 2));
    }

    #[test]
    fn a_terminal_shows_two_rows_of_pixels_a_line_and_as_many_pictures_as_fit() {
        let text = terminal_sheet(&digits(), 80).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2 * 5);
        let pixels = |line: &str| line.matches('▀').count();
        assert_eq!((pixels(lines[0]), pixels(lines[5]), pixels(lines[4])), (8 * 8 + 8, 2 * 8 - 8, 0));
    }
}
