//! `evenkeel config`.

use crate::arguments::{Common, Config as Flags};
use crate::output::Output;
use evenkeel::Result;
use evenkeel::config::{KEYS, reference_page, schema};
use serde_json::{Value, json};

pub(crate) fn run(flags: &Flags, common: &Common, output: &Output) -> Result<()> {
    if flags.schema {
        let schema = schema();
        output.text(&format!("{schema:#}\n"))?;
        return output.document(&schema);
    }
    if flags.reference {
        output.text(&reference_page())?;
        return output.document(&json!({ "keys": keys() }));
    }
    let config = flags.settings.resolve(&flags.settings.overrides(common)?)?;
    output.text(&config.to_toml())?;
    output.document(&config.to_json())
}

/// The reference for a program.
fn keys() -> Vec<Value> {
    let key = |key: &evenkeel::config::Key| {
        json!({
            "key": key.path,
            "also": key.aliases,
            "kind": key.kind.to_string(),
            "allowed": key.allowed(),
            "default": key.default(),
            "help": key.help.trim(),
        })
    };
    KEYS.iter().map(key).collect()
}
