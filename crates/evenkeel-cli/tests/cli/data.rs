//! Data files with something wrong in them.

use super::{Place, steady};
use insta::assert_snapshot;

/// An IDX file of bytes, or of floats where `code` is 0x0d.
fn idx(code: u8, sizes: &[u32], elements: &[u8]) -> Vec<u8> {
    let start = [0, 0, code, sizes.len() as u8];
    let sizes = sizes.iter().flat_map(|size| size.to_be_bytes());
    start.into_iter().chain(sizes).chain(elements.iter().copied()).collect()
}

/// A folder `mnist` with 100 training and 20 test images of 4×4.
fn place() -> Place {
    let place = Place::new();
    std::fs::create_dir(place.path("mnist")).expect("a folder");
    for (part, count) in [("train", 100u32), ("t10k", 20)] {
        let pixels: Vec<u8> = (0..count * 16).map(|n| (n * 37 % 251) as u8).collect();
        let labels: Vec<u8> = (0..count).map(|n| (n % 10) as u8).collect();
        place.write(&format!("mnist/{part}-images-idx3-ubyte"), idx(8, &[count, 4, 4], &pixels));
        place.write(&format!("mnist/{part}-labels-idx1-ubyte"), idx(8, &[count], &labels));
    }
    place
}

const TRAIN: &str = "train --model mlp:16 --epochs 1 --data mnist:mnist --out run";
const IMAGES: &str = "mnist/train-images-idx3-ubyte";
const LABELS: &str = "mnist/train-labels-idx1-ubyte";

fn change(place: &Place, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(place.path(name)).expect("a file");
    edit(&mut bytes);
    place.write(name, bytes);
}

#[test]
fn whole_files_train() {
    let said = place().run(TRAIN);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(steady(&said.err).starts_with("mlp:16 on mnist:mnist (100 training and 20 test samples)"));
}

#[test]
fn a_truncated_file_is_told_with_the_bytes_it_should_have() {
    let place = place();
    change(&place, IMAGES, |bytes| bytes.truncate(1000));
    assert_snapshot!(place.refused(TRAIN), @r"
    error: train-images-idx3-ubyte ends early
      file      mnist/train-images-idx3-ubyte
      expected  1,616 bytes (100 images of 4×4)
      got       1,000 bytes
    hint: copy the file again from its source
    ");
    assert_eq!(place.names("."), ["mnist"]);
}

#[test]
fn a_file_of_another_kind_is_told_with_the_byte_that_shows_it() {
    let place = place();
    change(&place, IMAGES, |bytes| bytes[..4].copy_from_slice(b"%PDF"));
    assert_snapshot!(place.refused(TRAIN), @r"
    error: train-images-idx3-ubyte is not an IDX file of images
      file      mnist/train-images-idx3-ubyte
      byte      0
      expected  two zero bytes
      got       25 50 44 46
    hint: check that the file is the one its name says
    ");
}

#[test]
fn a_label_out_of_range_is_told_with_its_sample() {
    let place = place();
    change(&place, LABELS, |bytes| bytes[20] = 11);
    assert_snapshot!(place.refused(TRAIN), @r"
    error: a label is out of range
      file      mnist/train-labels-idx1-ubyte
      byte      20
      sample    12
      expected  0..=9
      got       11
    hint: copy the file again from its source
    ");
}

#[test]
fn a_pixel_that_is_no_number_is_told_with_its_place() {
    let place = place();
    let pixels: Vec<u8> = (0..1600).flat_map(|n| if n == 777 { f32::NAN } else { 0.5 }.to_be_bytes()).collect();
    place.write(IMAGES, idx(0x0d, &[100, 4, 4], &pixels));
    assert_snapshot!(place.refused(TRAIN), @r"
    error: a pixel is not a finite number
      file      mnist/train-images-idx3-ubyte
      byte      3124
      sample    48
      pixel     row 2, column 1
      expected  a finite 32-bit number
      got       NaN
    hint: mend or leave out this sample
    ");
}

#[test]
fn a_missing_file_and_a_missing_folder_are_named() {
    let place = place();
    std::fs::remove_file(place.path(LABELS)).expect("a file");
    assert!(place.refused(TRAIN).starts_with("error: 'mnist' lacks a file: train-labels-idx1-ubyte"));
    assert_snapshot!(place.refused("train --data mnist:nowhere"), @r"
    error: the folder of 'mnist' is not there
      folder    nowhere
    hint: check the path; `evenkeel data` lists the data sets and the files they need
    ");
}

#[test]
fn an_unknown_data_set_shows_the_nearest_one() {
    assert_snapshot!(Place::new().refused("train --data digit"), @r"
    error: data set 'digit' is not known
      expected  digits, mnist:DIR, fashion-mnist:DIR, cifar10:DIR, text:FILE
      got       digit
    hint: did you mean 'digits'? `evenkeel data` lists all 5
    ");
}
