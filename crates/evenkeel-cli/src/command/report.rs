//! `evenkeel report RUN`.

use crate::arguments::Report;
use crate::output::{Output, grouped, layer_rows};
use evenkeel::store::Run;
use evenkeel::store::layer_metrics::LayerTable;
use evenkeel::{Error, Result, report};
use serde_json::json;

pub(crate) fn run(flags: &Report, output: &Output) -> Result<()> {
    let run = Run::open(&flags.run)?;
    let layers = run.metrics()?.last_of_layers();
    if flags.layers && layers.is_empty() {
        return Err(Error::input("the layers of this run were never looked at")
            .detail("file", run.metrics_path().display())
            .hint("train with `--set measure.layers_every=50`, or another number above 0"));
    }
    let path = report::write_report(&run)?;
    if flags.layers {
        output.text(&layers.iter().map(table).collect::<Vec<_>>().join("\n"))?;
        output.note(&format!("report  {}", path.display()));
    } else {
        output.text(&format!("{}\n", path.display()))?;
    }
    output.document(&json!({ "run": run.dir(), "report": path, "reading": report::reading(&run)?, "layers": layers }))
}

fn table(found: &LayerTable) -> String {
    format!("{} at step {}\n{}", found.of, grouped(found.step), layer_rows(&found.layers, &found.columns))
}
