//! Ctrl-C and SIGTERM: the first one asks to stop after the step in work, the second one stops at once.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag that the first signal raises.
pub(crate) fn flag() -> evenkeel::Result<Arc<AtomicBool>> {
    let raised = Arc::new(AtomicBool::new(false));
    let flag = raised.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        // The terminal has just shown `^C`. A message that cannot be shown is not worth failing for.
        let newline = if std::io::stderr().is_terminal() { "\n" } else { "" };
        let _ = writeln!(std::io::stderr(), "{newline}stopping after this step; press Ctrl-C again to stop at once");
    })
    .map_err(|error| evenkeel::Error::input(format!("cannot listen for Ctrl-C: {error}")))?;
    Ok(raised)
}
