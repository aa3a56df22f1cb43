//! Data of a user's own: tables, arrays and pictures as they come, what is said about those that are wrong, and that no bytes make a
//! reader panic.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use evenkeel::data::{Dataset, LoadOptions, Normalization, Split, load, survey};
use evenkeel::store::{ElementType, NamedTensor, write_safetensors};
use evenkeel::{ErrorKind, Result};
use flate2::{Compression, write::GzEncoder};
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use proptest::prelude::*;
use tempfile::TempDir;

/// Options that hold back half of the samples.
fn half() -> LoadOptions {
    LoadOptions { test_fraction: 0.5, normalize: false, ..LoadOptions::default() }
}

fn read(form: &str, path: &Path) -> Result<Dataset> {
    load(&format!("{form}:{}", path.display()).parse().unwrap(), &half())
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

/// What is said about one file.
fn refused(form: &str, name: &str, bytes: &[u8]) -> String {
    let folder = folder(&[(name, bytes)]);
    let error = read(form, &folder.path().join(name)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    error.to_string().replace(&format!("{}/", folder.path().display()), "")
}

fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "'{part}' is not in:\n{message}");
    }
}

/// Samples of a part, each with the name of its class.
fn samples(dataset: &Dataset, split: &Split) -> Vec<(Vec<f64>, String)> {
    let indices: Vec<u32> = (0..split.len() as u32).collect();
    let mut values = vec![0.0_f64; split.len() * split.image_len()];
    let mut labels = vec![0; split.len()];
    let identity = Normalization::identity(dataset.image_shape[2]);
    split.batch(&indices, &identity, &mut values, &mut labels).unwrap();
    let names = labels.iter().map(|&label| dataset.class_names[label as usize].clone());
    values.chunks_exact(split.image_len()).map(<[f64]>::to_vec).zip(names).collect()
}

