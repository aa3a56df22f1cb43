//! Numbers that are to be predicted, and rows of a table that are images.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write};
use std::ops::ControlFlow;
use std::path::Path;

use evenkeel::config::{Activation, Config, DataTargets, ImageShape, Loss, NormKind, NormMode, Override};
use evenkeel::curvature::Curvature;
use evenkeel::data::{self, Dataset, LoadOptions, Split, load, survey};
use evenkeel::experiment::Experiment;
use evenkeel::graph::{DType, Tensor};
use evenkeel::models::Mlp;
use evenkeel::nn::{NormSettings, Regression};
use evenkeel::optim::Sgd;
use evenkeel::store::{ElementType, NamedTensor, write_safetensors};
use evenkeel::study::{self, Fit};
use evenkeel::train::{Trainer, TrainerOptions, TrainingPlan};
use evenkeel::{Batch, ErrorKind, Network, Result, State};
use proptest::prelude::*;
use tempfile::TempDir;

/// Options for numbers, a half of the samples held back, nothing normalized.
fn numbers() -> LoadOptions {
    LoadOptions { targets: DataTargets::Numbers, test_fraction: 0.5, normalize: false, ..LoadOptions::default() }
}

fn read(form: &str, path: &Path, options: &LoadOptions) -> Result<Dataset> {
    load(&format!("{form}:{}", path.display()).parse().unwrap(), options)
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

/// A table of numbers as it is read.
fn table(text: &str, options: &LoadOptions) -> Result<Dataset> {
    let folder = folder(&[("t.csv", text.as_bytes())]);
    read("csv", &folder.path().join("t.csv"), options)
}

fn refused(text: &str, options: &LoadOptions) -> String {
    let error = table(text, options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    error.to_string()
}

fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "'{part}' is not in:\n{message}");
    }
}

/// An array of NumPy.
fn npy(kind: &str, shape: &str, elements: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    let padded = format!("{text:<117}\n");
    [b"\x93NUMPY\x01\x00", &(padded.len() as u16).to_le_bytes()[..], padded.as_bytes(), elements].concat()
}

