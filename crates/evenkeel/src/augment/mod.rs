//! What the batches of training are put through on their way to a step: crops, mirror images, holes, mixtures.
//!
//! Each transform is a pure function of the run's seed, of where training is, and of which sample it meets, so a batch has the same bits
//! on any number of threads, made ahead of its step or not, and after any resume:
//!
//! * crop, flip and cutout of sample n in epoch e draw from the streams `augment/crop`, `augment/flip`, `augment/cutout` at step e, counter n
//! * mixup of step t draws from `augment/mixup` and `augment/partners` at step t
//!
//! They act on what the network reads, after normalization, in this order. Tests and measurements never meet them.

mod images;
mod mixup;

use crate::batch::Batch;
use crate::config::{AugmentConfig, Config, Padding};
use crate::network::Network;
use crate::nn::{Reads, Targets};
use crate::{Error, Result};
use evenkeel_graph::Data;
use images::Images;

/// The transforms of a run, checked against its network.
#[derive(Clone, Debug, PartialEq)]
pub struct Augmentation {
    how: AugmentConfig,
    seed: u64,
    /// Height, width and channels, where images are moved about.
    image: [usize; 3],
    /// How many classes labels are shares of, where they are mixed.
    classes: Option<usize>,
}

impl Augmentation {
    /// The transforms of a configuration for the samples of a network.
    ///
    /// # Errors
    /// When a transform makes no sense for such samples, or is larger than an image.
    pub fn new(how: &AugmentConfig, network: &Network, seed: u64) -> Result<Augmentation> {
        let shape = network.input_shape();
        let mut image = [0; 3];
        for (key, is_on) in
            [("augment.crop", how.crop > 0), ("augment.flip", how.flip), ("augment.cutout", how.cutout > 0)]
        {
            if !is_on {
                continue;
            }
            image = match *shape {
                [height, width, channels] if network.reads() == Reads::Numbers && height * width > 1 => {
                    [height, width, channels]
                }
                _ => {
                    return Err(Error::input(format!("{key} is for images"))
                        .detail("key", key)
                        .detail("expected", "samples with rows and columns of pixels")
                        .detail("got", samples(network))
                        .hint(format!("leave `{key}` out")));
                }
            };
        }
        let [height, width, _] = image;
        at_most("augment.crop", how.crop, height.min(width).saturating_sub(1), "an image would be padding alone")?;
        at_most("augment.cutout", how.cutout, height.max(width), "an image is no larger")?;
        // What is to be given back must be there to be seen.
        for (key, is_on) in [("augment.cutout", how.cutout > 0), ("augment.mixup", how.mixup > 0.0)] {
            if is_on && network.targets() == Targets::Inputs {
                return Err(Error::input(format!("{key} is not for a network that gives back its inputs"))
                    .detail("key", key)
                    .detail("expected", "labels to learn")
                    .hint(format!("leave `{key}` out, or choose another model")));
            }
        }
        if how.mixup > 0.0 && network.reads() == Reads::Tokens {
            return Err(Error::input("augment.mixup mixes numbers, and the network reads tokens")
                .detail("key", "augment.mixup")
                .detail("got", samples(network))
                .hint("leave `augment.mixup` out"));
        }
        let classes = network.classes().filter(|_| how.mixup > 0.0);
        Ok(Augmentation { how: how.clone(), seed, image, classes })
    }

    /// The batch of one step: `samples` are the numbers of its samples in the training part, which has begun its `epoch`-th pass;
    /// both count from 0. Where samples are mixed, classes become shares of classes ([`Batch::with_shares`]).
    ///
    /// # Errors
    /// When the batch is not the network's.
    pub fn apply(&self, mut batch: Batch, samples: &[u32], epoch: u64, step: u64) -> Result<Batch> {
        let AugmentConfig { crop, padding: _, flip, cutout, mixup } = self.how;
        if crop > 0 || flip || cutout > 0 {
            let fits = batch.inputs.shape().get(1..) == Some(&self.image[..]) && batch.len() == samples.len();
            let images = Images::new(&self.how, self.image, self.seed, epoch);
            match batch.inputs.data_mut() {
                Data::F32(pixels) if fits => images.apply(pixels, samples),
                Data::F64(pixels) if fits => images.apply(pixels, samples),
                _ => {
                    return Err(Error::input("a batch to augment is not the network's")
                        .detail("expected", format!("{} images of {:?}", samples.len(), self.image))
                        .detail("got", format!("{} {}", batch.inputs.dtype(), batch.inputs.shape())));
                }
            }
        }
        if mixup > 0.0 {
            if let Some(classes) = self.classes {
                batch = batch.with_shares(classes)?;
            }
            mixup::apply(&mut batch, mixup, self.seed, step);
        }
        Ok(batch)
    }
}

/// What happens to the training samples of a configuration before a step sees them, in words and in order.
pub fn transforms(config: &Config) -> Vec<String> {
    let (data, augment) = (&config.data, &config.augment);
    let padding = match augment.padding {
        Padding::Zero => "zeros",
        Padding::Reflect => "reflections",
    };
    let all = [
        (data.balanced, "as many samples of each class".to_owned()),
        (data.label_noise > 0.0, format!("{} of the labels wrong", data.label_noise)),
        (true, "a new order each epoch".to_owned()),
        (augment.crop > 0, format!("crops within {} pixels of {padding}", augment.crop)),
        (augment.flip, "half of the images mirrored".to_owned()),
        (augment.cutout > 0, format!("{0}×{0} pixels cut out", augment.cutout)),
        (augment.mixup > 0.0, format!("mixed in pairs by Beta({0}, {0})", augment.mixup)),
        (config.input_noise.deviation > 0.0, format!("normal noise of deviation {}", config.input_noise.deviation)),
    ];
    all.into_iter().filter(|(is_on, _)| *is_on).map(|(_, what)| what).collect()
}

fn samples(network: &Network) -> String {
    let extents: Vec<String> = network.input_shape().iter().map(usize::to_string).collect();
    let what = if network.reads() == Reads::Tokens { "characters of a text" } else { "numbers" };
    format!("{} {what}", extents.join("×"))
}

fn at_most(key: &str, got: usize, most: usize, why: &str) -> Result<()> {
    if got == 0 || got <= most {
        return Ok(());
    }
    Err(Error::input(format!("{key} is too large: {why}"))
        .detail("key", key)
        .detail("expected", format!("at most {most}"))
        .detail("got", got))
}