/// Those of both parts, sorted.
fn all(dataset: &Dataset) -> Vec<(Vec<f64>, String)> {
    let mut all = samples(dataset, &dataset.train);
    all.extend(samples(dataset, &dataset.test));
    all.sort_by(|a, b| a.partial_cmp(b).unwrap());
    all
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = GzEncoder::new(Vec::new(), Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

const IRIS: &str = "5.1,3.5,setosa\n7.0,3.2,versicolor\n6.3,3.3,virginica\n4.9,3.0,setosa\n";

#[test]
fn a_table_is_read_with_and_without_names_of_columns_and_with_any_delimiter() {
    let plain = {
        let folder = folder(&[("iris.csv", IRIS.as_bytes())]);
        read("csv", &folder.path().join("iris.csv")).unwrap()
    };
    assert_eq!(plain.class_names, ["setosa", "versicolor", "virginica"]);
    assert_eq!(plain.image_shape, [1, 1, 2]);
    assert_eq!((plain.train.len(), plain.test.len()), (2, 2));
    let close = |value: f64| f64::from(value as f32);
    assert_eq!(all(&plain)[0], (vec![close(4.9), close(3.0)], "setosa".to_owned()));
    for other in [
        format!("length,width,species\n{IRIS}"),
        format!("\u{feff}length,width,species\r\n{}", IRIS.replace('\n', "\r\n")),
        format!("\n\n{}", IRIS.replace(',', "\t")),
        IRIS.replace(',', " ; "),
        IRIS.lines().map(|line| format!("\"{}\"\n", line.replace(',', "\",\""))).collect(),
        "label,a,b\nsetosa,5.1,3.5\nversicolor,7,3.2\nvirginica,6.3,3.3\nsetosa,49e-1,+3.0\n".into(),
        ",a,Class,b\n0,5.1,setosa,3.5\n1,7.0,versicolor,3.2\n2,6.3,virginica,3.3\n3,4.9,setosa,3.0".into(),
    ] {
        for bytes in [other.as_bytes().to_vec(), gzip(other.as_bytes())] {
            let folder = folder(&[("table", &bytes)]);
            let read = read("csv", &folder.path().join("table")).unwrap();
            assert_eq!(all(&read), all(&plain), "{other}");
            assert_eq!((read.train, read.test), (plain.train.clone(), plain.test.clone()), "{other}");
        }
    }
}

#[test]
fn a_folder_of_tables_has_its_own_test_part() {
    let files: [(&str, &[u8]); 2] =
        [("train.csv", b"x,target\n1,3\n2,1.0\n"), ("test.csv.gz", &gzip(b"x,target\n5,10\n"))];
    let folder = folder(&files);
    let table = read("csv", folder.path()).unwrap();
    assert_eq!(table.class_names, ["1", "3", "10"]);
    assert_eq!(samples(&table, &table.train), [(vec![1.0], "3".to_owned()), (vec![2.0], "1".to_owned())]);
    assert_eq!(samples(&table, &table.test), [(vec![5.0], "10".to_owned())]);
    fs::write(folder.path().join("test.csv.gz"), "y,target\n5,10\n").unwrap();
    let error = read("csv", folder.path()).unwrap_err().to_string();
    says(&error, &["columns of the training and of the test table differ", "column 1 (x) in", "column 1 (y) in"]);
    fs::write(folder.path().join("test.csv.gz"), "1,2,3\n").unwrap();
    says(&read("csv", folder.path()).unwrap_err().to_string(), &["2 columns in", "3 columns in"]);
    fs::remove_file(folder.path().join("train.csv")).unwrap();
    says(&read("csv", folder.path()).unwrap_err().to_string(), &["no table to train on", "train.csv"]);
}

#[test]
fn each_feature_is_normalized_by_itself() {
    let folder = folder(&[("train.csv", b"1,100,0\n3,300,1\n"), ("test.csv", b"2,200,0\n")]);
    let options = LoadOptions::default();
    let table = load(&format!("csv:{}", folder.path().display()).parse().unwrap(), &options).unwrap();
    assert_eq!((&table.normalization.mean[..], &table.normalization.std[..]), (&[2.0, 200.0][..], &[1.0, 100.0][..]));
}

#[test]
fn what_is_wrong_in_a_table_is_told_with_line_and_column() {
    let error = refused("csv", "t.csv", b"a,b,label\n1,2,x\n1,,y\n");
    says(
        &error,
        &["a value is missing", "file      t.csv", "line      3", "column    2 (b)", "sample    1", "got       ''"],
    );
    let error = refused("csv", "t.csv", b"1,2,x\n1,two,y\n");
    says(
        &error,
        &["a value is not a number", "line      2", "column    2", "got       'two'", "labels are the last column"],
    );
    says(&refused("csv", "t.csv", b"1,2,x\n1,inf,y\n"), &["not a finite number", "got       inf"]);
    says(&refused("csv", "t.csv", b"1,2,x\n1,1e39,y\n"), &["not a finite number", "expected  a finite 32-bit number"]);
    says(&refused("csv", "t.csv", b"1,2,x\n1,NA,y\n"), &["a value is missing", "got       'NA'"]);
    says(
        &refused("csv", "t.csv", b"1,2,x\n1,2\n"),
        &["another number of fields", "line      2", "expected  3", "got       2"],
    );
    says(&refused("csv", "t.csv", b"1,2,x\n1,2,\n"), &["a label is missing", "line      2", "column    3"]);
    says(
        &refused("csv", "t.csv", b"1,2.5\n1,3\n"),
        &["numbers with a fraction, not classes", "got       2.5", "`label`"],
    );
    says(&refused("csv", "t.csv", b"class,target,x\n1,2,3\n"), &["more than one column", "class, target"]);
    says(&refused("csv", "t.csv", b"1\n2\n"), &["too few columns", "1 in the first row"]);
    says(&refused("csv", "t.csv", b"a,b,c\n"), &["holds no samples"]);
    says(&refused("csv", "t.csv", b""), &["t.csv is empty"]);
    says(&refused("csv", "t.csv", b"1,2,x\n"), &["leaves a part of t.csv empty", "data.test_fraction"]);
    let packed = gzip(IRIS.as_bytes());
    says(&refused("csv", "t.csv", &packed[..packed.len() - 3]), &["damaged gzip file"]);
    let mut wrong = packed;
    let crc = wrong.len() - 6;
    wrong[crc] ^= 1;
    says(&refused("csv", "t.csv", &wrong), &["damaged gzip file", "CRC-32"]);
}

/// An array as NumPy 1 and 2 save it.
fn npy(kind: &str, shape: &str, elements: &[u8]) -> Vec<u8> {
    npy_text(&format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"), elements)
}

fn npy_text(text: &str, elements: &[u8]) -> Vec<u8> {
    let padded = format!("{text:<117}\n");
    [b"\x93NUMPY\x01\x00", &(padded.len() as u16).to_le_bytes()[..], padded.as_bytes(), elements].concat()
}

fn bytes<const N: usize>(values: &[[u8; N]]) -> Vec<u8> {
    values.as_flattened().to_vec()
}

/// Two training images of 2×2 and one to test on.
fn arrays() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("x_train.npy", npy("|u1", "(2, 2, 2)", &[0, 51, 102, 255, 1, 2, 3, 4])),
        ("y_train.npy", npy("<i8", "(2,)", &bytes(&[7_i64.to_le_bytes(), 3_i64.to_le_bytes()]))),
        ("x_test.npy", npy("|u1", "(1, 2, 2)", &[255; 4])),
        ("y_test.npy", npy(">u2", "(1, 1)", &[0, 7])),
    ]
}

fn npz(files: &[(&str, Vec<u8>)], packed: bool) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let method = if packed { zip::CompressionMethod::Deflated } else { zip::CompressionMethod::Stored };
    let options = zip::write::SimpleFileOptions::default().compression_method(method).large_file(true);
    for (name, bytes) in files {
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn safetensors(path: &Path, tensors: &[(&str, ElementType, &[usize], Vec<u8>)]) {
    let tensors: Vec<NamedTensor<'_>> = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| NamedTensor {
            name: (*name).into(),
            dtype: *dtype,
            shape: shape.to_vec(),
            bytes: bytes.into(),
        })
        .collect();
    write_safetensors(path, &tensors, &BTreeMap::new()).unwrap();
}

