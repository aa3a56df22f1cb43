//! Checkpoints are whole or not there, whatever happens to the process, the disk or the bytes.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use evenkeel::store::{Checkpoint, ElementType, NamedTensor, Run};
use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

fn tensor(name: &str, values: &[f32]) -> NamedTensor<'static> {
    NamedTensor {
        name: name.to_owned(),
        dtype: ElementType::F32,
        shape: vec![values.len()],
        bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    }
}

fn checkpoint(seed: f32) -> Checkpoint<'static> {
    Checkpoint {
        parameters: vec![tensor("fc1.bias", &[seed]), tensor("fc1.weight", &[seed, f32::NAN, -0.0])],
        buffers: vec![],
        optimizer: vec![tensor("momentum/fc1.weight", &[1.0, 2.0])],
        state: json!({ "rng": [1, 2, u64::MAX], "loader": { "epoch": 3, "position": 128 } }),
    }
}

fn run() -> (TempDir, Run) {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::create(&folder.path().join("run"), "seed = 0\n").unwrap();
    (folder, run)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_checkpoint_comes_back_bit_for_bit() {
    let (_folder, run) = run();
    run.save_checkpoint(400, &checkpoint(1.5)).unwrap();
    assert_eq!(run.load_checkpoint(400).unwrap(), checkpoint(1.5));
    assert_eq!(names(&run.checkpoints_dir()), ["000400"]);
    assert_eq!(
        names(&run.checkpoint_dir(400)),
        ["buffers.safetensors", "manifest.json", "optimizer.safetensors", "parameters.safetensors", "state.json"]
    );
}

#[test]
fn the_same_checkpoint_is_the_same_bytes() {
    let (_a, first) = run();
    let (_b, second) = run();
    first.save_checkpoint(1, &checkpoint(2.0)).unwrap();
    let mut reversed = checkpoint(2.0);
    reversed.parameters.reverse();
    second.save_checkpoint(1, &reversed).unwrap();
    for name in names(&first.checkpoint_dir(1)) {
        assert_eq!(
            fs::read(first.checkpoint_dir(1).join(&name)).unwrap(),
            fs::read(second.checkpoint_dir(1).join(&name)).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn saving_a_step_again_replaces_it_and_leaves_nothing_beside() {
    let (_folder, run) = run();
    run.save_checkpoint(7, &checkpoint(1.0)).unwrap();
    run.save_checkpoint(7, &checkpoint(2.0)).unwrap();
    assert_eq!(run.load_checkpoint(7).unwrap(), checkpoint(2.0));
    assert_eq!(names(&run.checkpoints_dir()), ["000007"]);
}

#[test]
fn every_flipped_bit_and_every_truncation_of_every_file_is_noticed() {
    let (_folder, run) = run();
    run.save_checkpoint(400, &checkpoint(1.5)).unwrap();
    for name in names(&run.checkpoint_dir(400)) {
        let path = run.checkpoint_dir(400).join(&name);
        let good = fs::read(&path).unwrap();
        for byte in 0..good.len() {
            let mut bad = good.clone();
            bad[byte] ^= 1 << (byte % 8);
            fs::write(&path, &bad).unwrap();
            let error = run.load_checkpoint(400).expect_err(&format!("{name}: byte {byte} flipped"));
            assert!(error.to_string().contains(&name), "{name}: {error}");
            fs::write(&path, &good[..byte]).unwrap();
            run.load_checkpoint(400).expect_err(&format!("{name}: cut to {byte} bytes"));
        }
        fs::write(&path, [good.as_slice(), b" "].concat()).unwrap();
        run.load_checkpoint(400).expect_err(&format!("{name}: one byte more"));
        fs::remove_file(&path).unwrap();
        run.load_checkpoint(400).expect_err(&format!("{name}: removed"));
        fs::write(&path, &good).unwrap();
    }
    run.load_checkpoint(400).unwrap();
}

#[test]
fn damage_anywhere_in_a_large_checkpoint_leads_back_to_the_one_before() {
    let (_folder, run) = run();
    let values: Vec<f32> = (0..30_000).map(|n| (n as f32).sin()).collect();
    let tensors = || vec![tensor("a", &values), tensor("b", &values[..1]), tensor("c", &values[..12_345])];
    let large = |state: u64| Checkpoint {
        parameters: tensors(),
        buffers: tensors(),
        optimizer: tensors(),
        state: json!({ "step": state }),
    };
    run.save_checkpoint(1, &large(1)).unwrap();
    run.save_checkpoint(2, &large(2)).unwrap();
    let is_passed_over = |name: &str, what: &str| {
        let latest = run.load_latest().unwrap();
        assert_eq!(latest.found.unwrap().0, 1, "{name}: {what}");
        assert_eq!(latest.broken.len(), 1);
        let error = latest.broken[0].to_string();
        assert!(error.contains(&format!("000002/{name}")) && error.contains("hint: resume from"), "{what}: {error}");
    };
    for name in ["parameters.safetensors", "buffers.safetensors", "optimizer.safetensors"] {
        let path = run.checkpoint_dir(2).join(name);
        let good = fs::read(&path).unwrap();
        let header = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
        // The header, the first and last byte of each tensor, and a stride through all of it.
        let (a, b) = (header + 4 * 30_000, header + 4 * 30_001);
        let edges = [header, a - 1, a, b - 1, b, good.len() - 1];
        let places = (0..header).step_by(7).chain(edges).chain((header..good.len()).step_by(7_919));
        for (count, place) in places.enumerate() {
            let mut bad = good.clone();
            bad[place] ^= 1 << (count % 8);
            fs::write(&path, &bad).unwrap();
            is_passed_over(name, &format!("byte {place} flipped"));
        }
        for length in [0, 1, 7, 8, header - 1, header, a, good.len() / 2, good.len() - 1] {
            fs::write(&path, &good[..length]).unwrap();
            is_passed_over(name, &format!("cut to {length} bytes"));
        }
        fs::write(&path, &good).unwrap();
    }
    assert_eq!(run.load_latest().unwrap().found.unwrap().0, 2);
}

#[test]
fn the_error_of_a_damaged_file_says_which_and_both_checksums() {
    let (_folder, run) = run();
    run.save_checkpoint(3, &checkpoint(1.0)).unwrap();
    let path = run.checkpoint_dir(3).join("parameters.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let text = run.load_checkpoint(3).unwrap_err().to_string();
    assert!(text.contains("parameters.safetensors"), "{text}");
    assert_eq!(text.matches("sha256").count(), 2, "{text}");
    assert!(text.contains("hint: resume from an older checkpoint"), "{text}");
}

#[test]
fn resume_after_a_kill_before_the_manifest_uses_the_older_checkpoint() {
    let (_folder, run) = run();
    run.save_checkpoint(100, &checkpoint(1.0)).unwrap();
    run.save_checkpoint(200, &checkpoint(2.0)).unwrap();
    fs::remove_file(run.checkpoint_dir(200).join("manifest.json")).unwrap();
    let latest = run.load_latest().unwrap();
    assert_eq!(latest.found.as_ref().unwrap().0, 100);
    assert_eq!(latest.found.unwrap().1, checkpoint(1.0));
    assert_eq!(latest.broken.len(), 1);
    assert!(latest.broken[0].to_string().contains("manifest is missing"), "{}", latest.broken[0]);
}

#[test]
fn what_a_killed_process_left_is_swept_when_the_run_is_opened() {
    let (_folder, run) = run();
    run.save_checkpoint(100, &checkpoint(1.0)).unwrap();
    let parent = run.checkpoints_dir();
    fs::create_dir(parent.join(".000200.tmp-1")).unwrap();
    fs::write(parent.join(".000200.tmp-1/parameters.safetensors"), b"half").unwrap();
    fs::create_dir(parent.join(".000050.gone-1")).unwrap();
    fs::create_dir(parent.join(".mine")).unwrap();
    fs::write(run.dir().join(".report.html.tmp-a1b2c3"), b"half").unwrap();
    let run = Run::open(run.dir()).unwrap();
    assert_eq!(names(&parent), [".mine", "000100"]);
    assert_eq!(names(run.dir()), ["checkpoints", "run.toml"]);
}

#[test]
fn a_kill_between_moving_the_old_aside_and_the_new_in_place_brings_the_old_back() {
    let (_folder, run) = run();
    run.save_checkpoint(100, &checkpoint(1.0)).unwrap();
    let parent = run.checkpoints_dir();
    fs::rename(parent.join("000100"), parent.join(".000100.old-1")).unwrap();
    let run = Run::open(run.dir()).unwrap();
    assert_eq!(run.load_checkpoint(100).unwrap(), checkpoint(1.0));
    // And once the new one is in place, the old one only waits to be removed.
    fs::create_dir(parent.join(".000100.old-1")).unwrap();
    let run = Run::open(run.dir()).unwrap();
    assert_eq!(run.load_checkpoint(100).unwrap(), checkpoint(1.0));
    assert_eq!(names(&parent), ["000100"]);
}

#[test]
fn a_writer_at_work_is_not_swept() {
    let (_folder, run) = run();
    run.save_checkpoint(100, &checkpoint(1.0)).unwrap();
    let parent = run.checkpoints_dir();
    fs::create_dir(parent.join(".000200.tmp-1")).unwrap();
    let writer = fs::File::open(&parent).unwrap();
    writer.lock().unwrap();
    Run::open(run.dir()).unwrap();
    assert_eq!(names(&parent), [".000200.tmp-1", "000100"]);
    drop(writer);
    Run::open(run.dir()).unwrap();
    assert_eq!(names(&parent), ["000100"]);
}

#[test]
fn only_the_newest_are_kept_and_a_broken_one_does_not_count() {
    let (_folder, run) = run();
    for step in [1, 2, 3, 4] {
        run.save_checkpoint(step, &checkpoint(step as f32)).unwrap();
    }
    fs::remove_file(run.checkpoint_dir(4).join("manifest.json")).unwrap();
    run.keep_checkpoints(2, |_| false).unwrap();
    assert_eq!(run.checkpoint_steps().unwrap(), [2, 3, 4]);
    run.keep_checkpoints(1, |step| step == 2).unwrap();
    assert_eq!(run.checkpoint_steps().unwrap(), [2, 3, 4]);
    run.keep_checkpoints(0, |step| step == 7).unwrap();
    assert_eq!(run.checkpoint_steps().unwrap(), [3, 4]);
    assert_eq!(run.load_latest().unwrap().found.unwrap().0, 3);
    run.remove_checkpoints_after(3).unwrap();
    assert_eq!(names(&run.checkpoints_dir()), ["000003"]);
}

#[test]
fn a_failed_save_leaves_nothing_and_keeps_the_older_one() {
    let (_folder, run) = run();
    run.save_checkpoint(1, &checkpoint(1.0)).unwrap();
    let mut wrong = checkpoint(2.0);
    wrong.optimizer[0].bytes.to_mut().pop();
    let error = run.save_checkpoint(1, &wrong).unwrap_err().to_string();
    assert!(error.contains("momentum/fc1.weight") && error.contains("7 bytes"), "{error}");
    assert_eq!(run.load_checkpoint(1).unwrap(), checkpoint(1.0));
    assert_eq!(names(&run.checkpoints_dir()), ["000001"]);
}

#[test]
fn a_checkpoint_that_cannot_be_written_is_an_error_with_the_path() {
    // `checkpoints` is a file, so no folder can be made in it; holds for the superuser too.
    let (_folder, run) = run();
    fs::write(run.checkpoints_dir(), b"").unwrap();
    let error = run.save_checkpoint(1, &checkpoint(1.0)).unwrap_err().to_string();
    assert!(error.contains("checkpoints"), "{error}");
    assert_eq!(names(run.dir()), ["checkpoints", "run.toml"]);
    assert!(run.checkpoint_steps().is_err());
}

#[test]
fn a_step_beyond_six_digits_is_found_and_other_folders_are_not() {
    let (_folder, run) = run();
    run.save_checkpoint(12_345_678, &checkpoint(1.0)).unwrap();
    fs::create_dir(run.checkpoints_dir().join("42")).unwrap();
    fs::create_dir(run.checkpoints_dir().join("best")).unwrap();
    assert_eq!(run.checkpoint_steps().unwrap(), [12_345_678]);
    let error = run.load_checkpoint(42).unwrap_err().to_string();
    assert!(error.contains("no checkpoint of step 42") && error.contains("12345678"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_bytes_in_place_of_a_file_make_a_reader_panic(
        which in 0_usize..5,
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let (_folder, run) = run();
        run.save_checkpoint(1, &checkpoint(1.0)).unwrap();
        let name = names(&run.checkpoint_dir(1)).swap_remove(which);
        fs::write(run.checkpoint_dir(1).join(name), bytes).unwrap();
        prop_assert!(run.load_checkpoint(1).is_err());
        prop_assert!(run.load_latest().unwrap().found.is_none());
    }
}
