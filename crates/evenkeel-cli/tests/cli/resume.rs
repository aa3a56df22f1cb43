//! Stopped at any moment, a run ends in the same bits.
#![cfg(unix)]

use super::{Place, checkpoint, metrics};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const LONG: &str = "train --model mlp:32 --epochs 12 --set measure.samples=50 --set measure.every=50";
const LAST: &str = "000264";

pub(crate) fn start(place: &Place, arguments: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .args(arguments.split_whitespace())
        .current_dir(place.dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts")
}

pub(crate) fn signal(child: &Child, name: &str) {
    // A process that has just ended is as good as one that was hit.
    let _ = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status();
}

/// Waits until the metrics have so many lines, or the command ended.
pub(crate) fn wait_for(child: &mut Child, run: &Path, lines: usize) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(30) && child.try_wait().expect("a child").is_none() {
        let text = std::fs::read(run.join("metrics")).unwrap_or_default();
        if text.iter().filter(|byte| **byte == b'\n').count() >= lines && run.join("metrics").exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn interrupt(mut child: Child, run: &Path, lines: usize) -> Output {
    wait_for(&mut child, run, lines);
    signal(&child, "INT");
    child.wait_with_output().expect("the command ends")
}

fn assert_same(place: &Place, run: &str) {
    let (reference, run) = (place.path("reference"), place.path(run));
    assert!(checkpoint(&reference, LAST) == checkpoint(&run, LAST), "another end");
    assert!(metrics(&reference) == metrics(&run), "other metrics");
    let names = |run: &Path| {
        let entries = std::fs::read_dir(run.join("measurements")).expect("measurements");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&reference), names(&run));
}

fn with_reference() -> Place {
    let place = Place::new();
    assert_eq!(place.run(&format!("{LONG} -q --out reference")).code, 0);
    place
}

#[test]
fn a_run_interrupted_ten_times_in_a_row_ends_in_the_same_bits() {
    let place = with_reference();
    let run = place.path("run");
    let first = interrupt(start(&place, &format!("{LONG} --out run")), &run, 0);
    assert_eq!(first.status.code(), Some(130));
    let err = String::from_utf8(first.stderr).expect("UTF-8");
    assert!(err.contains("hint: go on with `evenkeel train --resume --out run`"), "{err}");
    for lines in (1..10).map(|stop| 25 * stop) {
        let child = start(&place, "train --resume --out run");
        let code = interrupt(child, &run, lines).status.code();
        assert!(code == Some(130) || code == Some(0), "{code:?}");
    }
    assert_eq!(place.run("train --resume --out run -q").code, 0);
    assert_same(&place, "run");
}

#[test]
fn a_run_killed_again_and_again_ends_in_the_same_bits() {
    let place = with_reference();
    let run = place.path("run");
    let mut child = start(&place, &format!("{LONG} -q --out run"));
    for lines in [1, 40, 90, 170] {
        wait_for(&mut child, &run, lines);
        signal(&child, "KILL");
        child.wait().expect("the command ends");
        child = start(&place, "train --resume --out run -q");
    }
    assert!(child.wait().expect("the command ends").success());
    assert_same(&place, "run");
    assert_eq!(place.names("run/checkpoints").iter().filter(|name| name.starts_with('.')).count(), 0);
}

#[test]
fn a_run_on_numbers_to_be_predicted_ends_in_the_same_bits_after_interruptions() {
    let place = Place::new();
    super::data::prices(&place);
    let numbers = "train --data csv:prices.csv --set data.targets=numbers --set augment.mixup=0.5 --model mlp:16 --epochs 20 \
                   --batch-size 4 --set measure.samples=20 --set measure.every=50";
    assert_eq!(place.run(&format!("{numbers} -q --out reference")).code, 0);
    let run = place.path("run");
    interrupt(start(&place, &format!("{numbers} --out run")), &run, 2);
    for lines in [30, 80] {
        interrupt(start(&place, "train --resume --out run"), &run, lines);
    }
    assert_eq!(place.run("train --resume --out run -q").code, 0);
    let (reference, last) = (place.path("reference"), "000400");
    assert!(checkpoint(&reference, last) == checkpoint(&run, last), "another end");
    assert!(metrics(&reference) == metrics(&run), "other metrics");
}

// The first measurement used to be taken to its end before the signal was heard.
#[test]
fn a_measurement_can_be_interrupted() {
    let place = Place::new();
    let wide = "train --model mlp:1024-1024 --set measure.samples=1000 --set measure.tolerance=1e-9 --out run";
    let output = interrupt(start(&place, wide), &place.path("run"), 0);
    assert_eq!(output.status.code(), Some(130));
    let err = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(err.contains("error: interrupted after step 0 of 440"), "{err}");
    assert!(!err.contains("lambda_max"), "{err}");
    assert_eq!(place.names("run/checkpoints"), ["000000"]);
}

#[test]
fn results_of_claims_are_kept_when_the_next_one_is_interrupted() {
    let place = Place::new();
    assert!(place.run("reproduce 10.8 --seeds 1").code <= 1);
    let kept = std::fs::read(place.path("runs/claims/10.8.json")).expect("a result");
    let mut child = start(&place, "reproduce 10.8 --seeds 1000000");
    let mut err = BufReader::new(child.stderr.take().expect("stderr"));
    let mut said = String::new();
    err.read_line(&mut said).expect("it says what it does");
    signal(&child, "INT");
    err.read_to_string(&mut said).expect("UTF-8");
    assert_eq!(child.wait().expect("the command ends").code(), Some(130), "{said}");
    assert!(said.ends_with("error: interrupted; finished results are kept\n  left      1 claim\n"), "{said}");
    assert_eq!(std::fs::read(place.path("runs/claims/10.8.json")).expect("a result"), kept);
    assert_eq!(place.names("runs/claims"), ["10.8.json", "claims.html"]);
}