#[test]
fn arrays_are_read_from_a_folder_and_from_archives() {
    let files = arrays();
    let of_folder = folder(&files.iter().map(|(name, bytes)| (*name, &bytes[..])).collect::<Vec<_>>());
    let expected = read("npy", of_folder.path()).unwrap();
    assert_eq!(
        (&expected.class_names[..], &expected.image_shape[..]),
        (&["3".to_owned(), "7".to_owned()][..], &[2, 2, 1][..])
    );
    assert_eq!(samples(&expected, &expected.train)[0], (vec![0.0, 0.2, 0.4, 1.0], "7".to_owned()));
    assert_eq!(samples(&expected, &expected.test), [(vec![1.0; 4], "7".to_owned())]);
    for packed in [false, true] {
        let folder = folder(&[("mnist.npz", &npz(&files, packed))]);
        let read = read("npz", &folder.path().join("mnist.npz")).unwrap();
        assert_eq!((all(&read), read.class_names), (all(&expected), expected.class_names.clone()));
    }
}

#[test]
fn tensors_are_read_by_their_names_and_halves_are_held_back_where_there_is_no_test_part() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("data.safetensors");
    let floats: Vec<u8> = (0..12).flat_map(|value| (value as f32 / 4.0).to_le_bytes()).collect();
    let labels = bytes(&[0, 1, 1, 0].map(i32::to_le_bytes));
    let x = ("train/x", ElementType::F32, &[4, 3][..], floats);
    safetensors(&path, &[x.clone(), ("train/y", ElementType::I32, &[4], labels)]);
    let read_back = read("safetensors", &path).unwrap();
    assert_eq!((read_back.train.len(), read_back.test.len(), &read_back.image_shape[..]), (2, 2, &[1, 1, 3][..]));
    assert_eq!(all(&read_back)[1], (vec![0.75, 1.0, 1.25], "1".to_owned()));
    safetensors(&path, &[x]);
    says(
        &read("safetensors", &path).unwrap_err().to_string(),
        &["data.safetensors lacks train/y", "test/x and test/y"],
    );
}

