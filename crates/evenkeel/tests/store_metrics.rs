//! Metrics survive crashes in the middle of a line, resumes and damage.

#![allow(clippy::unwrap_used)]

use std::fs::{self, OpenOptions};
use std::io::Write;

use evenkeel::store::{Dropped, Record, Run};
use proptest::prelude::*;
use tempfile::TempDir;

fn run() -> (TempDir, Run) {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::create(&folder.path().join("run"), "seed = 0\n").unwrap();
    (folder, run)
}

fn record(step: u64) -> Record {
    let values = vec![("loss".to_owned(), 1.0 / step as f64), ("learning_rate".to_owned(), 0.1)];
    Record { step, epoch: step as f64 / 25.0, values }
}

fn write(run: &Run, steps: std::ops::RangeInclusive<u64>) {
    let mut writer = run.metrics_writer().unwrap();
    for step in steps {
        writer.append(&record(step)).unwrap();
    }
    writer.sync().unwrap();
}

fn steps(run: &Run) -> Vec<u64> {
    run.metrics().unwrap().records.iter().map(|record| record.step).collect()
}

#[test]
fn a_run_without_metrics_has_none() {
    let (_folder, run) = run();
    assert!(run.metrics().unwrap().records.is_empty());
}

#[test]
fn a_record_is_one_line_of_the_documented_form() {
    let (_folder, run) = run();
    let values = vec![("loss".to_owned(), 0.25), ("accuracy".to_owned(), 1.0)];
    run.metrics_writer().unwrap().append(&Record { step: 3, epoch: 0.5, values }).unwrap();
    assert_eq!(
        fs::read_to_string(run.metrics_path()).unwrap(),
        "{\"step\":3,\"epoch\":0.5,\"values\":{\"loss\":0.25,\"accuracy\":1.0}}\n"
    );
}

#[test]
fn numbers_that_json_does_not_know_come_back() {
    let (_folder, run) = run();
    let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0];
    let named = values.iter().enumerate().map(|(index, value)| (format!("v{index}"), *value)).collect();
    run.metrics_writer().unwrap().append(&Record { step: 1, epoch: f64::INFINITY, values: named }).unwrap();
    let read = &run.metrics().unwrap().records[0];
    for (index, value) in values.iter().enumerate() {
        let back = read.get(&format!("v{index}")).unwrap();
        assert!(back.to_bits() == value.to_bits() || (back.is_nan() && value.is_nan()), "{value} came back as {back}");
    }
    assert_eq!(read.epoch, f64::INFINITY);
}

#[test]
fn a_torn_last_line_is_ignored_by_readers_and_cut_by_the_next_writer() {
    let (_folder, run) = run();
    write(&run, 1..=3);
    let whole = fs::read(run.metrics_path()).unwrap();
    let line = whole.split_inclusive(|byte| *byte == b'\n').next().unwrap().to_vec();
    for length in 1..line.len() {
        fs::write(run.metrics_path(), [whole.as_slice(), &line[..length]].concat()).unwrap();
        assert_eq!(steps(&run), [1, 2, 3]);
        assert!(run.metrics().unwrap().broken_lines.is_empty());
        drop(run.metrics_writer().unwrap());
        assert_eq!(fs::read(run.metrics_path()).unwrap(), whole);
    }
    write(&run, 4..=4);
    assert_eq!(steps(&run), [1, 2, 3, 4]);
}

#[test]
fn a_resume_drops_what_lies_beyond_the_checkpoint_and_goes_on() {
    let (_folder, run) = run();
    write(&run, 1..=10);
    let mut writer = run.metrics_writer().unwrap();
    assert_eq!(writer.truncate_after(6).unwrap(), Dropped { later: 4, broken: 0 });
    assert_eq!(writer.truncate_after(6).unwrap(), Dropped::default());
    writer.append(&record(7)).unwrap();
    drop(writer);
    assert_eq!(steps(&run), (1..=7).collect::<Vec<_>>());
}

