//! The schema that editors check by accepts what is a configuration, and refuses what is none.

use evenkeel::config::{Config, KEYS, Key, Kind, MODELS, reference_page, schema};
use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::Value;
use std::path::Path;

fn validator() -> Validator {
    jsonschema::draft202012::new(&schema()).expect("a schema")
}

fn accepted(text: &str) -> bool {
    Config::resolve(Some((Path::new("run.toml"), text)), &[]).is_ok()
}

/// A TOML text as the JSON that an editor checks.
fn json(text: &str) -> Value {
    let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
    serde_json::to_value(table).expect("JSON")
}

/// A file with one setting.
fn one(section: &str, name: &str, value: &str) -> String {
    let header = if section.is_empty() { String::new() } else { format!("[{section}]\n") };
    format!("{header}{name} = {value}\n")
}

const NUMBERS: &[&str] = &[
    "-9223372036854775807",
    "-2",
    "-1",
    "-0.5",
    "-1e-9",
    "0",
    "1e-9",
    "0.3",
    "0.5",
    "0.999",
    "1",
    "1.5",
    "2",
    "3",
    "9999",
    "10000",
    "10001",
    "65536",
    "1e-3",
    "9223372036854775807",
];

const OTHERS: &[&str] = &[
    "true",
    "false",
    "[]",
    "[1]",
    "{}",
    "\"\"",
    "\"none\"",
    "\"all\"",
    "\"NONE\"",
    "\"batch\"",
    "\"group\"",
    "\"group:8\"",
    "\"group:0\"",
    "\"group:08\"",
    "\"group:\"",
    "\"group:-1\"",
    "\"improved-group:2\"",
    "\"layer:2\"",
    "\"he\"",
    "\"he:1\"",
    "\"normal\"",
    "\"normal:0.05\"",
    "\"normal:1e-3\"",
    "\"normal:x\"",
    "\"2GiB\"",
    "\"1.5 gib\"",
    "\"512MB\"",
    "\"0GiB\"",
    "\"2 Gi\"",
    "\"100\"",
    "\"1_000 KiB\"",
    "\"-1GiB\"",
    "\"1.5.2GB\"",
    "\".5KiB\"",
    "\"mlp\"",
    "\"mlp:512-512\"",
    "\"mlp:64x3\"",
    "\"mlp:1000x500\"",
    "\"mlp:0\"",
    "\"mlp:\"",
    "\"mlp:65536\"",
    "\"mlp:65537\"",
    "\"mlp:1x0\"",
    "\"mlp:x3\"",
    "\"resnet20\"",
    "\"resnet20:8\"",
    "\"transformer:4-128-4-64\"",
    "\"transformer:4-128-4\"",
    "\"encoder:1-8-2-2\"",
    "\"gru:32-128\"",
    "\"28x28x1\"",
    "\"28x28\"",
    "\"028x65536x3\"",
    "\"65537x1x1\"",
    "\"28x0x1\"",
    "\"28x28x1x1\"",
    "\"+28x28\"",
    "\"mpl\"",
    "\" mlp\"",
    "\"*.bias: rate=2 decay=0; head.*: rate=0.1\"",
    "\" *.bias, norm*: rate=2 decay=0 ; head.*:rate=0.1;\"",
    "\"*.bias\"",
    "\": rate=1\"",
    "\"*: speed=1\"",
    "\"*: rate=-1\"",
    "\"*: rate\"",
    "\"*: rate=1decay=2\"",
    "\"*:\"",
    "\";;\"",
    "\"*: rate=1e-3 decay=.5\"",
    "\"*: rate=1 : decay=2\"",
    "\"a\\nb: rate=1\\ndecay=2\"",
    "2020-01-01",
];

#[test]
fn each_value_of_each_setting_is_refused_by_both_or_by_neither() {
    let validator = validator();
    let mut counts = [0, 0];
    for key in KEYS {
        let words = match key.kind {
            Kind::Choice(words) | Kind::Optional(&Kind::Choice(words)) => words,
            Kind::Model => MODELS,
            _ => &[],
        };
        let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        for value in NUMBERS.iter().chain(OTHERS).copied().chain(words.iter().map(String::as_str)) {
            for name in key.aliases.iter().chain([&key.name]) {
                // JSON does not tell dates from texts; those are checked where they are not let through as such.
                if value.starts_with("2020") && key.kind == Kind::Text {
                    continue;
                }
                let text = one(key.section, name, value);
                let is_valid = validator.is_valid(&json(&text));
                assert_eq!(is_valid, key.check(value).is_ok(), "the schema says {is_valid}: {text}");
                assert!(is_valid || !accepted(&text), "the schema refuses what is accepted: {text}");
                counts[usize::from(is_valid)] += 1;
            }
        }
    }
    assert!(counts[0] > 1000 && counts[1] > 1000, "{counts:?}");
}

