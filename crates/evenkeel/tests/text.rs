//! Texts as data: their characters, how they are cut into samples, and networks that learn them.
#![allow(clippy::unwrap_used)]

use evenkeel::config::{Config, Override};
use evenkeel::data::{DataSpec, Dataset, LoadOptions, Vocabulary, describe, load, survey};
use evenkeel::experiment::Experiment;
use evenkeel::graph::DType;
use evenkeel::train::{Outcome, train};
use evenkeel::{Batch, Result};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn file(bytes: &[u8]) -> (TempDir, DataSpec) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("input.txt");
    fs::write(&path, bytes).unwrap();
    (folder, DataSpec::Text(path))
}

fn read(bytes: &[u8], tokens: usize, test_fraction: f64) -> Result<Dataset> {
    let (_folder, spec) = file(bytes);
    load(&spec, &LoadOptions { tokens, test_fraction, ..LoadOptions::default() })
}

fn refused(bytes: &[u8]) -> String {
    read(bytes, 4, 0.2).unwrap_err().to_string()
}

/// Inputs and labels of all samples, as text.
fn texts(dataset: &Dataset, split: &evenkeel::data::Split) -> Vec<(String, String)> {
    let vocabulary = Vocabulary::of_classes(&dataset.class_names).unwrap();
    let batch = Batch::of(dataset, split, DType::F32).unwrap();
    let length = batch.inputs.shape()[1];
    let rows = |tensor: &evenkeel::graph::Tensor| -> Vec<String> {
        tensor.as_slice::<i32>().unwrap().chunks(length).map(|row| vocabulary.decode(row)).collect()
    };
    rows(&batch.inputs).into_iter().zip(rows(&batch.labels)).collect()
}

#[test]
fn a_text_is_cut_into_samples_labelled_with_the_next_characters_and_its_end_is_the_test() {
    let dataset = read("äbc abc abc, abc äxyz!".as_bytes(), 4, 0.4).unwrap();
    let pair = |input: &str, label: &str| (input.to_string(), label.to_string());
    // 22 characters, 13 to train on: three samples and a character that only is a label.
    assert_eq!(texts(&dataset, &dataset.train), [pair("äbc ", "bc a"), pair("abc ", "bc a"), pair("abc,", "bc, ")]);
    assert_eq!(texts(&dataset, &dataset.test), [pair("abc ", "bc ä"), pair("äxyz", "xyz!")]);
    assert_eq!(dataset.image_shape, [4]);
    assert_eq!(dataset.class_names.concat(), " !,abcxyzä");
    assert_eq!((dataset.train.bytes(), dataset.test.bytes()), (13, 9));
    let counts = describe(&dataset).classes;
    assert_eq!((counts[4].name.as_str(), counts[4].train, counts[4].test), ("b", 3, 1));
}

#[test]
fn limits_take_the_first_samples_and_a_survey_knows_what_there_is() {
    let (_folder, spec) = file(&b"to be or not to be ".repeat(10));
    let options = LoadOptions { tokens: 5, limit: Some(3), test_limit: Some(2), ..LoadOptions::default() };
    let dataset = load(&spec, &options).unwrap();
    assert_eq!((dataset.train.len(), dataset.test.len()), (3, 2));
    assert_eq!(dataset.train.bytes(), 16);
    let surveyed = survey(&spec, &options).unwrap();
    assert_eq!((surveyed.train.len(), surveyed.class_names.len()), (3, dataset.class_names.len()));
    let error = load(&spec, &LoadOptions { limit: Some(31), ..options }).unwrap_err().to_string();
    assert!(error.contains("limit asks for more samples than there are"), "{error}");
}

#[test]
fn a_folder_is_its_text_files_in_the_order_of_their_names() {
    let folder = TempDir::new().unwrap();
    for (name, text) in [("b.txt", "fghijk"), ("a.txt", "\u{feff}abcde"), ("c.md", "XYZ")] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let spec = DataSpec::Text(folder.path().to_owned());
    let options = LoadOptions { tokens: 3, test_fraction: 0.4, ..LoadOptions::default() };
    let dataset = load(&spec, &options).unwrap();
    assert_eq!(dataset.class_names.concat(), "abcdefghijk");
    assert_eq!(texts(&dataset, &dataset.train), [("abc".to_string(), "bcd".to_string()), ("def".into(), "efg".into())]);
}

