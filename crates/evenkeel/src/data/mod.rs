//! Labelled images, tables and texts: which data there is, how it is read, and in which order and form it reaches a network.
//!
//! ```
//! use evenkeel::data::{self, LoadOptions};
//! let digits = data::load(&"digits".parse()?, &LoadOptions::default())?;
//! let order = data::epoch_order(0, 0, digits.train.len());
//! let mut pixels = vec![0.0_f32; 32 * digits.train.image_len()];
//! let mut labels = vec![0; 32];
//! digits.train.batch(&order[..32], &digits.normalization, &mut pixels, &mut labels)?;
//! # Ok::<(), evenkeel::Error>(())
//! ```
//!
//! Files are not trusted: sizes, types, labels and checksums are checked, and no header decides how much memory is taken.
//! Pixels stay bytes until a batch is made of them.
//!
//! Where to start reading: `spec` (names), `split` (what a sample is), then one reader a format: `idx`, `cifar`, `digits`, `text`, and for
//! data of a user's own `csv`, `npy`, `safetensors`, `images`, which `parts` gives classes or the numbers of `targets`, a shape and a test
//! part. `order` is what a seed shuffles, `labels` what is chosen by class or made wrong.

mod array;
mod arrays;
mod check;
mod cifar;
mod classes;
mod csv;
mod digest;
mod digits;
mod fetch;
mod idx;
mod images;
mod labels;
mod normalization;
mod npy;
mod order;
mod parts;
mod safetensors;
mod sheet;
mod source;
mod spec;
mod split;
mod targets;
mod text;

use std::path::Path;

use serde::Serialize;

pub use check::{Channel, Check, Duplicates, Pair, TargetValues, Values, check};
pub use fetch::{FetchEvent, FetchOptions, Fetched, Published, PublishedFile, fetch, published};
pub use labels::{add_label_noise, other_class};
pub use normalization::Normalization;
pub use order::{Batches, epoch_order};
pub(crate) use order::{drawn, permutation};
pub use sheet::{terminal_sheet, write_sheet};
pub use spec::{DataInfo, DataSpec, catalogue};
pub use split::{Real, Split};
pub use text::Vocabulary;

use crate::config::{Config, DataTargets, ImageShape};
use crate::{Error, Result};
use parts::Reading;
use source::grouped;

const DIGIT_CLASSES: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
const FASHION_CLASSES: [&str; 10] =
    ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];
const CIFAR10_CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// How much of the data is taken and how it is prepared.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadOptions {
    /// What the samples of tables and arrays are labelled with.
    pub targets: DataTargets,
    /// The images that rows of tables and arrays hold; features when `None`.
    pub shape: Option<ImageShape>,
    /// Take the first so many training samples; all of them when `None`.
    pub limit: Option<usize>,
    /// Take as many training samples of each class, within one: the first of each. Without a limit, as many as the rarest class has.
    pub balanced: bool,
    /// The share of the training labels that are given to other classes, drawn by the seed ([`add_label_noise`]).
    pub label_noise: f64,
    /// Take the first so many test samples; all of them when `None`.
    pub test_limit: Option<usize>,
    /// The part for the test of data without a test part of its own: drawn from all samples, the end of a text.
    pub test_fraction: f64,
    /// Draws that part, and wrong labels.
    pub seed: u64,
    /// Characters in a sample of a text.
    pub tokens: usize,
    /// Whether [`Dataset::normalization`] is that of the training part (after `limit`) or changes nothing.
    pub normalize: bool,
}

impl Default for LoadOptions {
    /// Everything with its own labels, a fifth for the test, seed 0, 64 characters, normalized.
    fn default() -> Self {
        LoadOptions {
            targets: DataTargets::Classes,
            shape: None,
            limit: None,
            balanced: false,
            label_noise: 0.0,
            test_limit: None,
            test_fraction: 0.2,
            seed: 0,
            tokens: 64,
            normalize: true,
        }
    }
}

impl LoadOptions {
    /// What a configuration says.
    pub fn of_config(config: &Config) -> Self {
        LoadOptions {
            targets: config.data.targets,
            shape: config.data.shape,
            limit: config.data.limit,
            balanced: config.data.balanced,
            label_noise: config.data.label_noise,
            test_limit: config.data.test_limit,
            test_fraction: config.data.test_fraction,
            seed: config.data.seed.unwrap_or(config.seed),
            tokens: config.data.tokens.or(config.model.context()).unwrap_or(LoadOptions::default().tokens),
            normalize: config.data.normalize,
        }
    }
}

