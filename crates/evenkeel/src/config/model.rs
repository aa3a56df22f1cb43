//! Which network of the zoo is meant: `mlp`, `mlp:512-512`, `resnet20`, ...

use super::choice::Loss;
use super::fault::{Fault, Shown};
use super::norm::NormKind;
use crate::{Error, nearest};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// The names of the zoo, in the order in which they are listed.
pub const MODELS: &[&str] = &[
    "mlp",
    "deep-linear",
    "plain-conv",
    "vgg11",
    "vgg16",
    "vgg19",
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet56",
    "resnet110",
    "preresnet20",
    "preresnet32",
    "preresnet44",
    "preresnet56",
    "preresnet110",
    "preresnet164",
    "autoencoder",
    "vae",
    "encoder",
    "row-gru",
    "row-lstm",
    "transformer",
    "gru",
    "lstm",
];

/// The widest hidden layer a [`ModelSpec`] may ask for.
const WIDEST: usize = 65_536;

/// The most hidden layers a [`ModelSpec`] may ask for.
const DEEPEST: usize = 1_000;

/// Equal widths that follow each other are written as one from so many on.
const REPEATED: usize = 3;

/// What may be chosen about the size of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// Nothing.
    Fixed,
    /// Widths one after the other, at least so many.
    List(usize),
    /// Layers, width, heads, and what this is called.
    Attention(&'static str),
}

/// A network by name: one of [`MODELS`], with its size where that may be chosen.
///
/// It is written `NAME`, `NAME:WIDTH-WIDTH-...` (`NAME:WIDTHxCOUNT` for many of one width) or `transformer:LAYERS-WIDTH-HEADS-TOKENS`,
/// and printed in the same way.
///
/// ```
/// use evenkeel::config::ModelSpec;
/// let model: ModelSpec = "mlp:512-256".parse()?;
/// assert_eq!((model.name, model.widths.as_slice()), ("mlp", [512, 256].as_slice()));
/// assert_eq!(model.to_string(), "mlp:512-256");
/// let deep: ModelSpec = "mlp:1000x500".parse()?;
/// assert_eq!((deep.widths.len(), deep.to_string().as_str()), (500, "mlp:1000x500"));
/// # Ok::<(), evenkeel::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelSpec {
    /// One of [`MODELS`].
    pub name: &'static str,
    /// Hidden widths from the input to the head, 1 to 65,536 each and at most 1,000 of them, or the layers, width, heads and
    /// tokens of a transformer; empty: the network's own.
    pub widths: Vec<usize>,
}

impl ModelSpec {
    /// What may be chosen about its size.
    pub fn sizes(&self) -> Sizes {
        match self.name {
            "mlp" | "deep-linear" | "plain-conv" | "autoencoder" | "vae" | "row-gru" | "row-lstm" => Sizes::List(1),
            "gru" | "lstm" => Sizes::List(2),
            "transformer" => Sizes::Attention("TOKENS"),
            "encoder" => Sizes::Attention("PATCH"),
            _ => Sizes::Fixed,
        }
    }

    /// Whether it reads sequences of tokens; all others read images.
    pub fn reads_tokens(&self) -> bool {
        matches!(self.name, "transformer" | "gru" | "lstm")
    }

    /// Whether it gives back its inputs; all others answer with classes.
    pub fn reconstructs(&self) -> bool {
        matches!(self.name, "autoencoder" | "vae")
    }

    /// The most tokens that a sample can have, where there is a limit.
    pub fn context(&self) -> Option<usize> {
        let usual = crate::models::Transformer::default().context;
        (self.name == "transformer").then(|| self.widths.get(3).copied().unwrap_or(usual))
    }

    /// The normalization layers that the network has where nobody says otherwise.
    pub fn usual_norm(&self) -> NormKind {
        match self.name {
            "transformer" | "encoder" => NormKind::Layer,
            "gru" | "lstm" | "row-gru" | "row-lstm" | "autoencoder" | "vae" => NormKind::None,
            _ => NormKind::Batch,
        }
    }

    /// What training makes small where nobody says otherwise.
    pub fn usual_loss(&self) -> Loss {
        match self.name {
            "autoencoder" => Loss::Squared,
            "vae" => Loss::Bernoulli,
            _ => Loss::CrossEntropy,
        }
    }

