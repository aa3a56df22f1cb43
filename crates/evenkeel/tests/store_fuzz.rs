//! No file, however broken, makes a reader panic or take more memory than its length warrants.
#![allow(clippy::unwrap_used)]

use evenkeel::config::{Config, reference};
use evenkeel::experiment::config_of;
use evenkeel::store::{
    Checkpoint, Eigenvalue, ElementType, HessianMeasurement, LayerColumn, LayerMeasurement, NamedTensor, Record, Run,
    read_safetensors, write_safetensors,
};
use peak_alloc::PeakAlloc;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What a reader may take in any case: buffers, errors, tables of words.
const FLOOR: usize = 1 << 20;
/// And for each byte of the file: a number of one digit and its comma become a value of a JSON tree in a list that grows by doubling.
const FOR_EACH_BYTE: usize = 256;

/// Does `read` and says that it took more memory than a file of so many bytes warrants.
fn bounded<T>(bytes: usize, read: impl FnOnce() -> T) -> T {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let made = read();
    let taken = MEMORY.peak_usage().saturating_sub(before);
    assert!(taken <= FLOOR + FOR_EACH_BYTE * bytes, "{taken} bytes of memory for a file of {bytes}");
    made
}

/// One thing that is done to a file.
#[derive(Clone, Debug)]
enum Harm {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
    /// A piece of it, once more in another place.
    Copy(prop::sample::Index, usize, prop::sample::Index),
    /// A number becomes another one.
    Number(prop::sample::Index, &'static str),
}

const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775807",
    "1e308",
    "1e999",
    "0.5",
    "\"NaN\"",
    "null",
    "[[[[[[[[]]]]]]]]",
    "\"\\ud800\"",
];

fn harm() -> impl Strategy<Value = Harm> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        3 => (at(), 0..8u8).prop_map(|(at, bit)| Harm::Flip(at, bit)),
        1 => at().prop_map(Harm::Cut),
        1 => (at(), prop::collection::vec(any::<u8>(), 1..12)).prop_map(|(at, bytes)| Harm::Insert(at, bytes)),
        1 => (at(), 1..40usize).prop_map(|(at, length)| Harm::Remove(at, length)),
        1 => (at(), 1..200usize, at()).prop_map(|(at, length, to)| Harm::Copy(at, length, to)),
        3 => (at(), prop::sample::select(&NUMBERS[..])).prop_map(|(at, number)| Harm::Number(at, number)),
    ]
}

impl Harm {
    fn done_to(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let length = bytes.len();
        let piece = |at: &prop::sample::Index, wanted: usize| {
            let start = at.index(length);
            start..(start + wanted).min(length)
        };
        match self {
            Harm::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
            Harm::Cut(at) => bytes.truncate(at.index(length)),
            Harm::Insert(at, more) => drop(bytes.splice(piece(at, 0), more.iter().copied())),
            Harm::Remove(at, wanted) => drop(bytes.drain(piece(at, *wanted))),
            Harm::Copy(at, wanted, to) => {
                let copied = bytes[piece(at, *wanted)].to_vec();
                bytes.splice(piece(to, 0), copied);
            }
            Harm::Number(at, number) => {
                let starts: Vec<usize> = (0..length)
                    .filter(|n| bytes[*n].is_ascii_digit() && (*n == 0 || !bytes[*n - 1].is_ascii_digit()))
                    .collect();
                if starts.is_empty() {
                    return;
                }
                let start = starts[at.index(starts.len())];
                let digits = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                bytes.splice(start..start + digits, number.bytes());
            }
        }
    }
}

/// Harms a file in many ways; each time, it is read.
fn harmed(path: &Path, times: u32, mut read: impl FnMut(&[u8])) {
    let good = fs::read(path).unwrap();
    let mut runner = TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(times) });
    let read = std::cell::RefCell::new(&mut read);
    let result = runner.run(&prop::collection::vec(harm(), 1..5), |harms| {
        let mut bytes = good.clone();
        harms.iter().for_each(|harm| harm.done_to(&mut bytes));
        fs::write(path, &bytes).unwrap();
        (read.borrow_mut())(&bytes);
        Ok(())
    });
    fs::write(path, &good).unwrap();
    result.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn tensor(name: &str, dtype: ElementType, shape: &[usize]) -> NamedTensor<'static> {
    let bytes = shape.iter().product::<usize>() * dtype.bytes();
    NamedTensor { name: name.to_owned(), dtype, shape: shape.to_vec(), bytes: (0..bytes).map(|n| n as u8).collect() }
}

