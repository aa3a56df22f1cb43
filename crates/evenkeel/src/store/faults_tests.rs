//! Whatever change of the disk fails, the old state or the new one is found, and never neither.

#![allow(clippy::unwrap_used)]

use super::faults::{Fault, during};
use super::*;
use serde_json::json;
use std::collections::BTreeMap;
use tempfile::TempDir;

/// Where files are made fast, if there is such a place: thousands of folders are written.
fn place() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn checkpoint(seed: f32) -> Checkpoint<'static> {
    let tensor = |name: &str, values: &[f32]| NamedTensor {
        name: name.to_owned(),
        dtype: ElementType::F32,
        shape: vec![values.len()],
        bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    };
    Checkpoint {
        parameters: vec![tensor("fc1.bias", &[seed]), tensor("fc1.weight", &[seed, 2.0, -0.0])],
        buffers: vec![],
        optimizer: vec![tensor("velocity/fc1.weight", &[1.0, seed, 3.0])],
        state: json!({ "step": seed }),
    }
}

/// All that can be read of a run.
#[derive(Debug, PartialEq)]
struct Found {
    config: String,
    checkpoints: BTreeMap<u64, Checkpoint<'static>>,
    broken: usize,
    metrics: Metrics,
    measurements: Vec<(String, String)>,
    summary: Option<Map<String, Value>>,
    report: Option<Vec<u8>>,
}

fn found(run: &Run) -> Found {
    let steps = run.checkpoint_steps().unwrap();
    let read: Vec<_> = steps.iter().map(|step| (*step, run.load_checkpoint(*step))).collect();
    Found {
        config: run.config().unwrap(),
        broken: read.iter().filter(|(_, read)| read.is_err()).count(),
        checkpoints: read.into_iter().filter_map(|(step, read)| Some((step, read.ok()?))).collect(),
        metrics: run.metrics().unwrap(),
        measurements: run
            .measurements()
            .unwrap()
            .into_iter()
            .map(|one| (one.name, format!("{:?}", one.content)))
            .collect(),
        summary: run.summary().unwrap(),
        report: fs::read(run.report_path()).ok(),
    }
}

fn left_aside(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with('.')).collect()
}

/// Every fault at every change of `act`; `allowed` judges what is found afterwards, knowing the state before and the whole new one.
fn each_fault(
    prepare: impl Fn(&Run),
    act: impl Fn(&Run) -> Result<()>,
    allowed: impl Fn(&Found, &Found, &Found) -> bool,
) {
    let folder = place();
    let mut count = 0;
    let mut made = || {
        count += 1;
        let run = Run::create(&folder.path().join(format!("run{count}")), "seed = 7\n").unwrap();
        prepare(&run);
        run
    };
    let run = made();
    let old = found(&run);
    let told = during(Fault::Nothing, usize::MAX, folder.path(), || act(&run));
    told.result.unwrap();
    let new = found(&run);
    assert!(old != new, "the action changes nothing, so nothing is shown");
    let changes = told.changes;
    assert!(changes > 2, "{changes} changes were seen");

    let run = made();
    during(Fault::Short, 0, folder.path(), || act(&run)).result.unwrap();
    assert_eq!(found(&run), new, "short writes");

    for lost in 0..=told.loose_names {
        let run = made();
        during(Fault::PowerCut(lost), changes, folder.path(), || act(&run)).result.unwrap();
        let run = Run::open(run.dir()).unwrap();
        assert_eq!(found(&run), new, "what is done outlives a power cut, {lost} names lost");
    }

    for at in 0..changes {
        let mut faults = vec![Fault::Refused, Fault::Full, Fault::Killed];
        let mut next = 0;
        while let Some(fault) = faults.get(next).copied() {
            next += 1;
            let run = made();
            let went = during(fault, at, folder.path(), || act(&run));
            assert!(went.happened, "{fault:?} at change {at}");
            if fault == Fault::Killed {
                faults.extend((0..=went.loose_names).map(Fault::PowerCut));
            }
            let run = Run::open(run.dir()).unwrap();
            let now = found(&run);
            let whole = allowed(&now, &old, &new) && now.broken == 0;
            assert!(whole, "{fault:?} at change {at} of {changes}:\nold {old:#?}\nnew {new:#?}\nfound {now:#?}");
            if went.result.is_ok() {
                assert_eq!(now, new, "{fault:?} at change {at} of {changes} was not told");
            }
            for folder in [run.dir().to_owned(), run.checkpoints_dir(), run.measurements_dir()] {
                assert_eq!(left_aside(&folder), Vec::<PathBuf>::new(), "{fault:?} at change {at}");
            }
            // And the disk, once it works, takes it again.
            act(&run).unwrap();
            let again = found(&run);
            assert!(again == new || allowed(&again, &now, &new), "{fault:?} at change {at}: {again:#?}");
        }
    }
}

fn old_or_new(now: &Found, old: &Found, new: &Found) -> bool {
    now == old || now == new
}

#[test]
fn a_first_checkpoint_is_there_whole_or_not_at_all() {
    each_fault(|_| {}, |run| run.save_checkpoint(5, &checkpoint(1.0)), old_or_new);
}

#[test]
fn a_next_checkpoint_never_harms_the_one_before() {
    let first = |run: &Run| run.save_checkpoint(5, &checkpoint(1.0)).unwrap();
    each_fault(first, |run| run.save_checkpoint(6, &checkpoint(2.0)), old_or_new);
}

