//! The built-in data: 1,797 handwritten digits of 8×8 pixels.

use std::io::Read;

use flate2::read::GzDecoder;

use super::LoadOptions;
use super::parts::hold_out;
use super::split::{Pixels, Split};
use crate::{Error, Result};

static ARCHIVE: &[u8] = include_bytes!("../../data/digits.csv.gz");

const SIDE: usize = 8;
const PIXELS: usize = SIDE * SIDE;
const LARGEST: u8 = 16;
/// The unpacked text is 264,713 bytes.
const TEXT_LIMIT: u64 = 1 << 20;

/// The training and the test part, see [`hold_out`].
pub(super) fn load(options: &LoadOptions) -> Result<(Split, Split)> {
    let (pixels, labels) = parse(ARCHIVE)?;
    let (train, test) = hold_out("the digits", labels.len(), options)?;
    let all = Split::new(Pixels::Bytes(pixels), labels, [SIDE, SIDE, 1], f64::from(LARGEST))?;
    Ok((all.select(&train)?, all.select(&test)?))
}

fn parse(archive: &[u8]) -> Result<(Vec<u8>, Vec<i32>)> {
    let damaged = |line: usize, got: String| {
        Error::input("the built-in digits are damaged")
            .detail("line", line)
            .detail("expected", "64 pixels of 0..=16 and a label of 0..=9")
            .detail("got", got)
            .hint("install the program again")
    };
    let mut text = String::new();
    GzDecoder::new(archive)
        .take(TEXT_LIMIT)
        .read_to_string(&mut text)
        .map_err(|error| damaged(0, error.to_string()))?;
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate() {
        let row: Option<Vec<u8>> = line.split(',').map(|field| field.parse().ok()).collect();
        match row.as_deref().and_then(<[u8]>::split_last) {
            Some((&label, row)) if label <= 9 && row.len() == PIXELS && row.iter().all(|&pixel| pixel <= LARGEST) => {
                pixels.extend_from_slice(row);
                labels.push(i32::from(label));
            }
            _ => return Err(damaged(index + 1, line.chars().take(40).collect())),
        }
    }
    Ok((pixels, labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_file_has_the_published_counts() {
        let (pixels, labels) = parse(ARCHIVE).unwrap();
        assert_eq!(pixels.len(), 1797 * 64);
        assert_eq!(labels[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let counts: Vec<usize> = (0..10).map(|class| labels.iter().filter(|label| **label == class).count()).collect();
        assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
        assert_eq!(pixels[..8], [0, 0, 5, 13, 9, 1, 0, 0]);
    }

    #[test]
    fn a_damaged_copy_of_the_built_in_file_is_an_error() {
        assert!(parse(&ARCHIVE[..1000]).is_err());
        assert!(parse(b"not gzip").is_err());
        let packed = |text: &str| {
            use std::io::Write;
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            writer.write_all(text.as_bytes()).unwrap();
            writer.finish().unwrap()
        };
        let good = "3,".repeat(64) + "9\n";
        assert!(parse(&packed(&good)).is_ok());
        for bad in ["3,".repeat(64) + "10", "17,".repeat(64) + "1", "3,".repeat(63) + "1", "x".into(), "\n".into()] {
            let error = parse(&packed(&(good.clone() + &bad))).unwrap_err().to_string();
            assert!(error.contains("line      2"), "{error}");
        }
    }
}