fn checkpoint() -> Checkpoint<'static> {
    Checkpoint {
        parameters: vec![
            tensor("fc1.weight", ElementType::F32, &[4, 3]),
            tensor("fc1.bias", ElementType::F64, &[3]),
            tensor("steps", ElementType::I32, &[]),
        ],
        buffers: vec![tensor("norm1.running_mean", ElementType::F32, &[3])],
        optimizer: vec![],
        state: json!({ "format": 1, "step": 7, "epoch": { "steps": 3, "loss": "3ff0000000000000" }, "list": [1, 2.5, null] }),
    }
}

fn hessian() -> HessianMeasurement {
    HessianMeasurement {
        probe: "hessian".to_owned(),
        step: 7,
        norm_mode: "batch".to_owned(),
        samples: 500,
        dtype: "f32".to_owned(),
        seed: 3,
        learning_rate: 0.1,
        momentum: 0.9,
        loss: f64::NAN,
        eigenvalues: vec![Eigenvalue { value: 19.5, residual: 1e-4, converged: true }; 3],
        iterations: 30,
        products: 31,
        seconds: 0.4,
        version: "0.1.0".to_owned(),
    }
}

fn layers() -> LayerMeasurement {
    LayerMeasurement {
        probe: "batch-entropy".to_owned(),
        title: "batch entropy (nats)".to_owned(),
        step: 7,
        norm_mode: "batch".to_owned(),
        samples: 500,
        dtype: "f32".to_owned(),
        summary: "none of 2 layers collapsed".to_owned(),
        layers: vec!["act1".to_owned(), "act2".to_owned()],
        columns: vec![LayerColumn { name: "entropy".to_owned(), values: vec![0.5, f64::INFINITY] }],
        drawn: 1,
        seconds: 0.5,
        version: "0.1.0".to_owned(),
    }
}

fn run() -> (TempDir, Run) {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let run = Run::create(&folder.path().join("run"), &Config::default().to_toml()).unwrap();
    run.save_checkpoint(7, &checkpoint()).unwrap();
    let mut writer = run.metrics_writer().unwrap();
    for step in 1..=5 {
        let values = vec![("loss".to_owned(), 1.0 / step as f64), ("gradient_norm".to_owned(), f64::INFINITY)];
        writer.append(&Record { step, epoch: step as f64 / 7.0, values }).unwrap();
    }
    run.write_hessian(&hessian()).unwrap();
    run.write_layers(&layers()).unwrap();
    let summary = json!({ "steps": 7, "lambda_max": 19.5, "best": { "step": 5, "value": 0.9 } });
    run.write_summary(summary.as_object().unwrap()).unwrap();
    (folder, run)
}

fn files_of(run: &Run) -> Vec<PathBuf> {
    let names =
        ["parameters.safetensors", "buffers.safetensors", "optimizer.safetensors", "state.json", "manifest.json"];
    names.iter().map(|name| run.checkpoint_dir(7).join(name)).collect()
}

