//! Training that goes well.

use super::{Place, TINY, checkpoint, metrics, steady};
use insta::assert_snapshot;

#[test]
fn training_prints_its_results_on_stdout_and_its_course_on_stderr() {
    let place = Place::new();
    let said = place.run(&format!("{TINY} --out run --set measure.every=20"));
    assert_eq!(said.code, 0);
    assert_snapshot!(steady(&said.out), @r"
    run            run
    steps          44
    seconds        #
    train loss     #
    test loss      #
    test accuracy  #
    best           #  (test accuracy at step 44, kept)
    lambda_max     #  (norm mode batch)
    ");
    assert_snapshot!(steady(&said.err), @r"
    mlp:16 on digits (1,438 training and 359 test samples), norm batch
    1,242 parameters, 44 steps, into run
    step 0  lambda_max #  (2/lr #; 20 samples, norm mode batch, # s)
    step 20  lambda_max #  (2/lr #; 20 samples, norm mode batch, # s)
    epoch 1/2  train loss #  accuracy #  test loss #  accuracy #
    step 40  lambda_max #  (2/lr #; 20 samples, norm mode batch, # s)
    epoch 2/2  train loss #  accuracy #  test loss #  accuracy #
    step 44  lambda_max #  (2/lr 15699; 20 samples, norm mode batch, # s)
    report  run/report.html
    ");
    assert_eq!(
        place.names("run"),
        ["checkpoints", "identity.json", "measurements", "metrics", "report.html", "run.toml", "summary.json"]
    );
}

#[test]
fn stderr_that_is_no_terminal_gets_no_escape_codes_and_no_bar() {
    let said = Place::new().run(TINY);
    assert!(!said.err.contains(['\x1b', '\r', '━']), "{:?}", said.err);
}

#[test]
fn quiet_training_says_nothing_on_stderr() {
    assert_eq!(Place::new().run(&format!("{TINY} -q")).err, "");
}

#[test]
fn runs_without_a_folder_are_numbered() {
    let place = Place::new();
    for _ in 0..2 {
        assert_eq!(place.run(&format!("{TINY} -q")).code, 0);
    }
    assert_eq!(place.names("runs"), ["evenkeel.db", "mlp-digits-001", "mlp-digits-002"]);
}

#[test]
fn json_is_one_document_with_the_results() {
    let said = Place::new().run(&format!("{TINY} --json --out run"));
    let document: serde_json::Value = serde_json::from_str(&said.out).expect("one JSON document");
    for key in ["seconds", "train_loss", "test_loss", "test_accuracy", "lambda_max"] {
        assert!(document[key].is_f64(), "{key}: {document}");
    }
    assert_eq!((document["run"].as_str(), document["steps"].as_u64()), (Some("run"), Some(44)));
}

#[test]
fn one_thread_and_two_give_the_same_bits() {
    let place = Place::new();
    for threads in [1, 2] {
        assert_eq!(place.run(&format!("{TINY} -q --threads {threads} --out threads{threads}")).code, 0);
    }
    let (one, two) = (place.path("threads1"), place.path("threads2"));
    assert!(checkpoint(&one, "000044") == checkpoint(&two, "000044"));
    assert!(metrics(&one) == metrics(&two));
}

#[test]
fn another_seed_gives_another_network() {
    let place = Place::new();
    for seed in [0, 1] {
        assert_eq!(place.run(&format!("{TINY} -q --seed {seed} --out seed{seed}")).code, 0);
    }
    assert!(checkpoint(&place.path("seed0"), "000044") != checkpoint(&place.path("seed1"), "000044"));
}

#[test]
fn the_file_of_a_run_trains_the_same_run_again() {
    let place = Place::with_run();
    assert_eq!(place.run("train run/run.toml -q --out again").code, 0);
    assert!(checkpoint(&place.path("run"), "000044") == checkpoint(&place.path("again"), "000044"));
}

#[test]
fn a_plan_says_what_training_takes_and_writes_nothing() {
    let place = Place::new();
    let said = place.run("train --model mlp:16 --plan --json");
    let document: serde_json::Value = serde_json::from_str(&said.out).expect("one JSON document");
    assert_eq!(document["parameters"], 1242);
    assert_eq!(document["parameter_bytes"], 4 * 1242);
    // 1,797 images of 8×8 with their labels.
    assert_eq!(document["data_bytes"], 1797 * (64 + 4));
    let parts = ["parameter", "buffer", "optimizer", "data", "activation", "evaluation", "batch", "checkpoint"];
    let bytes = |name: &str| document[format!("{name}_bytes")].as_u64().expect("a number");
    assert_eq!(bytes("peak"), parts.into_iter().map(bytes).sum::<u64>());
    for list in ["most_bytes", "most_flops"] {
        let price = |work: &serde_json::Value| work[list.trim_start_matches("most_")].as_u64().expect("a number");
        let prices: Vec<u64> = document[list].as_array().expect("a list").iter().map(price).collect();
        assert!(prices.len() <= 5 && prices.is_sorted_by(|a, b| a >= b), "{prices:?}");
    }
    assert_eq!(document["most_flops"][0]["layer"], "fc1");
    let said = place.run("train --model mlp:16 --plan");
    let labels: Vec<&str> = said.out.lines().filter_map(|line| line.split("  ").next()).take(9).collect();
    let parts =
        ["parameters", "buffers", "optimiser state", "data", "activations", "evaluation", "batch", "checkpoint"];
    assert_eq!(labels, [&parts[..], &["peak"]].concat());
    let set = "--set weight_rescaling.every=1 --set micro_batch_size=16";
    let said = place.run(&format!("train --model mlp:16 --norm batch --plan {set}"));
    assert!(said.out.contains("of a step with batch 64, in parts of 16\n"), "{}", said.out);
    assert!(said.out.contains("rescaled weights: fc1.weight\n"), "{}", said.out);
    assert_eq!(place.names("."), Vec::<String>::new());
}

#[test]
fn a_plan_names_what_happens_to_the_training_samples() {
    let place = Place::new();
    let said = place.run("train --model mlp:16 --plan --set augment.crop=2 --set augment.mixup=0.2");
    let wanted =
        "training samples: a new order each epoch, crops within 2 pixels of zeros, mixed in pairs by Beta(0.2, 0.2)";
    assert!(said.out.lines().any(|line| line == wanted), "{}", said.out);
    assert_snapshot!(place.refused("train --model mlp:16 --plan --set augment.crop=8"), @r"
    error: augment.crop is too large: an image would be padding alone
      key       augment.crop
      expected  at most 7
      got       8
    ");
    assert_snapshot!(place.refused("train --model autoencoder --set augment.mixup=0.2"), @r"
    error: augment.mixup is not for a network that gives back its inputs
      key       augment.mixup
      expected  labels to learn
    hint: leave `augment.mixup` out, or choose another model
    ");
}

#[test]
fn a_memory_limit_is_kept_or_refused_with_the_least_that_can_be() {
    let place = Place::new();
    let deep = "train --model mlp:32-32-32-32-32-32-32-32 --batch-size 512 --plan";
    let said = place.run(&format!("{deep} --memory-limit 1100KiB"));
    assert!(said.out.contains("1.1 MiB  for measurements, too"), "{}", said.out);
    assert!(said.out.contains("of it again, for want of memory"), "{}", said.out);
    let error = place.refused(&format!("{deep} --memory-limit 64KiB"));
    let least = error.split("at least ").nth(1).and_then(|rest| rest.lines().next()).expect("the least");
    assert_eq!(place.run(&format!("{deep} --memory-limit {least}")).code, 0, "{error}");
    assert_snapshot!(place.refused(&format!("{deep} --memory-limit 2Gi")), @r"
    error: memory_limit is not a size
      --> --memory-limit
        | 2Gi
        | ^^^ write a number and KiB, MiB, GiB or TiB, as in 2GiB
    ");
}

#[test]
fn nobody_reading_stdout_is_no_error() {
    let place = Place::new();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .args(TINY.split_whitespace())
        .arg("-q")
        .current_dir(place.dir.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the command starts");
    drop(child.stdout.take());
    assert!(child.wait().expect("the command ends").success());
}
