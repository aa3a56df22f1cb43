//! How is a run that failed gone on with, as one would type it?

use std::path::Path;

/// A tenth of the rate, or less where the sharpness asks for it; one digit, as one would type it.
pub(super) fn smaller_rate(rate: f64, lambda_max: Option<f64>) -> String {
    let bound = lambda_max.filter(|lambda| *lambda > 0.0).map_or(f64::INFINITY, |lambda| 1.0 / lambda);
    let scientific = format!("{:.0e}", (rate / 10.0).min(bound));
    match scientific.parse::<f64>() {
        Ok(rate) if (1e-4..1e4).contains(&rate) => rate.to_string(),
        _ => scientific,
    }
}

/// A path as a shell takes it.
pub(super) fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