/// One test, because the memory counted is that of all threads.
#[test]
fn every_reader_outlives_every_file_with_memory_bounded_by_its_length() {
    let (folder, run) = run();
    let saved = checkpoint();
    let total: u64 = files_of(&run).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    for path in files_of(&run) {
        let good = fs::read(&path).unwrap();
        harmed(&path, 800, |bytes| {
            let loaded = bounded(total as usize + bytes.len(), || run.load_checkpoint(7));
            match loaded {
                Ok(loaded) => assert!(bytes == good && loaded.state == saved.state, "{} was taken", path.display()),
                Err(error) => assert!(error.to_string().contains(path.to_str().unwrap()), "{error}"),
            }
        });
    }
    harmed(&run.metrics_path(), 2_000, |bytes| {
        let metrics = bounded(bytes.len(), || run.metrics().unwrap());
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(metrics.records.len() + metrics.broken_lines.len(), lines);
        // A writer that opens what was harmed goes on after it.
        let mut writer = run.metrics_writer().unwrap();
        let record = Record { step: 9, epoch: 1.0, values: vec![] };
        writer.append(&record).unwrap();
        assert_eq!(run.metrics().unwrap().records.last(), Some(&record));
    });
    for name in [hessian().name(), layers().name()] {
        harmed(&run.measurements_dir().join(format!("{name}.json")), 2_000, |bytes| {
            assert_eq!(bounded(2_000 + bytes.len(), || run.measurements().unwrap()).len(), 2);
        });
    }
    harmed(&run.dir().join("summary.json"), 1_000, |bytes| {
        if let Err(error) = bounded(bytes.len(), || run.summary()) {
            assert!(error.to_string().contains("summary.json"), "{error}");
        }
    });
    harmed(&run.config_path(), 1_000, |bytes| {
        if let Err(error) = bounded(bytes.len(), || config_of(&run, &[])) {
            assert!(error.to_string().contains("run.toml"), "{error}");
        }
    });
    // The reference has every key there is.
    let every_key = folder.path().join("every.toml");
    fs::write(&every_key, reference()).unwrap();
    harmed(&every_key, 500, |bytes| {
        let Ok(text) = str::from_utf8(bytes) else { return };
        if let Err(error) = bounded(bytes.len(), || Config::resolve(Some((&every_key, text)), &[])) {
            assert!(error.to_string().contains("every.toml"), "{error}");
        }
    });
    let tensors = folder.path().join("oracle.safetensors");
    let metadata = BTreeMap::from([("evenkeel".to_owned(), "{}".to_owned())]);
    write_safetensors(&tensors, &checkpoint().parameters, &metadata).unwrap();
    harmed(&tensors, 4_000, |bytes| match bounded(bytes.len(), || read_safetensors(&tensors)) {
        Ok(read) => {
            let told: usize = read.tensors.iter().map(|tensor| tensor.bytes.len()).sum();
            assert!(told <= bytes.len());
        }
        Err(error) => assert!(error.to_string().contains("oracle.safetensors"), "{error}"),
    });
    lying_headers(&tensors);
    deep_nesting(&run);
}

/// Files of a few bytes that tell of terabytes.
fn lying_headers(path: &Path) {
    let of = |header: &str| [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    let tensor = |shape: &str, offsets: &str| {
        of(&format!("{{\"w\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":{offsets}}}}}"))
    };
    let lies = [
        (1_u64 << 40).to_le_bytes().to_vec(),
        99_999_999_u64.to_le_bytes().to_vec(),
        u64::MAX.to_le_bytes().to_vec(),
        tensor("[1099511627776]", "[0,4398046511104]"),
        tensor("[4294967296,4294967296,4294967296]", "[0,4]"),
        tensor("[18446744073709551615,0]", "[0,0]"),
        tensor("[1]", "[18446744073709551611,18446744073709551615]"),
        tensor("[1]", "[4,0]"),
        of("{\"__metadata__\":{\"a\":1}}"),
        of(""),
        vec![],
    ];
    for bytes in lies {
        fs::write(path, &bytes).unwrap();
        if let Ok(read) = bounded(bytes.len(), || read_safetensors(path)) {
            // What has no elements may have any shape.
            assert!(read.tensors.iter().all(|tensor| tensor.bytes.is_empty()), "{:?}", String::from_utf8_lossy(&bytes));
        }
    }
}

/// A hundred thousand brackets must not exhaust the stack.
fn deep_nesting(run: &Run) {
    let deep = "[".repeat(100_000);
    let places = [
        run.checkpoint_dir(7).join("state.json"),
        run.checkpoint_dir(7).join("manifest.json"),
        run.dir().join("summary.json"),
        run.measurements_dir().join("deep.json"),
        run.metrics_path(),
        run.config_path(),
    ];
    for path in places {
        let before = fs::read(&path).ok();
        let text = if path == run.config_path() { format!("seed = {deep}") } else { format!("{deep}\n") };
        fs::write(&path, text).unwrap();
        bounded(200_000, || {
            let _ = (run.load_checkpoint(7), run.summary(), run.measurements(), run.metrics(), config_of(run, &[]));
        });
        before.map_or_else(|| fs::remove_file(&path), |before| fs::write(&path, before)).unwrap();
    }
}
