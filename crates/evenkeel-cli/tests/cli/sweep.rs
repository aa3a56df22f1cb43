//! A sweep is the runs it consists of, and can be stopped and go on as they can.

use super::{Place, checkpoint, metrics, steady};
use insta::assert_snapshot;
use std::path::Path;

/// Two rates, two momenta, two seeds: eight runs of 44 steps.
const SMALL: &str = "sweep --model mlp:8 --epochs 2 --set measure.samples=20 --set measure.start_and_end=false \
                     --grid lr=0.1,0.01 --grid optimizer.momentum=0,0.9 --seeds 2 --out sweep";

fn same_run(one: &Path, other: &Path) {
    assert!(checkpoint(one, "000044") == checkpoint(other, "000044"), "{} ends in other bits", one.display());
    assert!(metrics(one) == metrics(other), "{} has other metrics", one.display());
    let config = |run: &Path| std::fs::read_to_string(run.join("run.toml")).expect("a configuration");
    assert_eq!(config(one), config(other));
}

#[test]
fn a_sweep_is_told_in_a_table_and_its_runs_are_those_that_train_makes() {
    let place = Place::new();
    let said = place.run(SMALL);
    assert_eq!(said.code, 0, "{}", said.err);
    let blanks = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let table: Vec<String> = steady(&said.out).lines().map(blanks).map(|line| line.replace(" best", "")).collect();
    assert_snapshot!(table.join("\n"), @r"
    lr momentum finished test accuracy test loss seconds
    # 0 2/2 # ± # # ± # # ± #
    # # 2/2 # ± # # ± # # ± #
    # 0 2/2 # ± # # ± # # ± #
    # # 2/2 # ± # # ± # # ± #
    ");
    assert_eq!(said.out.matches("best").count(), 1, "{}", said.out);
    assert!(said.err.starts_with("8 runs, "), "{}", said.err);
    assert!(said.err.ends_with("page  sweep/sweep.html\n"), "{}", said.err);
    let points = ["lr=0.01,momentum=0", "lr=0.01,momentum=0.9", "lr=0.1,momentum=0", "lr=0.1,momentum=0.9"];
    assert_eq!(place.names("sweep"), [&points[..], &["sweep.html", "sweep.toml"]].concat());
    for (lr, momentum, seed) in [("0.1", "0.9", 1), ("0.01", "0", 0)] {
        let alone = format!(
            "train -q --threads 2 --model mlp:8 --epochs 2 --set measure.samples=20 --set measure.start_and_end=false --lr {lr} --set \
             optimizer.momentum={momentum} --seed {seed} --out alone{seed}"
        );
        assert_eq!(place.run(&alone).code, 0);
        let run = place.path(&format!("sweep/lr={lr},momentum={momentum}/seed={seed}"));
        same_run(&run, &place.path(&format!("alone{seed}")));
    }
    // Its runs are listed where the sweep is, in one database.
    assert_eq!(place.names("sweep/lr=0.1,momentum=0"), ["seed=0", "seed=1"]);
    assert!(place.path("evenkeel.db").is_file());
    let listed = place.run("runs .").out;
    assert!(listed.contains("sweep/lr=0.1,momentum=0/seed=1"), "{listed}");
    // A run of a sweep is a run.
    assert_eq!(place.run("report sweep/lr=0.1,momentum=0/seed=0").code, 0);
    assert_eq!(place.run("measure sweep/lr=0.1,momentum=0/seed=0 hessian --samples 20").code, 0);
}

#[test]
fn the_same_sweep_again_trains_nothing_and_a_larger_one_what_is_new() {
    let place = Place::new();
    let sweep = "sweep --model mlp:8 --epochs 2 --set measure.start_and_end=false --out sweep --grid lr";
    assert_eq!(place.run(&format!("{sweep}=0.1 --seeds 2 --jobs 1")).code, 0);
    let first =
        std::fs::metadata(place.path("sweep/lr=0.1/seed=0/metrics")).and_then(|file| file.modified()).expect("a time");
    let again = place.run(&format!("{sweep}=0.1 --seeds 2 --json"));
    let document: serde_json::Value = serde_json::from_str(&again.out).expect("one JSON document");
    assert_eq!((document["points"][0]["finished"].as_u64(), again.code), (Some(2), 0));
    assert!(again.err.starts_with("2 runs, 2 of them done before"), "{}", again.err);
    let more = place.run(&format!("{sweep}=0.2,0.1 --seeds 3 --jobs 2"));
    assert!(more.err.starts_with("6 runs, 2 of them done before, 2 at a time, 176 steps to do"), "{}", more.err);
    assert_eq!(more.out.lines().filter(|line| line.contains("3/3")).count(), 2, "{}", more.out);
    let last =
        std::fs::metadata(place.path("sweep/lr=0.1/seed=0/metrics")).and_then(|file| file.modified()).expect("a time");
    assert_eq!(first, last);
}

#[test]
fn a_point_that_diverges_is_a_row_and_stays_one() {
    let place = Place::new();
    let sweep =
        "sweep --model mlp:8 --norm none --epochs 2 --set measure.start_and_end=false --seeds 2 --out sweep --grid";
    let said = place.run(&format!("{sweep} lr=0.1,1e30"));
    assert_eq!(said.code, 0, "{}", said.err);
    let row = said.out.lines().last().expect("a row");
    assert!(row.starts_with("1e30") && row.contains("0/2") && row.contains("diverged at step "), "{}", said.out);
    assert!(row.ends_with("(2 of 2 seeds)"), "{}", said.out);
    let again = place.run(&format!("{sweep} lr=0.1,1e30"));
    assert_eq!(again.out.lines().last(), Some(row));
    assert!(again.err.contains("4 of them done before"), "{}", again.err);
    let all = place.run(&format!("{sweep} lr=1e30"));
    assert_eq!(all.code, 3);
    assert_snapshot!(all.err.lines().skip(2).collect::<Vec<_>>().join("\n"), @r"
    error: none of 2 runs came to its end
      diverged  2
    hint: try smaller rates: `--grid lr=0.01,0.001`; the report of a run says where its numbers stopped being finite
    ");
}

#[test]
fn another_base_is_refused_with_the_key() {
    let place = Place::new();
    let sweep =
        "sweep --model mlp:8 --set measure.start_and_end=false --seeds 1 --out sweep --grid lr=0.1,0.2 --epochs";
    assert_eq!(place.run(&format!("{sweep} 1")).code, 0);
    assert_snapshot!(place.refused(&format!("{sweep} 2")), @r"
    error: the sweep in this folder was started with another epochs
      file      sweep/sweep.toml
      key       epochs
      expected  1
      got       2
    hint: leave it as it was, or sweep into another folder with `--out DIR`
    ");
    assert_eq!(place.run("train --resume --epochs 2 --out sweep/lr=0.1/seed=0").code, 0);
    assert_snapshot!(place.refused(&format!("{sweep} 1")), @r"
    error: this run of the sweep was trained with another epochs
      file      sweep/lr=#/seed=0/run.toml
      key       epochs
      expected  2
      got       1
    hint: move it away to have it trained anew, or sweep into another folder with `--out DIR`
    ");
    place.write("file", "");
    assert!(place.refused("sweep --seeds 2 --out .").contains("what it holds is no sweep"));
}

#[test]
fn a_plan_says_what_there_is_to_do_and_writes_nothing() {
    let place = Place::new();
    let said = place.run(&format!("{SMALL} --plan --threads 2"));
    assert_snapshot!(steady(&said.out).replace("KiB", "MiB"), @r"
    folder         sweep
    runs           8, 4 combinations of 2 seeds each
    finished       0
    diverged       0
    to do          8, 0 of them begun; 352 steps
    at a time      2
    memory         # MiB for all at a time, measurements not counted
    available now  # GiB

    lr=#,momentum=0 seed=0     to do
    lr=#,momentum=# seed=0   to do
    lr=#,momentum=0 seed=0    to do
    lr=#,momentum=# seed=0  to do
    lr=#,momentum=0 seed=1     to do
    lr=#,momentum=# seed=1   to do
    lr=#,momentum=0 seed=1    to do
    lr=#,momentum=# seed=1  to do
    ");
    assert_eq!(place.names("."), Vec::<String>::new());
    let small = place.run(&format!("{SMALL} --memory-limit 3MiB --plan --json --threads 2"));
    let document: serde_json::Value = serde_json::from_str(&small.out).expect("one JSON document");
    assert!(document["peak_bytes"].as_u64().expect("bytes") <= 3 << 20, "{document}");
}

#[test]
fn a_memory_limit_is_shared_out_among_the_runs() {
    let place = Place::new();
    let sweep = "sweep --model mlp:8 --epochs 1 --set measure.start_and_end=false --grid lr=0.1,0.2 --memory-limit";
    assert_eq!(place.run(&format!("{sweep} 8MiB --jobs 2 --out two")).code, 0);
    let config = std::fs::read_to_string(place.path("two/lr=0.1/seed=0/run.toml")).expect("a configuration");
    assert!(config.contains("memory_limit = \"4MiB\""), "{config}");
    let error = place.refused(&format!("{sweep} 64KiB --jobs 2 --out none"));
    assert!(error.contains("  grid      lr=#"), "{error}");
    // Too little for two at a time.
    let least = error.split("at least ").nth(1).and_then(|rest| rest.lines().next()).expect("the least");
    let said = place.run(&format!("{sweep} {least} --jobs 2 --out one"));
    assert!(said.err.starts_with("2 runs, 1 at a time") && said.err.contains("for want of memory"), "{}", said.err);
}

#[test]
fn mistakes_in_a_grid_are_refused_and_leave_nothing_behind() {
    let place = Place::new();
    let grids = [
        ("--grid lr", "--grid needs a key and its values"),
        ("--grid lr=", "a value of a grid is missing"),
        ("--grid lr=0.1,,0.2", "a value of a grid is missing"),
        ("--grid lr=[0.1", "not valid TOML"),
        ("--grid lr=[]", "a value of a grid is missing"),
        ("--grid rate=1,2", "did you mean"),
        ("--grid optimizer.lrr=1,2", "did you mean 'optimizer.learning_rate'?"),
        ("--grid lr=0.1,fast", "^^^^ this is a text"),
        ("--grid lr=0.1,-1", "must be above 0"),
        ("--grid lr=0.1,0.10", "two combinations of the grid are the same"),
        ("--grid lr=0.1 --grid optimizer.lr=0.2", "is in the grid twice"),
        ("--grid lr=0.1,0.2 --lr 0.3", "is given and varies"),
        ("--grid lr=0.1,0.2 --set optimizer.lr=0.3", "is given and varies"),
        ("--grid seed=1,2", "`--seeds N` takes so many seeds"),
        ("--grid lr=0.1,0.2 --seeds 0", "at least 1"),
        ("--grid lr=0.1,0.2 --seeds 9999", "too many runs"),
        ("--grid lr=0.1,0.2 --jobs 0", "at least 1"),
        ("--grid batch-size=64,5000", "grid      batch-size=5000"),
        ("--grid model=mlp,mpl", "did you mean 'mlp'?"),
        ("", "a sweep of one run"),
    ];
    for (flags, words) in grids {
        let error = place.refused(&format!("sweep {flags}"));
        assert!(error.contains(words), "`{flags}`: {error}");
    }
    assert_eq!(place.names("."), Vec::<String>::new());
}

#[cfg(unix)]
mod stopped {
    use super::super::resume::{interrupt, signal, start, wait_for};
    use super::*;

    const LONG: &str =
        "sweep --model mlp:32 --epochs 12 --set measure.samples=50 --set measure.every=100 --grid lr=0.1,0.02 --jobs 2";
    const LAST: &str = "000264";

    fn whole(place: &Place) {
        for run in ["lr=0.1/seed=0", "lr=0.02/seed=0"] {
            let (reference, run) = (place.path("reference").join(run), place.path("sweep").join(run));
            assert!(checkpoint(&reference, LAST) == checkpoint(&run, LAST), "another end");
            assert!(metrics(&reference) == metrics(&run), "other metrics");
        }
    }

    #[test]
    fn a_sweep_interrupted_and_killed_ends_in_the_same_bits() {
        let place = Place::new();
        assert_eq!(place.run(&format!("{LONG} -q --out reference")).code, 0);
        let (long, run) = (format!("{LONG} --out sweep"), place.path("sweep/lr=0.1/seed=0"));
        let first = interrupt(start(&place, &long), &run, 1);
        assert_eq!(first.status.code(), Some(130));
        let err = String::from_utf8(first.stderr).expect("UTF-8");
        assert!(err.contains("hint: the same command again goes on from there"), "{err}");
        for lines in [60, 120] {
            let mut child = start(&place, &long);
            wait_for(&mut child, &run, lines);
            signal(&child, "KILL");
            child.wait().expect("the command ends");
        }
        assert_eq!(place.run(&long).code, 0);
        whole(&place);
    }

    #[test]
    fn a_sweep_that_is_in_work_is_not_begun_twice() {
        let place = Place::new();
        let long = format!("{LONG} --out sweep").replace("--epochs 12", "--epochs 1000");
        let mut child = start(&place, &long);
        wait_for(&mut child, &place.path("sweep/lr=0.1/seed=0"), 1);
        assert!(place.run(&long).err.contains("error: another process has this sweep in work"));
        signal(&child, "KILL");
        child.wait().expect("the command ends");
    }
}
