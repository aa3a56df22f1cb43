//! What an experiment brings back.

use super::{Check, Figure, Verdict};

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

    /// The same without a verdict, and why, unless a check fails already: part of the experiment could not be made.
    #[must_use]
    pub fn unless_failed(mut self, reason: impl Into<String>) -> Findings {
        if Verdict::of(&self.checks).0 != Verdict::NotReproduced {
            self.inconclusive = Some(reason.into());
        }
        self
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_an_experiment_can_fail_a_claim_but_not_settle_it() {
        let half = |holds| {
            let mut findings = Findings::new();
            findings.check(Check::holds("so", holds));
            findings.unless_failed("the other half is missing").inconclusive
        };
        assert_eq!((half(true).as_deref(), half(false)), (Some("the other half is missing"), None));
    }
}
