//! `evenkeel report RUN`.

use crate::arguments::Report;
use crate::output::Output;
use evenkeel::Result;
use evenkeel::store::Run;
use serde_json::json;

pub(crate) fn run(flags: &Report, output: &Output) -> Result<()> {
    let run = Run::open(&flags.run)?;
    let path = evenkeel::report::write_report(&run)?;
    output.text(&format!("{}\n", path.display()))?;
    output.document(&json!({ "run": run.dir(), "report": path }))
}
