//! What the data module says about files that are wrong, and that no bytes make it panic.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::path::Path;

use evenkeel::data::{DataSpec, Dataset, LoadOptions, Normalization, Split, catalogue, describe, load, survey};
use evenkeel::{ErrorKind, Result};
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use tempfile::TempDir;

const U8: u8 = 0x08;
const F32: u8 = 0x0d;

fn idx(element: u8, dimensions: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, element, dimensions.len() as u8];
    bytes.extend(dimensions.iter().flat_map(|size| size.to_be_bytes()));
    bytes.extend(data);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = GzEncoder::new(Vec::new(), Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn images() -> Vec<u8> {
    idx(U8, &[3, 2, 2], &[0, 255, 51, 102, 1, 2, 3, 4, 9, 9, 9, 9])
}

fn labels() -> Vec<u8> {
    idx(U8, &[3], &[7, 0, 9])
}

/// Three training and three test images of 2×2 pixels, with one file replaced.
fn folder(name: &str, bytes: &[u8]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for prefix in ["train", "t10k"] {
        fs::write(folder.path().join(format!("{prefix}-images-idx3-ubyte")), images()).unwrap();
        fs::write(folder.path().join(format!("{prefix}-labels-idx1-ubyte")), labels()).unwrap();
    }
    fs::write(folder.path().join(name), bytes).unwrap();
    folder
}

fn mnist(folder: &Path) -> Result<Dataset> {
    load(&DataSpec::Mnist(folder.to_owned()), &LoadOptions::default())
}

fn message(name: &str, bytes: &[u8]) -> String {
    let error = mnist(folder(name, bytes).path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    error.to_string()
}

fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "'{part}' is not in:\n{message}");
    }
}

fn pixels(dataset: &Dataset) -> Vec<f64> {
    let indices: Vec<u32> = (0..dataset.train.len() as u32).collect();
    let mut out = vec![0.0; indices.len() * dataset.train.image_len()];
    let identity = Normalization::identity(dataset.image_shape[2]);
    dataset.train.batch(&indices, &identity, &mut out, &mut vec![0; indices.len()]).unwrap();
    out
}

#[test]
fn every_usual_file_name_is_found_plain_or_packed() {
    for (dot, packed) in [(false, false), (false, true), (true, false), (true, true)] {
        let folder = TempDir::new().unwrap();
        for prefix in ["train", "t10k"] {
            for (what, rank, bytes) in [("images", 3, images()), ("labels", 1, labels())] {
                let name = format!(
                    "{prefix}-{what}{}idx{rank}-ubyte{}",
                    if dot { "." } else { "-" },
                    if packed { ".gz" } else { "" }
                );
                fs::write(folder.path().join(name), if packed { gzip(&bytes) } else { bytes }).unwrap();
            }
        }
        let dataset = mnist(folder.path()).unwrap();
        assert_eq!(dataset.train.labels(), [7, 0, 9]);
        assert_eq!(dataset.image_shape, [2, 2, 1]);
        assert_eq!(pixels(&dataset)[..4], [0.0, 1.0, 0.2, 0.4]);
    }
}

#[test]
fn pixels_of_every_other_type_keep_their_values() {
    let values = [-3_i8, 0, 1, 100, 5, 6, 7, 8, 9, 10, 11, 12];
    let packed: [(u8, Vec<u8>); 5] = [
        (0x09, values.iter().flat_map(|value| value.to_be_bytes()).collect()),
        (0x0b, values.iter().flat_map(|value| i16::from(*value).to_be_bytes()).collect()),
        (0x0c, values.iter().flat_map(|value| i32::from(*value).to_be_bytes()).collect()),
        (0x0d, values.iter().flat_map(|value| f32::from(*value).to_be_bytes()).collect()),
        (0x0e, values.iter().flat_map(|value| f64::from(*value).to_be_bytes()).collect()),
    ];
    for (element, data) in packed {
        let bytes = idx(element, &[3, 2, 2], &data);
        let folder = folder("train-images-idx3-ubyte", &bytes);
        fs::write(folder.path().join("t10k-images-idx3-ubyte"), &bytes).unwrap();
        assert_eq!(pixels(&mnist(folder.path()).unwrap()), values.map(f64::from));
    }
}

