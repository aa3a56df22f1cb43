//! A configuration as text: `run.toml`, JSON, and the reference of all settings.

use super::lookup::{CHANGES, VERSION};
use super::setting::{Kind, quoted};
use super::table::{Config, KEYS, Key, SECTIONS};
use serde_json::Value;

const THIS_VERSION: &str = env!("CARGO_PKG_VERSION");

impl Config {
    /// Everything resolved, in a fixed order, after the version that wrote it; [`Config::resolve`] reads it back as an equal value.
    /// Absent values are left out.
    pub fn to_toml(&self) -> String {
        let mut result = format!("{VERSION} = {}\n", quoted(THIS_VERSION));
        let mut section = "";
        for key in KEYS {
            if key.section != section {
                section = key.section;
                result.push_str(&format!("\n[{section}]\n"));
            }
            if let Some(value) = (key.write)(self) {
                result.push_str(&format!("{} = {value}\n", key.name));
            }
        }
        result
    }

    /// The first setting whose value is another one in `other`, and both values as a file has them; `but` are not looked at.
    pub fn first_difference(&self, other: &Config, but: &[&str]) -> Option<(&'static Key, String, String)> {
        self.differences(other).find(|(key, ..)| !but.contains(&key.path))
    }

    fn differences(&self, other: &Config) -> impl Iterator<Item = (&'static Key, String, String)> {
        let written = |key: &Key, config: &Config| (key.write)(config).unwrap_or_else(|| quoted("none"));
        let values = KEYS.iter().map(move |key| (key, written(key, self), written(key, other)));
        values.filter(|(_, here, there)| here != there)
    }

    /// The same for a run that went on with this configuration after `step` steps, so that nobody takes it for that of all steps: the text
    /// ends in a table `[[changes]]` for each time, with the values up to that step. `before` and `written` are the configuration until
    /// then, and its text.
    pub fn to_toml_after(&self, step: u64, before: &Config, written: &str) -> String {
        let written: toml::Table = written.parse().unwrap_or_default();
        let earlier = written.get(CHANGES).and_then(|changes| changes.as_array()).into_iter().flatten();
        let mut result = self.to_toml();
        for change in earlier.filter_map(|change| change.as_table()) {
            result.push_str(&format!("\n[[{CHANGES}]]\n"));
            result.extend(change.iter().map(|(key, value)| format!("{} = {value}\n", quoted(key))));
        }
        let changed: Vec<String> =
            before.differences(self).map(|(key, value, _)| format!("{} = {value}\n", quoted(key.path))).collect();
        if !changed.is_empty() && step > 0 {
            result.push_str(&format!("\n[[{CHANGES}]]\n\"step\" = {step}\n{}", changed.concat()));
        }
        result
    }

    /// The same as JSON: one object a section, the version first, absent values as `null`.
    pub fn to_json(&self) -> Value {
        let mut result = serde_json::Map::new();
        result.insert(VERSION.into(), THIS_VERSION.into());
        // Serializing cannot fail: all keys are strings, and no type here has a fallible form.
        if let Ok(Value::Object(settings)) = serde_json::to_value(self) {
            result.extend(settings);
        }
        Value::Object(result)
    }
}

/// The reference of all settings: a file that sets every one to its default, with its meaning, type and range in comments.
pub fn reference() -> String {
    let mut result = String::new();
    let mut section = "";
    for key in KEYS {
        if key.section != section {
            section = key.section;
            let about = SECTIONS.iter().find(|(name, _)| *name == section).map_or("", |(_, about)| about);
            comment(&mut result, about);
            result.push_str(&format!("[{section}]\n\n"));
        }
        comment(&mut result, key.help);
        let range = if key.allowed().is_empty() { String::new() } else { format!(", {}", key.allowed()) };
        let values = match key.kind {
            Kind::Optional(kind) => format!("{kind}{range}, or none"),
            kind => format!("{kind}{range}"),
        };
        let also = if key.aliases.is_empty() { String::new() } else { format!("; also: {}", key.aliases.join(", ")) };
        comment(&mut result, &format!("{values}{also}"));
        result.push_str(&format!("{} = {}\n\n", key.name, key.default().unwrap_or_else(|| quoted("none"))));
    }
    result.truncate(result.trim_end().len());
    result.push('\n');
    result
}

/// The page of the reference, in Markdown: what `docs/configuration.md` holds.
pub fn reference_page() -> String {
    format!(
        "# Configuration\n\nEvery key with its meaning and default. A file sets any of them, `--set section.key=value` sets one; \
         `evenkeel config FILE` prints\nwhat they come to.\n\nEditors complete and check a file that begins with \
         `#:schema PATH/evenkeel.schema.json`, where they know that line (Even Better TOML,\ntaplo). The schema is \
         [`evenkeel.schema.json`](evenkeel.schema.json), and `evenkeel config --schema` prints it.\n\n```toml\n{}```\n",
        reference()
    )
}

fn comment(result: &mut String, text: &str) {
    for line in text.lines() {
        result.push_str(&format!("# {}\n", line.trim()));
    }
}
