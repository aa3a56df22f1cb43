//! How does a run that is trained show in the index without being held up by it?

use std::time::{Duration, Instant};

use super::Index;
use crate::Error;
use crate::store::Run;

/// The least time between two updates on the way.
const INTERVAL: Duration = Duration::from_secs(10);

/// Brings the index up to date with a run on its way. An index that cannot be written is told of once, and then left alone until the
/// end: whoever lists the runs reads the folder itself.
#[derive(Debug)]
pub struct Follow {
    run: Run,
    last: Option<Instant>,
    failed: bool,
}

impl Follow {
    /// Of a run that was just made or opened.
    pub fn new(run: &Run) -> Follow {
        Follow { run: run.clone(), last: None, failed: false }
    }

    /// Something worth showing has happened. Returns what went wrong, the first time it does.
    pub fn now_and_then(&mut self) -> Option<Error> {
        match self.last {
            Some(last) if self.failed || last.elapsed() < INTERVAL => None,
            _ => self.now(),
        }
    }

    /// Training has started or ended.
    pub fn now(&mut self) -> Option<Error> {
        if !self.run.config_path().is_file() {
            // It could not start, and was taken back.
            return None;
        }
        let (base, name) = Index::place_of(&self.run);
        let updated = Index::open(&base).and_then(|mut index| index.update(&name));
        self.last = Some(Instant::now());
        updated.err().filter(|_| !std::mem::replace(&mut self.failed, true))
    }
}
