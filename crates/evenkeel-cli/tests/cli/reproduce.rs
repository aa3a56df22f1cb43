//! `reproduce`: what it prints and keeps, how it ends, and what it refuses.

use super::{Place, steady};
use insta::assert_snapshot;
use serde_json::Value;

/// The quickest claim there is, with a number of seeds that settles nothing.
const QUICK: &str = "reproduce 10.8 --seeds 2";

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("one JSON document")
}

#[test]
fn a_claim_is_told_with_what_was_measured_and_what_was_wanted() {
    let place = Place::new();
    let said = place.run("reproduce 10.8 --seeds 5");
    assert_eq!(said.code, 0, "{}", said.err);
    // Times are decimals below ten seconds and whole above.
    let out = said.out.split("   (5 seeds, ").next().expect("a verdict");
    assert_snapshot!(steady(out), @r"
    10  Geometric complexity (Dherin, Munn, Rosca, Barrett 2022)
     8  at the start, geometric complexity halves with each layer for LeCun weights and stays for He weights
        measured   LeCun over 10 · 2⁻ᴸ, by depth: #, #, #, #, #
                   He over 20, by depth: #, #, #, #, #
                   Glorot, by depth: #, #, #, #, #
        wanted     LeCun within 25 % of 10 · 2⁻ᴸ, He within 25 % of 20 at every depth; Glorot decays
        verdict    reproduced
    ");
    assert_snapshot!(steady(&said.err), @r"
    # (1 of 1), about # s on two cores
    page  runs/claims/claims.html
    ");
    assert_eq!(place.names("runs/claims"), ["10.8.json", "claims.html"]);
}

#[test]
fn one_document_holds_all_results_with_their_numbers() {
    let place = Place::new();
    let said = place.run(&format!("{QUICK} --json --seed 3 --out results"));
    let document = json(&said.out);
    let claim = &document["claims"][0];
    assert_eq!((claim["paper"].as_str(), claim["claim"].as_str()), (Some("10"), Some("8")));
    assert_eq!(
        (claim["seeds"].as_u64(), claim["seed"].as_u64(), claim["scale"].as_str()),
        (Some(2), Some(3), Some("cpu"))
    );
    for words in ["verdict", "measured", "wanted", "title", "recipe", "version"] {
        assert!(claim[words].as_str().is_some_and(|text| !text.is_empty()), "{words}: {claim}");
    }
    assert!(claim["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0));
    assert_eq!(claim["checks"][0]["wanted"], serde_json::json!({ "within": [0.75, 1.25] }));
    assert_eq!(claim["checks"][0]["measured"].as_array().map(Vec::len), Some(5));
    assert!(claim["checks"][0]["holds"].is_boolean());
    assert_eq!(document["page"], "results/claims.html");
    let reproduced = claim["verdict"] == "reproduced";
    assert_eq!(said.code, i32::from(!reproduced), "{}", said.err);
    let kept = json(&std::fs::read_to_string(place.path("results/10.8.json")).expect("a result"));
    assert_eq!(kept["checks"], claim["checks"]);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let place = Place::new();
    let checks = |threads: usize| {
        let said = place.run(&format!("{QUICK} --json --quiet --threads {threads}"));
        json(&said.out)["claims"][0]["checks"].clone()
    };
    assert_eq!(checks(1), checks(3));
}

#[test]
fn a_claim_that_does_not_come_out_is_a_result_and_exit_code_one() {
    let place = Place::new();
    let said =
        (0..50).map(|seed| place.run(&format!("reproduce 10.8 --seeds 1 --seed {seed}"))).find(|said| said.code != 0);
    let said = said.expect("the mean of one seed is not always near the expectation");
    assert_eq!(said.code, 1);
    assert!(said.out.contains("verdict    not reproduced"), "{}", said.out);
    assert!(said.out.contains(", not all 0.75 to 1.25"), "{}", said.out);
    assert!(said.err.ends_with("error: not reproduced: 1 of 1 claim (10.8)\n"), "{}", said.err);
}

#[test]
fn without_an_executor_for_gpus_nothing_is_said_and_nothing_fails() {
    let place = Place::new();
    let said = place.run("reproduce 10.8 --scale gpu");
    assert_eq!(said.code, 0, "{}", said.err);
    let verdict = said.out.lines().find(|line| line.contains("verdict")).expect("a verdict");
    assert!(verdict.contains("inconclusive: only the recipe for CPUs is built; there is no GPU executor"), "{verdict}");
}

#[test]
fn the_list_tells_claims_and_their_time_and_runs_nothing() {
    let place = Place::new();
    let said = place.run("reproduce 10.8 --list");
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert_snapshot!(said.out, @r"
    10  Geometric complexity (Dherin, Munn, Rosca, Barrett 2022)
     8  at the start, geometric complexity halves with each layer for LeCun weights and stays for He weights
        about 2.0 s, 20 seeds
    ");
    let document = json(&place.run("reproduce --list --json").out);
    let papers = document["papers"].as_array().expect("papers");
    let ten = papers.iter().find(|paper| paper["paper"] == "10").expect("paper 10");
    assert!(ten["claims"].as_array().expect("claims").iter().any(|claim| claim["claim"] == "8"));
    assert_eq!(place.names("."), Vec::<String>::new());
}

#[test]
fn a_damaged_and_a_foreign_file_among_the_results_are_told_and_passed_over() {
    let place = Place::new();
    assert!(place.run(QUICK).code <= 1);
    let whole = std::fs::read(place.path("runs/claims/10.8.json")).expect("a result");
    place.write("runs/claims/10.9.json", &whole[..whole.len() / 2]);
    place.write("runs/claims/99.1.json", &whole);
    place.write("runs/claims/notes.json", "[1, 2]");
    let said = place.run(QUICK);
    assert!(said.code <= 1, "{}", said.err);
    for name in ["10.9", "99.1", "notes"] {
        assert!(said.err.contains(&format!("file      runs/claims/{name}.json")), "{}", said.err);
    }
    assert_eq!(said.err.matches("warning: a file among the results").count(), 3, "{}", said.err);
    let page = std::fs::read_to_string(place.path("runs/claims/claims.html")).expect("a page");
    assert_eq!(page.matches("<article").count(), 1);
    assert!(page.contains("Left out: a file among the results"));
}

#[test]
fn claims_and_numbers_that_are_none_are_refused() {
    let place = Place::new();
    let unknown = place.refused("reproduce 1O");
    assert!(unknown.starts_with("error: there are no claims of a paper '1O'\n  expected  one of "), "{unknown}");
    assert!(
        unknown.contains("hint: did you mean '10'? `evenkeel reproduce --list` tells what each is about"),
        "{unknown}"
    );
    let unknown = place.run("reproduce 10.8c").err;
    assert!(unknown.starts_with("error: paper 10 has no claim '8c'\n  expected  one of "), "{unknown}");
    assert!(unknown.ends_with("hint: did you mean '10.8'?\n"), "{unknown}");
    assert_snapshot!(place.refused("reproduce --scale tpu"), @r"
    error: --scale does not know 'tpu'
      expected  one of cpu, gpu
      got       tpu
    hint: did you mean 'cpu'?
    ");
    assert_snapshot!(place.refused("reproduce --data nowhere"), @r"
    error: the folder of the data sets is not there
      folder    nowhere
    hint: name the folder that holds `mnist`, `fashion-mnist`, `cifar-10` or `tinyshakespeare`
    ");
    assert!(place.refused("reproduce --seeds 0").contains("a whole number of at least 1"));
    assert!(place.refused("reproduce --seed -1").contains("a whole number of at least 0"));
    assert_eq!(place.names("."), Vec::<String>::new());
}
