//! Runs that diverge, and runs that were damaged.

use super::{Place, TINY, steady};
use insta::assert_snapshot;
use std::fs;

/// The command between backticks in a hint.
fn hinted(error: &str) -> String {
    let command = error.split("hint:").nth(1).and_then(|hint| hint.split('`').nth(1)).expect("a command");
    command.strip_prefix("evenkeel ").expect("a command of ours").to_string()
}

#[test]
fn divergence_names_step_and_layer_and_its_hint_works() {
    let place = Place::new();
    let said = place.run(&format!("{TINY} --lr 1e30 --out run -q"));
    assert_eq!((said.code, said.out.as_str()), (3, ""));
    assert_snapshot!(steady(&said.err), @r"
    error: the loss became NaN at step 2
      first     norm1 (multiply, forward pass; 16 of 16 channels)
      kept      run/checkpoints/000000, a finite state
    hint: go on from there with a smaller rate: `evenkeel train --resume --out run --lr #`
    ");
    assert_eq!(place.run(&hinted(&said.err)).code, 0);
}

// With one step an epoch the state after the fatal step was finite, was kept, and no rate could lead out of it.
#[test]
fn a_state_that_cannot_be_evaluated_is_not_kept() {
    let place = Place::new();
    let said = place.run(&format!("{TINY} --lr 1e30 --batch-size 1438 --out run -q"));
    assert_eq!(said.code, 3);
    assert!(said.err.starts_with("error: the test loss became NaN at step 1\n"), "{}", said.err);
    assert_eq!(place.names("run/checkpoints"), ["000000"]);
    assert_eq!(place.run(&hinted(&said.err)).code, 0);
}

#[test]
fn a_checkpoint_of_another_network_is_refused_with_both_shapes() {
    let place = Place::with_run();
    let text = fs::read_to_string(place.path("run/run.toml")).expect("run.toml");
    place.write("run/run.toml", text.replace("mlp:16", "mlp:17"));
    let error = place.refused("measure run hessian");
    assert_snapshot!(error, @r"
    error: parameter fc1.weight of the checkpoint does not have the network's shape
      layer     fc1.weight
      expected  [64, 17]
      got       [64, 16]
    hint: was run.toml changed after training? use the model and the optimizer the run was trained with
    ");
    assert_eq!(place.refused("train --resume --out run"), error);
    assert_eq!(place.refused("export run --oracle o.safetensors"), error);
    assert_eq!(place.names("."), ["evenkeel.db", "run"]);
}

fn flip(place: &Place, name: &str, position: usize) {
    let mut bytes = fs::read(place.path(name)).expect("a file");
    bytes[position] ^= 1;
    place.write(name, bytes);
}

#[test]
fn a_damaged_checkpoint_is_passed_over_with_a_warning() {
    let place = Place::with_run();
    let whole = super::checkpoint(&place.path("run"), "000044");
    flip(&place, "run/checkpoints/000044/parameters.safetensors", 300);
    let said = place.run("measure run hessian");
    assert_eq!(said.code, 0);
    assert!(said.err.starts_with("warning: a checkpoint is damaged"), "{}", said.err);
    assert!(said.err.contains("using the checkpoint of step 22 instead"), "{}", said.err);
    let said = place.run("train --resume --out run");
    assert_eq!(said.code, 0);
    let sha256 = said.err.matches("sha256").count();
    let (warning, _) = said.err.split_once("mlp:16 on digits").expect("what is trained");
    let steady: Vec<&str> = warning.lines().filter(|line| !line.contains("sha256")).collect();
    assert_snapshot!(steady.join("\n"), @r"
    warning: a checkpoint is damaged: a file is not the one that was saved
      file      run/checkpoints/000044/parameters.safetensors
    hint: resume from an older checkpoint, or copy this one again from its source
    using the checkpoint of step 22 instead
    ");
    assert_eq!(sha256, 2, "{}", said.err);
    assert!(super::checkpoint(&place.path("run"), "000044") == whole);
}

#[test]
fn the_best_checkpoint_is_kept_and_can_be_measured() {
    let place = Place::new();
    // The rate falls to nothing at once, so that only the first epoch gets better.
    let run = "train --model mlp:16 --epochs 4 --set schedule.name=step --set schedule.step_epochs=1 \
               --set schedule.factor=1e-12 --set checkpoint.keep=1 --set measure.start_and_end=false --norm none";
    let said = place.run(&format!("{run} --out run --json"));
    let document: serde_json::Value = serde_json::from_str(&said.out).expect("one JSON document");
    assert_eq!(document["best"]["metric"], "test_accuracy");
    let best = document["best"]["step"].as_u64().expect("a step");
    assert!(best == 22 || best == 44, "{document}");
    assert_eq!(place.names("run/checkpoints"), [format!("{best:06}"), "000088".to_string()]);
    let said = place.run("measure run hessian --step best --samples 20 --json");
    let measured: serde_json::Value = serde_json::from_str(&said.out).expect("one JSON document");
    assert_eq!(measured["step"], best);
    let report = fs::read_to_string(place.path("run/report.html")).expect("a report");
    assert!(report.contains("The best epoch by test accuracy"));
    assert!(place.refused("measure run hessian --step bes").contains("or say `--step best`"));
    // Going on from the newest is what a resume does.
    let said = place.run("train --resume --out run --epochs 5");
    assert!(said.err.contains("from step 88"), "{}", said.err);
    assert_eq!(place.names("run/checkpoints")[1..], ["000110".to_string()]);
    let none = place.run(&format!("{run} --out none --set checkpoint.best=none -q"));
    assert!(!none.out.contains("best"), "{}", none.out);
    assert_eq!(place.names("none/checkpoints"), ["000088"]);
    assert!(place.refused("measure none hessian --step best").contains("checkpoint.best is none in run.toml"));
}

// A resume without any whole checkpoint used to start over and to throw the metrics away.
#[test]
fn a_run_without_a_whole_checkpoint_is_not_started_over() {
    let place = Place::with_run();
    let metrics = fs::read(place.path("run/metrics")).expect("metrics");
    for step in ["000000", "000022", "000044"] {
        flip(&place, &format!("run/checkpoints/{step}/parameters.safetensors"), 300);
    }
    assert!(place.refused("train --resume --out run").contains("hint: no checkpoint of this run is whole"));
    fs::remove_dir_all(place.path("run/checkpoints")).expect("a folder");
    assert_snapshot!(place.refused("train --resume --out run"), @r"
    error: the run has metrics but no checkpoint to go on from
      file      run/checkpoints
    hint: copy the checkpoints back, or train anew with `--out DIR`
    ");
    assert_eq!(fs::read(place.path("run/metrics")).expect("metrics"), metrics);
}

#[test]
fn a_resumed_run_keeps_its_identity_and_its_epochs() {
    let place = Place::with_run();
    assert_snapshot!(place.refused("train --resume --out run --model mlp:17"), @r#"
    error: model cannot change when a run is resumed
      key       model
      expected  "mlp:16"
      got       "mlp:17"
    hint: leave it out, or train a new run with `--out DIR`
    "#);
    assert!(place.refused("train --resume --out run --epochs 1").contains("the run has gone further than that"));
    assert!(place.refused("train --resume c.toml").contains("has its own configuration"));
    assert!(place.run("train --resume --out run").err.contains("nothing is left to train"));
    let error = place.refused("train --resume --out run --optimizer adam");
    assert!(error.contains("optimizer.name cannot change when a run is resumed"), "{error}");
}

#[test]
fn a_resumed_run_tells_what_it_did_otherwise_before() {
    let place = Place::with_run();
    let changes = || {
        let text = fs::read_to_string(place.path("run/run.toml")).expect("a configuration");
        text.split_once("[[changes]]").map_or(String::new(), |(_, changes)| changes.to_owned())
    };
    assert_eq!(changes(), "");
    let again = |flags: &str| {
        let said = place.run(&format!("train --resume --out run {flags}"));
        assert_eq!(said.code, 0, "{}", said.err);
    };
    again("--epochs 3 --lr 0.05");
    again("");
    again("--epochs 4");
    assert_snapshot!(changes(), @r#"
    "step" = 44
    "epochs" = 2
    "optimizer.learning_rate" = 0.1

    [[changes]]
    "step" = 66
    "epochs" = 3
    "#);
    assert!(place.run("runs . --where changes!=none").out.contains("run "), "the list knows");
    // It is a configuration like any other.
    assert_eq!(place.run("train run/run.toml --epochs 1 --out new").code, 0);
    assert!(!fs::read_to_string(place.path("new/run.toml")).expect("a configuration").contains("changes"));
}

#[test]
fn a_run_goes_on_with_its_own_data_wherever_it_lies_and_with_no_other() {
    let place = Place::new();
    let table = |factor: usize| {
        let rows = (0..60).map(|row| format!("{},{},{}\n", row * factor % 17, row * 5 % 13, row % 3));
        rows.collect::<String>()
    };
    place.write("here.csv", table(7));
    let quick = "--model mlp:4 --batch-size 8 --set measure.start_and_end=false";
    let said = place.run(&format!("train --data csv:here.csv {quick} --epochs 1 --out run"));
    assert_eq!(said.code, 0, "{}", said.err);
    place.write("here.csv", table(9));
    for command in ["train --resume --out run --epochs 2", "measure run hessian"] {
        let error = place.refused(command);
        assert!(error.contains("the data is not what the run was trained with"), "{error}");
    }
    place.write("there.csv", table(7));
    let said = place.run("train --resume --out run --epochs 2 --data csv:there.csv");
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(place.run("measure run hessian --samples 20").code, 0);
}

#[test]
fn metrics_that_are_lost_are_told_and_no_checkpoint_is_cleared() {
    let place = Place::new();
    let trained = place.run("train --model mlp:16 --epochs 6 --set measure.start_and_end=false --out run");
    assert_eq!(trained.code, 0, "{}", trained.err);
    let before = place.names("run/checkpoints");
    let whole = fs::read_to_string(place.path("run/metrics")).expect("metrics");
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let torn = format!("{}not a record\n{}", lines[..20].concat(), lines[20..].concat());
    for damaged in [lines[7..].concat(), torn, String::new()] {
        fs::write(place.path("run/metrics"), damaged).expect("a file");
        let said = place.run("train --resume --out run --epochs 7 -q");
        assert!(said.err.contains("warning: the metrics of steps that were made are damaged or gone"), "{}", said.err);
        let after = place.names("run/checkpoints");
        assert!(before.iter().all(|name| after.contains(name)), "{before:?}, {after:?}");
    }
}

#[test]
fn settings_that_a_run_never_comes_to_are_warned_of() {
    let place = Place::new();
    for (set, words) in [
        ("averaging.name=uniform --set averaging.start=100", "no average is taken"),
        ("optimizer.name=entropy-sgd --set entropy_sgd.steps=100", "the parameters never change"),
        ("learner.kind=sgd --set learner.from_epoch=3", "nothing is learned"),
        ("schedule.warmup_epochs=3", "the run is over in the warm-up"),
    ] {
        let said = place.run(&format!("train --model mlp:4 --epochs 2 --plan --set {set}"));
        assert!(said.code == 0 && said.err.contains(words), "{set}: {}", said.err);
    }
    assert_eq!(place.run("train --model mlp:4 --epochs 2 --plan").err, "");
    let groups = place.refused("train --model mlp:4 --plan --set optimizer.groups=*:rate=1;fc1.*:rate=0");
    assert!(groups.contains("earlier groups have them all"), "{groups}");
}

#[test]
fn what_is_no_run_is_told_so() {
    let place = Place::new();
    assert_snapshot!(place.refused("report nowhere"), @r"
    error: there is no run here: the folder does not exist
      file      nowhere
    hint: check the path; without `--out`, runs are made in `runs/`
    ");
    assert_snapshot!(place.refused("measure . hessian"), @r"
    error: there is no run here: `run.toml` is missing
      file      ./run.toml
    hint: give the folder of a run, the one that holds `run.toml`
    ");
    assert!(place.refused("train --resume").starts_with("error: there is no run to resume"));
    let runs = "train --model mlp:4 --set measure.start_and_end=false --epochs";
    assert_eq!(place.run(&format!("{runs} 2 --out runs/a")).code, 0);
    assert_eq!(place.run(&format!("{runs} 1 --out runs/b")).code, 0);
    // The newest one is at its end; the other one was stopped before.
    fs::remove_file(place.path("runs/a/summary.json")).expect("a summary");
    let said = place.run("train --resume");
    assert!(said.err.contains("into runs/a"), "{}", said.err);
}
