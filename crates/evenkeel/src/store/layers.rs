//! What is a measurement that has some numbers for each layer of a network?

use serde::{Deserialize, Serialize};

use super::{Run, number};
use crate::Result;

/// Numbers of each layer at one step of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerMeasurement {
    /// What was measured, as `evenkeel measure` calls it, e.g. `batch-entropy`.
    pub probe: String,
    /// The same in words, with the unit, e.g. `batch entropy (nats)`.
    pub title: String,
    /// The step of the checkpoint that was measured.
    pub step: u64,
    /// How normalisation layers took their statistics: `batch` or `running`.
    pub norm_mode: String,
    /// The number of samples.
    pub samples: u64,
    /// The type of the numbers computed with: `f32` or `f64`.
    pub dtype: String,
    /// What it comes to, in a few words.
    pub summary: String,
    /// The paths of the layers, from the input on.
    pub layers: Vec<String>,
    /// What was found of each layer, the main thing first.
    pub columns: Vec<LayerColumn>,
    /// How many columns, from the first on, share the unit in the title and are drawn together.
    pub drawn: usize,
    /// The wall time of the measurement.
    #[serde(with = "number", default)]
    pub seconds: f64,
    /// The version of Evenkeel that measured.
    #[serde(default)]
    pub version: String,
}

/// One thing that was found of each layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerColumn {
    /// What it is.
    pub name: String,
    /// A number a layer; NaN where there is none.
    #[serde(with = "number::list")]
    pub values: Vec<f64>,
}

impl LayerMeasurement {
    /// The name of its file, without folder and ending: `PROBE-STEP-MODE-SAMPLES`.
    pub fn name(&self) -> String {
        format!("{}-{:06}-{}-{}", self.probe, self.step, self.norm_mode, self.samples)
    }
}

impl Run {
    /// Writes a measurement under [`LayerMeasurement::name`].
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_layers(&self, measurement: &LayerMeasurement) -> Result<()> {
        self.write_measurement(&measurement.name(), measurement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Content;

    #[test]
    fn numbers_of_layers_come_back_as_they_were_written_with_those_that_json_does_not_know() {
        let folder = tempfile::tempdir().unwrap();
        let run = Run::create(&folder.path().join("run"), "seed = 1").unwrap();
        let column = |name: &str, values: [f64; 2]| LayerColumn { name: name.into(), values: values.to_vec() };
        let written = LayerMeasurement {
            probe: "batch-entropy".into(),
            title: "batch entropy (nats)".into(),
            step: 40,
            norm_mode: "batch".into(),
            samples: 500,
            dtype: "f32".into(),
            summary: "none of 2 layers collapsed".into(),
            layers: vec!["act1".into(), "act2".into()],
            columns: vec![column("entropy", [0.5, 0.25]), column("largest", [f64::INFINITY, -0.0])],
            drawn: 1,
            seconds: 0.5,
            version: "0.1.0".into(),
        };
        run.write_layers(&written).unwrap();
        let found = run.measurements().unwrap();
        assert_eq!(found[0].name, "batch-entropy-000040-batch-500");
        assert!(matches!(&found[0].content, Content::Layers(read) if *read == written), "{found:?}");
    }
}
