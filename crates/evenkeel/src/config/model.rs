//! Which network of the zoo is meant: `mlp`, `mlp:512-512`, `resnet20`, ...

use super::fault::{Fault, Shown};
use super::norm::NormKind;
use crate::{Error, nearest};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// The names of the zoo, in the order in which they are listed.
pub const MODELS: &[&str] =
    &["mlp", "deep-linear", "vgg11", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110", "transformer"];

/// Those of [`MODELS`] whose hidden widths may be chosen.
const WITH_WIDTHS: &[&str] = &["mlp", "deep-linear"];

/// The widest hidden layer a [`ModelSpec`] may ask for.
const WIDEST: usize = 65_536;

/// The most hidden layers a [`ModelSpec`] may ask for.
const DEEPEST: usize = 1_000;

/// A network by name: one of [`MODELS`], with its size where that may be chosen.
///
/// It is written `NAME`, `NAME:WIDTH-WIDTH-...` or `transformer:LAYERS-WIDTH-HEADS-TOKENS`, and printed in the same way.
///
/// ```
/// use evenkeel::config::ModelSpec;
/// let model: ModelSpec = "mlp:512-256".parse()?;
/// assert_eq!((model.name, model.widths.as_slice()), ("mlp", [512, 256].as_slice()));
/// assert_eq!(model.to_string(), "mlp:512-256");
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
    /// Whether hidden widths may be chosen for this network.
    pub fn takes_widths(&self) -> bool {
        WITH_WIDTHS.contains(&self.name)
    }

    /// The normalization layers that the network has where nobody says otherwise.
    pub fn usual_norm(&self) -> NormKind {
        if self.name == "transformer" { NormKind::Layer } else { NormKind::Batch }
    }

    /// Reads a model string, as [`FromStr`] does, with what a marked excerpt needs.
    pub(crate) fn read(text: &str) -> Result<Self, Fault> {
        let (given, widths) = match text.split_once(':') {
            Some((name, widths)) => (name, Some(widths)),
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
        let Some(widths) = widths else { return Ok(model) };
        if name == "transformer" {
            return read_transformer(widths);
        }
        if !model.takes_widths() {
            return Err(Fault::value(format!("model '{name}' takes no widths"), format!("write '{name}' alone")));
        }
        let count = widths.split('-').count();
        if count > DEEPEST {
            return Err(Fault::value(
                format!("model '{name}' cannot have {count} hidden layers"),
                format!("at most {DEEPEST}"),
            ));
        }
        let widths = widths.split('-').map(|width| read_width(name, width)).collect::<Result<_, _>>()?;
        Ok(ModelSpec { widths, ..model })
    }
}

fn read_transformer(text: &str) -> Result<ModelSpec, Fault> {
    let name = "transformer";
    let widths = text.split('-').map(|number| read_width(name, number)).collect::<Result<Vec<_>, _>>()?;
    let form = "write it 'transformer:LAYERS-WIDTH-HEADS-TOKENS', as in 'transformer:4-128-4-64'";
    let &[layers, width, heads, _] = &widths[..] else {
        return Err(Fault::value(format!("a transformer has four sizes, not {}", widths.len()), form));
    };
    if layers > DEEPEST {
        return Err(Fault::value(format!("a transformer cannot have {layers} layers"), format!("at most {DEEPEST}")));
    }
    if width % heads != 0 {
        let what = format!("{heads} heads do not divide a transformer's width of {width}");
        return Err(Fault::value(what, "the width is a multiple of the heads"));
    }
    Ok(ModelSpec { name, widths })
}

fn read_width(name: &str, text: &str) -> Result<usize, Fault> {
    // `usize` alone would accept a leading plus.
    let width = if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None };
    match width {
        Some(width @ 1..=WIDEST) => Ok(width),
        _ => Err(Fault::value(
            format!("model '{name}' cannot have a layer of width '{}'", Shown(text)),
            format!("widths are whole numbers from 1 to {WIDEST}, as in '{name}:512-512'"),
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
        for (index, width) in self.widths.iter().enumerate() {
            write!(f, "{}{width}", if index == 0 { ':' } else { '-' })?;
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
