//! The settings as a JSON Schema, which editors complete and check a configuration by.
//!
//! It is made from the table of settings, as everything else about them. What it refuses, [`Config::resolve`](super::Config::resolve)
//! refuses as well; the other way round, a schema does not know how settings go together, nor the few rules beyond the form of a text
//! (heads that divide a width), and JSON does not tell `1.0` from `1`.

use super::lookup::{CHANGES, VERSION};
use super::model::{MODELS, ModelSpec, Sizes};
use super::setting::Kind;
use super::table::{Config, KEYS, Key, SECTIONS};
use serde_json::{Map, Value, json};
use std::ops::Bound;

/// The JSON Schema (draft 2020-12) of a configuration, by sections and keys with their aliases.
///
/// ```
/// let schema = evenkeel::config::schema();
/// assert_eq!(schema["properties"]["optimizer"]["properties"]["lr"]["exclusiveMinimum"], 0);
/// ```
pub fn schema() -> Value {
    let defaults = Config::default().to_json();
    let mut properties = Map::new();
    properties.insert(VERSION.into(), json!({ "description": "The version that wrote the file; it is read past." }));
    let changes = "What a run that was resumed did otherwise up to a step; it is read past.";
    properties.insert(CHANGES.into(), json!({ "description": changes }));
    properties.extend(section("", &defaults));
    for (name, about) in SECTIONS {
        let keys = section(name, &defaults[name]);
        let about = about.trim();
        properties.insert(
            (*name).into(),
            json!({ "description": about, "type": "object", "properties": keys, "additionalProperties": false }),
        );
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Evenkeel configuration",
        "description": "Everything that decides a run; what is left out has its default.",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

/// The keys of a section, each alias as a key of its own.
fn section(name: &str, defaults: &Value) -> Map<String, Value> {
    let mut properties = Map::new();
    for key in KEYS.iter().filter(|key| key.section == name) {
        let property = property(key, &defaults[key.name]);
        for alias in key.aliases {
            let mut same = property.clone();
            same["description"] = format!("The same as {}. {}", key.name, words(key)).into();
            properties.insert((*alias).into(), same);
        }
        properties.insert(key.name.into(), property);
    }
    properties
}

fn property(key: &Key, default: &Value) -> Value {
    let mut property = Map::from_iter([("description".to_owned(), Value::from(words(key)))]);
    let default = if default.is_null() { "none".into() } else { default.clone() };
    for part in [(key.schema)(), bounds(key), json!({ "default": default })] {
        if let Value::Object(part) = part {
            property.extend(part);
        }
    }
    Value::Object(property)
}

fn words(key: &Key) -> String {
    key.help.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// The range of the numbers; texts, which a bound says nothing about, are let through by it.
fn bounds(key: &Key) -> Value {
    let mut result = Map::new();
    let whole = key.kind.is_whole();
    let number = |bound: f64| if bound.fract() == 0.0 { json!(bound as i64) } else { json!(bound) };
    let (low, high) = key.range.bounds;
    match low {
        Bound::Included(low) => result.insert("minimum".into(), number(low)),
        Bound::Excluded(low) => result.insert("exclusiveMinimum".into(), number(low)),
        Bound::Unbounded if whole => result.insert("minimum".into(), 0.into()),
        Bound::Unbounded => None,
    };
    match high {
        Bound::Included(high) => result.insert("maximum".into(), number(high)),
        Bound::Excluded(high) => result.insert("exclusiveMaximum".into(), number(high)),
        Bound::Unbounded => None,
    };
    Value::Object(result)
}

impl Kind {
    fn is_whole(self) -> bool {
        match self {
            Kind::Whole => true,
            Kind::Optional(kind) => kind.is_whole(),
            _ => false,
        }
    }

    /// What JSON values of the kind look like, whatever their range.
    pub(crate) fn schema(self) -> Value {
        match self {
            Kind::Whole => json!({ "type": "integer" }),
            Kind::Number => json!({ "type": "number" }),
            Kind::Flag => json!({ "type": "boolean" }),
            Kind::Text => json!({ "type": "string" }),
            Kind::Size => json!({ "anyOf": [
                { "type": "string", "pattern": SIZE },
                { "type": "integer", "minimum": 1 },
            ] }),
            Kind::Shape => json!({ "type": "string", "pattern": format!("^{EXTENT}x{EXTENT}(x{EXTENT})?$") }),
            Kind::Model => json!({ "anyOf": [{ "enum": MODELS }, { "type": "string", "pattern": models() }] }),
            Kind::Choice(words) => json!({ "enum": words }),
            Kind::Optional(kind) => or_none(kind.schema()),
        }
    }
}

/// The same, or the word `none`.
pub(crate) fn or_none(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "const": "none" }] })
}

/// One of some words, or such a word with a number behind it: `group`, `group:8`.
pub(crate) fn words_or(words: &[&str], pattern: &str) -> Value {
    json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": format!("^({pattern})$") }] })
}

/// A number that is not 0, and a unit or none.
const SIZE: &str = r"^\s*(0*[1-9][0-9_]*(\.[0-9_]*)?|[0_]*\.[0-9_]*[1-9][0-9_]*)\s*([kKmMgGtT][iI]?[bB]|[bB])?\s*$";

/// 1 to 65,536, the widths that a layer and the extents that an image may have.
const EXTENT: &str = "0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-6])";

/// The networks that have sizes, with them.
fn models() -> String {
    let with = |wanted: fn(Sizes) -> bool| {
        let named = MODELS.iter().map(|&name| ModelSpec { name, widths: Vec::new() });
        named.filter(|model| wanted(model.sizes())).map(|model| model.name).collect::<Vec<_>>().join("|")
    };
    let lists = with(|sizes| matches!(sizes, Sizes::List(_)));
    let attentions = with(|sizes| matches!(sizes, Sizes::Attention(_)));
    let times = format!("{EXTENT}(x0*[1-9][0-9]*)?");
    format!("^(({lists}):{times}(-{times})*|({attentions}):{EXTENT}(-{EXTENT}){{3}})$")
}