#[test]
fn texts_go_through_tokens_and_back_even_with_many_characters() {
    // More than a byte can number, and characters that begin in one piece of the file and end in the next.
    let text: String = (0..200_000_u32).map(|n| char::from_u32(0x4e00 + n * 7919 % 700).unwrap()).collect();
    let dataset = read(text.as_bytes(), 1000, 0.25).unwrap();
    let train: String = texts(&dataset, &dataset.train).into_iter().map(|(input, _)| input).collect();
    assert_eq!(train, text.chars().take(train.chars().count()).collect::<String>());
    assert_eq!(dataset.train.bytes(), 2 * 150_000);
    let vocabulary = Vocabulary::of_classes(&dataset.class_names).unwrap();
    assert_eq!(vocabulary, Vocabulary::of(&text));
    let tokens = vocabulary.encode(&text[..300]).unwrap();
    assert_eq!(vocabulary.decode(&tokens), text[..300]);
    let error = vocabulary.encode("\u{4e00}a").unwrap_err().to_string();
    assert!(error.contains("not in the vocabulary: 'a'") && error.contains("character 2"), "{error}");
    assert!(Vocabulary::of_classes(&["T-shirt".to_string()]).is_err());
}

#[test]
fn what_is_no_text_or_too_little_of_one_is_refused_in_words() {
    assert!(refused(b"").contains("the text is empty"));
    let error = refused(b"abcdefgh");
    assert!(error.contains("too short for samples of 4 characters") && error.contains("got       6 and 2"), "{error}");
    let error = refused(b"abcdefgh\xff\xfeabcdefghabcdefgh");
    assert!(error.contains("is not a text in UTF-8") && error.contains("byte      8"), "{error}");
    let mut cut = "abcdefgh".repeat(5).into_bytes();
    cut.extend(&"ä".as_bytes()[..1]);
    assert!(refused(&cut).contains("byte      40"));
    let missing = load(&DataSpec::Text("nowhere.txt".into()), &LoadOptions::default()).unwrap_err().to_string();
    assert!(missing.contains("nowhere.txt"), "{missing}");
    let folder = TempDir::new().unwrap();
    let error = load(&DataSpec::Text(folder.path().to_owned()), &LoadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("the folder holds no text"), "{error}");
    assert!("text".parse::<DataSpec>().unwrap_err().to_string().contains("'text' needs a file"));
}

fn experiment(path: &Path, settings: &[&str]) -> Result<Experiment> {
    let source = format!("data.source=text:{}", path.display());
    let usual = [&source[..], "data.tokens=8", "batch_size=16", "epochs=3", "measure.samples=4", "optimizer.lr=0.2"];
    let overrides: Vec<Override> =
        usual.iter().chain(settings).map(|setting| Override::set(setting).unwrap()).collect();
    Experiment::new(Config::resolve(None, &overrides).unwrap())
}

fn trained(experiment: &Experiment, dir: &Path, resume: bool) -> Outcome {
    train(experiment, dir, resume, &mut ()).unwrap()
}

#[test]
fn networks_over_tokens_train_measure_and_resume_as_others_do() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("input.txt");
    fs::write(&path, "to be or not to be, that is the question. ".repeat(40)).unwrap();
    for model in ["gru:6-12", "lstm:6-12", "transformer:1-12-2-8"] {
        let name = model.split(':').next().unwrap();
        let setting = format!("model={model}");
        let whole = experiment(&path, &[&setting]).unwrap();
        let outcome = trained(&whole, &folder.path().join(name), false);
        assert!(outcome.test_loss < 2.6 && outcome.lambda_max.unwrap() > 0.0, "{outcome:?}");
        assert!(outcome.test_accuracy > 0.15 && outcome.test_accuracy < 1.0, "{outcome:?}");
        // One epoch, then the rest.
        let parts = folder.path().join(format!("{name}-parts"));
        let schedule = "schedule.name=constant";
        let one = experiment(&path, &[&setting, schedule, "epochs=1"]).unwrap();
        trained(&one, &parts, false);
        let two = experiment(&path, &[&setting, schedule]).unwrap();
        let resumed = trained(&two, &parts, true);
        let at_once = trained(&two, &folder.path().join(format!("{name}-at-once")), false);
        assert_eq!((resumed.test_loss, resumed.lambda_max), (at_once.test_loss, at_once.lambda_max));
    }
}

#[test]
fn a_network_and_data_that_do_not_belong_together_are_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("input.txt");
    fs::write(&path, "to be or not to be ".repeat(40)).unwrap();
    let error = experiment(&path, &["model=mlp"]).err().unwrap().to_string();
    assert!(error.contains("model 'mlp' reads images, and the data set holds a text"), "{error}");
    let error = experiment(&path, &["model=transformer:1-8-2-4"]).err().unwrap().to_string();
    assert!(error.contains("at most 4 tokens") && error.contains("data.tokens=4"), "{error}");
    let error = experiment(&path, &["model=gru", "norm=layer"]).err().unwrap().to_string();
    assert!(error.contains("a recurrent network has no normalization layers"), "{error}");
}
