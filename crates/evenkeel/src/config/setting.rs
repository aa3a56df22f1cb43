//! How one value is read from TOML and written back.

use super::fault::{Fault, Shown};
use super::model::ModelSpec;
use super::schema;
use super::table::Key;
use serde_json::Value;
use std::fmt;
use std::ops::{Bound, RangeBounds};
use toml::de::{DeInteger, DeValue};

/// A type that a setting may have.
pub(crate) trait Setting: Sized {
    /// What its values are, in words.
    const KIND: Kind;

    /// Reads a value and checks it against `key.range`.
    fn read(value: &DeValue<'_>, key: &Key) -> Result<Self, Fault>;

    /// The value in TOML, or nothing for an absent one.
    fn write(&self) -> Option<String>;

    /// What values look like in JSON, in words of JSON Schema, whatever their range.
    fn schema() -> Value {
        Self::KIND.schema()
    }
}

/// What the values of a setting are; printed as it reads after "must be".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `0`, `1`, `2`, ...
    Whole,
    /// A finite number.
    Number,
    /// `true` or `false`.
    Flag,
    /// Any text.
    Text,
    /// A size of memory, see [`Size`](super::Size).
    Size,
    /// The shape of an image, see [`ImageShape`](super::ImageShape).
    Shape,
    /// A network of the zoo, see [`ModelSpec`].
    Model,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// The word `none`, or a value of this kind.
    Optional(&'static Kind),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Whole => f.write_str("a whole number"),
            Kind::Number => f.write_str("a number"),
            Kind::Flag => f.write_str("true or false"),
            Kind::Text => f.write_str("a text"),
            Kind::Model => f.write_str("the name of a network, such as \"mlp\""),
            Kind::Size => f.write_str("a size, such as \"2GiB\""),
            Kind::Shape => f.write_str("the shape of an image, such as \"28x28x1\""),
            Kind::Choice([only]) => write!(f, "{only}"),
            Kind::Choice(words) => write!(f, "one of {}", words.join(", ")),
            Kind::Optional(kind) => write!(f, "{kind}, or none"),
        }
    }
}

impl Kind {
    /// Whether a value of this kind stands between quotes.
    pub(crate) fn is_quoted(self) -> bool {
        match self {
            Kind::Text | Kind::Size | Kind::Shape | Kind::Model | Kind::Choice(_) => true,
            Kind::Whole | Kind::Number | Kind::Flag => false,
            Kind::Optional(kind) => kind.is_quoted(),
        }
    }
}

/// The numbers that are allowed, and the words for them, which are also their notation (see [`range!`]).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) bounds: (Bound<f64>, Bound<f64>),
    pub(crate) words: &'static str,
}

/// A [`Range`] from the words that describe it: `range!(at least 0 and below 1)`.
macro_rules! range {
    (@low at least $low:literal) => { std::ops::Bound::Included($low as f64) };
    (@low above $low:literal) => { std::ops::Bound::Excluded($low as f64) };
    (@high at most $high:literal) => { std::ops::Bound::Included($high as f64) };
    (@high below $high:literal) => { std::ops::Bound::Excluded($high as f64) };
    (@both $low:expr, $high:expr, $words:expr) => {
        $crate::config::setting::Range { bounds: ($low, $high), words: $words }
    };
    () => { range!(@both std::ops::Bound::Unbounded, std::ops::Bound::Unbounded, "") };
    (at least $low:literal) => {
        range!(@both range!(@low at least $low), std::ops::Bound::Unbounded, stringify!(at least $low))
    };
    (above $low:literal) => {
        range!(@both range!(@low above $low), std::ops::Bound::Unbounded, stringify!(above $low))
    };
    (at least $low:literal and $($high:tt)+) => {
        range!(@both range!(@low at least $low), range!(@high $($high)+), stringify!(at least $low and $($high)+))
    };
    (above $low:literal and $($high:tt)+) => {
        range!(@both range!(@low above $low), range!(@high $($high)+), stringify!(above $low and $($high)+))
    };
}
pub(crate) use range;

impl Range {
    fn check(&self, number: f64, key: &Key) -> Result<(), Fault> {
        if !number.is_finite() {
            let and = if self.words.is_empty() { "" } else { " and " };
            return Err(Fault::value(key.out_of_range(), format!("must be finite{and}{}", self.words)));
        }
        if !self.bounds.contains(&number) {
            return Err(Fault::value(key.out_of_range(), format!("must be {}", self.words)));
        }
        Ok(())
    }
}

impl Key {
    fn out_of_range(&self) -> String {
        format!("{} is out of range", self.path)
    }

