//! No text, however broken, makes the configuration panic; it is read or refused with an error that can be shown.

use evenkeel::ErrorKind;
use evenkeel::config::*;
use proptest::prelude::*;
use std::path::Path;

/// Reads a file; a refusal must be whole: one first line, a place, an exit code for bad input.
fn survives(text: &str) {
    if let Err(error) = Config::resolve(Some((Path::new("run.toml"), text)), &[]) {
        check(&error, "  --> run.toml");
    }
}

fn survives_override(given: Override) {
    if let Err(error) = Config::resolve(None, &[given]) {
        check(&error, "  --> --");
    }
}

fn check(error: &evenkeel::Error, place: &str) {
    let shown = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Input);
    assert!(!error.what().is_empty() && !error.what().contains('\n'), "{shown}");
    assert!(shown.lines().nth(1).is_some_and(|line| line.starts_with(place)), "{shown}");
    assert!(shown.contains('^'), "{shown}");
    assert!(!shown.chars().any(|character| character.is_control() && character != '\n'), "{shown:?}");
}

/// Values of every TOML type, right and wrong.
const VALUES: &[&str] = &[
    "0",
    "-1",
    "1",
    "1.5",
    "1e999",
    "-inf",
    "nan",
    "0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
    "0o7",
    "true",
    "\"\"",
    "\"mlp:1-2\"",
    "\"mlp:99999999999999999999999\"",
    "'none'",
    "[]",
    "{}",
    "[[1]]",
    "1979-05-27",
    "\"\"\"\n\n\"\"\"",
    "\"\\u0007\"",
    "none",
    "é",
    "",
];

fn key() -> impl Strategy<Value = String> {
    let known = (0..KEYS.len()).prop_map(|index| KEYS[index].path.to_owned());
    prop_oneof![4 => known, 1 => "[a-z_.]{0,24}", 1 => any::<String>()]
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![4 => prop::sample::select(VALUES).prop_map(str::to_owned), 1 => any::<String>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        survives(&text);
    }

    #[test]
    fn text_made_of_the_signs_of_toml_is_read_or_refused(text in "[a-c0-9=\\[\\]{}\"'\\\\.,#_:\\-+ \t\r\n\u{feff}é]{0,80}") {
        survives(&text);
    }

    #[test]
    fn a_valid_file_with_a_piece_exchanged_is_read_or_refused(
        start: prop::sample::Index,
        length in 0usize..12,
        piece in any::<String>(),
    ) {
        let mut text: Vec<char> = reference().chars().collect();
        let start = start.index(text.len());
        let end = (start + length).min(text.len());
        text.splice(start..end, piece.chars());
        survives(&text.into_iter().collect::<String>());
    }

    #[test]
    fn a_file_cut_short_is_read_or_refused(end: prop::sample::Index) {
        let text: Vec<char> = reference().chars().collect();
        survives(&text[..end.index(text.len())].iter().collect::<String>());
    }

    #[test]
    fn any_value_for_any_key_is_read_or_refused(key in key(), value in value()) {
        survives(&format!("{key} = {value}\n"));
        survives_override(Override::flag("--flag", &key, &value));
        survives_override(Override { origin: format!("--set {key}"), key, value });
    }

    #[test]
    fn any_argument_of_set_is_read_or_refused(argument in any::<String>()) {
        match Override::set(&argument) {
            Ok(given) => survives_override(given),
            Err(error) => check(&error, "  --> --set"),
        }
    }

    #[test]
    fn any_model_string_is_read_or_refused(text in prop_oneof![any::<String>(), "(mlp|vgg11):[0-9+:\\-]{0,40}"]) {
        if let Ok(model) = text.parse::<ModelSpec>() {
            prop_assert_eq!(model.to_string().parse::<ModelSpec>().unwrap(), model);
        }
    }
}

#[test]
fn deep_nesting_is_refused_without_exhausting_the_stack() {
    survives(&format!("seed = {}", "[".repeat(100_000)));
    survives(&format!("seed = {}1{}", "{a=".repeat(100_000), "}".repeat(100_000)));
    survives_override(Override::set(&format!("seed={}", "[".repeat(100_000))).unwrap());
}

#[test]
fn a_model_with_too_many_layers_is_refused() {
    let model = |layers: usize| format!("mlp:{}", vec!["8"; layers].join("-")).parse::<ModelSpec>();
    assert_eq!(model(1_000).unwrap().widths.len(), 1_000);
    assert!(model(1_001).unwrap_err().to_string().contains("1001 hidden layers"));
}
