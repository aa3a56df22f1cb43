//! Running the experiment of a claim, and what is kept of it.

use super::claim::Chosen;
use super::findings::Findings;
use super::setting::{Scale, Setting, Watch};
use super::{Check, Figure, Verdict};
use crate::store::number;
use crate::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// How claims are run.
#[derive(Clone)]
pub struct Reproduction {
    /// How large the experiments are.
    pub scale: Scale,
    /// How many seeds; `None` for each claim's own number.
    pub seeds: Option<usize>,
    /// The first seed.
    pub seed: u64,
    /// Folders that hold the folders of data sets.
    pub data: Vec<PathBuf>,
    /// Is told of progress, and may stop it.
    pub watch: Arc<dyn Watch>,
}

/// What became of a claim: one file of results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The paper's number, two digits.
    pub paper: String,
    /// The claim's number within it.
    pub claim: String,
    /// The paper.
    pub paper_title: String,
    /// The sentence that was tested.
    pub title: String,
    /// What the checks came to.
    pub verdict: Verdict,
    /// Why the claim is not reproduced or nothing can be said; `None` for a reproduced one.
    pub reason: Option<String>,
    /// What was measured, in words.
    pub measured: String,
    /// The criterion, in words.
    pub wanted: String,
    /// How long it took.
    #[serde(with = "number")]
    pub seconds: f64,
    /// How many seeds there were.
    pub seeds: usize,
    /// The first of them.
    pub seed: u64,
    /// How large the experiment was.
    pub scale: Scale,
    /// Data, network, optimizer and what was compared.
    pub recipe: String,
    /// Every comparison with its numbers.
    pub checks: Vec<Check>,
    /// What a reader of the numbers should know.
    pub notes: Vec<String>,
    /// The figure.
    pub figure: Option<Figure>,
    /// The version that ran it.
    pub version: String,
}

