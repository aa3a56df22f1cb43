//! Which settings vary, and over which values?

use crate::config::{Config, KEYS, Key, Override};
use crate::{Error, Result};

/// Settings that a sweep cannot vary, and what does.
const FIXED: [(&str, &str); 2] = [
    ("seed", "`--seeds N` takes so many seeds, from `--seed` on"),
    ("memory_limit", "`--memory-limit` is for all runs of a sweep together"),
];

/// The longest name of a folder for what varies; a longer one is cut, and ends in a few digits of its hash.
const LONGEST: usize = 120;

/// A setting and the values it takes.
#[derive(Clone, Debug)]
pub struct Axis {
    /// The setting.
    pub key: &'static Key,
    /// What it is called in the table and in folders.
    pub name: String,
    /// The values as they were typed.
    values: Vec<Override>,
}

impl Axis {
    /// Reads `KEY=V1,V2,..`, or `KEY=[V1, V2, ..]` for values with commas, which then stand in quotes as in TOML. `short` are names
    /// that stand for keys, such as `lr`.
    ///
    /// # Errors
    /// When there is no such setting, or none that may vary, and where a value is missing.
    pub fn read(argument: &str, short: &[(&str, &str)]) -> Result<Axis> {
        let example = "write it as in `--grid lr=0.1,0.01`";
        let malformed = |what: &str| Error::input(what).detail("got", format!("--grid {argument}")).hint(example);
        let Some((name, values)) = argument.split_once('=') else {
            return Err(malformed("--grid needs a key and its values"));
        };
        let name = name.trim();
        let path = short.iter().find(|(short, _)| *short == name).map_or(name, |(_, path)| path);
        let Some(key) = KEYS.iter().find(|key| key.is_at(path)) else {
            // What is wrong with a key, the configuration knows best.
            let asked = Override::flag(format!("--grid {name}"), path, "");
            return Err(Config::resolve(None, &[asked]).err().unwrap_or_else(|| malformed("--grid needs a key")));
        };
        if let Some((_, instead)) = FIXED.iter().find(|(fixed, _)| *fixed == key.path) {
            return Err(Error::input(format!("{} cannot vary in a grid", key.path))
                .detail("key", key.path)
                .hint(*instead));
        }
        let values = split(values).map_err(malformed)?;
        let known = short.iter().find(|(_, path)| *path == key.path).map_or(key.name, |(short, _)| short);
        let values = values.into_iter().map(|value| Override::flag(format!("--grid {name}"), key.path, value));
        Ok(Axis { key, name: known.to_owned(), values: values.collect() })
    }

    /// Whether a setting given on the command line is this one.
    pub(super) fn is_set_by(&self, given: &Override) -> bool {
        self.key.is_at(&given.key)
    }

    /// The value as a configuration has it, without quotes.
    pub(super) fn value_of(&self, config: &Config) -> String {
        match (self.key.write)(config) {
            Some(written) => toml_text(&written).unwrap_or_else(|| written.trim_end_matches(".0").to_owned()),
            None => "none".to_owned(),
        }
    }
}

/// Values between commas, or those of a TOML array, where a text may be empty; else what is wrong.
fn split(values: &str) -> std::result::Result<Vec<String>, &'static str> {
    let values = values.trim();
    if !values.starts_with('[') {
        let parts = values.split(',').map(|value| Some(value.trim().to_owned()).filter(|value| !value.is_empty()));
        return parts.collect::<Option<_>>().ok_or("a value of a grid is missing");
    }
    let table: Option<toml::Table> = format!("list = {values}").parse().ok();
    let list =
        table.as_ref().and_then(|table| table.get("list")?.as_array()).ok_or("the list of a grid is not valid TOML")?;
    if list.is_empty() {
        return Err("a value of a grid is missing");
    }
    Ok(list.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect())
}

/// The text that a quoted TOML value stands for.
fn toml_text(written: &str) -> Option<String> {
    let table: toml::Table = format!("value = {written}").parse().ok()?;
    table.get("value")?.as_str().map(str::to_owned)
}

/// Gives each axis a name that no other one has: that of its setting, with the section where two are alike.
///
/// # Errors
/// When two axes are the same setting.
pub(super) fn tell_apart(axes: &mut [Axis]) -> Result<()> {
    for (index, axis) in axes.iter().enumerate() {
        if axes[..index].iter().any(|other| std::ptr::eq(other.key, axis.key)) {
            return Err(Error::input(format!("{} is in the grid twice", axis.key.path))
                .detail("key", axis.key.path)
                .hint("give all of its values after one `--grid`"));
        }
    }
    let names: Vec<String> = axes.iter().map(|axis| axis.name.clone()).collect();
    for axis in axes {
        if names.iter().filter(|name| **name == axis.name).count() > 1 {
            axis.name = axis.key.path.to_owned();
        }
    }
    Ok(())
}

/// Every combination of values, the last axis varying fastest.
pub(super) fn combinations(axes: &[Axis]) -> impl Iterator<Item = Vec<Override>> {
    let count = axes.iter().map(|axis| axis.values.len()).product();
    (0..count).map(|index| {
        let mut rest: usize = index;
        let mut chosen: Vec<Override> = axes
            .iter()
            .rev()
            .map(|axis| {
                let value = axis.values[rest % axis.values.len()].clone();
                rest /= axis.values.len();
                value
            })
            .collect();
        chosen.reverse();
        chosen
    })
}

/// How many combinations there are; nothing where they cannot be counted.
pub(super) fn count(axes: &[Axis]) -> Option<usize> {
    axes.iter().try_fold(1_usize, |count, axis| count.checked_mul(axis.values.len()))
}

/// The folder of a point: `lr=0.1,momentum=0.9`; empty without axes.
pub(super) fn folder(axes: &[Axis], values: &[String]) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._+-".contains(c) { c } else { '_' };
    let parts = axes.iter().zip(values);
    let exact: Vec<String> = parts.map(|(axis, value)| format!("{}={value}", axis.name)).collect();
    let name: Vec<String> = exact
        .iter()
        .map(|part| part.char_indices().map(|(at, c)| if part.find('=') == Some(at) { c } else { plain(c) }).collect())
        .collect();
    let name = name.join(",");
    if name.len() <= LONGEST {
        return name;
    }
    use sha2::{Digest, Sha256};
    let hash: String = Sha256::digest(exact.join(",")).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{hash}", &name[..LONGEST])
}
