//! Flags, a file and `--set` become the configuration of a run: the same for all commands that train.

use crate::arguments::{Common, Settings};
use evenkeel::config::{Config, Override};
use evenkeel::{Error, Result};
use std::fs;
use std::path::Path;

/// The flags that have a setting of their own.
pub(crate) const FLAGS: [(&str, &str); 9] = [
    ("--data", "data.source"),
    ("--model", "model"),
    ("--norm", "norm"),
    ("--optimizer", "optimizer.name"),
    ("--epochs", "epochs"),
    ("--batch-size", "batch_size"),
    ("--lr", "optimizer.learning_rate"),
    ("--memory-limit", "memory_limit"),
    ("--seed", "seed"),
];

impl Settings {
    /// What was given on the command line.
    pub(crate) fn overrides(&self, common: &Common) -> Result<Vec<Override>> {
        let Settings { data, model, norm, optimizer, epochs, batch_size, lr, memory_limit, config: _, set } = self;
        let given = [data, model, norm, optimizer, epochs, batch_size, lr, memory_limit, &common.seed];
        let flags = FLAGS.into_iter().zip(given);
        let mut overrides: Vec<Override> =
            flags.filter_map(|((flag, key), value)| Some(Override::flag(flag, key, value.as_ref()?))).collect();
        for text in set {
            overrides.push(Override::set(text)?);
        }
        Ok(overrides)
    }

    /// The text of the file, where one was named.
    pub(crate) fn text(&self) -> Result<Option<String>> {
        self.config.as_deref().map(read_config).transpose()
    }

    /// The configuration of the file, where one was named, changed by `overrides`.
    pub(crate) fn resolve(&self, overrides: &[Override]) -> Result<Config> {
        self.resolve_with(self.text()?.as_deref(), overrides)
    }

    /// The same with the file's text.
    pub(crate) fn resolve_with(&self, text: Option<&str>, overrides: &[Override]) -> Result<Config> {
        Config::resolve(self.config.as_deref().zip(text), overrides)
    }
}

pub(crate) fn read_config(path: &Path) -> Result<String> {
    let bytes = fs::read(path).map_err(|error| Error::io("read the configuration", path, &error))?;
    String::from_utf8(bytes).map_err(|error| {
        Error::input("the configuration is not a text file")
            .detail("file", path.display())
            .detail("byte", error.utf8_error().valid_up_to())
            .detail("expected", "UTF-8")
            .hint("give a TOML file, or save this one as UTF-8")
    })
}
