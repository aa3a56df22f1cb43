//! A folder is claimed once, opened with clear words, and its files are replaced whole.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use evenkeel::store::{
    Checkpoint, Content, Eigenvalue, ElementType, HessianMeasurement, NamedTensor, Record, Run, fresh_run_dir,
    read_safetensors, write_atomically, write_safetensors,
};
use proptest::prelude::*;
use serde_json::json;

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_run_is_made_in_a_new_or_an_empty_folder_and_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let new = Run::create(&folder.path().join("a/b"), "seed = 7\n").unwrap();
    assert_eq!(new.name(), "b");
    assert_eq!(Run::open(new.dir()).unwrap().config().unwrap(), "seed = 7\n");
    fs::create_dir(folder.path().join("empty")).unwrap();
    Run::create(&folder.path().join("empty"), "").unwrap();
}

#[test]
fn a_run_is_trained_by_one_at_a_time() {
    // Regression: two `train --resume` of one run wrote their checkpoints over each other's.
    let folder = tempfile::tempdir().unwrap();
    let run = Run::create(&folder.path().join("run"), "").unwrap();
    let claim = run.claim().unwrap();
    let error = Run::open(run.dir()).unwrap().claim().unwrap_err().to_string();
    assert!(error.contains("another process is training this run") && error.contains("--out DIR"), "{error}");
    drop(claim);
    Run::open(run.dir()).unwrap().claim().unwrap();
}

#[test]
fn a_folder_that_holds_a_run_is_refused_with_both_ways_out() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::create(&folder.path().join("run"), "seed = 7\n").unwrap();
    let error = Run::create(run.dir(), "seed = 8\n").unwrap_err().to_string();
    assert!(error.contains("holds a run already"), "{error}");
    assert!(error.contains("--out") && error.contains("--resume"), "{error}");
    assert_eq!(run.config().unwrap(), "seed = 7\n");
}

#[test]
fn a_folder_with_other_files_and_a_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.tex"), "").unwrap();
    let error = Run::create(folder.path(), "").unwrap_err().to_string();
    assert!(error.contains("thesis.tex") && error.contains("--out"), "{error}");
    let error = Run::create(&folder.path().join("thesis.tex"), "").unwrap_err().to_string();
    assert!(error.contains("a run needs a folder"), "{error}");
    assert_eq!(names(folder.path()), ["thesis.tex"]);
}

#[test]
fn a_place_that_cannot_be_written_is_an_error_and_leaves_nothing() {
    // A path through a regular file fails for every user, the superuser too.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let error = Run::create(&folder.path().join("file/run"), "").unwrap_err().to_string();
    assert!(error.contains("file/run"), "{error}");
    assert_eq!(names(folder.path()), ["file"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_read_only_file_system_is_an_error_and_leaves_nothing() {
    let error = Run::create(Path::new("/proc/evenkeel-run"), "").unwrap_err().to_string();
    assert!(error.contains("/proc/evenkeel-run"), "{error}");
    let error = write_atomically(Path::new("/proc/report.html"), b"x").unwrap_err().to_string();
    assert!(error.contains("/proc/report.html"), "{error}");
    let error = write_atomically(Path::new("/dev/full"), b"x").unwrap_err().to_string();
    assert!(error.contains("not a regular file"), "{error}");
}

#[test]
fn opening_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let error = Run::open(&folder.path().join("none")).unwrap_err().to_string();
    assert!(error.contains("does not exist"), "{error}");
    let error = Run::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("`run.toml` is missing"), "{error}");
    fs::write(folder.path().join("file"), "").unwrap();
    let error = Run::open(&folder.path().join("file")).unwrap_err().to_string();
    assert!(error.contains("not a folder"), "{error}");
}

#[test]
fn fresh_folders_count_on_and_two_threads_never_get_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("runs");
    assert!(fresh_run_dir(&base, "mlp").unwrap().ends_with("mlp-001"));
    fs::create_dir(base.join("mlp-041")).unwrap();
    fs::create_dir(base.join("mlp-notes")).unwrap();
    assert!(fresh_run_dir(&base, "mlp").unwrap().ends_with("mlp-042"));
    let claimed: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| (0..8).map(|_| fresh_run_dir(&base, "r").unwrap()).collect::<Vec<_>>()))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(claimed.iter().collect::<BTreeSet<_>>().len(), 64);
    Run::create(&claimed[0], "").unwrap();
    assert!(fresh_run_dir(&base, "../up").is_err());
}

