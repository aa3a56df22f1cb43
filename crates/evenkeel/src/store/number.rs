//! How is a number that JSON does not know (NaN, the infinities) written and read back?

use serde::{Deserialize, Deserializer, Serializer};
use serde_json::Value;

/// A finite number as itself, the others as `"NaN"`, `"inf"`, `"-inf"`.
pub(crate) fn to_json(number: f64) -> Value {
    match serde_json::Number::from_f64(number) {
        Some(number) => Value::Number(number),
        None if number.is_nan() => Value::from("NaN"),
        None if number > 0.0 => Value::from("inf"),
        None => Value::from("-inf"),
    }
}

/// The reverse of [`to_json`]; `None` for anything else.
pub(crate) fn from_json(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "inf" => Some(f64::INFINITY),
            "-inf" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

pub(crate) fn serialize<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&to_json(*number), serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    from_json(&value).ok_or_else(|| {
        serde::de::Error::custom(format!("expected a number, \"NaN\", \"inf\" or \"-inf\", got {value}"))
    })
}

/// The same for lists of numbers.
pub(crate) mod list {
    use super::{Value, from_json, to_json};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(numbers: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(numbers.iter().map(|number| to_json(*number)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        let values = Vec::<Value>::deserialize(deserializer)?;
        let number = |value: &Value| {
            from_json(value)
                .ok_or_else(|| serde::de::Error::custom(format!("expected a list of numbers, got {value} in it")))
        };
        values.iter().map(number).collect()
    }
}
