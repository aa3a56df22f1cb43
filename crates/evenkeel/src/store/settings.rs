//! Which keys and values does a run's configuration hold, whatever version wrote it?

use super::Run;
use crate::Result;

/// A value as the file has it.
pub use toml::Value as Setting;

impl Run {
    /// The configuration as keys with dots (`optimizer.learning_rate`) and values, in the order of the file; nothing of a file that is
    /// not TOML. [`crate::experiment::config_of`] reads a whole one and checks it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn settings(&self) -> Result<Vec<(String, Setting)>> {
        let mut rows = Vec::new();
        flatten("", self.config()?.parse().unwrap_or_default(), &mut rows);
        Ok(rows)
    }
}

fn flatten(prefix: &str, table: toml::Table, rows: &mut Vec<(String, Setting)>) {
    for (key, value) in table {
        let path = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        match value {
            Setting::Table(below) => flatten(&path, below, rows),
            value => rows.push((path, value)),
        }
    }
}

/// A value as one would type it: text without quotes.
pub fn plain(value: &Setting) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_becomes_keys_with_dots() {
        let folder = tempfile::tempdir().unwrap();
        let text = "seed = 3\n[optimizer]\nlearning_rate = 0.1\nnesterov = true\n[a.b]\nc = \"x\"\n";
        let run = Run::create(&folder.path().join("run"), text).unwrap();
        let shown: Vec<String> =
            run.settings().unwrap().iter().map(|(key, value)| format!("{key}={}", plain(value))).collect();
        assert_eq!(shown, ["seed=3", "optimizer.learning_rate=0.1", "optimizer.nesterov=true", "a.b.c=x"]);
        std::fs::write(run.config_path(), "not toml").unwrap();
        assert!(run.settings().unwrap().is_empty());
    }
}