/// A data set in memory.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// What was asked for.
    pub spec: DataSpec,
    /// The name without the folder.
    pub name: &'static str,
    /// The name of each class, in the order of the labels; the characters of a text, see [`Vocabulary::of_classes`]; empty where numbers
    /// are to be predicted.
    pub class_names: Vec<String>,
    /// Height, width and channels of an image, or the number of characters in a sample of a text.
    pub image_shape: Vec<usize>,
    /// What is trained on.
    pub train: Split,
    /// What is kept for the test.
    pub test: Split,
    /// To be handed to [`Split::batch`] for both parts.
    pub normalization: Normalization,
}

impl Dataset {
    /// How many numbers a network answers with for each label: one a class, or those that are to be predicted.
    pub fn outputs(&self) -> usize {
        self.train.target_width().unwrap_or(self.class_names.len())
    }
}

/// The training part, the test part and the names of the classes.
type Loaded = (Split, Split, Vec<String>);

/// Reads a data set.
///
/// Pixels are scaled by 255 when they are bytes and left as they are when they have another type.
///
/// # Errors
/// When a file is missing, damaged, too short, too long or holds a value out of range, and when `options` asks for no samples or
/// for more than there are, or for what such data does not have.
pub fn load(spec: &DataSpec, options: &LoadOptions) -> Result<Dataset> {
    let mut dataset = read(spec, options, Reading::Samples)?;
    if options.normalize {
        dataset.normalization = Normalization::of(&dataset.train);
    }
    Ok(dataset)
}

/// A data set without its samples, from names, sizes, headers and labels alone: how many there are and how large they are is known, but
/// [`Split::batch`] has none to give, and the normalization changes nothing. Cost: milliseconds, whatever the size of the images; texts
/// and tables are read, since their characters are what there is to know, and so are samples whose classes are to be balanced.
///
/// # Errors
/// As [`load`], as far as that can be seen from so little.
pub fn survey(spec: &DataSpec, options: &LoadOptions) -> Result<Dataset> {
    // Which samples balance the classes is known when all are there.
    read(spec, options, if options.balanced { Reading::Samples } else { Reading::Sizes })
}

fn read(spec: &DataSpec, options: &LoadOptions, reading: Reading) -> Result<Dataset> {
    let owned = |names: [&str; 10]| names.map(str::to_owned).to_vec();
    let idx = |folder: &Path, names: [&str; 10]| -> Result<Loaded> {
        let part = |part| idx::load(spec.name(), folder, part, names.len(), reading);
        let (train, test) = rayon::join(|| part(idx::Part::Train), || part(idx::Part::Test));
        Ok((train?, test?, owned(names)))
    };
    check_limits(options)?;
    check_form(spec, options)?;
    let targets = options.targets;
    let parts = match spec {
        DataSpec::Digits => {
            let (train, test) = digits::load(options)?;
            (train, test, owned(DIGIT_CLASSES))
        }
        DataSpec::Mnist(folder) => idx(folder, DIGIT_CLASSES)?,
        DataSpec::FashionMnist(folder) => idx(folder, FASHION_CLASSES)?,
        DataSpec::Cifar10(folder) => cifar::load(folder, options, reading)?,
        DataSpec::Csv(path) => csv::load(path, targets)?.finish(path, options)?,
        DataSpec::Npy(folder) => {
            arrays::parts(&mut npy::Folder::new(folder)?, targets, reading)?.finish(folder, options)?
        }
        DataSpec::Npz(file) => {
            arrays::parts(&mut npy::Archive::open(file)?, targets, reading)?.finish(file, options)?
        }
        DataSpec::Safetensors(file) => {
            arrays::parts(&mut safetensors::Tensors::open(file)?, targets, reading)?.finish(file, options)?
        }
        DataSpec::Images(folder) => images::load(folder, options, reading)?.finish(folder, options)?,
        DataSpec::Text(path) => text::load(path, options.tokens, options.test_fraction)?,
    };
    together(spec, options, parts)
}

