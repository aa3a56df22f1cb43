//! How weights are drawn: `he`, `orthogonal`, `normal:0.05`, ...

use super::fault::{Fault, Shown, suggest};
use super::schema::words_or;
use super::setting::{Kind, Setting, quoted};
use super::table::Key;
use crate::Error;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::fmt;
use std::str::FromStr;
use toml::de::DeValue;

/// The rule that weights are drawn by before the first step.
///
/// It is written as one of [`Initialization::WORDS`], `normal` with a deviation where it is not 0.05, and printed in the same way.
///
/// ```
/// use evenkeel::config::Initialization;
/// assert_eq!("normal:0.01".parse::<Initialization>()?, Initialization::Normal(0.01));
/// assert_eq!(Initialization::HeUniform.to_string(), "he-uniform");
/// # Ok::<(), evenkeel::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initialization {
    /// Normal with variance 2 / fan-in (He, Zhang, Ren, Sun 2015, arXiv 1502.01852).
    He,
    /// Uniform with variance 2 / fan-in.
    HeUniform,
    /// Uniform with variance 2 / (fan-in + fan-out) (Glorot, Bengio 2010).
    Glorot,
    /// Normal with variance 2 / (fan-in + fan-out).
    GlorotNormal,
    /// Normal with variance 1 / fan-in (LeCun, Bottou, Orr, Müller 1998).
    Lecun,
    /// Uniform with variance 1 / fan-in.
    LecunUniform,
    /// Orthonormal rows or columns, uniform among all of them (Saxe, McClelland, Ganguli 2014, arXiv 1312.6120).
    Orthogonal,
    /// As orthogonal in the middle of a convolution's kernel, and zeros around it (Xiao et al. 2018, arXiv 1806.05393).
    DeltaOrthogonal,
    /// Uniform in ±1 / √fan-in, biases too: what PyTorch does unless told otherwise.
    Uniform,
    /// Normal with this deviation.
    Normal(f64),
}

/// The deviation of `normal` alone: that of weight normalization's authors.
const DEVIATION: f64 = 0.05;

impl Initialization {
    /// One of every rule, in the order in which they are listed.
    pub const ALL: &[Self] = &[
        Self::He,
        Self::HeUniform,
        Self::Glorot,
        Self::GlorotNormal,
        Self::Lecun,
        Self::LecunUniform,
        Self::Orthogonal,
        Self::DeltaOrthogonal,
        Self::Uniform,
        Self::Normal(DEVIATION),
    ];

    /// The words of [`Self::ALL`].
    pub const WORDS: &[&str] = &[
        "he",
        "he-uniform",
        "glorot",
        "glorot-normal",
        "lecun",
        "lecun-uniform",
        "orthogonal",
        "delta-orthogonal",
        "uniform",
        "normal",
    ];

    /// The word for the rule, without a deviation.
    pub fn word(self) -> &'static str {
        match self {
            Self::He => "he",
            Self::HeUniform => "he-uniform",
            Self::Glorot => "glorot",
            Self::GlorotNormal => "glorot-normal",
            Self::Lecun => "lecun",
            Self::LecunUniform => "lecun-uniform",
            Self::Orthogonal => "orthogonal",
            Self::DeltaOrthogonal => "delta-orthogonal",
            Self::Uniform => "uniform",
            Self::Normal(_) => "normal",
        }
    }

    fn read_text(text: &str) -> Result<Self, Fault> {
        let (word, number) = match text.split_once(':') {
            Some((word, number)) => (word, Some(number)),
            None => (text, None),
        };
        let Some(rule) = Self::ALL.iter().copied().find(|rule| rule.word() == word) else {
            let what = format!("unknown initialization '{}'", Shown(word));
            return Err(Fault::value(what, suggest(word, Self::WORDS)));
        };
        match (rule, number) {
            (rule, None) => Ok(rule),
            (Self::Normal(_), Some(number)) => {
                let deviation = number.parse().ok().filter(|deviation: &f64| *deviation > 0.0 && deviation.is_finite());
                deviation.map(Self::Normal).ok_or_else(|| {
                    Fault::value(
                        format!("initialization 'normal' cannot have the deviation '{}'", Shown(number)),
                        "a deviation is a number above 0, as in 'normal:0.05'",
                    )
                })
            }
            (_, Some(_)) => Err(Fault::value(
                format!("initialization '{word}' takes no number"),
                format!("write '{word}' alone; `initialization_scale` makes all weights larger or smaller"),
            )),
        }
    }
}

impl fmt::Display for Initialization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal(deviation) if *deviation != DEVIATION => f.pad(&format!("{}:{deviation:?}", self.word())),
            _ => f.pad(self.word()),
        }
    }
}

impl FromStr for Initialization {
    type Err = Error;

    fn from_str(text: &str) -> crate::Result<Self> {
        Self::read_text(text).map_err(Fault::without_place)
    }
}

impl Serialize for Initialization {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Setting for Initialization {
    const KIND: Kind = Kind::Choice(Self::WORDS);

    fn read(value: &DeValue<'_>, key: &Key) -> Result<Self, Fault> {
        value.as_str().map_or_else(|| Err(key.wrong_type(value)), Self::read_text)
    }

    fn write(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }

    fn schema() -> Value {
        words_or(Self::WORDS, r"normal:\+?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
    }
}