    /// Reads a model string, as [`FromStr`] does, with what a marked excerpt needs.
    pub(crate) fn read(text: &str) -> Result<Self, Fault> {
        let (given, sizes) = match text.split_once(':') {
            Some((name, sizes)) => (name, Some(sizes)),
            None => (text, None),
        };
        let Some(name) = MODELS.iter().copied().find(|name| *name == given) else {
            let help = match nearest(given, MODELS.iter().copied()) {
                Some(near) => format!("did you mean '{near}'?"),
                None => format!("the zoo has {}", MODELS.join(", ")),
            };
            let what = format!("model '{}' is not in the zoo", Shown(given));
            return Err(Fault::value(what, help).hint("`evenkeel models` lists them"));
        };
        let model = ModelSpec { name, widths: Vec::new() };
        let Some(sizes) = sizes else { return Ok(model) };
        let widths = match model.sizes() {
            Sizes::Fixed => {
                return Err(Fault::value(format!("model '{name}' takes no widths"), format!("write '{name}' alone")));
            }
            Sizes::List(least) => read_list(name, sizes, least)?,
            Sizes::Attention(last) => read_attention(name, sizes, last)?,
        };
        Ok(ModelSpec { widths, ..model })
    }
}

/// `512-512-64x3`
fn read_list(name: &str, text: &str, least: usize) -> Result<Vec<usize>, Fault> {
    let mut widths = Vec::new();
    let mut count: usize = 0;
    for part in text.split('-') {
        let (width, times) = match part.split_once('x') {
            Some((width, times)) => (read_width(name, width)?, read_times(name, part, times)?),
            None => (read_width(name, part)?, 1),
        };
        count = count.saturating_add(times);
        if count <= DEEPEST {
            widths.extend(std::iter::repeat_n(width, times));
        }
    }
    if count > DEEPEST {
        let what = format!("model '{name}' cannot have {count} hidden layers");
        return Err(Fault::value(what, format!("at most {DEEPEST}")));
    }
    if count < least {
        let what = format!("model '{name}' needs {least} widths, not {count}");
        return Err(Fault::value(what, format!("write it as in '{name}:32-128', an embedding and then a layer each")));
    }
    Ok(widths)
}

fn read_attention(name: &'static str, text: &str, last: &str) -> Result<Vec<usize>, Fault> {
    let widths = text.split('-').map(|number| read_width(name, number)).collect::<Result<Vec<_>, _>>()?;
    let article = if name.starts_with('e') { "an" } else { "a" };
    let form = format!("write it '{name}:LAYERS-WIDTH-HEADS-{last}', as in '{name}:4-128-4-64'");
    let &[layers, width, heads, _] = &widths[..] else {
        return Err(Fault::value(format!("{article} {name} has four sizes, not {}", widths.len()), form));
    };
    if layers > DEEPEST {
        let what = format!("{article} {name} cannot have {layers} layers");
        return Err(Fault::value(what, format!("at most {DEEPEST}")));
    }
    if width % heads != 0 {
        let what = format!("{heads} heads do not divide {article} {name}'s width of {width}");
        return Err(Fault::value(what, "the width is a multiple of the heads"));
    }
    Ok(widths)
}

/// Digits alone: `usize` would accept a leading plus.
fn digits(text: &str) -> Option<usize> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn read_width(name: &str, text: &str) -> Result<usize, Fault> {
    match digits(text) {
        Some(width @ 1..=WIDEST) => Ok(width),
        _ => Err(Fault::value(
            format!("model '{name}' cannot have a layer of width '{}'", Shown(text)),
            format!("widths are whole numbers from 1 to {WIDEST}, as in '{name}:512-512'"),
        )),
    }
}

fn read_times(name: &str, part: &str, text: &str) -> Result<usize, Fault> {
    match digits(text) {
        Some(times @ 1..) => Ok(times),
        _ => Err(Fault::value(
            format!("model '{name}' cannot have layers '{}'", Shown(part)),
            format!("write a width and how many of it, as in '{name}:64x3'"),
        )),
    }
}

impl Default for ModelSpec {
    /// `mlp` with its own widths.
    fn default() -> Self {
        ModelSpec { name: "mlp", widths: Vec::new() }
    }
}

impl fmt::Display for ModelSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        let is_list = matches!(self.sizes(), Sizes::List(_));
        let mut separator = ':';
        for run in self.widths.chunk_by(|a, b| is_list && a == b) {
            // A short run is written out.
            let (parts, times) = if run.len() < REPEATED { (run, None) } else { (&run[..1], Some(run.len())) };
            for width in parts {
                write!(f, "{separator}{width}")?;
                separator = '-';
            }
            if let Some(times) = times {
                write!(f, "x{times}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for ModelSpec {
    type Err = Error;

    fn from_str(text: &str) -> crate::Result<Self> {
        Self::read(text).map_err(Fault::without_place)
    }
}

impl Serialize for ModelSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ModelSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
