//! What is exported is read back, by other means where there are some, number by number.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use evenkeel::store::export::{Format, export};
use evenkeel::store::{Record, Run};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

/// Awkward numbers and names, and a metric that is not in every record.
fn runs(base: &Path) -> Vec<Run> {
    let write = |name: &str, records: &[(u64, &[(&str, f64)])]| {
        let run = Run::create(&base.join(name), "seed = 1\n").unwrap();
        let mut metrics = run.metrics_writer().unwrap();
        for (step, values) in records {
            let values = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
            metrics.append(&Record { step: *step, epoch: *step as f64 / 3.0, values }).unwrap();
        }
        run
    };
    vec![
        write(
            "a",
            &[(1, &[("loss", 0.1 + 0.2), ("odd, \"name\"", -1e-300)]), (2, &[("loss", f64::NAN), ("epoch", 7.0)])],
        ),
        write("b", &[(1, &[("loss", f64::INFINITY)]), (5, &[("test_loss", 3.0)])]),
    ]
}

/// All points by run, step and metric, as bits.
type Points = BTreeMap<(String, u64, String), u64>;

fn points(runs: &[Run]) -> Points {
    let mut points = Points::new();
    for run in runs {
        for record in run.metrics().unwrap().records {
            for (name, value) in record.values {
                points.insert((run.name(), record.step, name), value.to_bits());
            }
        }
    }
    points
}

fn metric(column: &str) -> String {
    column.strip_prefix("metric.").unwrap_or(column).to_owned()
}

#[test]
fn a_table_as_text_has_every_digit_of_every_point() {
    let base = tempfile::tempdir().unwrap();
    let runs = runs(base.path());
    let out = base.path().join("table.csv");
    let exported = export(&runs, Format::Csv, &out).unwrap();
    assert_eq!((exported.records, exported.points), (4, 6));
    insta::assert_snapshot!(fs::read_to_string(&out).unwrap(), @r#"
    run,step,epoch,loss,"odd, ""name""",metric.epoch,test_loss
    a,1,0.3333333333333333,0.30000000000000004,-1e-300,,
    a,2,0.6666666666666666,NaN,,7.0,
    b,1,0.3333333333333333,inf,,,
    b,5,1.6666666666666667,,,,3.0
    "#);
    let mut table = csv::Reader::from_path(&out).unwrap();
    let header = table.headers().unwrap().clone();
    let mut found = Points::new();
    for row in table.records() {
        let row = row.unwrap();
        for column in (3..row.len()).filter(|column| !row[*column].is_empty()) {
            let key = (row[0].to_owned(), row[1].parse().unwrap(), metric(&header[column]));
            found.insert(key, row[column].parse::<f64>().unwrap().to_bits());
        }
    }
    assert_eq!(found, points(&runs));
}

#[test]
fn a_table_in_columns_has_the_bits_of_every_point() {
    let base = tempfile::tempdir().unwrap();
    let runs = runs(base.path());
    let out = base.path().join("table.parquet");
    export(&runs, Format::Parquet, &out).unwrap();
    let reader = SerializedFileReader::new(fs::File::open(&out).unwrap()).unwrap();
    let mut found = Points::new();
    for row in reader.get_row_iter(None).unwrap() {
        let columns: Vec<(String, Field)> = row.unwrap().into_columns();
        let (Field::Str(run), Field::Long(step)) = (&columns[0].1, &columns[1].1) else { panic!("{columns:?}") };
        for (name, field) in &columns[3..] {
            if let Field::Double(value) = field {
                found.insert((run.clone(), *step as u64, metric(name)), value.to_bits());
            }
        }
    }
    assert_eq!(found, points(&runs));
}

#[test]
fn many_rows_of_many_metrics_fill_several_groups_and_lose_nothing() {
    let base = tempfile::tempdir().unwrap();
    let run = Run::create(&base.path().join("wide"), "").unwrap();
    let mut metrics = run.metrics_writer().unwrap();
    for step in 1..=600_u64 {
        let values = (0..2000).filter(|index| (index + step) % 2 == 0).map(|index| (format!("m{index}"), index as f64));
        metrics.append(&Record { step, epoch: 0.0, values: values.collect() }).unwrap();
    }
    let out = base.path().join("table.parquet");
    assert_eq!(export(&[run], Format::Parquet, &out).unwrap().points, 600_000);
    let reader = SerializedFileReader::new(fs::File::open(&out).unwrap()).unwrap();
    assert_eq!(reader.metadata().num_row_groups(), 2);
    let values: u64 = (0..2)
        .flat_map(|group| reader.metadata().row_group(group).columns().to_vec())
        .filter(|column| column.column_descr().max_def_level() > 0)
        .map(|column| {
            let statistics = column.statistics().unwrap();
            column.num_values() as u64 - statistics.null_count_opt().unwrap()
        })
        .sum();
    assert_eq!(values, 600_000);
}

/// Castagnoli's checksum, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 })
    })
}

