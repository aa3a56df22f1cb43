//! `evenkeel models`.

use crate::output::Output;
use evenkeel::Result;
use serde_json::json;

pub(crate) fn models(output: &Output) -> Result<()> {
    let models = evenkeel::models::catalogue();
    let width = models.iter().map(|model| model.form.len()).max().unwrap_or(0);
    let lines: String = models.iter().map(|model| format!("{:width$}  {}\n", model.form, model.description)).collect();
    output.text(&lines)?;
    output.document(&json!({ "models": models }))
}
