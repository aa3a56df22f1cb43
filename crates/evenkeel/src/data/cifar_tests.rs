use super::*;
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use tempfile::TempDir;

/// Records in a file of these tests.
const FEW: usize = 3;

/// Record `sample` of file `file`: its label, then planes whose bytes tell file, sample, channel and place.
fn record(file: usize, sample: usize) -> Vec<u8> {
    let mut bytes = vec![((file * FEW + sample) % CLASSES) as u8];
    bytes.extend((0..IMAGE).map(|at| pixel(file, sample, at / PLANE, at % PLANE)));
    bytes
}

fn pixel(file: usize, sample: usize, channel: usize, place: usize) -> u8 {
    (file * 31 + sample * 7 + channel * 101 + place) as u8
}

fn files() -> Vec<(String, Vec<u8>)> {
    FILES
        .iter()
        .enumerate()
        .map(|(file, name)| ((*name).to_owned(), (0..FEW).flat_map(|sample| record(file, sample)).collect()))
        .collect()
}

fn unpacked(place: &Path, files: &[(String, Vec<u8>)]) {
    fs::create_dir_all(place).unwrap();
    for (name, bytes) in files {
        fs::write(place.join(name), bytes).unwrap();
    }
}

fn tar_gz(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, format!("{SUBFOLDER}/{name}"), bytes.as_slice()).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

fn packed(bytes: &[u8]) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join(ARCHIVE), bytes).unwrap();
    folder
}

fn all(folder: &Path) -> Result<Loaded> {
    read(folder, FEW, None, None)
}