#[test]
fn unknown_keys_and_sections_are_refused_by_both() {
    let validator = validator();
    for text in
        ["speed = 1", "[optimizer]\nspeed = 1", "[speed]", "optimizer = 1", "data = \"digits\"", "lr = 0.1", "[[data]]"]
    {
        assert!(!validator.is_valid(&json(text)) && !accepted(text), "{text}");
    }
    for text in ["", "version = \"0.0.1\"", "version = 3", "[optimizer]", "optimizer.lr = 1", "optimizer = { lr = 1 }"]
    {
        assert!(validator.is_valid(&json(text)) && accepted(text), "{text}");
    }
}

#[test]
fn the_defaults_of_the_schema_are_those_of_the_settings() {
    let schema = schema();
    for key in KEYS {
        let place = if key.section.is_empty() { &schema } else { &schema["properties"][key.section] };
        let property = &place["properties"][key.name];
        let text = one(key.section, key.name, &property["default"].to_string());
        assert!(accepted(&text), "{text}");
        let file = Some((Path::new("run.toml"), text.as_str()));
        assert_eq!(Config::resolve(file, &[]).ok().map(|config| config.to_toml()), Some(settled(key)), "{}", key.path);
        assert!(!property["description"].as_str().expect("a description").is_empty(), "{}", key.path);
    }
}

/// The defaults where a setting was given its default: others may follow from that it was given.
fn settled(key: &Key) -> String {
    let text = one(key.section, key.name, &key.default().unwrap_or_else(|| "\"none\"".into()));
    Config::resolve(Some((Path::new("run.toml"), &text)), &[]).expect("defaults").to_toml()
}

fn value(key: &'static Key) -> BoxedStrategy<String> {
    let number = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        (-3i64..20_000).prop_map(|number| number.to_string()),
        // What has a fraction: 1.0 is a whole number to JSON and none to TOML.
        any::<f64>()
            .prop_filter("no fraction", |number| number.fract() != 0.0)
            .prop_map(|number| format!("{number:?}")),
        (-1.5..2.5)
            .prop_filter("no fraction", |number: &f64| number.fract() != 0.0)
            .prop_map(|number| format!("{number:?}")),
    ];
    let word = match key.kind {
        Kind::Choice(words) | Kind::Optional(&Kind::Choice(words)) => prop::sample::select(words).boxed(),
        Kind::Model => prop::sample::select(MODELS).boxed(),
        _ => prop::sample::select(&["none", "x"][..]).boxed(),
    };
    let other = prop::sample::select(OTHERS).prop_filter("a date", |value| !value.starts_with("2020"));
    prop_oneof![number, word.prop_map(|word| format!("\"{word}\"")), other.prop_map(str::to_owned)].boxed()
}

fn setting() -> impl Strategy<Value = (&'static Key, String)> {
    let keys: Vec<&'static Key> = KEYS.iter().collect();
    prop::sample::select(keys).prop_flat_map(|key| (Just(key), value(key)))
}

/// A file of some settings.
fn file(settings: &[(&Key, String)]) -> String {
    let mut sections: Vec<&str> = settings.iter().map(|(key, _)| key.section).collect();
    sections.sort_unstable();
    sections.dedup();
    let mut text = String::new();
    for section in sections {
        if !section.is_empty() {
            text += &format!("[{section}]\n");
        }
        for (key, value) in settings.iter().filter(|(key, _)| key.section == section) {
            text += &format!("{} = {value}\n", key.name);
        }
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn random_files_are_refused_for_a_value_by_both_or_by_neither(given in prop::collection::vec(setting(), 0..4)) {
        let validator = validator();
        let mut settings: Vec<(&Key, String)> = Vec::new();
        for (key, value) in given {
            if settings.iter().all(|(other, _)| other.path != key.path) {
                settings.push((key, value));
            }
        }
        let text = file(&settings);
        let all_are_right = settings.iter().all(|(key, value)| key.check(value).is_ok());
        prop_assert_eq!(validator.is_valid(&json(&text)), all_are_right, "{}", text);
        if let Ok(config) = Config::resolve(Some((Path::new("run.toml"), &text)), &[]) {
            prop_assert!(all_are_right, "accepted: {}", text);
            prop_assert!(validator.is_valid(&json(&config.to_toml())), "written: {}", config.to_toml());
        }
    }
}

#[test]
fn the_files_in_docs_are_those_that_the_program_prints() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let read = |name: &str| std::fs::read_to_string(docs.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let again = "`cargo run -p evenkeel --example configuration_reference` writes it, see CONTRIBUTING.md";
    assert!(read("configuration.md") == reference_page(), "docs/configuration.md is out of date: {again}");
    assert!(
        read("evenkeel.schema.json") == format!("{:#}\n", schema()),
        "docs/evenkeel.schema.json is out of date: {again}"
    );
}