#[test]
fn what_is_wrong_with_an_array_is_told_with_its_file_and_byte() {
    let with = |name: &str, bytes: Vec<u8>| {
        let mut files = arrays();
        files.retain(|(other, _)| *other != name);
        files.push((Box::leak(name.to_owned().into_boxed_str()), bytes));
        files
    };
    let said = |name: &str, bytes: Vec<u8>| {
        let files = with(name, bytes);
        let of_folder = folder(&files.iter().map(|(name, bytes)| (*name, &bytes[..])).collect::<Vec<_>>());
        let of_npy = read("npy", of_folder.path()).unwrap_err().to_string();
        let of_npz = refused("npz", "d.npz", &npz(&files, true));
        assert_eq!(of_npy.lines().next(), of_npz.lines().next());
        of_npy
    };
    let error = said(
        "x_train.npy",
        npy("<f4", "(2, 2, 2)", &bytes(&[0.5, f32::NAN, 0., 0., 0., 0., 0., 0.].map(f32::to_le_bytes))),
    );
    says(
        &error,
        &["a pixel is not a finite number", "byte      132", "sample    0", "row 0, column 1", "got       NaN"],
    );
    says(
        &said("x_train.npy", npy("|u1", "(2, 2, 2)", &[0; 7])),
        &["x_train.npy ends early", "136 bytes", "2 images of 2×2", "135 bytes"],
    );
    says(&said("x_train.npy", npy("|u1", "(2, 2, 2)", &[0; 9])), &["longer than its header says"]);
    says(
        &said("x_train.npy", npy("|u1", "(3, 2, 2)", &[0; 12])),
        &["images and labels differ in number", "images    3 in", "labels    2 in"],
    );
    says(
        &said("x_train.npy", npy("|u1", "(2, 3, 32, 32)", &[])),
        &["channels of the images come first", "2×32×32×3", "transpose"],
    );
    says(&said("x_train.npy", npy("<c8", "(2, 2, 2)", &[])), &["whole or floating-point numbers", "got       <c8"]);
    says(&said("x_train.npy", npy("|u1", "(2, 1, 1, 1, 1)", &[0; 2])), &["one to four dimensions", "2×1×1×1×1"]);
    says(&said("x_train.npy", npy("|u1", "()", &[0])), &["one to four dimensions", "one number"]);
    says(&said("x_train.npy", npy("|u1", "(0, 2, 2)", &[])), &["holds nothing", "0×2×2"]);
    let vast = 1_u64 << 60;
    says(&said("x_train.npy", npy("<f8", &format!("({vast}, {vast})"), &[0; 50])), &["promises more than can be read"]);
    says(
        &said("x_train.npy", npy("|u1", &format!("(2, {vast})"), &[0; 50])),
        &["promises more than can be read", "at most 4,294,967,296"],
    );
    says(&said("x_test.npy", npy("|u1", "(1, 4, 1)", &[0; 4])), &["differ in shape or type", "2×2×1", "4×1×1"]);
    let columns = npy_text("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2)}", &[0; 16]);
    says(&said("x_train.npy", columns), &["'fortran_order': False", "ascontiguousarray"]);
    says(
        &said("x_train.npy", npy_text("{'descr': [('a', '<f4')]}", &[])),
        &["not an array of NumPy", "not records or objects"],
    );
    says(&said("x_train.npy", b"PK\x03\x04 and more".to_vec()), &["byte      0", "got       50 4b 03 04"]);
    says(
        &said("y_train.npy", npy("<f8", "(2,)", &bytes(&[1.0, 2.5].map(f64::to_le_bytes)))),
        &["a label is not a whole number", "byte      136", "sample    1", "got       2.5"],
    );
    says(&said("y_train.npy", npy("|u1", "(2, 10)", &[0; 20])), &["labels need one number a sample", "2×10", "argmax"]);
    let without = |names: &[&str]| {
        let files: Vec<_> = arrays().into_iter().filter(|(name, _)| !names.contains(name)).collect();
        refused("npz", "d.npz", &npz(&files, false))
    };
    says(
        &without(&["y_test.npy"]),
        &["d.npz lacks y_test", "expected  x_train and y_train, and for the test x_test and y_test"],
    );
    says(&without(&["x_train.npy", "y_train.npy"]), &["d.npz lacks x_train"]);
    says(&refused("npz", "d.npz", b"PK no archive"), &["d.npz is not an archive of NumPy"]);
    let mut changed = npz(&arrays(), false);
    let at = changed.windows(4).position(|window| window == [0, 51, 102, 255]).unwrap();
    changed[at + 1] = 50;
    says(&refused("npz", "d.npz", &changed), &["x_train.npy is a damaged part of a zip archive", "CRC-32"]);
}