fn message(result: Result<Loaded>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn planes_become_channels_last_and_labels_stay_with_their_images() {
    let folder = TempDir::new().unwrap();
    unpacked(folder.path(), &files());
    let (train, test, names) = all(folder.path()).unwrap();
    assert_eq!((train.len(), test.len()), (TRAIN_FILES * FEW, FEW));
    assert_eq!(names, CIFAR10_CLASSES);
    let normalization = crate::data::Normalization::identity(3);
    for (split, first) in [(&train, 0), (&test, TRAIN_FILES)] {
        for index in 0..split.len() {
            let (file, sample) = (first + index / FEW, index % FEW);
            let (mut out, mut label) = (vec![0.0_f64; IMAGE], [0]);
            split.batch(&[index as u32], &normalization, &mut out, &mut label).unwrap();
            assert_eq!(label[0] as usize, (file * FEW + sample) % CLASSES);
            for (at, value) in out.iter().enumerate() {
                assert_eq!(*value, f64::from(pixel(file, sample, at % 3, at / 3)) / 255.0);
            }
        }
    }
}

#[test]
fn archive_subfolder_and_folder_give_the_same_data() {
    let (direct, nested) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    unpacked(direct.path(), &files());
    unpacked(&nested.path().join(SUBFOLDER), &files());
    let archive = packed(&tar_gz(&files()));
    let expected = all(direct.path()).unwrap();
    assert_eq!(all(nested.path()).unwrap(), expected);
    assert_eq!(all(archive.path()).unwrap(), expected);
}

#[test]
fn limits_keep_the_first_records_from_a_folder_and_from_an_archive() {
    let direct = TempDir::new().unwrap();
    unpacked(direct.path(), &files());
    let archive = packed(&tar_gz(&files()));
    let whole = all(direct.path()).unwrap();
    for limit in [1, FEW, FEW + 1, TRAIN_FILES * FEW] {
        let some = read(direct.path(), FEW, Some(limit), Some(2)).unwrap();
        assert_eq!(read(archive.path(), FEW, Some(limit), Some(2)).unwrap(), some);
        assert_eq!((some.0.labels(), some.1.labels()), (&whole.0.labels()[..limit], &whole.1.labels()[..2]));
    }
    let error = message(read(direct.path(), FEW, Some(TRAIN_FILES * FEW + 1), None));
    assert!(error.contains("at most 15") && error.contains("got       16"), "{error}");
}

#[test]
fn complete_files_are_preferred_to_the_archive_and_the_archive_to_incomplete_ones() {
    let folder = packed(b"no archive at all");
    unpacked(folder.path(), &files());
    assert!(all(folder.path()).is_ok());
    let folder = packed(&tar_gz(&files()));
    unpacked(folder.path(), &files()[..3]);
    assert!(all(folder.path()).is_ok());
}

#[test]
fn missing_files_are_named() {
    let folder = TempDir::new().unwrap();
    unpacked(&folder.path().join(SUBFOLDER), &files()[1..5]);
    let error = message(all(folder.path()));
    assert!(error.contains("missing   data_batch_1.bin, test_batch.bin"), "{error}");
    assert!(error.contains("expected  6 files of 9,219 bytes"), "{error}");
    let error = message(all(packed(&tar_gz(&files()[..5])).path()));
    assert!(error.contains("is not complete") && error.contains("missing   test_batch.bin"), "{error}");
    let error = message(all(TempDir::new().unwrap().path()));
    assert!(error.contains("'cifar10' is not in this folder") && error.contains(ARCHIVE), "{error}");
}

#[test]
fn a_file_of_another_size_is_refused_in_a_folder_and_in_an_archive() {
    for (change, word) in [(-1_isize, "too short"), (1, "too long")] {
        let mut files = files();
        let len = files[2].1.len().saturating_add_signed(change);
        files[2].1.resize(len, 0);
        let folder = TempDir::new().unwrap();
        unpacked(folder.path(), &files);
        for error in [message(all(folder.path())), message(all(packed(&tar_gz(&files)).path()))] {
            assert!(error.starts_with(&format!("data_batch_3.bin is {word}")), "{error}");
            assert!(error.contains("expected  9,219 bytes (3 records of 3,073)"), "{error}");
            assert!(error.contains(&format!("got       {} bytes", grouped(len as u64))), "{error}");
        }
    }
}

#[test]
fn a_label_out_of_range_is_told_with_its_place() {
    let mut files = files();
    files[1].1[2 * RECORD] = 10;
    let folder = TempDir::new().unwrap();
    unpacked(folder.path(), &files);
    for error in [message(all(folder.path())), message(all(packed(&tar_gz(&files)).path()))] {
        assert!(error.starts_with("a label is out of range"), "{error}");
        assert!(error.contains("data_batch_2.bin"), "{error}");
        assert!(error.contains("byte      6146\n  sample    2\n  expected  0..=9\n  got       10"), "{error}");
    }
}

#[test]
fn class_names_are_read_when_they_are_there_and_must_be_ten() {
    let mut files = files();
    files.push((NAMES_FILE.to_owned(), b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n".to_vec()));
    assert_eq!(all(packed(&tar_gz(&files)).path()).unwrap().2.concat(), "abcdefghij");
    files[6].1 = b"a\nb\n".to_vec();
    let error = message(all(packed(&tar_gz(&files)).path()));
    assert!(error.contains("10 names, one a line") && error.contains("got       2 names"), "{error}");
    files[6].1 = vec![0xff; 9];
    assert!(all(packed(&tar_gz(&files)).path()).is_err());
}

#[test]
fn a_damaged_archive_is_told_from_a_cut_one() {
    let good = tar_gz(&files());
    let error = message(all(packed(&good[..good.len() / 2]).path()));
    assert!(error.contains("is a damaged gzip file") && error.contains("stops before the end"), "{error}");
    let mut wrong = good.clone();
    let checksum = wrong.len() - 6;
    wrong[checksum] ^= 1;
    let error = message(all(packed(&wrong).path()));
    assert!(error.contains("is a damaged gzip file") && error.contains("CRC-32"), "{error}");
    let error = message(all(packed(b"this is no archive").path()));
    assert!(error.contains("is not a readable archive"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_damage_to_an_archive_panics_or_goes_unseen(place in 0.0..1.0_f64, change in 1..=255_u8, cut in any::<bool>()) {
        let mut bytes = tar_gz(&files());
        let good = all(packed(&bytes).path()).unwrap();
        let at = (place * bytes.len() as f64) as usize;
        if cut { bytes.truncate(at) } else { bytes[at] ^= change }
        // A changed byte of the gzip header (time, system) may be harmless; then the data is the same.
        if let Ok(read) = all(packed(&bytes).path()) {
            prop_assert!(read == good);
        }
    }
}
