//! What an experiment brings back.

use super::{Check, Figure};

/// What the experiment of a claim found; the verdict follows from the checks alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    pub(super) checks: Vec<Check>,
    pub(super) notes: Vec<String>,
    pub(super) figure: Option<Figure>,
    pub(super) inconclusive: Option<String>,
}

impl Findings {
    /// Nothing yet.
    pub fn new() -> Findings {
        Findings::default()
    }

    /// The experiment could not be made, or says nothing: no verdict, and why.
    pub fn inconclusive(reason: impl Into<String>) -> Findings {
        Findings { inconclusive: Some(reason.into()), ..Findings::default() }
    }

    /// Adds a comparison.
    pub fn check(&mut self, check: Check) -> &mut Findings {
        self.checks.push(check);
        self
    }

    /// Adds a sentence that a reader of the numbers should know.
    pub fn note(&mut self, note: impl Into<String>) -> &mut Findings {
        self.notes.push(note.into());
        self
    }

    /// Sets the figure.
    pub fn figure(&mut self, figure: Figure) -> &mut Findings {
        self.figure = Some(figure);
        self
    }
}
