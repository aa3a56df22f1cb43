//! Which normalization layer is meant: `batch`, `group`, `group:8`, ...

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

/// The layer that normalises activations, as far as the network has one.
///
/// It is written as one of [`NormKind::WORDS`], with a number of groups where it has groups, and printed in the same way.
///
/// ```
/// use evenkeel::config::NormKind;
/// assert_eq!("group:8".parse::<NormKind>()?, NormKind::Group(Some(8)));
/// assert_eq!(NormKind::Group(None).to_string(), "group");
/// # Ok::<(), evenkeel::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NormKind {
    /// No normalisation.
    None,
    /// Batch normalisation.
    Batch,
    /// Batch normalisation with noise after it whose distribution drifts.
    NoisyBatch,
    /// Batch normalisation that subtracts the mean and divides by nothing.
    MeanOnly,
    /// Layer normalisation.
    Layer,
    /// Group normalisation with so many groups, or a number that follows from the channels.
    Group(Option<usize>),
    /// Instance normalisation.
    Instance,
    /// Division by the root mean square of a position's channels.
    Rms,
    /// Division by the mean absolute value over the batch.
    L1,
    /// Division by the root mean square over the batch.
    L2,
    /// Division by the largest absolute value in the batch.
    Linf,
    /// Group normalisation blended with its standardisation over the batch; groups as in [`NormKind::Group`].
    ImprovedGroup(Option<usize>),
}

impl NormKind {
    /// One of every kind, in the order in which they are listed.
    pub const ALL: &[Self] = &[
        Self::None,
        Self::Batch,
        Self::NoisyBatch,
        Self::MeanOnly,
        Self::Layer,
        Self::Group(None),
        Self::Instance,
        Self::Rms,
        Self::L1,
        Self::L2,
        Self::Linf,
        Self::ImprovedGroup(None),
    ];

    /// The words of [`Self::ALL`].
    pub const WORDS: &[&str] = &[
        "none",
        "batch",
        "noisy-batch",
        "mean-only",
        "layer",
        "group",
        "instance",
        "rms",
        "l1",
        "l2",
        "linf",
        "improved-group",
    ];

    /// The word for the kind, without a number of groups.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Batch => "batch",
            Self::NoisyBatch => "noisy-batch",
            Self::MeanOnly => "mean-only",
            Self::Layer => "layer",
            Self::Group(_) => "group",
            Self::Instance => "instance",
            Self::Rms => "rms",
            Self::L1 => "l1",
            Self::L2 => "l2",
            Self::Linf => "linf",
            Self::ImprovedGroup(_) => "improved-group",
        }
    }

    /// The number of groups that was asked for.
    pub fn groups(self) -> Option<usize> {
        match self {
            Self::Group(groups) | Self::ImprovedGroup(groups) => groups,
            _ => None,
        }
    }

    /// The same kind with so many groups, where it has groups.
    fn with_groups(self, groups: usize) -> Option<Self> {
        match self {
            Self::Group(_) => Some(Self::Group(Some(groups))),
            Self::ImprovedGroup(_) => Some(Self::ImprovedGroup(Some(groups))),
            _ => None,
        }
    }

    /// Whether statistics go beyond one sample, so that samples of a batch depend on each other.
    pub fn is_over_batch(self) -> bool {
        use NormKind::{Batch, ImprovedGroup, L1, L2, Linf, MeanOnly, NoisyBatch};
        matches!(self, Batch | NoisyBatch | MeanOnly | L1 | L2 | Linf | ImprovedGroup(_))
    }

    fn read_text(text: &str) -> Result<Self, Fault> {
        let (word, groups) = match text.split_once(':') {
            Some((word, groups)) => (word, Some(groups)),
            None => (text, None),
        };
        let Some(kind) = Self::ALL.iter().copied().find(|kind| kind.word() == word) else {
            return Err(Fault::value(format!("unknown norm '{}'", Shown(word)), suggest(word, Self::WORDS)));
        };
        let Some(groups) = groups else { return Ok(kind) };
        let Some(default) = kind.with_groups(1) else {
            return Err(Fault::value(format!("norm '{word}' has no groups"), format!("write '{word}' alone")));
        };
        let digits = groups.bytes().all(|byte| byte.is_ascii_digit());
        let number = if digits { groups.parse().ok().filter(|groups| *groups > 0) } else { None };
        number.and_then(|groups| default.with_groups(groups)).ok_or_else(|| {
            Fault::value(
                format!("norm '{word}' cannot have '{}' groups", Shown(groups)),
                format!("groups are a whole number of at least 1, as in '{word}:8'"),
            )
        })
    }
}

impl fmt::Display for NormKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.groups() {
            Some(groups) => f.pad(&format!("{}:{groups}", self.word())),
            None => f.pad(self.word()),
        }
    }
}

impl FromStr for NormKind {
    type Err = Error;

    fn from_str(text: &str) -> crate::Result<Self> {
        Self::read_text(text).map_err(Fault::without_place)
    }
}

impl Serialize for NormKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Setting for NormKind {
    const KIND: Kind = Kind::Choice(Self::WORDS);

    fn read(value: &DeValue<'_>, key: &Key) -> Result<Self, Fault> {
        value.as_str().map_or_else(|| Err(key.wrong_type(value)), Self::read_text)
    }

    fn write(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }

    fn schema() -> Value {
        words_or(Self::WORDS, r"(group|improved-group):0*[1-9][0-9]*")
    }
}