#[test]
fn of_many_that_create_the_same_run_one_gets_it() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    let made = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|n| {
                scope.spawn({
                    let dir = &dir;
                    move || Run::create(dir, &format!("seed = {n}\n")).is_ok()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|made| *made).count()
    });
    assert_eq!(made, 1);
    assert_eq!(names(&dir), ["run.toml"]);
}

#[test]
fn a_file_is_replaced_whole_through_a_link_and_nothing_is_left_beside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/report.html");
    write_atomically(&path, b"old").unwrap();
    write_atomically(&path, b"new").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(names(path.parent().unwrap()), ["report.html"]);
    #[cfg(unix)]
    {
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        write_atomically(&link, b"linked").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"linked");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }
}

fn hessian(step: u64) -> HessianMeasurement {
    HessianMeasurement {
        probe: "hessian".to_owned(),
        step,
        norm_mode: "batch".to_owned(),
        samples: 500,
        dtype: "f32".to_owned(),
        seed: 0,
        learning_rate: 0.1,
        momentum: 0.9,
        loss: f64::NAN,
        eigenvalues: vec![Eigenvalue { value: 19.5, residual: f64::INFINITY, converged: false }],
        iterations: 30,
        products: 31,
        seconds: 0.4,
        version: "0.1.0".to_owned(),
    }
}

#[test]
fn measurements_come_back_sorted_and_unknown_and_broken_ones_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::create(&folder.path().join("run"), "").unwrap();
    assert!(run.measurements().unwrap().is_empty());
    run.write_hessian(&hessian(400)).unwrap();
    run.write_hessian(&hessian(0)).unwrap();
    run.write_measurement("batch-entropy-000400", &json!({ "probe": "batch-entropy", "layers": [1.0] })).unwrap();
    fs::write(run.measurements_dir().join("torn.json"), "{\"probe\":\"hess").unwrap();
    fs::write(run.measurements_dir().join("old.json"), "{\"probe\":\"hessian\",\"step\":1}").unwrap();
    let read = run.measurements().unwrap();
    let listed: Vec<&str> = read.iter().map(|measurement| measurement.name.as_str()).collect();
    assert_eq!(listed, ["batch-entropy-000400", "hessian-000000-batch-500", "hessian-000400-batch-500", "old", "torn"]);
    assert!(matches!(read[0].content, Content::Other(_)));
    let Content::Hessian(back) = &read[2].content else { panic!("{:?}", read[2]) };
    assert!(back.loss.is_nan() && back.eigenvalues[0].residual.is_infinite());
    assert!(matches!(&read[3].content, Content::Broken(error) if error.to_string().contains("norm_mode")));
    assert!(matches!(&read[4].content, Content::Broken(_)));
    assert!(run.write_measurement("../out", &json!({})).is_err());
}

#[test]
fn a_summary_comes_back_and_a_broken_one_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::create(&folder.path().join("run"), "").unwrap();
    assert_eq!(run.summary().unwrap(), None);
    let summary = json!({ "steps": 400, "lambda_max": 19.5 }).as_object().unwrap().clone();
    run.write_summary(&summary).unwrap();
    assert_eq!(run.summary().unwrap(), Some(summary));
    fs::write(run.dir().join("summary.json"), "[1]").unwrap();
    assert!(run.summary().unwrap_err().to_string().contains("summary.json"));
}