#[test]
fn a_checkpoint_written_over_an_old_one_is_the_old_or_the_new_one() {
    let first = |run: &Run| run.save_checkpoint(5, &checkpoint(1.0)).unwrap();
    each_fault(first, |run| run.save_checkpoint(5, &checkpoint(2.0)), old_or_new);
}

/// Those that stay are there, and each of the others is whole or gone.
fn some_of_the_old(now: &Found, old: &Found, new: &Found) -> bool {
    let kept = new.checkpoints.iter().all(|(step, one)| now.checkpoints.get(step) == Some(one));
    kept && now.checkpoints.iter().all(|(step, one)| old.checkpoints.get(step) == Some(one))
}

fn five(run: &Run) {
    (1..=5).for_each(|step| run.save_checkpoint(step, &checkpoint(step as f32)).unwrap());
}

#[test]
fn old_checkpoints_are_removed_whole_and_the_newest_stay() {
    each_fault(five, |run| run.keep_checkpoints(2, |step| step == 2), some_of_the_old);
}

#[test]
fn checkpoints_beyond_a_step_are_removed_whole_and_the_others_stay() {
    each_fault(five, |run| run.remove_checkpoints_after(3), some_of_the_old);
}

fn record(step: u64) -> Record {
    Record { step, epoch: step as f64 / 8.0, values: vec![("loss".to_owned(), 1.0 / step as f64)] }
}

/// Whole records from the first one on, at least those that were there.
fn a_beginning(now: &Found, old: &Found, new: &Found) -> bool {
    let (now, old, new) = (&now.metrics, &old.metrics.records, &new.metrics.records);
    now.broken_lines.is_empty() && now.records.starts_with(old) && new.starts_with(&now.records)
}

#[test]
fn metrics_end_at_a_whole_record_whatever_happens_to_the_first_ones() {
    let act = |run: &Run| {
        let mut writer = run.metrics_writer()?;
        let after = run.metrics()?.records.len() as u64;
        (after + 1..=3).try_for_each(|step| writer.append(&record(step)))?;
        writer.sync()
    };
    each_fault(|_| {}, act, a_beginning);
}

#[test]
fn metrics_that_were_synced_outlive_whatever_happens_to_later_ones() {
    let before = |run: &Run| {
        let mut writer = run.metrics_writer().unwrap();
        (1..=2).for_each(|step| writer.append(&record(step)).unwrap());
        writer.sync().unwrap();
    };
    let act = |run: &Run| {
        let mut writer = run.metrics_writer()?;
        let after = run.metrics()?.records.len() as u64;
        (after + 1..=5).try_for_each(|step| writer.append(&record(step)))?;
        writer.sync()
    };
    each_fault(before, act, a_beginning);
}

#[test]
fn a_writer_that_met_a_full_disk_goes_on_when_there_is_space_again() {
    let folder = place();
    let run = Run::create(&folder.path().join("run"), "").unwrap();
    let mut writer = run.metrics_writer().unwrap();
    writer.append(&record(1)).unwrap();
    let went = during(Fault::Full, 0, folder.path(), || writer.append(&record(2)));
    let error = went.result.unwrap_err().to_string();
    assert!(error.contains("metrics") && error.contains("free some space"), "{error}");
    writer.append(&record(3)).unwrap();
    assert_eq!(run.metrics().unwrap(), Metrics { records: vec![record(1), record(3)], broken_lines: vec![] });
}

#[test]
fn metrics_are_cut_for_a_resume_whole_or_not_at_all() {
    let before = |run: &Run| {
        let mut writer = run.metrics_writer().unwrap();
        (1..=5).for_each(|step| writer.append(&record(step)).unwrap());
        writer.sync().unwrap();
    };
    each_fault(before, |run| run.metrics_writer()?.truncate_after(3).map(drop), old_or_new);
}

#[test]
fn a_measurement_a_summary_and_a_report_are_the_old_or_the_new_one() {
    let write = |run: &Run, number: u64| {
        run.write_measurement("probe-000001", &json!({ "probe": "probe", "found": number }))?;
        run.write_summary(json!({ "steps": number }).as_object().unwrap())?;
        write_atomically(&run.report_path(), format!("report {number}").as_bytes())
    };
    // One file after the other.
    let each = |now: &Found, old: &Found, new: &Found| {
        let parts = [
            (now.measurements == old.measurements, now.measurements == new.measurements),
            (now.summary == old.summary, now.summary == new.summary),
            (now.report == old.report, now.report == new.report),
        ];
        parts.iter().all(|(old, new)| *old || *new) && parts.is_sorted_by(|a, b| a.1 >= b.1)
    };
    each_fault(|_| {}, |run| write(run, 1), each);
    each_fault(|run| write(run, 1).unwrap(), |run| write(run, 2), each);
}

#[test]
fn a_run_is_made_or_can_be_made_again() {
    let folder = place();
    let (mut at, mut happened) = (0, true);
    while happened {
        for fault in
            [Fault::Refused, Fault::Full, Fault::Killed, Fault::PowerCut(0), Fault::PowerCut(1), Fault::PowerCut(9)]
        {
            let dir = folder.path().join(format!("{at}-{fault:?}/runs/run"));
            let went = during(fault, at, folder.path(), || Run::create(&dir, "seed = 7\n"));
            happened = went.happened;
            // Nothing but writing needs space.
            assert!(!happened || fault == Fault::Full || went.result.is_err(), "{fault:?} at change {at} was not told");
            let run = Run::open(&dir).or_else(|_| Run::create(&dir, "seed = 7\n")).unwrap();
            assert_eq!(run.config().unwrap(), "seed = 7\n");
        }
        at += 1;
    }
    assert!(at > 8, "{at} changes were seen");
}
