//! The published data sets, read from their original files where these are present.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::Instant;

use evenkeel::data::{DataSpec, Dataset, LoadOptions, describe, load, survey};

/// The folder, or `None` (with a line that says so) where the files are not kept; an error on a build server.
fn folder(name: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")).join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "the data set is missing: {}", folder.display());
    eprintln!("skipped: {} is not there", folder.display());
    None
}

fn timed(spec: &DataSpec, options: &LoadOptions) -> Dataset {
    let start = Instant::now();
    let dataset = load(spec, options).unwrap();
    let surveyed = survey(spec, options).unwrap();
    let sizes = |dataset: &Dataset| [&dataset.train, &dataset.test].map(|part| (part.len(), part.bytes()));
    assert_eq!(sizes(&surveyed), sizes(&dataset));
    eprintln!("{} with {options:?}: {:.2} s", dataset.name, start.elapsed().as_secs_f64());
    dataset
}

fn counts(dataset: &Dataset) -> (Vec<usize>, Vec<usize>) {
    describe(dataset).classes.into_iter().map(|class| (class.train, class.test)).unzip()
}

fn assert_near(got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len());
    assert!(got.iter().zip(expected).all(|(got, expected)| (got - expected).abs() < 1e-4), "{got:?} {expected:?}");
}

#[test]
fn mnist_has_the_published_counts_labels_and_statistics() {
    let Some(folder) = folder("mnist") else { return };
    let mnist = timed(&DataSpec::Mnist(folder), &LoadOptions::default());
    assert_eq!(mnist.image_shape, [28, 28, 1]);
    let (train, test) = counts(&mnist);
    assert_eq!(train, [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
    assert_eq!(test, [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
    assert_eq!(mnist.train.labels()[..10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
    assert_eq!(mnist.test.labels()[..10], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]);
    assert_near(&mnist.normalization.mean, &[0.1307]);
    assert_near(&mnist.normalization.std, &[0.3081]);
}

#[test]
#[ignore = "Fashion-MNIST is not kept beside the project; run with --ignored where it is"]
fn fashion_mnist_has_the_published_counts_and_statistics() {
    let Some(folder) = folder("fashion-mnist") else { return };
    let fashion = timed(&DataSpec::FashionMnist(folder), &LoadOptions::default());
    assert_eq!(counts(&fashion), (vec![6000; 10], vec![1000; 10]));
    assert_near(&fashion.normalization.mean, &[0.2860]);
    assert_near(&fashion.normalization.std, &[0.3530]);
}

#[test]
fn cifar10_has_the_published_counts_labels_and_statistics() {
    let Some(folder) = folder("cifar-10") else { return };
    let cifar = timed(&DataSpec::Cifar10(folder.clone()), &LoadOptions::default());
    assert_eq!(cifar.image_shape, [32, 32, 3]);
    assert_eq!(counts(&cifar), (vec![5000; 10], vec![1000; 10]));
    assert_eq!(cifar.train.labels()[..10], [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]);
    assert_eq!(cifar.test.labels()[..10], [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]);
    assert_eq!(cifar.class_names[6], "frog");
    assert_near(&cifar.normalization.mean, &[0.4914, 0.4822, 0.4465]);
    assert_near(&cifar.normalization.std, &[0.2470, 0.2435, 0.2616]);
    let options = LoadOptions { limit: Some(1000), test_limit: Some(500), ..LoadOptions::default() };
    let some = timed(&DataSpec::Cifar10(folder), &options);
    assert_eq!(some.train.labels(), &cifar.train.labels()[..1000]);
    assert_eq!(some.test.labels(), &cifar.test.labels()[..500]);
}