fn floats(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The samples of a part with their targets.
fn samples(dataset: &Dataset, split: &Split) -> Vec<(Vec<f64>, Vec<f64>)> {
    let batch = Batch::of(dataset, split, DType::F64).unwrap();
    let rows = |tensor: &Tensor| {
        let row = tensor.shape()[1..].iter().product();
        tensor.to_f64().chunks_exact(row).map(<[f64]>::to_vec).collect::<Vec<_>>()
    };
    rows(&batch.inputs).into_iter().zip(rows(&batch.labels)).collect()
}

/// Those of both parts, sorted.
fn all(dataset: &Dataset) -> Vec<(Vec<f64>, Vec<f64>)> {
    let mut all = [samples(dataset, &dataset.train), samples(dataset, &dataset.test)].concat();
    all.sort_by(|a, b| a.partial_cmp(b).unwrap());
    all
}

#[test]
fn the_last_column_or_the_one_called_target_is_predicted() {
    let expected = [(vec![1.0, 2.0], vec![-0.5]), (vec![3.0, 4.0], vec![7.0]), (vec![5.0, 6.0], vec![1e3])];
    for text in [
        "1,2,-0.5\n3,4,7\n5,6,1e3\n",
        "a,b,price\n1,2,-0.5\n3,4,7\n5,6,1e3\n",
        "a,Target,b\n1,-0.5,2\n3,7,4\n5,1e3,6\n",
    ] {
        let found = table(text, &numbers()).unwrap();
        assert_eq!(all(&found), expected, "{text}");
        assert_eq!((found.outputs(), found.class_names.len(), found.train.target_width()), (1, 0, Some(1)));
        assert!(found.train.labels().is_empty() && found.train.class_counts(3) == [0; 3]);
    }
}

#[test]
fn arrays_have_a_number_or_a_row_of_numbers_a_sample() {
    let x = npy("<f8", "(3, 2)", &floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    let rows = folder(&[
        ("x_train.npy", &x),
        ("y_train.npy", &npy("<f8", "(3, 2)", &floats(&[0.5, 1.0, 1.5, 2.0, 2.5, 3.0]))),
        ("x_test.npy", &npy("<f8", "(1, 2)", &floats(&[7.0, 8.0]))),
        ("y_test.npy", &npy("|i1", "(1, 2)", &[0xff, 4])),
    ]);
    let found = read("npy", rows.path(), &numbers()).unwrap();
    assert_eq!(samples(&found, &found.train)[1], (vec![3.0, 4.0], vec![1.5, 2.0]));
    assert_eq!(samples(&found, &found.test), [(vec![7.0, 8.0], vec![-1.0, 4.0])]);
    assert_eq!(found.outputs(), 2);
    let limited = read("npy", rows.path(), &LoadOptions { limit: Some(2), ..numbers() }).unwrap();
    assert_eq!(samples(&limited, &limited.train), samples(&found, &found.train)[..2]);
    assert!(found.train.bytes() == 3 * (2 + 2) * 4 && limited.train.bytes() == 2 * (2 + 2) * 4);

    fs::write(rows.path().join("y_test.npy"), npy("|i1", "(1,)", &[1])).unwrap();
    let error = read("npy", rows.path(), &numbers()).unwrap_err().to_string();
    says(&error, &["differ in how many numbers are predicted", "training  2", "test      1"]);
    fs::write(rows.path().join("y_test.npy"), npy("<f8", "(1, 2)", &floats(&[1.0, f64::INFINITY]))).unwrap();
    let error = read("npy", rows.path(), &numbers()).unwrap_err().to_string();
    says(&error, &["a target is not a finite number", "byte      136", "sample    0", "got       inf"]);
    fs::write(rows.path().join("y_test.npy"), npy("|i1", "(1, 1, 2)", &[1, 2])).unwrap();
    let error = read("npy", rows.path(), &numbers()).unwrap_err().to_string();
    says(&error, &["a number or a row of numbers", "[samples, numbers]", "1×1×2", "reshape"]);
}

#[test]
fn archives_and_tensors_have_the_numbers_of_a_folder_of_arrays() {
    let (x, y) = ([1.0, 2.0, 3.0, 4.0], [0.5, -0.5, 7.0, 8.0]);
    let files = [("x_train.npy", npy("<f8", "(4, 1)", &floats(&x))), ("y_train.npy", npy("<f8", "(4,)", &floats(&y)))];
    let rows = folder(&[(files[0].0, &files[0].1), (files[1].0, &files[1].1)]);
    let expected = all(&read("npy", rows.path(), &numbers()).unwrap());
    assert_eq!(expected[2], (vec![3.0], vec![7.0]));

    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in &files {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    let archive = rows.path().join("d.npz");
    fs::write(&archive, writer.finish().unwrap().into_inner()).unwrap();
    assert_eq!(all(&read("npz", &archive, &numbers()).unwrap()), expected);

    let tensor = |name: &str, shape: &[usize], values: &[f64]| NamedTensor {
        name: name.into(),
        dtype: ElementType::F64,
        shape: shape.to_vec(),
        bytes: floats(values).into(),
    };
    let tensors = [tensor("train/x", &[4, 1], &x), tensor("train/y", &[4, 1], &y)];
    let path = rows.path().join("d.safetensors");
    write_safetensors(&path, &tensors, &BTreeMap::new()).unwrap();
    assert_eq!(all(&read("safetensors", &path, &numbers()).unwrap()), expected);
}

#[test]
fn targets_that_are_no_numbers_are_told_with_their_place() {
    says(
        &refused("a,b\n1,2\n1,two\n", &numbers()),
        &[
            "a target is not a number",
            "line      3",
            "column    2 (b)",
            "sample    1",
            "got       'two'",
            "`data.targets`",
        ],
    );
    says(&refused("1,2\n1,\n", &numbers()), &["a target is missing", "line      2", "got       ''"]);
    says(&refused("1,2\n1,1e60\n", &numbers()), &["a target is not a finite number", "a finite 32-bit number"]);
    let classes = LoadOptions { targets: DataTargets::Classes, ..numbers() };
    says(&refused("1,2.5\n1,3\n", &classes), &["numbers with a fraction, not classes", "--set data.targets=numbers"]);
}

#[test]
fn what_only_classes_or_only_tables_have_is_refused() {
    let text = "1,2\n3,4\n5,6\n7,8\n";
    says(
        &refused(text, &LoadOptions { balanced: true, ..numbers() }),
        &["data.balanced is for samples that have a class", "numbers to be predicted"],
    );
    says(&refused(text, &LoadOptions { label_noise: 0.5, ..numbers() }), &["data.label_noise is for samples"]);
    let digits = |options: &LoadOptions| load(&"digits".parse().unwrap(), options).unwrap_err().to_string();
    says(&digits(&numbers()), &["data.targets is for tables and arrays", "csv, npy, npz or safetensors", "digits"]);
    let shape = Some(ImageShape([8, 8, 1]));
    says(&digits(&LoadOptions { shape, ..LoadOptions::default() }), &["data.shape is for tables and arrays"]);
}

#[test]
fn a_batch_has_either_classes_or_numbers() {
    let found = table("1,2\n3,4\n", &numbers()).unwrap();
    let message = |result: Result<()>| result.unwrap_err().to_string();
    let mut out = [0.0_f32; 1];
    says(
        &message(found.train.batch(&[0], &found.normalization, &mut out, &mut [0])),
        &["have no classes", "Split::targets"],
    );
    says(&message(found.train.targets(&[0], &mut [0.0_f32; 2])), &["targets of the batch"]);
    says(&message(found.train.targets(&[1], &mut out)), &["a sample that is not there"]);
    let digits = load(&"digits".parse().unwrap(), &LoadOptions::default()).unwrap();
    says(&message(digits.train.targets(&[0], &mut out)), &["no numbers to be predicted"]);
}

/// A table of a plane: y = 2a − b/2 + 3.
fn plane(rows: usize) -> String {
    let row = |n: usize| {
        let (a, b) = ((n * 37 % 64) as f64 / 32.0 - 1.0, (n * 23 % 64) as f64 / 32.0 - 1.0);
        format!("{a},{b},{}\n", 2.0 * a - b / 2.0 + 3.0)
    };
    "a,b,y\n".to_string() + &(0..rows).map(row).collect::<String>()
}

/// `head` alone: a linear model.
fn linear(dataset: &Dataset) -> Network {
    let model =
        Mlp { widths: vec![], norm: NormKind::None, activation: Some(Activation::Relu), classes: dataset.outputs() };
    let model = Box::new(Regression(model));
    Network::with(model, &dataset.image_shape, DType::F64, Loss::Squared, NormSettings::default()).unwrap()
}

#[test]
fn gradient_and_hessian_of_a_linear_model_are_those_of_least_squares() {
    let dataset = table(&plane(40), &numbers()).unwrap();
    let network = linear(&dataset);
    let parameters: Vec<Tensor> = network
        .parameters()
        .iter()
        .map(|info| {
            let values: &[f64] = if info.path.ends_with("bias") { &[0.75] } else { &[0.25, -1.5] };
            Tensor::from_f64(&info.shape, DType::F64, values).unwrap()
        })
        .collect();
    let is_bias: Vec<bool> = network.parameters().iter().map(|info| info.path.ends_with("bias")).collect();
    let all = samples(&dataset, &dataset.train);
    let count = all.len() as f64;
    let (mut loss, mut slope, mut bias, mut square) = (0.0, [0.0; 2], 0.0, 0.0);
    for (x, y) in &all {
        let off = 0.25 * x[0] - 1.5 * x[1] + 0.75 - y[0];
        loss += off * off / 2.0 / count;
        slope = [slope[0] + off * x[0] / count, slope[1] + off * x[1] / count];
        bias += off / count;
        square += x[0] * x[0] / count;
    }
    let batch = Batch::of(&dataset, &dataset.train, DType::F64).unwrap();
    let mut curvature =
        Curvature::new(&network, NormMode::Batch, batch, State { parameters, buffers: vec![] }).unwrap();
    let (found, gradient) = curvature.gradient().unwrap();
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
    close(found, loss);
    let (weight, offset) = if is_bias[0] { (1, 0) } else { (0, 2) };
    close(gradient[weight], slope[0]);
    close(gradient[weight + 1], slope[1]);
    close(gradient[offset], bias);
    let mut direction = vec![0.0; 3];
    direction[weight] = 1.0;
    close(curvature.hessian_product(&direction).unwrap()[weight], square);
}

#[test]
fn gradient_descent_on_a_linear_model_finds_the_plane_of_a_table() {
    let dataset = table(&plane(60), &numbers()).unwrap();
    let network = linear(&dataset);
    let batch = Batch::of(&dataset, &dataset.train, DType::F64).unwrap();
    let state = network.initial_state(evenkeel::config::Initialization::He, 0);
    let mut trainer = Trainer::with(&network, TrainerOptions::new(Sgd::PLAIN), batch.len(), state).unwrap();
    let how = Fit { batch: batch.len(), steps: 400, seed: 0, rate: &|_| 0.5 };
    study::fit(&mut trainer, &batch, &how, |_, _, _| Ok(ControlFlow::Continue(()))).unwrap();
    let found: Vec<(&str, Vec<f64>)> = network
        .parameters()
        .iter()
        .map(|info| info.path.as_str())
        .zip(trainer.parameters().iter().map(Tensor::to_f64))
        .collect();
    for (path, values) in found {
        let expected: &[f64] = if path.ends_with("bias") { &[3.0] } else { &[2.0, -0.5] };
        for (value, expected) in values.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-6, "{path} is {values:?}");
        }
    }
}

/// An experiment on a table of a plane, kept with its folder.
fn experiment(settings: &[&str]) -> (TempDir, Result<Experiment>) {
    let folder = folder(&[("plane.csv", plane(100).as_bytes())]);
    let source = format!("data.source=csv:{}", folder.path().join("plane.csv").display());
    let base = [source.as_str(), "data.targets=numbers", "model=mlp:8", "epochs=2", "batch_size=20"];
    let overrides: Vec<Override> = base.iter().chain(settings).map(|text| Override::set(text).unwrap()).collect();
    let experiment = Config::resolve(None, &overrides).and_then(Experiment::new);
    (folder, experiment)
}

fn network_refused(settings: &[&str]) -> String {
    experiment(settings).1.map(|_| ()).unwrap_err().to_string()
}

#[test]
fn losses_and_settings_that_need_classes_are_refused_with_their_keys() {
    says(
        &network_refused(&["loss=cross-entropy"]),
        &[
            "loss cross-entropy is for classes",
            "key       loss",
            "squared or bernoulli",
            "hint: use `--set loss=squared`",
        ],
    );
    says(&network_refused(&["label_smoothing=0.1"]), &["label smoothing is for classes", "label_smoothing"]);
    says(
        &network_refused(&["loss=bernoulli"]),
        &["numbers from 0 to 1", "part      training", "targets from 0 to 1", "scale the targets"],
    );
    says(&network_refused(&["checkpoint.best=test_accuracy"]), &["there are no classes"]);
}

#[test]
fn networks_of_the_zoo_answer_with_as_many_numbers_as_a_sample_has() {
    let (_folder, experiment) = experiment(&["model=mlp:8"]);
    let experiment = experiment.unwrap();
    assert_eq!(experiment.config.loss, Loss::Squared);
    assert_eq!((experiment.network.classes(), experiment.network.labels().0.to_vec()), (None, vec![1]));
    let plan = TrainingPlan::new(&experiment).unwrap();
    assert_eq!(plan.data_bytes, 100 * (2 + 1) * 4);
    assert!(plan.batch_bytes > 0 && plan.batch_bytes.is_multiple_of((2 + 1) * 4));
    let surveyed = Experiment::survey(experiment.config.clone()).unwrap();
    assert_eq!(TrainingPlan::new(&surveyed).unwrap().data_bytes, plan.data_bytes);
}

#[test]
fn mixed_samples_have_mixed_targets() {
    let (_folder, experiment) = experiment(&["augment.mixup=1.0", "data.normalize=false"]);
    let experiment = experiment.unwrap();
    let batch = experiment.samples(20).unwrap();
    let order: Vec<u32> = (0..20).collect();
    let mixed = experiment.augmentation().unwrap().apply(batch.clone(), &order, 0, 3).unwrap();
    assert_ne!(mixed.inputs, batch.inputs);
    // The plane goes through mixtures, too.
    for (x, y) in mixed.inputs.to_f64().chunks_exact(2).zip(mixed.labels.to_f64()) {
        assert!((2.0 * x[0] - x[1] / 2.0 + 3.0 - y).abs() < 1e-5, "{x:?} {y}");
    }
}

#[test]
fn a_check_tells_the_values_of_each_target() {
    let rows = folder(&[("train.csv", b"1,2\n3,6\n1,2\n"), ("test.csv", b"1,5\n3,6\n")]);
    let check = data::check(&read("csv", rows.path(), &numbers()).unwrap());
    assert!(check.description.classes.is_empty());
    let targets = check.targets.unwrap();
    let [train, test] = [targets.train[0], targets.test[0]];
    assert!((train.mean - 10.0 / 3.0).abs() < 1e-12 && (train.std - 32.0_f64.sqrt() / 3.0).abs() < 1e-12, "{train:?}");
    assert_eq!((train.min, train.max), (2.0, 6.0));
    assert_eq!((test.mean, test.std, test.min, test.max), (5.5, 0.5, 5.0, 6.0));
    let duplicates = check.duplicates.unwrap();
    assert_eq!((duplicates.test_in_train, duplicates.other_label, duplicates.within_train), (2, 1, 1));
}

#[test]
fn a_survey_finds_the_sizes_and_widths_that_loading_finds() {
    let rows = folder(&[
        ("x_train.npy", &npy("|u1", "(4, 6)", &[7; 24])),
        ("y_train.npy", &npy("<f8", "(4, 3)", &floats(&[0.5; 12]))),
    ]);
    let spec = format!("npy:{}", rows.path().display()).parse().unwrap();
    let options = LoadOptions { shape: Some(ImageShape([3, 2, 1])), ..numbers() };
    let (loaded, surveyed) = (load(&spec, &options).unwrap(), survey(&spec, &options).unwrap());
    let sizes = |dataset: &Dataset| {
        [&dataset.train, &dataset.test].map(|part| (part.len(), part.image_shape(), part.bytes(), part.target_width()))
    };
    assert_eq!(sizes(&loaded), sizes(&surveyed));
    assert_eq!((loaded.image_shape, loaded.train.target_width()), (vec![3, 2, 1], Some(3)));
}

/// A table of images of 4×2 pixels and two channels.
fn images() -> String {
    let row = |n: usize| {
        let pixels: Vec<String> = (0..16).map(|pixel| (n * 31 + pixel * 7 % 256).to_string()).collect();
        format!("{},{}\n", pixels.join(","), ["a", "b"][n % 2])
    };
    (0..20).map(row).collect()
}

#[test]
fn rows_of_a_table_become_images_whose_channels_are_normalized() {
    let shape = Some(ImageShape([4, 2, 2]));
    let flat = table(&images(), &LoadOptions::default()).unwrap();
    let found = table(&images(), &LoadOptions { shape, ..LoadOptions::default() }).unwrap();
    assert_eq!((&found.image_shape[..], found.class_names.len()), (&[4, 2, 2][..], 2));
    assert_eq!((flat.normalization.mean.len(), found.normalization.mean.len()), (16, 2));
    let mean = |channel: usize| flat.normalization.mean.iter().skip(channel).step_by(2).sum::<f64>() / 8.0;
    for channel in [0, 1] {
        assert!((found.normalization.mean[channel] - mean(channel)).abs() < 1e-9, "{channel}");
    }
    let plain = |dataset: &Dataset| {
        let mut values = vec![0.0_f64; dataset.train.len() * 16];
        let indices: Vec<u32> = (0..dataset.train.len() as u32).collect();
        let identity = data::Normalization::identity(dataset.image_shape[2]);
        dataset.train.inputs(&indices, &identity, &mut values).unwrap();
        values
    };
    assert_eq!(plain(&flat), plain(&found));
}

#[test]
fn shapes_that_rows_do_not_fill_are_told_with_both_numbers() {
    let of = |extents| LoadOptions { shape: Some(ImageShape(extents)), ..LoadOptions::default() };
    says(&refused(&images(), &of([4, 4, 2])), &["do not fill", "data.shape", "features, 16", "4x4x2, which is 32"]);
    let rows = folder(&[
        ("x_train.npy", &npy("|u1", "(4, 2, 3)", &[7; 24])),
        ("y_train.npy", &npy("|u1", "(4,)", &[0, 1, 0, 1])),
    ]);
    assert_eq!(read("npy", rows.path(), &of([2, 3, 1])).unwrap().image_shape, [2, 3, 1]);
    let error = read("npy", rows.path(), &of([3, 2, 1])).unwrap_err().to_string();
    says(&error, &["another shape already", "expected  2x3x1", "got       3x2x1", "leave `data.shape` out"]);
}

#[test]
fn images_of_a_table_are_augmented_and_read_by_convolutions() {
    let place = folder(&[("images.csv", images().as_bytes())]);
    let settings = [
        &format!("data.source=csv:{}", place.path().join("images.csv").display()),
        "data.shape=4x2x2",
        "model=plain-conv:4-4",
        "augment.flip=true",
        "augment.crop=1",
        "batch_size=8",
        "epochs=1",
    ];
    let overrides: Vec<Override> = settings.iter().map(|text| Override::set(text).unwrap()).collect();
    let experiment = Experiment::new(Config::resolve(None, &overrides).unwrap()).unwrap();
    let batch = experiment.samples(8).unwrap();
    assert_eq!(batch.inputs.shape().to_vec(), [8, 4, 2, 2]);
    let order: Vec<u32> = (0..8).collect();
    let moved = experiment.augmentation().unwrap().apply(batch.clone(), &order, 0, 0).unwrap();
    assert!(moved.inputs != batch.inputs && moved.labels == batch.labels);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn no_table_and_no_array_of_targets_panics(text in "[0-9a-z.,;\\-\n]{0,60}", shape in "\\([0-9, ]{0,9}\\)", extent in 1..9_usize) {
        let options = LoadOptions { shape: Some(ImageShape([extent, 1, 1])), ..numbers() };
        let _ = (table(&text, &options), table(&text, &numbers()));
        let rows = folder(&[("x_train.npy", &npy("|u1", "(2, 2)", &[1; 4])), ("y_train.npy", &npy("<f8", &shape, text.as_bytes()))]);
        let _ = (read("npy", rows.path(), &options), read("npy", rows.path(), &numbers()));
    }

    #[test]
    fn targets_come_back_as_they_were_written(rows in proptest::collection::vec((any::<f32>(), any::<f32>()), 2..40)) {
        prop_assume!(rows.iter().all(|(x, y)| x.is_finite() && y.is_finite()));
        let text: String = rows.iter().map(|(x, y)| format!("{x:?},{y:?}\n")).collect();
        let mut expected: Vec<_> = rows.iter().map(|(x, y)| (vec![f64::from(*x)], vec![f64::from(*y)])).collect();
        expected.sort_by(|a, b| a.partial_cmp(b).unwrap());
        prop_assert_eq!(all(&table(&text, &numbers()).unwrap()), expected);
    }
}
