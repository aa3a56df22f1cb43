//! `evenkeel init`: what it prints, what it leaves behind, and that training goes on from it.

use super::{Place, checkpoint, metrics, steady};
use insta::assert_snapshot;
use serde_json::Value;

const SMALL: &str =
    "--set model=mlp:16-8 --set norm=none --set epochs=1 --set measure.start_and_end=false --set init.iterations=40";

#[test]
fn gradinit_prints_its_factors_and_training_goes_on_from_its_state() {
    let place = Place::new();
    let said = place.run(&format!("init --method gradinit {SMALL} --out run"));
    assert_eq!(said.code, 0, "{}", said.err);
    assert_snapshot!(steady(&said.out), @r"
    gradinit     factor  gradient before   after
    fc1.weight   #           #  #
    fc1.bias     #           #  #
    fc2.weight   #           #  #
    fc2.bias     #           #  #
    head.weight  #           #  #
    head.bias    #           #  #
    loss            # → #
    gradient norm   # → #
    loss a step on  # → #
    over            500 training samples, # s
    ");
    assert!(said.err.ends_with("train from it with `evenkeel train --resume --out run`\n"), "{}", said.err);
    assert_eq!(place.names("run/checkpoints"), ["000000"]);
    assert!(std::fs::read_to_string(place.path("run/report.html")).expect("a report").contains("plot-initialization"));
    let prepared = checkpoint(&place.path("run"), "000000");
    assert_eq!(place.run("train --resume --out run").code, 0);

    // Training that adapts its weights itself starts from the same state.
    let said = place.run(&format!("train --set init.method=gradinit {SMALL} --set checkpoint.keep=2 --out other"));
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.err.contains("gradinit  loss "), "{}", said.err);
    assert_eq!(checkpoint(&place.path("other"), "000000"), prepared);
    assert_eq!(metrics(&place.path("run")), metrics(&place.path("other")));
}

#[test]
fn the_document_holds_every_factor_and_where_the_run_is() {
    let place = Place::new();
    let said = place.run(&format!("init --json --method smart {SMALL} --out run"));
    assert_eq!(said.code, 0, "{}", said.err);
    let found: Value = serde_json::from_str(&said.out).expect("one JSON document");
    assert_eq!(
        (&found["probe"], &found["method"], &found["run"]),
        (&"initialization".into(), &"smart".into(), &"run".into())
    );
    assert_eq!(found["parameters"][5]["parameter"], "head.bias");
    assert_eq!(found["parameters"][4]["scale"], 1.0);
    assert_eq!(found["untouched"][0]["path"], "head");
}

#[test]
fn a_rule_draws_weights_anew_and_a_run_can_be_adapted_again() {
    let place = Place::new();
    assert_eq!(place.run(&format!("init --method orthogonal {SMALL} --out one")).code, 0);
    let config = std::fs::read_to_string(place.path("one/run.toml")).expect("a configuration");
    assert!(config.contains("initialization = \"orthogonal\""), "{config}");
    let said = place.run("init one --method data-dependent --out two");
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.err.starts_with("from one at step 0\n"), "{}", said.err);
    assert_ne!(checkpoint(&place.path("one"), "000000"), checkpoint(&place.path("two"), "000000"));
}

#[test]
fn what_is_refused_leaves_nothing_behind() {
    let place = Place::new();
    assert_snapshot!(place.refused("init --method gradinid --out run"), @r"
    error: --method does not know 'gradinid'
      expected  one of data-dependent, smart, gradinit, he, he-uniform, glorot, glorot-normal, lecun, lecun-uniform, orthogonal, delta-orthogonal, uniform, normal
      got       gradinid
    hint: did you mean 'gradinit'?
    ");
    assert_snapshot!(place.refused("init --method gradinit --set init.batch_size=7 --out run"), @r"
    error: gradinit cannot have this batch_size
      key       init.batch_size
      expected  an even number of at least 2: half of a batch comes again
      got       7
    hint: set `init.batch_size`; what is left out there is that of training, or the paper's
    ");
    assert!(!place.path("run").exists());
}
