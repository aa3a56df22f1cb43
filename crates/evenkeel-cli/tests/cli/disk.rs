//! Disks that are full, cannot be written or limit files, as the system makes them.

use super::{Place, Said, checkpoint, metrics};
use std::process::Command;

const RUN: &str = "train --model mlp:16 --epochs 2 --set measure.start_and_end=false";
const LAST: &str = "000044";

/// Runs a script in this folder, with `$evenkeel` as the command; `None` where the program before it does not exist.
fn script(place: &Place, before: &[&str], script: &str) -> Option<Said> {
    let (program, arguments) = before.split_first().expect("a program");
    let output = Command::new(program)
        .args(arguments)
        .args(["sh", "-c", script])
        .env("evenkeel", env!("CARGO_BIN_EXE_evenkeel"))
        .current_dir(place.dir.path())
        .output()
        .ok()?;
    let said = Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
    };
    assert!(!said.err.contains("panicked"), "{}", said.err);
    Some(said)
}

/// Runs a script with a file system of this size in the folder `disk`; `None` where nobody may mount one.
fn with_disk(place: &Place, size: &str, lines: &str) -> Option<Said> {
    let mount = format!("mkdir disk && mount -t tmpfs -o size={size} tmpfs disk || exit 99\n{lines}");
    let said = script(place, &["unshare", "--user", "--map-root-user", "--mount"], &mount);
    let said = said.filter(|said| said.code != 99 && !said.err.starts_with("unshare:"));
    if said.is_none() {
        eprintln!("skipped: this system lets nobody mount a small file system");
    }
    said
}

fn with_reference() -> Place {
    let place = Place::new();
    assert_eq!(place.run(&format!("{RUN} -q --out reference")).code, 0);
    place
}

fn assert_same(place: &Place, run: &str) {
    let (reference, run) = (place.path("reference"), place.path(run));
    assert!(checkpoint(&reference, LAST) == checkpoint(&run, LAST), "another end");
    assert!(metrics(&reference) == metrics(&run), "other metrics");
}

#[test]
fn a_disk_that_fills_up_in_training_leaves_a_run_to_go_on_with() {
    let place = with_reference();
    let lines = format!(
        "$evenkeel {RUN} -q --out disk/run; echo code $?; ls -A disk/run disk/run/checkpoints; mount -o remount,size=32m disk
         $evenkeel train -q --resume --out disk/run >&2; echo code $?; cp -r disk/run run"
    );
    // Room for one checkpoint, but not for two and the metrics.
    let Some(said) = with_disk(&place, "56k", &lines) else { return };
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines.first().zip(lines.last()), Some((&"code 2", &"code 0")), "{} {}", said.out, said.err);
    assert!(lines.contains(&"000000") && !lines.iter().any(|line| line.starts_with('.')), "{}", said.out);
    for words in [
        "error: cannot write the ",
        "No space left on device",
        "kept      disk/run/checkpoints/000000",
        "go on with `evenkeel train --resume --out disk/run`",
    ] {
        assert!(said.err.contains(words), "{}", said.err);
    }
    assert_same(&place, "run");
}

#[test]
fn a_disk_without_room_for_the_report_keeps_all_that_was_learned() {
    let place = with_reference();
    let lines = format!("$evenkeel {RUN} -q --out disk/run; echo code $?; ls -A disk/run; cp -r disk/run run");
    let Some(said) = with_disk(&place, "512k", &lines) else { return };
    assert!(said.out.starts_with("code 2\n"), "{} {}", said.out, said.err);
    assert!(said.err.contains("report.html") && said.err.contains("No space left on device"), "{}", said.err);
    assert_eq!(
        said.out.lines().skip(1).collect::<Vec<_>>(),
        ["checkpoints", "identity.json", "metrics", "run.toml", "summary.json"]
    );
    assert_same(&place, "run");
    assert_eq!(place.run("report run").code, 0);
}

#[test]
fn a_run_on_a_read_only_disk_is_measured_but_not_changed() {
    let place = with_reference();
    let lines = "cp -r reference disk/run; mount -o remount,ro disk
         $evenkeel measure disk/run hessian --samples 20 -q; echo measure $?
         $evenkeel report disk/run; echo report $?
         $evenkeel train --resume --out disk/run -q; echo resume $?
         $evenkeel train --out disk/other -q; echo other $?
         diff -r reference disk/run && ls -A disk";
    let Some(said) = with_disk(&place, "32m", lines) else { return };
    // The number is told even though it cannot be kept.
    assert!(said.out.starts_with("largest Hessian eigenvalues at step 44"), "{} {}", said.out, said.err);
    for words in ["measure 2\n", "report 2\nresume 2\nother 2\n"] {
        assert!(said.out.contains(words), "{} {}", said.out, said.err);
    }
    assert!(said.out.ends_with("other 2\nrun\n"), "{}", said.out);
    assert_eq!(said.err.matches("hint: make it writable, or choose another place").count(), 4, "{}", said.err);
}

// The system cuts a write at the limit and refuses the next one, as a full disk does, for users who cannot mount one.
#[test]
fn a_limit_on_files_leaves_whole_records_and_a_run_to_go_on_with() {
    let place = Place::new();
    let long = "train --model mlp:16 --epochs 5 --set measure.start_and_end=false --set checkpoint.every_steps=10 -q";
    assert_eq!(place.run(&format!("{long} --out reference")).code, 0);
    // 12 KiB: a checkpoint's files are shorter, the metrics grow longer.
    let limited = format!("trap '' XFSZ; ulimit -f 24; exec $evenkeel {long} --out run");
    let said = script(&place, &["env"], &limited).expect("a shell");
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("error: cannot write the metrics") && said.err.contains("  kept "), "{}", said.err);
    assert!(said.err.contains("hint: when this is mended, go on with"), "{}", said.err);
    let text = std::fs::read_to_string(place.path("run/metrics")).expect("metrics");
    assert!(text.ends_with("}}\n"), "{text}");
    assert_eq!(place.run("train --resume -q --out run").code, 0);
    let [reference, run] = ["reference", "run"].map(|run| place.path(run));
    assert!(checkpoint(&reference, "000110") == checkpoint(&run, "000110"), "another end");
    assert!(metrics(&reference) == metrics(&run), "other metrics");
}