#[test]
fn lying_headers_of_safetensors_take_no_memory() {
    let said = |header: &str, length: u64| {
        refused("safetensors", "d", &[&length.to_le_bytes()[..], header.as_bytes()].concat())
    };
    says(&said("{}", 1 << 60), &["not a whole safetensors file", "a header of 1152921504606846976 bytes"]);
    let vast = r#"{"train/x":{"dtype":"U8","shape":[1152921504606846976],"data_offsets":[0,1152921504606846976]}}"#;
    says(&said(vast, vast.len() as u64), &["not a whole safetensors file"]);
    let overflow = r#"{"train/x":{"dtype":"U8","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,0]}}"#;
    says(&said(overflow, overflow.len() as u64), &["not a whole safetensors file"]);
}

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn gray(value: u8) -> Vec<u8> {
    encoded(GrayImage::from_fn(3, 2, |x, y| Luma([value + (10 * y + x) as u8])), ImageFormat::Png)
}

#[test]
fn pictures_are_read_by_the_folders_of_their_classes_which_take_turns() {
    let files = [
        ("train/cat/b.png", gray(20)),
        ("train/cat/a.PNG", gray(10)),
        ("train/dog/1.png", gray(30)),
        ("train/dog/notes.txt", b"not a picture".to_vec()),
        ("train/.hidden/x.png", b"not a picture".to_vec()),
        ("test/dog/2.png", gray(40)),
    ];
    let place = folder(&files.iter().map(|(name, bytes)| (*name, &bytes[..])).collect::<Vec<_>>());
    let pictures = read("images", place.path()).unwrap();
    assert_eq!(
        (&pictures.class_names[..], &pictures.image_shape[..]),
        (&["cat".to_owned(), "dog".to_owned()][..], &[2, 3, 1][..])
    );
    let picture = |value: u8| [0, 1, 2, 10, 11, 12].map(|step| f64::from(value + step) / 255.0).to_vec();
    let expected = [(picture(10), "cat".to_owned()), (picture(30), "dog".to_owned()), (picture(20), "cat".to_owned())];
    assert_eq!(samples(&pictures, &pictures.train), expected);
    assert_eq!(samples(&pictures, &pictures.test), [(picture(40), "dog".to_owned())]);
    let options = LoadOptions { limit: Some(1), ..half() };
    let spec = &pictures.spec;
    let limited = load(spec, &options).unwrap();
    assert_eq!((samples(&limited, &limited.train), limited.class_names.len()), (expected[..1].to_vec(), 2));
    let error = load(spec, &LoadOptions { limit: Some(4), ..half() }).unwrap_err().to_string();
    says(&error, &["limit asks for more samples", "at most 3"]);
    // One picture in color gives all of them three channels.
    fs::write(
        place.path().join("test/dog/3.jpg"),
        encoded(RgbImage::from_pixel(3, 2, Rgb([200, 0, 0])), ImageFormat::Jpeg),
    )
    .unwrap();
    let colored = read("images", place.path()).unwrap();
    assert_eq!(colored.image_shape, [2, 3, 3]);
    assert_eq!(
        samples(&colored, &colored.train)[0].0[..6],
        [10, 10, 10, 11, 11, 11].map(|value| f64::from(value) / 255.0)
    );
    let red = &samples(&colored, &colored.test)[1].0;
    assert!(red[0] > 0.7 && red[1] < 0.1 && red[2] < 0.1, "{red:?}");
}

#[test]
fn pictures_without_a_test_folder_are_divided_by_the_seed() {
    let files: Vec<(String, Vec<u8>)> =
        (0..8).map(|n| (format!("{}/{n}.png", ["a", "b"][n % 2]), gray(20 * n as u8))).collect();
    let place = folder(&files.iter().map(|(name, bytes)| (&name[..], &bytes[..])).collect::<Vec<_>>());
    let (one, two) = (read("images", place.path()).unwrap(), read("images", place.path()).unwrap());
    assert_eq!((one.train.len(), one.test.len()), (4, 4));
    assert!(one.train == two.train && one.test == two.test);
    let other = load(&one.spec, &LoadOptions { seed: 1, ..half() }).unwrap();
    assert_ne!(one.train, other.train);
    assert_eq!(all(&one), all(&other));
}

