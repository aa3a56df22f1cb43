//! A run that was just made and may still be taken back.

use crate::store::Run;

/// A run that was just made, and whether its folder was, too.
pub(super) struct Fresh {
    pub(super) run: Run,
    pub(super) made_folder: bool,
}

impl Fresh {
    /// Takes back what a run wrote that could not start. What cannot be removed stays; the error to tell is another one.
    pub(super) fn discard(self) {
        self.run.discard(self.made_folder);
    }
}