#[test]
fn a_file_that_ends_early_is_told_what_was_expected_and_what_is_there() {
    let whole = images();
    let error = message("train-images-idx3-ubyte", &whole[..20]);
    says(&error, &["train-images-idx3-ubyte ends early", "expected  28 bytes (3 images of 2×2)", "got       20 bytes"]);
    says(&message("train-images-idx3-ubyte", &whole[..9]), &["16 bytes (the header)", "got       9 bytes"]);
    says(&message("t10k-labels-idx1-ubyte", &[]), &["ends early", "got       0 bytes"]);
    says(&message("t10k-labels-idx1-ubyte", &gzip(&labels()[..10])), &["11 bytes unpacked (3 labels)", "10 bytes"]);
}

#[test]
fn a_packed_file_that_is_cut_ends_early_too() {
    let packed = gzip(&images());
    says(&message("train-images-idx3-ubyte", &packed[..packed.len() - 12]), &["ends early"]);
    says(&message("train-images-idx3-ubyte", &packed[..packed.len() - 4]), &["damaged gzip", "before its checksum"]);
}

#[test]
fn a_file_longer_than_its_header_says_is_refused() {
    let mut bytes = images();
    bytes.extend([1, 2, 3]);
    let error = message("train-images-idx3-ubyte", &bytes);
    says(&error, &["longer than its header says", "expected  28 bytes", "got       31 bytes"]);
    bytes.resize(3 << 20, 0);
    says(&message("train-images-idx3-ubyte", &bytes), &["got       at least 1,0"]);
}

#[test]
fn a_packed_file_with_a_wrong_checksum_is_refused() {
    let mut packed = gzip(&images());
    let at = packed.len() - 6;
    packed[at] ^= 0x10;
    says(&message("train-images-idx3-ubyte", &packed), &["is a damaged gzip file", "file", "CRC-32"]);
}

#[test]
fn a_wrong_magic_number_is_told_by_its_byte() {
    says(
        &message("train-images-idx3-ubyte", b"\x89PNG...."),
        &["not an IDX file of images", "byte      0", "89 50 4e 47"],
    );
    says(&message("train-images-idx3-ubyte", &idx(7, &[3, 2, 2], &[])), &["byte      2", "00 00 07 03"]);
    says(&message("train-images-idx3-ubyte", &labels()), &["byte      3", "03 or 04 dimensions", "00 00 08 01"]);
    says(&message("train-labels-idx1-ubyte", &images()), &["IDX file of labels", "01 dimensions", "00 00 08 03"]);
    says(&message("train-labels-idx1-ubyte", &idx(F32, &[3], &[0; 12])), &["labels are not whole numbers", "0d"]);
}

#[test]
fn a_lying_header_takes_no_memory() {
    let error = message("train-images-idx3-ubyte", &idx(U8, &[u32::MAX; 3], &[0; 50]));
    says(&error, &["promises more than can be read", "4294967295×4294967295×4294967295"]);
    let error = message("train-images-idx3-ubyte", &idx(U8, &[4_000_000_000, 1, 1], &[0; 50]));
    says(&error, &["ends early", "expected  4,000,000,016 bytes", "got       66 bytes"]);
    says(
        &message("train-images-idx3-ubyte", &idx(U8, &[0, 28, 28], &[])),
        &["holds nothing", "byte      4", "0×28×28"],
    );
}

#[test]
fn images_and_labels_must_be_as_many() {
    let error = message("train-labels-idx1-ubyte", &idx(U8, &[2], &[1, 2]));
    says(&error, &["images and labels differ in number", "images    3 in", "labels    2 in"]);
}

#[test]
fn a_label_out_of_range_is_told_with_file_byte_and_sample() {
    let error = message("train-labels-idx1-ubyte", &idx(U8, &[3], &[1, 10, 2]));
    says(&error, &["a label is out of range", "train-labels-idx1-ubyte\n"]);
    says(&error, &["byte      9\n  sample    1\n  expected  0..=9\n  got       10"]);
    let negative: Vec<u8> = [1_i32, 2, -1].iter().flat_map(|label| label.to_be_bytes()).collect();
    says(&message("train-labels-idx1-ubyte", &idx(0x0c, &[3], &negative)), &["byte      16\n", "got       -1"]);
}

