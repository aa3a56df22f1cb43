//! `evenkeel models` and `evenkeel data`.

use crate::output::{Output, grouped};
use evenkeel::Result;
use serde_json::json;

pub(crate) fn models(output: &Output) -> Result<()> {
    let models = evenkeel::models::catalogue();
    let width = models.iter().map(|model| model.form.len()).max().unwrap_or(0);
    let lines: String = models.iter().map(|model| format!("{:width$}  {}\n", model.form, model.description)).collect();
    output.text(&lines)?;
    output.document(&json!({ "models": models }))
}

pub(crate) fn data(output: &Output) -> Result<()> {
    let sets = evenkeel::data::catalogue();
    let width = sets.iter().map(|set| set.form.len()).max().unwrap_or(0);
    let lines: String = sets
        .iter()
        .map(|set| {
            let counts = match (set.image_shape, set.classes, set.train, set.test) {
                (Some([height, columns, channels]), Some(classes), Some(train), Some(test)) => format!(
                    "{height}×{columns}×{channels}, {classes} classes, {:>6} training and {:>6} test samples",
                    grouped(train as u64),
                    grouped(test as u64),
                ),
                _ => "as many classes and samples as there are".to_string(),
            };
            format!("{:width$}  {counts}\n{:width$}  {}\n", set.form, "", set.description)
        })
        .collect();
    output.text(&lines)?;
    output.document(&json!({ "data": sets }))
}
