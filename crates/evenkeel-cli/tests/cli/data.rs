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
    hint: check the path; `evenkeel data fetch mnist --out nowhere` downloads the files
    ");
}

#[test]
fn an_unknown_data_set_shows_the_nearest_one() {
    assert_snapshot!(Place::new().refused("train --data digit"), @r"
    error: data set 'digit' is not known
      expected  digits, mnist:DIR, fashion-mnist:DIR, cifar10:DIR, csv:FILE, npy:DIR, npz:FILE, safetensors:FILE, images:DIR, text:FILE
      got       digit
    hint: did you mean 'digits'? `evenkeel data` lists all 10
    ");
}

/// Three classes that a straight line tells apart.
fn table(place: &Place) {
    let row = |n: usize| format!("{},{},{}\n", n % 3, n as f64 / 100.0, ["red", "green", "blue"][n % 3]);
    place.write("colors.csv", "hue,noise,class\n".to_string() + &(0..150).map(row).collect::<String>());
}

#[test]
fn a_table_is_checked_and_trained_on() {
    let place = Place::new();
    table(&place);
    let said = place.run("data check csv:colors.csv");
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert_snapshot!(steady(&said.out), @r"
    csv:colors.csv
    samples   120 to train on, 30 to test on; each 2 features

    class      train       test
    blue          41          9
    green         39         11
    red           40         10

    channel         mean  deviation   smallest    largest
    train 0       #     #     #     #
    test 0        #     #     #     #
    train 1       #     #     #     #
    test 1        #     #     #     #

    constant  0 of 2 values are the same in all training samples
    doubles   0 of 30 test samples are training samples too
              0 of 120 training samples come again
    ");
    let said = place.run("train --data csv:colors.csv --model mlp:16 --epochs 20 --batch-size 10 --json --out run");
    assert_eq!(said.code, 0, "{}", said.err);
    let document: serde_json::Value = serde_json::from_str(&said.out).expect("a document");
    assert_eq!(document["test_accuracy"], 1.0);
}

/// A table of y = 2a − b / 2 + 3 under the name `price`.
pub(crate) fn prices(place: &Place) {
    let row = |n: usize| {
        let (a, b) = ((n * 37 % 128) as f64 / 64.0 - 1.0, (n * 23 % 128) as f64 / 64.0 - 1.0);
        format!("{a},{b},{}\n", 2.0 * a - b / 2.0 + 3.0)
    };
    place.write("prices.csv", "size,age,price\n".to_string() + &(0..100).map(row).collect::<String>());
}

#[test]
fn numbers_of_a_table_are_checked_planned_and_predicted() {
    let place = Place::new();
    prices(&place);
    let said = place.run("data check csv:prices.csv --set data.targets=numbers");
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert_snapshot!(steady(&said.out), @r"
    csv:prices.csv
    samples   80 to train on, 20 to test on; each 2 features

    target          mean  deviation   smallest    largest
    train         #     #     #     #
    test          #     #     #     #

    channel         mean  deviation   smallest    largest
    train 0      -#     #    -#     #
    test 0       -#     #    -#     #
    train 1      -#     #    -#     #
    test 1       -#     #    -#     #

    constant  0 of 2 values are the same in all training samples
    doubles   0 of 20 test samples are training samples too
              0 of 80 training samples come again
    ");
    let numbers = "--data csv:prices.csv --set data.targets=numbers --model mlp:16 --batch-size 10";
    assert_eq!(place.run(&format!("train --plan {numbers}")).code, 0);
    let said = place.run(&format!("train {numbers} --epochs 30 --json --out run"));
    assert_eq!(said.code, 0, "{}", said.err);
    let document: serde_json::Value = serde_json::from_str(&said.out).expect("a document");
    assert_eq!(document["test_accuracy"], serde_json::Value::Null);
    assert!(document["test_loss"].as_f64().expect("a number") < 0.1, "{document}");
    for command in ["report run", "measure run hessian", "measure run hessian --step best"] {
        let said = place.run(command);
        assert_eq!(said.code, 0, "{command}: {}", said.err);
    }
    assert_snapshot!(place.refused(&format!("train {numbers} --set loss=cross-entropy")), @r"
    error: loss cross-entropy is for classes, and the network is compared with numbers
      key       loss
      expected  squared or bernoulli
      got       cross-entropy
    hint: use `--set loss=squared`, or leave `loss` out
    ");
    assert_snapshot!(place.refused("train --data csv:prices.csv"), @r"
    error: the labels are numbers with a fraction, not classes
      file      prices.csv
      expected  names or whole numbers
      got       #
    hint: for numbers to be predicted (regression) use `--set data.targets=numbers`; else name the column of the classes `label`
    ");
    assert_snapshot!(place.refused("train --data csv:prices.csv --set data.targets=numbers --set data.shape=8x8x1"), @r"
    error: the samples do not fill images of this shape
      key       data.shape
      file      prices.csv
      expected  height, width and channels whose product is the number of features, 2
      got       8x8x1, which is 64
    hint: mend the shape, or leave `data.shape` out for features
    ");
}

#[test]
fn what_may_be_wrong_with_data_is_a_warning() {
    let place = Place::new();
    std::fs::create_dir(place.path("d")).expect("a folder");
    place.write("d/train.csv", "1,2,a\n3,4,b\n1,2,a\n");
    place.write("d/test.csv", "3,4,a\n5,6,c\n");
    let said = place.run("data check csv:d");
    assert_eq!(said.code, 0);
    assert_snapshot!(said.err, @r"
    warning: 1 of 3 classes have no training samples: c
    warning: 1 of 3 classes have no test samples: b
    warning: test samples that are training samples too make a network look better than it is (test 0 is training 1; 1 have another label)
    ");
    assert!(
        said.out.contains("doubles   1 of 2 test samples are training samples too\n          1 of 3"),
        "{}",
        said.out
    );
    let quiet = place.run("data check csv:d --json --quiet --set data.limit=2");
    // What is wrong is told to whoever wants no notes, too.
    assert!(quiet.code == 0 && quiet.err.contains("warning: 1 of 3 classes have no training samples"), "{}", quiet.err);
    let said = quiet;
    let document: serde_json::Value = serde_json::from_str(&said.out).expect("a document");
    assert_eq!((document["train"].as_u64(), document["duplicates"]["within_train"].as_u64()), (Some(2), Some(0)));
    assert_eq!(document["values"]["train"][1]["max"], 4.0);
}

#[test]
fn a_contact_sheet_is_a_picture_of_each_class() {
    let place = Place::new();
    let said = place.run("data check digits --sheet digits.png");
    assert_eq!((said.code, said.err.as_str()), (0, "samples of each class: digits.png\n"));
    assert!(std::fs::read(place.path("digits.png")).expect("a picture").starts_with(b"\x89PNG"));
    table(&place);
    assert_snapshot!(place.refused("data check csv:colors.csv --sheet c.png"), @r"
    error: these samples are no pictures
      data      csv:colors.csv
      expected  images of more than one pixel
    hint: leave out `--sheet`
    ");
    assert_snapshot!(place.refused("data check digits:x"), @r"
    error: 'digits' is built in and takes no folder
      expected  digits
      got       digits:x
    hint: leave out everything after the name
    ");
    assert!(place.refused("data check digits --set data.test_fraction=2").contains("data.test_fraction"));
}

#[test]
fn a_text_is_checked_too() {
    let place = Place::new();
    place.write("t.txt", "to be or not to be\n".repeat(30));
    let said = place.run("data check text:t.txt --set data.tokens=8");
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert_snapshot!(said.out, @r#"
    text:t.txt
    samples   56 to train on, 14 to test on; each 8 characters

    class      train       test
    "\n"          23          5
    " "          118         30
    b             47         12
    e             47         12
    n             24          6
    o             95         24
    r             24          6
    t             70         17
    "#);
}

/// A server on this machine that has nothing.
fn nothing() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().take(20).flatten() {
            use std::io::{Read, Write};
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    address
}

#[test]
fn what_cannot_be_fetched_is_told_with_what_to_do_by_hand() {
    let place = Place::new();
    let address = nothing();
    let said = place.run(&format!("data fetch fashion-mnist --from {address}"));
    assert_eq!((said.code, said.out.as_str()), (2, ""));
    assert_snapshot!(said.err.replace(&address, "ADDRESS"), @r"
    error: train-images-idx3-ubyte.gz cannot be downloaded
      address   ADDRESS/train-images-idx3-ubyte.gz
      reason    the server says 404 Not Found
    hint: on a machine with a connection download train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz from ADDRESS/, put them into data/fashion-mnist, and run the same command again, which checks them
    ");
    assert_snapshot!(place.refused("data fetch minst"), @r"
    error: 'minst' cannot be fetched
      expected  one of mnist, fashion-mnist, cifar10
      got       minst
    hint: did you mean 'mnist'?
    ");
    assert_snapshot!(place.refused("data fetch csv"), @r"
    error: 'csv' cannot be fetched
      expected  one of mnist, fashion-mnist, cifar10
      got       csv
    hint: 'csv:FILE' is data of your own; docs/data.md says how it is laid out
    ");
    assert_eq!(place.names("."), Vec::<String>::new());
}

/// A picture of so many pixels by its header, in a file of some bytes.
fn lying_png(side: u32) -> Vec<u8> {
    let mut chunk = b"IHDR".to_vec();
    chunk.extend([side.to_be_bytes(), side.to_be_bytes()].concat());
    chunk.extend([8, 0, 0, 0, 0]);
    // CRC-32, bit by bit.
    let sum = !chunk.iter().fold(!0_u32, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 })
    });
    [b"\x89PNG\r\n\x1a\n\0\0\0\x0d", &chunk[..], &sum.to_be_bytes(), b"\0\0\0\x08IDATxxxxxxxxxxxx"].concat()
}

/// The same as a JPEG file: its start, the frame, and no scan.
fn lying_jpeg(side: u16) -> Vec<u8> {
    let [high, low] = side.to_be_bytes();
    [&[0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, high, low, high, low, 1, 1, 0x11, 0][..], &[0xff, 0xd9]].concat()
}

// Headers are not believed: with 1 GiB to take in all, what promises 3 GiB is found out for what it is.
#[cfg(target_os = "linux")]
#[test]
fn a_header_that_promises_much_takes_no_memory() {
    let place = place();
    std::fs::create_dir_all(place.path("images/a")).expect("a folder");
    std::fs::create_dir_all(place.path("arrays")).expect("a folder");
    let npy = |kind: &str, shape: &str, elements: &[u8]| {
        let text = format!("{:<117}\n", format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}"));
        [b"\x93NUMPY\x01\0", &(text.len() as u16).to_le_bytes()[..], text.as_bytes(), elements].concat()
    };
    place.write("arrays/x_train.npy", npy("<f4", "(2, 400000000)", &[0; 64]));
    place.write("arrays/y_train.npy", npy("|u1", "(2,)", &[0, 1]));
    place.write(IMAGES, idx(8, &[100, 5000, 6000], &[0; 64]));
    let refused = |spec: &str| {
        let script = format!("ulimit -v 1048576; exec \"$0\" data check {spec} --threads 1");
        let output = std::process::Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_evenkeel")])
            .current_dir(place.path("."))
            .output()
            .expect("the command starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        // Which of the pictures comes first is drawn.
        let said = said.lines().next().unwrap_or_default().to_owned();
        (1..=5).fold(said, |said, number| said.replace(&format!("{number}.png"), "#"))
    };
    assert_eq!(refused("npy:arrays"), "error: x_train.npy ends early");
    assert_eq!(refused("mnist:mnist"), "error: train-images-idx3-ubyte ends early");
    // A decoder may see by itself that there is too little.
    let pictures = |said: String| {
        let told = ["error: # promises more than can be in it", "error: # cannot be read as a picture"];
        assert!(told.contains(&said.as_str()), "{said}");
    };
    place.write("images/a/1.png", lying_png(60_000));
    for name in ["2", "3", "4", "5"] {
        place.write(&format!("images/a/{name}.png"), lying_png(60_000));
    }
    pictures(refused("images:images"));
    place.write("images/a/1.png", lying_jpeg(60_000));
    for name in ["2", "3", "4", "5"] {
        place.write(&format!("images/a/{name}.png"), lying_jpeg(60_000));
    }
    pictures(refused("images:images"));
}