#[test]
fn a_pixel_that_is_not_finite_is_told_with_its_place() {
    let mut values = [0.5_f32; 12];
    values[6] = f32::NAN;
    let data: Vec<u8> = values.iter().flat_map(|value| value.to_be_bytes()).collect();
    let error = message("train-images-idx3-ubyte", &idx(F32, &[3, 2, 2], &data));
    says(&error, &["not a finite number", "byte      40", "sample    1", "pixel     row 1, column 0", "got       NaN"]);
    let data: Vec<u8> = [1e300_f64; 12].iter().flat_map(|value| value.to_be_bytes()).collect();
    says(&message("train-images-idx3-ubyte", &idx(0x0e, &[3, 2, 2], &data)), &["not a finite number", "byte      16"]);
}

#[test]
fn training_and_test_images_must_be_alike() {
    let error = message("t10k-images-idx3-ubyte", &idx(U8, &[3, 1, 4], &[0; 12]));
    says(&error, &["differ in shape or type", "training  2×2×1, bytes", "test      1×4×1, bytes"]);
}

#[test]
fn a_missing_file_or_folder_is_named() {
    let folder = folder("train-images-idx3-ubyte", &images());
    fs::remove_file(folder.path().join("t10k-labels-idx1-ubyte")).unwrap();
    let error = mnist(folder.path()).unwrap_err().to_string();
    says(&error, &["'mnist' lacks a file: t10k-labels-idx1-ubyte.gz", "t10k-labels.idx1-ubyte or"]);
    let error = mnist(&folder.path().join("nowhere")).unwrap_err().to_string();
    says(&error, &["the folder of 'mnist' is not there", "nowhere", "`evenkeel data fetch mnist --out "]);
    let error = mnist(&folder.path().join("train-images-idx3-ubyte")).unwrap_err().to_string();
    says(&error, &["needs a folder, and this is a file"]);
}

#[test]
fn a_limit_keeps_the_first_samples_and_normalizes_by_them() {
    let folder = folder("train-images-idx3-ubyte", &images());
    let spec = DataSpec::FashionMnist(folder.path().to_owned());
    let options = LoadOptions { limit: Some(1), test_limit: Some(2), ..LoadOptions::default() };
    let dataset = load(&spec, &options).unwrap();
    assert_eq!((dataset.train.labels(), dataset.test.labels()), (&[7][..], &[7, 0][..]));
    assert_eq!(dataset.normalization.mean, [0.4]);
    assert_eq!(dataset.class_names[9], "Ankle boot");
    let plain = load(&spec, &LoadOptions { normalize: false, ..options }).unwrap();
    assert_eq!(plain.normalization, Normalization::identity(1));
}

#[test]
fn a_survey_finds_the_sizes_that_loading_finds_and_reads_no_samples() {
    let options = LoadOptions { limit: Some(2), ..LoadOptions::default() };
    for images in [images(), gzip(&images()), idx(F32, &[3, 2, 2], &[0; 48])] {
        let folder = folder("train-images-idx3-ubyte", &images);
        let spec = DataSpec::Mnist(folder.path().to_owned());
        let (loaded, surveyed) = (load(&spec, &options), survey(&spec, &options));
        let (Ok(loaded), Ok(surveyed)) = (&loaded, &surveyed) else {
            assert_eq!(loaded.unwrap_err().to_string(), surveyed.unwrap_err().to_string());
            continue;
        };
        let sizes = |split: &Split| (split.len(), split.image_shape(), split.bytes());
        assert_eq!(sizes(&surveyed.train), sizes(&loaded.train));
        assert_eq!(sizes(&surveyed.test), sizes(&loaded.test));
        assert_eq!((&surveyed.image_shape, &surveyed.class_names), (&loaded.image_shape, &loaded.class_names));
        assert!(surveyed.train.labels().is_empty());
    }
    // Headers are checked, samples are not.
    let survey_of =
        |name: &str, bytes: &[u8]| survey(&DataSpec::Mnist(folder(name, bytes).path().to_owned()), &options);
    let error = survey_of("train-images-idx3-ubyte", &images()[..10]).unwrap_err().to_string();
    says(&error, &["ends early"]);
    let error = survey_of("train-labels-idx1-ubyte", &idx(U8, &[4], &[0; 4])).unwrap_err().to_string();
    says(&error, &["images and labels differ in number"]);
    assert_eq!(survey_of("train-images-idx3-ubyte", &images()[..17]).unwrap().train.len(), 2);
}

