//! What a user sees when a configuration is refused: the words, the place and the carets are part of the interface.

use evenkeel::Error;
use evenkeel::config::{Config, NormKind, Override};
use std::path::Path;

fn file(text: &str) -> Error {
    Config::resolve(Some((Path::new("run.toml"), text)), &[]).expect_err(text)
}

fn overrides(overrides: &[Override]) -> Error {
    Config::resolve(None, overrides).expect_err("refused")
}

#[test]
fn a_model_that_is_not_in_the_zoo_is_shown_with_its_nearest_name() {
    insta::assert_snapshot!(file("seed = 1\n\nmodel = \"resnet2O\"\n"), @r#"
    model 'resnet2O' is not in the zoo
      --> run.toml:3:9
      3 | model = "resnet2O"
        |         ^^^^^^^^^^ did you mean 'resnet20'?
    hint: `evenkeel models` lists them
    "#);
}

#[test]
fn a_model_without_hidden_layers_of_its_own_choice_takes_no_widths() {
    insta::assert_snapshot!(file("model = \"vgg11:64\"\n"), @r#"
    model 'vgg11' takes no widths
      --> run.toml:1:9
      1 | model = "vgg11:64"
        |         ^^^^^^^^^^ write 'vgg11' alone
    "#);
}

#[test]
fn a_layer_has_at_least_one_unit() {
    insta::assert_snapshot!(file("model = \"mlp:512-0\"\n"), @r#"
    model 'mlp' cannot have a layer of width '0'
      --> run.toml:1:9
      1 | model = "mlp:512-0"
        |         ^^^^^^^^^^^ widths are whole numbers from 1 to 65536, as in 'mlp:512-512'
    "#);
}

#[test]
fn an_unknown_key_is_shown_with_its_nearest_full_path() {
    insta::assert_snapshot!(file("epochs = 5\n[optimizer]\nmomentun = 0.9\n"), @r#"
    unknown key 'optimizer.momentun'
      --> run.toml:3:1
      3 | momentun = 0.9
        | ^^^^^^^^ did you mean 'optimizer.momentum'?
    "#);
}

#[test]
fn a_known_key_in_the_wrong_place_is_shown_where_it_belongs() {
    insta::assert_snapshot!(file("momentum = 0.5\n"), @r#"
    unknown key 'momentum'
      --> run.toml:1:1
      1 | momentum = 0.5
        | ^^^^^^^^ did you mean 'optimizer.momentum' or 'batch_norm.momentum'?
    "#);
    // Not the section that is spelled most like it.
    insta::assert_snapshot!(file("lr = 0.5\n"), @r#"
    unknown key 'lr'
      --> run.toml:1:1
      1 | lr = 0.5
        | ^^ did you mean 'optimizer.learning_rate'?
    "#);
}

#[test]
fn a_penalty_of_dropout_where_nothing_is_dropped_is_refused() {
    insta::assert_snapshot!(file("[dropout]\nr1 = 1.0\n"), @r#"
    dropout.r1 is a penalty of dropout, and nothing is dropped
      --> run.toml:2:6
      2 | r1 = 1.0
        |      ^^^ needs dropout.rate above 0
    hint: set dropout.rate; with dropout.masks = "none" it stands in the penalty alone
    "#);
}

#[test]
fn a_key_like_no_other_comes_with_the_list_of_its_section() {
    insta::assert_snapshot!(file("[data]\ncolour = 3\n"), @r#"
    unknown key 'data.colour'
      --> run.toml:2:1
      2 | colour = 3
        | ^^^^^^ there is no such setting
    hint: [data] has source, targets, shape, limit, balanced, label_noise, test_limit, seed, test_fraction, tokens, normalize
    "#);
}

#[test]
fn a_section_named_inside_another_leads_to_its_first_setting() {
    insta::assert_snapshot!(file("[data]\ninput_noise = 0.1\n"), @r#"
    unknown key 'data.input_noise'
      --> run.toml:2:1
      2 | input_noise = 0.1
        | ^^^^^^^^^^^ did you mean 'input_noise.deviation'?
    "#);
}

#[test]
fn a_misspelled_section_is_shown_at_its_header() {
    insta::assert_snapshot!(file("[optimiser]\nlr = 1\n"), @r#"
    unknown key 'optimiser'
      --> run.toml:1:2
      1 | [optimiser]
        |  ^^^^^^^^^ did you mean 'optimizer'?
    "#);
}

#[test]
fn a_section_used_as_a_setting_leads_to_the_setting() {
    insta::assert_snapshot!(file("data = \"mnist:x\"\n"), @r#"
    'data' is a section, not a setting
      --> run.toml:1:1
      1 | data = "mnist:x"
        | ^^^^ did you mean 'data.source'?
    hint: [data] has source, targets, shape, limit, balanced, label_noise, test_limit, seed, test_fraction, tokens, normalize
    "#);
}

#[test]
fn a_number_between_quotes_is_no_number() {
    insta::assert_snapshot!(file("epochs = \"20\"\n"), @r#"
    epochs must be a whole number
      --> run.toml:1:10
      1 | epochs = "20"
        |          ^^^^ this is a text; write 20 without quotes
    "#);
}

#[test]
fn a_value_outside_its_range_is_shown_with_the_range() {
    insta::assert_snapshot!(file("[optimizer]\nmomentum = 1  # heavy\n"), @r#"
    optimizer.momentum is out of range
      --> run.toml:2:12
      2 | momentum = 1  # heavy
        |            ^ must be at least 0 and below 1
    "#);
}

#[test]
fn an_infinite_rate_is_out_of_range() {
    insta::assert_snapshot!(file("[optimizer]\nlr = 1e999\n"), @r#"
    optimizer.learning_rate is out of range
      --> run.toml:2:6
      2 | lr = 1e999
        |      ^^^^^ must be finite and above 0
    "#);
}

#[test]
fn a_word_that_is_no_choice_is_shown_with_the_choices() {
    insta::assert_snapshot!(file("norm = \"whiten\"\n"), @r#"
    unknown norm 'whiten'
      --> run.toml:1:8
      1 | norm = "whiten"
        |        ^^^^^^^^ must be one of none, batch, noisy-batch, mean-only, layer, group, instance, rms, l1, l2, linf, improved-group
    "#);
}

#[test]
fn a_name_and_its_alias_cannot_both_be_set() {
    insta::assert_snapshot!(file("[optimizer]\nlr = 0.1\nlearning_rate = 0.2\n"), @r#"
    optimizer.learning_rate is set twice
      --> run.toml:3:1
      3 | learning_rate = 0.2
        | ^^^^^^^^^^^^^ 'learning_rate' and 'lr' are the same setting; keep one
    "#);
}

#[test]
fn the_same_key_twice_is_shown_at_the_second() {
    insta::assert_snapshot!(file("epochs = 5\nseed = 1\nepochs = 6\n"), @r#"
    'epochs' is set twice
      --> run.toml:3:1
      3 | epochs = 6
        | ^^^^^^ it is already set above; keep one
    "#);
}

#[test]
fn a_word_without_quotes_is_told_to_have_them() {
    insta::assert_snapshot!(file("norm = batch\n"), @r#"
    the configuration is not valid TOML
      --> run.toml:1:8
      1 | norm = batch
        |        ^^^^^ a text needs quotes: "batch"
    "#);
}

#[test]
fn a_broken_header_is_shown_where_it_breaks() {
    insta::assert_snapshot!(file("epochs = 3\n[data\n"), @r#"
    the configuration is not valid TOML
      --> run.toml:2:6
      2 | [data
        |      ^ unclosed table, expected `]`
    "#);
}

#[test]
fn too_few_iterations_are_shown_at_the_later_of_the_two_settings() {
    insta::assert_snapshot!(overrides(&[Override::flag("--set measure.top", "measure.top", 101)]), @r#"
    measure.max_iterations is smaller than measure.top
      --> --set measure.top
        | 101
        | ^^^ 101 eigenvalues need at least 101 iterations
    hint: max_iterations is 100: raise it, or lower top
    "#);
}

#[test]
fn a_flag_stands_in_the_place_of_the_file() {
    insta::assert_snapshot!(overrides(&[Override::flag("--lr", "optimizer.learning_rate", -0.1)]), @r#"
    optimizer.learning_rate is out of range
      --> --lr
        | -0.1
        | ^^^^ must be above 0
    "#);
}

#[test]
fn an_unknown_key_of_set_is_shown_with_its_nearest_full_path() {
    insta::assert_snapshot!(overrides(&[Override::set("optimizer.lrr=1").unwrap()]), @r#"
    unknown key 'optimizer.lrr'
      --> --set optimizer.lrr
        | optimizer.lrr
        | ^^^^^^^^^^^^^ did you mean 'optimizer.learning_rate'?
    "#);
}

#[test]
fn set_without_an_equals_sign_says_what_is_missing() {
    insta::assert_snapshot!(Override::set("optimizer.lr").unwrap_err(), @r#"
    --set needs a key and a value
      --> --set
        | optimizer.lr
        | ^^^^^^^^^^^^ '=' and a value are missing
    hint: write it as in `--set optimizer.lr=0.05`
    "#);
}

#[test]
fn a_word_that_stands_nowhere_is_refused_with_a_hint() {
    insta::assert_snapshot!("bacth".parse::<NormKind>().unwrap_err(), @r#"
    unknown norm 'bacth'
    hint: did you mean 'batch'?
    "#);
}

#[test]
fn groups_of_a_norm_are_a_whole_number_of_a_norm_that_has_them() {
    insta::assert_snapshot!(file("norm = \"group:0\"\n"), @r#"
    norm 'group' cannot have '0' groups
      --> run.toml:1:8
      1 | norm = "group:0"
        |        ^^^^^^^^^ groups are a whole number of at least 1, as in 'group:8'
    "#);
    insta::assert_snapshot!(file("norm = \"batch:4\"\n"), @r#"
    norm 'batch' has no groups
      --> run.toml:1:8
      1 | norm = "batch:4"
        |        ^^^^^^^^^ write 'batch' alone
    "#);
    insta::assert_snapshot!(file("norm = \"grup:4\"\n"), @r#"
    unknown norm 'grup'
      --> run.toml:1:8
      1 | norm = "grup:4"
        |        ^^^^^^^^ did you mean 'group'?
    "#);
}

#[test]
fn every_number_with_a_range_is_refused_just_outside_it() {
    let refused = [
        ("epochs", "0"),
        ("batch_size", "0"),
        ("data.limit", "0"),
        ("data.test_limit", "0"),
        ("data.label_noise", "1.1"),
        ("data.test_fraction", "0.0"),
        ("data.test_fraction", "1.0"),
        ("optimizer.learning_rate", "0"),
        ("optimizer.momentum", "-0.1"),
        ("optimizer.momentum", "1.0"),
        ("optimizer.weight_decay", "-1e-9"),
        ("schedule.step_epochs", "0"),
        ("schedule.factor", "0"),
        ("schedule.final_fraction", "1.1"),
        ("dropout.rate", "1.0"),
        ("noise_injection.sigma", "-0.1"),
        ("batch_norm.momentum", "1.1"),
        ("batch_norm.epsilon", "0"),
        ("batch_norm.ghost", "1"),
        ("measure.top", "0"),
        ("measure.samples", "0"),
        ("measure.tolerance", "0"),
        ("measure.max_iterations", "0"),
        ("seed", "-1"),
        ("measure.every", "-1"),
    ];
    for (key, value) in refused {
        let error = overrides(&[Override::flag("--flag", key, value)]);
        assert_eq!(error.what(), format!("{key} is out of range"), "{value}");
    }
}