#[test]
fn what_is_wrong_with_pictures_is_told_with_their_names() {
    let with = |name: &str, bytes: &[u8]| {
        let place = folder(&[("a/1.png", &gray(1)), ("a/2.png", &gray(2)), ("b/3.png", &gray(3)), (name, bytes)]);
        let error = read("images", place.path()).unwrap_err().to_string();
        error.replace(&format!("{}/", place.path().display()), "")
    };
    let large = encoded(GrayImage::new(4, 4), ImageFormat::Png);
    says(
        &with("b/4.png", &large),
        &[
            "the images differ in size",
            "file      b/4.png",
            "2×3, as 3 of 4 images",
            "got       4×4",
            "mogrify -resize 3x2!",
        ],
    );
    says(&with("b/4.png", &gray(4)[..40]), &["4.png cannot be read as a picture", "file      b/4.png"]);
    says(&with("b/4.png", b"GIF89a"), &["4.png cannot be read as a picture", "a PNG or JPEG file"]);
    says(&with("b/4.webp", b""), &["neither PNG nor JPEG", "b/4.webp"]);
    says(&with("c/notes.txt", b""), &["folder of a class holds no pictures", "folder    c"]);
    let mut vast = gray(4);
    vast[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0, 1, 0, 0]);
    let mut crc = flate2::Crc::new();
    crc.update(&vast[12..29]);
    let sum = crc.sum().to_be_bytes();
    vast[29..33].copy_from_slice(&sum);
    let error = with("b/4.png", &vast);
    assert!(
        error.contains("promises more than can be in it") || error.contains("cannot be read as a picture"),
        "{error}"
    );
    let empty = TempDir::new().unwrap();
    says(&read("images", empty.path()).unwrap_err().to_string(), &["no folders of classes"]);
    fs::create_dir_all(empty.path().join("test/a")).unwrap();
    says(&read("images", empty.path()).unwrap_err().to_string(), &["lack a folder to train on"]);
}

#[test]
fn a_survey_of_own_data_finds_the_sizes_that_loading_finds() {
    let files = arrays();
    let of_folder = folder(&files.iter().map(|(name, bytes)| (*name, &bytes[..])).collect::<Vec<_>>());
    let of_files = folder(&[
        ("iris.csv", IRIS.as_bytes()),
        ("mnist.npz", &npz(&files[..2], true)),
        ("images/a/1.png", &gray(1)),
        ("images/b/2.png", &gray(2)),
    ]);
    let path = |name: &str| of_files.path().join(name).display().to_string();
    for spec in [
        format!("npy:{}", of_folder.path().display()),
        format!("npz:{}", path("mnist.npz")),
        format!("csv:{}", path("iris.csv")),
        format!("images:{}", path("images")),
    ] {
        let spec = spec.parse().unwrap();
        let (loaded, surveyed) = (load(&spec, &half()).unwrap(), survey(&spec, &half()).unwrap());
        let sizes = |dataset: &Dataset| {
            [&dataset.train, &dataset.test].map(|part| (part.len(), part.image_shape(), part.bytes()))
        };
        assert_eq!(sizes(&loaded), sizes(&surveyed), "{spec}");
        assert_eq!(loaded.class_names, surveyed.class_names);
    }
}

/// Whole files of every form, to be damaged.
fn whole(form: &str) -> (&'static str, Vec<u8>) {
    match form {
        "csv" => ("t.csv", IRIS.repeat(3).into_bytes()),
        "csv.gz" => ("t.csv.gz", gzip(IRIS.repeat(3).as_bytes())),
        "npz" => ("t.npz", npz(&arrays(), false)),
        "packed npz" => ("t.npz", npz(&arrays(), true)),
        "safetensors" => {
            let folder = TempDir::new().unwrap();
            let path = folder.path().join("t");
            let floats: Vec<u8> = (0..12).flat_map(|value| (value as f32).to_le_bytes()).collect();
            let labels = bytes(&[0, 1, 1, 0].map(i32::to_le_bytes));
            safetensors(
                &path,
                &[("train/x", ElementType::F32, &[4, 3], floats), ("train/y", ElementType::I32, &[4], labels)],
            );
            ("t.safetensors", fs::read(path).unwrap())
        }
        "npy" => ("x_train.npy", arrays().swap_remove(0).1),
        "png" => ("a/4.png", gray(4)),
        _ => ("a/4.jpg", encoded(GrayImage::new(3, 2), ImageFormat::Jpeg)),
    }
}