/// The fields of a message: number, and bytes or a number.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let (first, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            value |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                break;
            }
        }
        value
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                found.push((key >> 3, varint(&mut bytes).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            5 => 4,
            2 => varint(&mut bytes) as usize,
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, bytes[..length].to_vec()));
        bytes = &bytes[length..];
    }
    found
}

#[test]
fn event_files_hold_every_point_with_right_checksums() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    let base = tempfile::tempdir().unwrap();
    let runs = runs(base.path());
    let out = base.path().join("board");
    let first = export(&runs, Format::TensorBoard, &out).unwrap();
    // The second takes the place of the first.
    assert_eq!(export(&runs, Format::TensorBoard, &out).unwrap(), first);
    let mut found = BTreeMap::new();
    for run in &runs {
        let folder: Vec<_> = fs::read_dir(out.join(run.name())).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(folder.len(), 1);
        assert!(folder[0].file_name().unwrap().to_str().unwrap().starts_with("events.out.tfevents."));
        let bytes = fs::read(&folder[0]).unwrap();
        let (mut rest, mut events) = (bytes.as_slice(), Vec::new());
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            let sum = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
            let masked = |bytes: &[u8]| {
                let crc = crc32c(bytes);
                crc.rotate_right(15).wrapping_add(0xa282_ead8)
            };
            assert_eq!((sum(8), sum(12 + length)), (masked(&rest[..8]), masked(&rest[12..12 + length])));
            events.push(fields(&rest[12..12 + length]));
            rest = &rest[16 + length..];
        }
        assert!(events[0].contains(&(3, b"brain.Event:2".to_vec())));
        for event in &events[1..] {
            let of = |number: u64| event.iter().find(|(field, _)| *field == number).map(|(_, value)| value.clone());
            let wall_time = f64::from_le_bytes(of(1).unwrap().try_into().unwrap());
            assert!(wall_time > 1.7e9, "{wall_time}");
            let step = u64::from_le_bytes(of(2).unwrap().try_into().unwrap());
            for (number, value) in fields(&of(5).unwrap()) {
                assert_eq!(number, 1);
                let value = fields(&value);
                let tag = String::from_utf8(value[0].1.clone()).unwrap();
                let number = f32::from_le_bytes(value[1].1.clone().try_into().unwrap());
                found.insert((run.name(), step, tag), number.to_bits());
            }
        }
    }
    let wanted: BTreeMap<_, _> =
        points(&runs).into_iter().map(|(key, bits)| (key, (f64::from_bits(bits) as f32).to_bits())).collect();
    assert_eq!(found, wanted);
}

#[test]
fn two_runs_of_one_name_and_no_run_at_all_are_refused() {
    let base = tempfile::tempdir().unwrap();
    let mut all = runs(base.path());
    all.push(Run::create(&base.path().join("other/a"), "").unwrap());
    let out = base.path().join("table.csv");
    let error = export(&all, Format::Csv, &out).unwrap_err().to_string();
    assert!(error.contains("called a"), "{error}");
    assert!(export(&[], Format::Csv, &out).is_err());
    assert!(!out.exists());
    fs::write(&out, "mine").unwrap();
    assert!(export(&all[..1], Format::TensorBoard, &out).is_err());
    assert_eq!(fs::read_to_string(&out).unwrap(), "mine");
}
