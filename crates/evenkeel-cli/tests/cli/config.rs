//! The configuration, its reference and its schema, as they are printed.

use super::Place;
use insta::assert_snapshot;
use std::path::Path;

fn docs(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name))
        .expect("a page of the docs")
}

#[test]
fn a_configuration_is_printed_as_the_run_would_keep_it() {
    let place = Place::new();
    place.write("c.toml", "epochs = 1\n[optimizer]\nname = \"adam\"\n");
    // What a run chooses by its data is given.
    let set = "--set measure.every=0 --set measure.layers_every=0 --set checkpoint.best=test_loss";
    let said = place.run(&format!("config c.toml --batch-size 32 {set}"));
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    for line in ["epochs = 1", "batch_size = 32", "name = \"adam\"", "learning_rate = 0.001", "every = 0"] {
        assert!(said.out.lines().any(|other| other == line), "{line} in {}", said.out);
    }
    assert_eq!(place.run(&format!("train c.toml -q --batch-size 32 {set} --out run")).code, 0);
    assert_eq!(std::fs::read_to_string(place.path("run/run.toml")).expect("a configuration"), said.out);
    let json: serde_json::Value =
        serde_json::from_str(&place.run("config c.toml --json").out).expect("one JSON document");
    assert_eq!((json["epochs"].as_u64(), json["optimizer"]["learning_rate"].as_f64()), (Some(1), Some(0.001)));
}

#[test]
fn mistakes_are_shown_as_training_shows_them() {
    let place = Place::new();
    place.write("c.toml", "epoch = 1\n");
    assert_snapshot!(place.refused("config c.toml"), @r"
    error: unknown key 'epoch'
      --> c.toml:1:1
      1 | epoch = 1
        | ^^^^^ did you mean 'epochs'?
    ");
}

#[test]
fn the_reference_and_the_schema_are_those_of_the_docs() {
    let place = Place::new();
    assert!(place.run("config --reference").out == docs("configuration.md"));
    assert!(place.run("config --schema").out == docs("evenkeel.schema.json"));
    let keys: serde_json::Value =
        serde_json::from_str(&place.run("config --reference --json").out).expect("one JSON document");
    assert_eq!(keys["keys"][0]["key"], "seed");
    assert_eq!(place.run("config --reference --schema").code, 2);
}