#[test]
fn limits_of_zero_and_beyond_the_data_are_refused() {
    let digits = |options: LoadOptions| load(&DataSpec::Digits, &options).unwrap_err().to_string();
    says(&digits(LoadOptions { limit: Some(0), ..LoadOptions::default() }), &["limit is 0", "expected  at least 1"]);
    says(&digits(LoadOptions { test_limit: Some(0), ..LoadOptions::default() }), &["test_limit is 0"]);
    let error = digits(LoadOptions { limit: Some(1439), ..LoadOptions::default() });
    says(&error, &["limit asks for more samples", "expected  at most 1,438", "got       1,439"]);
    let error = digits(LoadOptions { test_limit: Some(usize::MAX), ..LoadOptions::default() });
    says(&error, &["test_limit asks", "expected  at most 359"]);
    for test_fraction in [0.0, 1.0, -0.5, f64::NAN, f64::INFINITY, 1e-9] {
        let error = digits(LoadOptions { test_fraction, ..LoadOptions::default() });
        says(&error, &["leaves a part of the digits empty", "test_fraction"]);
    }
}

#[test]
fn the_digits_are_split_by_their_seed_alone() {
    let options = LoadOptions::default();
    let digits = load(&DataSpec::Digits, &options).unwrap();
    let again = load(&DataSpec::Digits, &options).unwrap();
    assert!(digits.train == again.train && digits.test == again.test);
    let other = load(&DataSpec::Digits, &LoadOptions { seed: 1, ..options }).unwrap();
    assert!(digits.train != other.train);
    let info = catalogue()[0];
    assert_eq!((Some(digits.train.len()), Some(digits.test.len())), (info.train, info.test));
    let counts: Vec<usize> = describe(&digits).classes.iter().map(|class| class.train + class.test).collect();
    assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    assert_eq!(pixels(&digits).iter().copied().fold(0.0, f64::max), 1.0);
}

#[test]
fn a_normalized_training_part_has_mean_zero_and_variance_one() {
    let digits = load(&DataSpec::Digits, &LoadOptions::default()).unwrap();
    let indices: Vec<u32> = (0..digits.train.len() as u32).collect();
    let mut out = vec![0.0_f64; indices.len() * 64];
    digits.train.batch(&indices, &digits.normalization, &mut out, &mut vec![0; indices.len()]).unwrap();
    let count = out.len() as f64;
    assert!((out.iter().sum::<f64>() / count).abs() < 1e-12);
    assert!((out.iter().map(|value| value * value).sum::<f64>() / count - 1.0).abs() < 1e-12);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..80), likely in any::<bool>(), packed in any::<bool>(), label in any::<bool>()) {
        if likely && bytes.len() > 16 {
            bytes[..2].fill(0);
            bytes[2] = 8 + bytes[2] % 7;
            bytes[3] = if label { 1 } else { 3 };
            for byte in [4, 5, 6, 8, 9, 10, 12, 13, 14] {
                if !label || byte < 8 { bytes[byte] = 0; }
            }
        }
        let bytes = if packed { gzip(&bytes) } else { bytes };
        let name = if label { "train-labels-idx1-ubyte" } else { "train-images-idx3-ubyte" };
        let _ = mnist(folder(name, &bytes).path());
    }

    #[test]
    fn no_truncation_goes_unseen(place in 0.0..1.0_f64, packed in any::<bool>(), label in any::<bool>()) {
        let (name, bytes) = if label { ("t10k-labels-idx1-ubyte", labels()) } else { ("t10k-images-idx3-ubyte", images()) };
        let bytes = if packed { gzip(&bytes) } else { bytes };
        let cut = (place * bytes.len() as f64) as usize;
        prop_assert!(mnist(folder(name, &bytes[..cut]).path()).is_err());
    }

    #[test]
    fn no_specification_panics(text in "\\PC*") {
        if let Ok(spec) = text.parse::<DataSpec>() {
            prop_assert_eq!(spec.to_string(), text);
        }
    }
}
