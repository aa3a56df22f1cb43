//! `bench`: what it prints, which keys it gives, and what it refuses. Times are never looked at.

use super::{Place, steady};
use insta::assert_snapshot;
use serde_json::Value;

const SMALL: &str = "bench --model mlp:16 --input 8x8x1 --batch-size 8 --repeat 2 --threads 1";

fn document(arguments: &str) -> Value {
    let said = Place::new().run(&format!("{arguments} --json"));
    assert_eq!((said.code, said.err.as_str()), (0, ""), "`{arguments}`: {}", said.err);
    serde_json::from_str(&said.out).expect("one JSON document")
}

#[test]
fn every_program_gives_its_settings_and_its_numbers() {
    for what in ["forward", "grad", "step", "hvp", "ggnvp"] {
        let document = document(&format!("{SMALL} --what {what} --seed 3"));
        let keys: Vec<&str> = document.as_object().expect("an object").keys().map(String::as_str).collect();
        let settings = [
            "model",
            "norm",
            "weight_norm",
            "input",
            "batch_size",
            "what",
            "repeated",
            "block",
            "norm_mode",
            "dtype",
            "seed",
            "threads",
        ];
        let numbers = ["runs", "median_ms", "min_ms", "gflops", "peak_share", "peak_bytes", "compile_ms"];
        assert_eq!(keys, [&settings[..], &numbers[..]].concat());
        assert_eq!(document["what"], what);
        assert_eq!(document["input"], serde_json::json!([8, 8, 1]));
        assert_eq!((document["runs"].as_u64(), document["seed"].as_u64()), (Some(2), Some(3)));
        assert_eq!(document["norm_mode"], if what == "forward" { "running" } else { "batch" });
        for number in &numbers[1..] {
            assert!(document[number].as_f64().is_some_and(|number| number > 0.0), "{what}: {number}");
        }
    }
}

#[test]
fn made_weights_are_timed_and_told() {
    let said = Place::new().run(&format!("{SMALL} --what forward --weight-norm normalized"));
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("norm batch, weights normalized, batch 8"), "{}", said.out);
    assert_eq!(document(&format!("{SMALL} --weight-norm standardized"))["weight_norm"], "standardized");
}

#[test]
fn a_product_costs_more_memory_than_a_gradient_and_double_precision_about_twice_as_much() {
    let bytes = |flags: &str| document(&format!("{SMALL} {flags}"))["peak_bytes"].as_u64().expect("a number");
    let gradient = bytes("--what grad");
    assert!(bytes("--what hvp") > gradient);
    let ratio = bytes("--what grad --dtype f64") as f64 / gradient as f64;
    assert!((1.7..2.1).contains(&ratio), "{ratio}");
}

#[test]
fn a_product_at_a_fixed_point_computes_less_and_a_block_multiplies_all_its_directions() {
    let resnet = "bench --model resnet20 --norm batch --input 8x8x3 --batch-size 2 --repeat 1 --threads 1";
    for what in ["hvp", "ggnvp"] {
        let flops = |flags: &str| {
            let document = document(&format!("{resnet} --what {what} {flags}"));
            let number = |name: &str| document[name].as_f64().expect("a number");
            if flags.contains("block") {
                assert_eq!(document["median_ms_per_vector"].as_f64(), Some(number("median_ms") / 8.0));
            }
            number("gflops") * number("median_ms")
        };
        let (whole, repeated, block) = (flops(""), flops("--repeated"), flops("--repeated --block 8"));
        assert!(repeated < 0.9 * whole, "{what}: {repeated} of {whole}");
        assert!((block / repeated - 8.0).abs() < 0.8, "{what}: {block} of {repeated}");
        assert!(flops("--block 8") > block);
    }
}

#[test]
fn frozen_statistics_and_images_are_taken_by_every_program_but_a_step() {
    for what in ["forward", "grad", "hvp", "ggnvp"] {
        let flags = "--model resnet20 --batch-size 2 --repeat 1 --norm batch --norm-mode frozen";
        assert_eq!(document(&format!("bench {flags} --input 8x8x3 --what {what}"))["norm_mode"], "frozen");
    }
}

#[test]
fn a_network_that_reads_tokens_is_given_tokens() {
    for what in ["forward", "step", "hvp", "ggnvp"] {
        let document = document(&format!("bench --model transformer:1-8-2-6 --batch-size 2 --repeat 1 --what {what}"));
        assert_eq!(document["input"], serde_json::json!([6]));
    }
    assert!(Place::new().refused("bench --model transformer --input 65").contains("at most 64 tokens"));
}

