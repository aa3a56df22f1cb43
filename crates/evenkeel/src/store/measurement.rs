//! What is a measurement of a run, and where does it lie?

use std::fs;
use std::io::ErrorKind as IoKind;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{LayerMeasurement, Run, TEXT_LIMIT, files, number};
use crate::{Error, Result};

/// The probe's name in the files of [`HessianMeasurement`].
const HESSIAN: &str = "hessian";

/// The top of the Hessian's spectrum at one step of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HessianMeasurement {
    /// Always `hessian`.
    pub probe: String,
    /// The step of the checkpoint that was measured.
    pub step: u64,
    /// How normalisation layers took their statistics: `batch`, `running` or `frozen`.
    pub norm_mode: String,
    /// The number of samples the loss was averaged over.
    pub samples: u64,
    /// The type of the numbers computed with: `f32` or `f64`.
    pub dtype: String,
    /// The seed of the samples and of the starting vector.
    pub seed: u64,
    /// The learning rate of the optimiser at that step.
    #[serde(with = "number")]
    pub learning_rate: f64,
    /// The momentum of the optimiser; 0 for none.
    #[serde(with = "number", default)]
    pub momentum: f64,
    /// The loss over the samples.
    #[serde(with = "number")]
    pub loss: f64,
    /// The largest eigenvalues, the largest first.
    pub eigenvalues: Vec<Eigenvalue>,
    /// The Lanczos iterations used.
    #[serde(default)]
    pub iterations: u64,
    /// The Hessian-vector products used.
    #[serde(default)]
    pub products: u64,
    /// The wall time of the measurement.
    #[serde(with = "number", default)]
    pub seconds: f64,
    /// The version of Evenkeel that measured.
    #[serde(default)]
    pub version: String,
}

/// One eigenvalue with what is known about its error.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Eigenvalue {
    /// The eigenvalue.
    #[serde(with = "number")]
    pub value: f64,
    /// |H v − λ v| relative to |λ|.
    #[serde(with = "number")]
    pub residual: f64,
    /// Whether the residual met the tolerance.
    pub converged: bool,
}

impl HessianMeasurement {
    /// The largest eigenvalue, λ_max: the sharpness.
    pub fn top(&self) -> Option<Eigenvalue> {
        self.eigenvalues.first().copied()
    }

    /// The name of its file, without folder and ending: `hessian-STEP-MODE-SAMPLES`.
    pub fn name(&self) -> String {
        format!("{HESSIAN}-{:06}-{}-{}", self.step, self.norm_mode, self.samples)
    }
}

/// A file of `measurements/`.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// The file's name without `.json`.
    pub name: String,
    /// What it holds.
    pub content: Content,
}

/// What a file of `measurements/` holds.
#[derive(Clone, Debug)]
pub enum Content {
    /// The top of the Hessian's spectrum.
    Hessian(HessianMeasurement),
    /// Numbers of each layer.
    Layers(LayerMeasurement),
    /// Another probe's object.
    Other(Value),
    /// Something unreadable, with the reason.
    Broken(Error),
}

impl Run {
    /// Writes a measurement to `measurements/NAME.json`, in place of an older one of that name.
    ///
    /// # Errors
    /// When `name` is no plain file name or the file cannot be written.
    pub fn write_measurement(&self, name: &str, content: &impl Serialize) -> Result<()> {
        files::check_name("name of the measurement", name)?;
        files::write_json(&self.measurements_dir().join(format!("{name}.json")), content)
    }

    /// Writes a measurement of the Hessian under [`HessianMeasurement::name`].
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_hessian(&self, measurement: &HessianMeasurement) -> Result<()> {
        self.write_measurement(&measurement.name(), measurement)
    }

    /// All measurements, sorted by name; a broken file is listed as [`Content::Broken`].
    ///
    /// # Errors
    /// When the folder cannot be listed. A run that was never measured has none.
    pub fn measurements(&self) -> Result<Vec<Measurement>> {
        let folder = self.measurements_dir();
        let failed = |error: std::io::Error| Error::io("list the measurements", &folder, &error);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == IoKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut measurements = Vec::new();
        for entry in entries {
            let file_name = entry.map_err(failed)?.file_name();
            let Some(name) = file_name.to_str().and_then(|name| name.strip_suffix(".json")) else { continue };
            if name.starts_with('.') {
                continue;
            }
            let content = self.read_measurement(name).unwrap_or_else(Content::Broken);
            measurements.push(Measurement { name: name.to_owned(), content });
        }
        measurements.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(measurements)
    }

    fn read_measurement(&self, name: &str) -> Result<Content> {
        let path = self.measurements_dir().join(format!("{name}.json"));
        let broken = |error: serde_json::Error| {
            Error::input("a measurement is not readable").detail("file", path.display()).detail("got", error)
        };
        let text = files::read_text(&path, TEXT_LIMIT)?;
        let value: Value = serde_json::from_str(&text).map_err(broken)?;
        if value.get("probe").and_then(Value::as_str) == Some(HESSIAN) {
            serde_json::from_value(value).map(Content::Hessian).map_err(broken)
        } else if value.get("layers").is_some() && value.get("columns").is_some() {
            serde_json::from_value(value).map(Content::Layers).map_err(broken)
        } else {
            Ok(Content::Other(value))
        }
    }
}