#[test]
fn safetensors_keep_all_types_shapes_and_metadata_in_one_fixed_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("oracle.safetensors");
    let tensor = |name: &str, dtype, shape: &[usize], length| NamedTensor {
        name: name.to_owned(),
        dtype,
        shape: shape.to_vec(),
        bytes: (0..length).collect(),
    };
    let mut tensors = vec![
        tensor("input/x", ElementType::F64, &[2, 3], 48),
        tensor("input/y", ElementType::I32, &[2], 8),
        tensor("output/loss", ElementType::F32, &[], 4),
        tensor("empty \"quoted\"", ElementType::F32, &[0, 4], 0),
    ];
    let metadata: BTreeMap<String, String> =
        (0..12).map(|n| (format!("key {n}"), format!("{{\"wert\": \"ä\\n{n}\"}}"))).collect();
    write_safetensors(&path, &tensors, &metadata).unwrap();
    let first = fs::read(&path).unwrap();
    tensors.reverse();
    write_safetensors(&path, &tensors, &metadata).unwrap();
    assert_eq!(fs::read(&path).unwrap(), first);
    let back = read_safetensors(&path).unwrap();
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(back.tensors, tensors);
    assert_eq!(back.metadata, metadata);
    tensors.push(tensors[0].clone());
    assert!(write_safetensors(&path, &tensors, &metadata).unwrap_err().to_string().contains("share a name"));
    assert_eq!(fs::read(&path).unwrap(), first);
}

/// On a file system of some 40 kB: `mount -t tmpfs -o size=40k tmpfs DIR`, then
/// `EVENKEEL_FULL_DISK=DIR cargo test -p evenkeel --test store_run -- --ignored`.
#[test]
#[ignore = "needs a file system that is nearly full"]
fn a_full_disk_leaves_whole_records_and_the_older_checkpoint() {
    let folder = std::env::var("EVENKEEL_FULL_DISK").unwrap();
    let dir = fresh_run_dir(Path::new(&folder), "full").unwrap();
    let run = Run::create(&dir, "seed = 0\n").unwrap();
    let tensor = |bytes: usize| NamedTensor {
        name: "w".to_owned(),
        dtype: ElementType::F32,
        shape: vec![bytes / 4],
        bytes: vec![1; bytes].into(),
    };
    let checkpoint = |bytes: usize| Checkpoint {
        parameters: vec![tensor(bytes)],
        buffers: vec![],
        optimizer: vec![],
        state: json!({}),
    };
    run.save_checkpoint(1, &checkpoint(64)).unwrap();
    for step in [1, 2] {
        let error = run.save_checkpoint(step, &checkpoint(1 << 20)).unwrap_err().to_string();
        assert!(error.contains("parameters.safetensors") && error.contains("free some space"), "{error}");
    }
    assert_eq!(names(&run.checkpoints_dir()), ["000001"]);
    assert_eq!(run.load_checkpoint(1).unwrap(), checkpoint(64));
    let error = write_atomically(&run.report_path(), &vec![b'x'; 1 << 20]).unwrap_err().to_string();
    assert!(error.contains("free some space"), "{error}");
    let mut writer = run.metrics_writer().unwrap();
    let values = vec![("a rather long name of a value, to fill the disk soon".to_owned(), 0.1); 20];
    let record = |step| Record { step, epoch: 0.0, values: values.clone() };
    let full = (0..1000).find(|step| writer.append(&record(*step)).is_err()).unwrap();
    assert!(full > 0);
    let metrics = run.metrics().unwrap();
    assert_eq!((metrics.records.len() as u64, metrics.broken_lines.len()), (full, 0));
    assert!(std::fs::read(run.metrics_path()).unwrap().ends_with(b"}}\n"));
    assert_eq!(names(run.dir()), ["checkpoints", "metrics", "run.toml"]);
    fs::remove_dir_all(dir).unwrap();
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_of_safetensors_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        if bytes.len() > 8 {
            bytes[1..8].fill(0);
        }
        fs::write(&path, bytes).unwrap();
        let _ = read_safetensors(&path);
    }
}