    /// The fault of a value that is not of the key's kind.
    pub(crate) fn wrong_type(&self, value: &DeValue<'_>) -> Fault {
        let what = format!("{} must be {}", self.path, self.kind);
        let quoted = self.kind.is_quoted();
        let help = match value {
            DeValue::String(text) if !quoted && DeValue::parse(text).is_ok() => {
                format!("this is a text; write {} without quotes", Shown(text))
            }
            DeValue::String(_) => "this is a text".into(),
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                Ok(number) if number.fract() == 0.0 && (0.0..1e15).contains(&number) && !quoted => {
                    format!("write {number}")
                }
                _ => "this is a number with a fraction".into(),
            },
            DeValue::Integer(_) => "this is a whole number".into(),
            DeValue::Boolean(_) => "this is true or false".into(),
            DeValue::Datetime(_) => "this is a date".into(),
            DeValue::Array(_) => "this is an array".into(),
            DeValue::Table(_) => "this is a table".into(),
        };
        Fault::value(what, help)
    }
}

/// Digits in any base as a number; beyond `i128` only the sign still matters.
fn integer(digits: &DeInteger<'_>) -> i128 {
    let beyond = if digits.as_str().starts_with('-') { i128::MIN } else { i128::MAX };
    i128::from_str_radix(digits.as_str(), digits.radix()).unwrap_or(beyond)
}

fn read_whole<T: TryFrom<i128> + fmt::Display>(value: &DeValue<'_>, key: &Key, largest: T) -> Result<T, Fault> {
    let DeValue::Integer(digits) = value else { return Err(key.wrong_type(value)) };
    let number = integer(digits);
    if key.range.words.is_empty() && number < 0 {
        return Err(Fault::value(key.out_of_range(), "must be at least 0"));
    }
    key.range.check(number as f64, key)?;
    T::try_from(number).map_err(|_| Fault::value(key.out_of_range(), format!("must be at most {largest}")))
}

impl Setting for u64 {
    const KIND: Kind = Kind::Whole;

    fn read(value: &DeValue<'_>, key: &Key) -> Result<Self, Fault> {
        read_whole(value, key, u64::MAX)
    }

    fn write(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for usize {
    const KIND: Kind = Kind::Whole;

    fn read(value: &DeValue<'_>, key: &Key) -> Result<Self, Fault> {
        read_whole(value, key, usize::MAX)
    }

    fn write(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for f64 {
    const KIND: Kind = Kind::Number;

    fn read(value: &DeValue<'_>, key: &Key) -> Result<Self, Fault> {
        let number = match value {
            DeValue::Float(digits) => digits.as_str().parse().map_err(|_| key.wrong_type(value))?,
            DeValue::Integer(digits) => integer(digits) as f64,
            _ => return Err(key.wrong_type(value)),
        };
        key.range.check(number, key)?;
        Ok(number)
    }

    fn write(&self) -> Option<String> {
        // The shortest digits that read back as the same number; TOML spells only NaN differently.
        Some(if self.is_nan() { "nan".into() } else { format!("{self:?}") })
    }
}

impl Setting for bool {
    const KIND: Kind = Kind::Flag;

    fn read(value: &DeValue<'_>, key: &Key) -> Result<Self, Fault> {
        value.as_bool().ok_or_else(|| key.wrong_type(value))
    }

    fn write(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for String {
    const KIND: Kind = Kind::Text;

    fn read(value: &DeValue<'_>, key: &Key) -> Result<Self, Fault> {
        value.as_str().map(str::to_owned).ok_or_else(|| key.wrong_type(value))
    }

    fn write(&self) -> Option<String> {
        Some(quoted(self))
    }
}

impl Setting for ModelSpec {
    const KIND: Kind = Kind::Model;

    fn read(value: &DeValue<'_>, key: &Key) -> Result<Self, Fault> {
        value.as_str().map_or_else(|| Err(key.wrong_type(value)), ModelSpec::read)
    }

    fn write(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

/// An absent value is not written at all; `none` takes back a value that was set earlier.
impl<T: Setting> Setting for Option<T> {
    const KIND: Kind = Kind::Optional(&T::KIND);

    fn read(value: &DeValue<'_>, key: &Key) -> Result<Self, Fault> {
        if value.as_str() == Some("none") { Ok(None) } else { T::read(value, key).map(Some) }
    }

    fn write(&self) -> Option<String> {
        self.as_ref().and_then(T::write)
    }

    fn schema() -> Value {
        schema::or_none(T::schema())
    }
}

/// A text as a TOML string on one line.
pub(crate) fn quoted(text: &str) -> String {
    let mut result = String::with_capacity(text.len() + 2);
    result.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => result.extend(['\\', character]),
            character if character.is_control() => result.push_str(&format!("\\u{:04X}", u32::from(character))),
            character => result.push(character),
        }
    }
    result.push('"');
    result
}