#[test]
fn ten_interruptions_end_in_the_same_bytes_as_none() {
    let (_a, straight) = run();
    write(&straight, 1..=50);
    let (_b, interrupted) = run();
    for stop in (5..=50).step_by(5) {
        let mut writer = interrupted.metrics_writer().unwrap();
        writer.truncate_after(stop - 5).unwrap();
        for step in stop - 4..=(stop + 3).min(50) {
            writer.append(&record(step)).unwrap();
        }
        let mut torn = OpenOptions::new().append(true).open(interrupted.metrics_path()).unwrap();
        torn.write_all(b"{\"step\":99,\"epo").unwrap();
    }
    let mut writer = interrupted.metrics_writer().unwrap();
    writer.truncate_after(50).unwrap();
    assert_eq!(fs::read(interrupted.metrics_path()).unwrap(), fs::read(straight.metrics_path()).unwrap());
}

#[test]
fn a_broken_line_in_the_middle_is_reported_and_the_others_are_read() {
    let (_folder, run) = run();
    write(&run, 1..=2);
    let mut file = OpenOptions::new().append(true).open(run.metrics_path()).unwrap();
    file.write_all(b"\0\0\0\0\n{\"step\":-1,\"epoch\":0,\"values\":{}}\n").unwrap();
    file.write_all(&vec![b'x'; 3 << 20]).unwrap();
    file.write_all(b"\n").unwrap();
    write(&run, 3..=3);
    assert_eq!(steps(&run), [1, 2, 3]);
    assert_eq!(run.metrics().unwrap().broken_lines, [3, 4, 5]);
}

#[test]
fn a_record_that_no_reader_would_take_is_refused() {
    let (_folder, run) = run();
    let values = (0..40_000).map(|index| (format!("a long name of a value {index}"), 0.0)).collect();
    let error = run.metrics_writer().unwrap().append(&Record { step: 1, epoch: 0.0, values }).unwrap_err();
    assert!(error.to_string().contains("too long"), "{error}");
    assert_eq!(fs::metadata(run.metrics_path()).unwrap().len(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn metrics_that_are_no_regular_file_are_refused() {
    // Cutting or appending to a device would do something else than it says.
    let (_folder, run) = run();
    std::os::unix::fs::symlink("/dev/full", run.metrics_path()).unwrap();
    let error = run.metrics_writer().unwrap_err().to_string();
    assert!(error.contains("metrics"), "{error}");
}

proptest! {
    #[test]
    fn every_number_comes_back_bit_for_bit(bits in any::<u64>()) {
        let (_folder, run) = run();
        let value = f64::from_bits(bits);
        let values = vec![("v".to_owned(), value)];
        run.metrics_writer().unwrap().append(&Record { step: 1, epoch: 0.0, values }).unwrap();
        let back = run.metrics().unwrap().last("v").unwrap();
        prop_assert!(back.to_bits() == bits || (back.is_nan() && value.is_nan()), "{} came back as {}", value, back);
    }

    #[test]
    fn no_bytes_make_the_reader_or_the_writer_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let (_folder, run) = run();
        fs::write(run.metrics_path(), &bytes).unwrap();
        let before = run.metrics().unwrap();
        drop(run.metrics_writer().unwrap());
        prop_assert_eq!(run.metrics().unwrap(), before);
    }

    #[test]
    fn damage_to_one_byte_costs_no_other_record(byte in 0_usize..600, bit in 0_u8..8) {
        let (_folder, run) = run();
        write(&run, 1..=10);
        let mut bytes = fs::read(run.metrics_path()).unwrap();
        let byte = byte % bytes.len();
        bytes[byte] ^= 1 << bit;
        fs::write(run.metrics_path(), bytes).unwrap();
        let metrics = run.metrics().unwrap();
        let intact = metrics.records.iter().filter(|read| (1..=10).any(|step| record(step) == **read)).count();
        prop_assert!(intact >= 8, "{} records are left", intact);
    }
}