/// Reads a file of a form, among whole ones where it takes several.
fn read_as(form: &str, name: &str, bytes: &[u8]) -> Result<Dataset> {
    match form {
        "npy" => {
            let files: Vec<_> = arrays().into_iter().skip(1).chain([("x_train.npy", bytes.to_vec())]).collect();
            let place = folder(&files.iter().map(|(name, bytes)| (*name, &bytes[..])).collect::<Vec<_>>());
            read("npy", place.path())
        }
        "png" | "jpg" => {
            let place = folder(&[("a/1.png", &gray(1)), ("b/2.png", &gray(2)), ("b/3.png", &gray(3)), (name, bytes)]);
            read("images", place.path())
        }
        _ => {
            let form = form.trim_start_matches("packed ").trim_end_matches(".gz");
            let place = folder(&[(name, bytes)]);
            read(form, &place.path().join(name))
        }
    }
}

const FORMS: [&str; 8] = ["csv", "csv.gz", "npz", "packed npz", "safetensors", "npy", "png", "jpg"];

#[test]
fn whole_files_of_every_form_are_read() {
    for form in FORMS {
        let (name, bytes) = whole(form);
        read_as(form, name, &bytes).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(160) })]

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120), form in 0..FORMS.len(), kept in 0..40_usize) {
        let (name, whole) = whole(FORMS[form]);
        let bytes = [&whole[..kept.min(whole.len())], &bytes].concat();
        let _ = read_as(FORMS[form], name, &bytes);
    }

    #[test]
    fn no_changed_byte_panics(form in 0..FORMS.len(), changes in proptest::collection::vec((0.0..1.0_f64, any::<u8>()), 1..6)) {
        let (name, mut bytes) = whole(FORMS[form]);
        for (place, byte) in changes {
            let at = (place * bytes.len() as f64) as usize;
            bytes[at] = byte;
        }
        let _ = read_as(FORMS[form], name, &bytes);
    }

    #[test]
    fn no_truncation_of_a_framed_file_goes_unseen(place in 0.0..1.0_f64, form in 1..7_usize) {
        let (name, bytes) = whole(FORMS[form]);
        let cut = (place * bytes.len() as f64) as usize;
        // The last bytes of a PNG file end it, and hold nothing.
        prop_assume!(FORMS[form] != "png" || cut + 12 < bytes.len());
        prop_assert!(read_as(FORMS[form], name, &bytes[..cut]).is_err(), "{} cut at {cut}", FORMS[form]);
    }

    #[test]
    fn lying_sizes_are_refused(a in any::<u64>(), b in any::<u64>(), kind in prop::sample::select(vec!["<f8", "|u1", "<i4", "|b1"])) {
        prop_assume!(a > 8 && b > 8);
        let bytes = npy(kind, &format!("({a}, {b})"), &[1; 64]);
        prop_assert!(read_as("npy", "x_train.npy", &bytes).is_err());
    }

    #[test]
    fn tables_come_back_as_they_were_written(rows in proptest::collection::vec((any::<f32>(), -1e6..1e6_f32, 0..4_u8), 2..40)) {
        prop_assume!(rows.iter().all(|row| row.0.is_finite()));
        let text: String = rows.iter().map(|(a, b, label)| format!("{a:?},{b:?},c{label}\n")).collect();
        let place = folder(&[("t.csv", text.as_bytes())]);
        let table = read("csv", &place.path().join("t.csv")).unwrap();
        let mut expected: Vec<_> = rows.iter().map(|(a, b, label)| (vec![f64::from(*a), f64::from(*b)], format!("c{label}"))).collect();
        expected.sort_by(|a, b| a.partial_cmp(b).unwrap());
        prop_assert_eq!(all(&table), expected);
    }
}