/// Refuses what only tables and arrays have for other forms.
fn check_form(spec: &DataSpec, options: &LoadOptions) -> Result<()> {
    if matches!(spec, DataSpec::Csv(_) | DataSpec::Npy(_) | DataSpec::Npz(_) | DataSpec::Safetensors(_)) {
        return Ok(());
    }
    let key = match options {
        LoadOptions { targets: DataTargets::Numbers, .. } => "data.targets",
        LoadOptions { shape: Some(_), .. } => "data.shape",
        _ => return Ok(()),
    };
    Err(Error::input(format!("{key} is for tables and arrays"))
        .detail("key", key)
        .detail("expected", "csv, npy, npz or safetensors")
        .detail("got", spec)
        .hint(format!("leave `{key}` out")))
}

fn check_limits(options: &LoadOptions) -> Result<()> {
    for (option, limit) in [("limit", options.limit), ("test_limit", options.test_limit)] {
        if limit == Some(0) {
            return Err(Error::input(format!("{option} is 0, which leaves no samples"))
                .detail("key", format!("data.{option}"))
                .detail("expected", "at least 1")
                .detail("got", 0)
                .hint(format!("leave `data.{option}` out to take everything")));
        }
    }
    Ok(())
}

/// As many samples of both parts as are wanted, not normalized.
fn together(spec: &DataSpec, options: &LoadOptions, (mut train, mut test, class_names): Loaded) -> Result<Dataset> {
    let kind = |split: &Split| {
        let shape = split.image_shape().iter().map(usize::to_string).collect::<Vec<_>>().join("×");
        format!("{shape}, {}", if split.is_bytes() { "bytes" } else { "not bytes" })
    };
    if kind(&train) != kind(&test) {
        return Err(Error::input("training and test images differ in shape or type")
            .detail("data", spec)
            .detail("training", kind(&train))
            .detail("test", kind(&test))
            .hint("take all files from the same source"));
    }
    if options.balanced {
        labels::balance(&mut train, &class_names, options.limit)?;
    } else {
        train.truncate(wanted("limit", options.limit, train.len())?);
    }
    labels::spoil(&mut train, &class_names, options.label_noise, options.seed)?;
    test.truncate(wanted("test_limit", options.test_limit, test.len())?);
    let image_shape = train.image_shape();
    let normalization = Normalization::identity(image_shape.get(2).copied().unwrap_or(0));
    Ok(Dataset { spec: spec.clone(), name: spec.name(), class_names, image_shape, train, test, normalization })
}

impl LoadOptions {
    /// The limit on the training samples that are read. Which of them balance the classes is known when all are there.
    fn first(&self) -> Option<usize> {
        self.limit.filter(|_| !self.balanced)
    }
}

/// How many of `available` samples a limit leaves.
fn wanted(option: &str, limit: Option<usize>, available: usize) -> Result<usize> {
    match limit {
        Some(asked) if asked > available => Err(Error::input(format!("{option} asks for more samples than there are"))
            .detail("key", format!("data.{option}"))
            .detail("expected", format!("at most {}", grouped(available as u64)))
            .detail("got", grouped(asked as u64))
            .hint(format!("leave `data.{option}` out to take everything"))),
        limit => Ok(limit.unwrap_or(available)),
    }
}

/// What a loaded data set holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Description {
    /// How the data was named, e.g. `mnist:data/mnist`.
    pub spec: String,
    /// Height, width and channels of an image, or the number of characters in a sample of a text.
    pub image_shape: Vec<usize>,
    /// The number of training samples.
    pub train: usize,
    /// The number of test samples.
    pub test: usize,
    /// The classes in the order of the labels.
    pub classes: Vec<ClassCount>,
    /// What is subtracted from and divided out of each channel.
    pub normalization: Normalization,
}

/// How many labels of one class there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClassCount {
    /// The name of the class.
    pub name: String,
    /// In the training part.
    pub train: usize,
    /// In the test part.
    pub test: usize,
}

/// Counts the samples of each class.
pub fn describe(dataset: &Dataset) -> Description {
    let classes = dataset.class_names.len();
    let counts = dataset.train.class_counts(classes).into_iter().zip(dataset.test.class_counts(classes));
    Description {
        spec: dataset.spec.to_string(),
        image_shape: dataset.image_shape.clone(),
        train: dataset.train.len(),
        test: dataset.test.len(),
        classes: dataset
            .class_names
            .iter()
            .zip(counts)
            .map(|(name, (train, test))| ClassCount { name: name.clone(), train, test })
            .collect(),
        normalization: dataset.normalization.clone(),
    }
}
