//! A run that was just made and may still be taken back.

use crate::store::Run;
use std::fs;

/// A run that was just made, and whether its folder was, too.
pub(super) struct Fresh {
    pub(super) run: Run,
    pub(super) made_folder: bool,
}

impl Fresh {
    /// Takes back what a run wrote that could not start. What cannot be removed stays; the error to tell is another one.
    pub(super) fn discard(self) {
        for file in [self.run.metrics_path(), self.run.identity_path(), self.run.config_path()] {
            let _ = fs::remove_file(file);
        }
        for folder in [self.run.checkpoints_dir(), self.run.measurements_dir()] {
            let _ = fs::remove_dir_all(folder);
        }
        if self.made_folder {
            let _ = fs::remove_dir(self.run.dir());
        }
    }
}