impl Reproduction {
    /// Runs the experiment of a claim and judges it.
    ///
    /// Data that is not there and a number that is not finite make the claim inconclusive.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] when somebody asked to stop; every other error means that the experiment could not be made at all.
    pub fn judge(&self, chosen: Chosen) -> Result<Outcome> {
        let seeds = self.seeds.unwrap_or(chosen.claim.seeds);
        let setting =
            Setting { scale: self.scale, seeds, seed: self.seed, data: self.data.clone(), watch: self.watch.clone() };
        setting.go_on()?;
        let start = Instant::now();
        let findings = match self.scale {
            Scale::Gpu => Findings::inconclusive("only the recipe for CPUs is built; there is no GPU executor"),
            Scale::Cpu => match (chosen.claim.run)(&setting) {
                Err(error) if matches!(error.kind(), ErrorKind::Absent | ErrorKind::Numerical) => {
                    Findings::inconclusive(error.what())
                }
                findings => findings?,
            },
        };
        let seconds = start.elapsed().as_secs_f64();
        let (verdict, reason) = match findings.inconclusive {
            Some(reason) => (Verdict::Inconclusive, Some(reason)),
            None => Verdict::of(&findings.checks),
        };
        let (paper, claim) = (chosen.paper, chosen.claim);
        Ok(Outcome {
            paper: paper.number.to_owned(),
            claim: claim.number.to_owned(),
            paper_title: paper.title.to_owned(),
            title: claim.title.to_owned(),
            verdict,
            reason,
            measured: measured(&findings.checks),
            wanted: claim.wanted.to_owned(),
            seconds,
            seeds,
            seed: self.seed,
            scale: self.scale,
            recipe: claim.recipe.to_owned(),
            checks: findings.checks,
            notes: findings.notes,
            figure: findings.figure,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }
}

impl Outcome {
    /// Paper and claim as they are asked for: `10.8`.
    pub fn id(&self) -> String {
        format!("{}.{}", self.paper, self.claim)
    }
}

/// An error when a claim among these is not reproduced. Inconclusive ones are none: that data is missing says nothing against a claim.
///
/// # Errors
/// [`ErrorKind::Failed`], naming the claims.
pub fn all_reproduced(outcomes: &[Outcome]) -> Result<()> {
    let failed: Vec<String> =
        outcomes.iter().filter(|one| one.verdict == Verdict::NotReproduced).map(Outcome::id).collect();
    match failed.len() {
        0 => Ok(()),
        _ => Err(Error::new(
            ErrorKind::Failed,
            format!("not reproduced: {} of {} ({})", failed.len(), claims(outcomes.len()), failed.join(", ")),
        )),
    }
}

fn claims(count: usize) -> String {
    if count == 1 { "1 claim".to_owned() } else { format!("{count} claims") }
}

/// The deciding checks in one line.
fn measured(checks: &[Check]) -> String {
    let any_decides = checks.iter().any(Check::decides);
    let deciding = checks.iter().filter(|check| check.decides() || !any_decides);
    deciding.map(|check| format!("{}: {}", check.what(), check.measured())).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::{Claim, Paper};

    const fn claim(number: &'static str, run: fn(&Setting) -> Result<Findings>) -> Claim {
        Claim { number, title: "it is so", recipe: "r", wanted: "w", seeds: 4, seconds: 1, run }
    }

    static PAPER: Paper = Paper {
        number: "99",
        title: "A paper",
        claims: &[
            claim("1", |setting| {
                let seeds: Vec<f64> = setting.seeds().map(|seed| seed as f64).collect();
                let mut findings = Findings::new();
                findings.check(Check::increasing("seeds", &seeds)).check(Check::at_most(
                    "last",
                    seeds[seeds.len() - 1],
                    5.0,
                ));
                findings.check(Check::at_least("first", seeds[0], 5.0).for_the_record()).note("a note");
                Ok(findings)
            }),
            claim("2", |setting| setting.dataset("mnist", &Default::default()).map(|_| Findings::new())),
            claim("3", |_| Err(Error::numerical("the loss became NaN"))),
            claim("4", |_| Err(Error::input("a mistake"))),
        ],
    };

    fn judge(index: usize, seeds: Option<usize>) -> Result<Outcome> {
        let claim = &PAPER.claims[index];
        let all = Reproduction { scale: Scale::Cpu, seeds, seed: 2, data: Vec::new(), watch: Arc::new(()) };
        all.judge(Chosen { paper: &PAPER, claim })
    }

    #[test]
    fn the_verdict_follows_from_the_checks_and_the_seeds_asked_for() {
        let outcome = judge(0, None).unwrap();
        assert_eq!((outcome.verdict, outcome.reason.as_deref()), (Verdict::Reproduced, None));
        assert_eq!((outcome.seeds, outcome.measured.as_str()), (4, "seeds: 2, 3, 4, 5; last: 5"));
        let outcome = judge(0, Some(5)).unwrap();
        assert_eq!(outcome.verdict, Verdict::NotReproduced);
        assert_eq!(outcome.reason.as_deref(), Some("last: 6 (wanted: at most 5)"));
        assert_eq!(
            all_reproduced(&[judge(0, None).unwrap(), outcome]).unwrap_err().what(),
            "not reproduced: 1 of 2 claims (99.1)"
        );
    }

    #[test]
    fn missing_data_and_numbers_that_are_none_are_inconclusive_and_a_mistake_is_an_error() {
        let outcome = judge(1, None).unwrap();
        assert_eq!(outcome.verdict, Verdict::Inconclusive);
        assert_eq!(outcome.reason.as_deref(), Some("the data set 'mnist' is not there"));
        assert!(all_reproduced(&[outcome]).is_ok());
        assert_eq!(judge(2, None).unwrap().reason.as_deref(), Some("the loss became NaN"));
        assert_eq!(judge(3, None).unwrap_err().what(), "a mistake");
    }

    #[test]
    fn an_outcome_is_read_back_as_it_was_written() {
        let mut outcome = judge(0, None).unwrap();
        outcome.checks.push(Check::below("open", [f64::NAN, f64::INFINITY], 1.0));
        outcome.figure = Some(Figure::bars("t", &["a"], "y").heights("s", &[f64::NAN]).mark("m", 1.0).log_y());
        let text = serde_json::to_string(&outcome).unwrap();
        assert!(text.contains(r#""wanted":{"below":1.0}"#) && text.contains(r#"["NaN","inf"]"#), "{text}");
        let read: Outcome = serde_json::from_str(&text).unwrap();
        // NaN is not equal to itself, its text is.
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
