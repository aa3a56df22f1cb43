//! What several tests of runs share.

use evenkeel::train::{Event, Observer};

/// Stops training after so many more steps.
pub(crate) struct StopAfter(pub(crate) u64);

impl Observer for StopAfter {
    fn event(&mut self, event: &Event) {
        if let Event::Step { .. } = event {
            self.0 = self.0.saturating_sub(1);
        }
    }

    fn interrupted(&self) -> bool {
        self.0 == 0
    }
}