#[test]
fn a_step_has_the_work_and_the_memory_of_what_wraps_its_rule() {
    let measured = |flags: &str| document(&format!("{SMALL} --norm batch {flags}"));
    let bytes = |flags: &str| measured(flags)["peak_bytes"].as_u64().expect("a number");
    let plain = bytes("");
    for more in ["averaging.name=exponential", "optimizer.name=entropy-sgd", "optimizer.name=adam"] {
        assert!(bytes(&format!("--set {more}")) > plain, "{more}");
    }
    for set in ["weight_rescaling.every=1", "label_smoothing=0.1"] {
        assert_eq!(measured(&format!("--set {set}"))["set"], serde_json::json!([set]));
    }
}

#[test]
fn a_reader_gets_words_and_units() {
    let said = Place::new().run(&format!("{SMALL} --norm none"));
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines[0], "step of mlp:16, norm none, batch 8 of 8×8×1, norm mode batch, f32, 1 thread");
    let labels: Vec<&str> = lines[1..].iter().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(labels, ["median", "fastest", "speed", "memory", "compiled"]);
    assert!(steady(lines[1]).ends_with("# ms over 2 runs"), "{}", lines[1]);
}

#[test]
fn a_profile_tells_kinds_and_the_slowest_steps() {
    let document = document(&format!("{SMALL} --what grad --profile"));
    let profile = &document["profile"];
    let kinds = profile["kinds"].as_array().expect("kinds");
    let steps: u64 = kinds.iter().filter_map(|kind| kind["steps"].as_u64()).sum();
    let shares: f64 = kinds.iter().filter_map(|kind| kind["share"].as_f64()).sum();
    assert!((shares - 1.0).abs() < 1e-9, "{shares}");
    let products = kinds.iter().find(|kind| kind["kind"] == "matmul").expect("products");
    assert!(products["gflops"].as_f64().is_some_and(|rate| rate > 0.0));
    let slowest = profile["slowest"].as_array().expect("steps");
    assert_eq!(slowest.len() as u64, steps.min(10));
    assert!(slowest.iter().any(|step| step["layer"] == "fc1"), "{slowest:?}");
    let said = Place::new().run(&format!("{SMALL} --profile"));
    assert!(said.out.contains("by kind") && said.out.contains("the slowest steps"), "{}", said.out);
}

#[test]
fn what_cannot_be_timed_is_refused() {
    let place = Place::new();
    assert_snapshot!(place.refused("bench --what stepp"), @r"
    error: --what does not know 'stepp'
      expected  one of forward, grad, step, hvp, ggnvp
      got       stepp
    hint: did you mean 'step'?
    ");
    assert_snapshot!(place.refused("bench --input 28*28*1"), @r"
    error: --input cannot be '28*28*1'
      expected  whole numbers of at least 1 with an x between them, as in 28x28x1
      got       28*28*1
    ");
    assert_snapshot!(place.refused("bench --what step --norm-mode running"), @r"
    error: a training step takes the statistics of its batch
      expected  norm mode batch
      got       norm mode running
    hint: use `--what grad` to time other norm modes
    ");
    assert_snapshot!(place.refused("bench --what grad --block 8"), @r"
    error: block is for products with a direction
      expected  hvp or ggnvp
      got       grad
    hint: leave `--block` out, or take `--what hvp`
    ");
    let words = [
        ("--model resnet2O", "did you mean 'resnet20'?"),
        ("--norm bach", "did you mean 'batch'?"),
        ("--norm-mode runing", "did you mean 'running'?"),
        ("--dtype f16", "one of f32, f64"),
        ("--batch-size 0", "must be at least 1"),
        ("--repeat 0", "at least 1"),
        ("--block 0", "at least 1"),
        ("--seed -1", "must be at least 0"),
        ("--model vgg11 --input 16x16x3", "too small for vgg11"),
        ("--batch-size 1 --what step", "more than one value per channel"),
        ("--batch-size 9223372036854775807", ""),
        ("--set epochs=3", "a timed program has no use for 'epochs'"),
        ("--set optimizer.nme=adam", "did you mean 'optimizer.name'?"),
        ("--model mlp:8 --set optimizer.groups=conv*:rate=1", "has no parameter of the network"),
    ];
    for (flags, words) in words {
        let error = place.refused(&format!("bench {flags}"));
        assert!(error.contains(words), "`{flags}`: {error}");
    }
}
