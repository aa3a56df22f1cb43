//! What checks come to.

use super::check::Check;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What an experiment says about a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Every deciding check holds.
    #[serde(rename = "reproduced")]
    Reproduced,
    /// A deciding check fails.
    #[serde(rename = "not reproduced")]
    NotReproduced,
    /// No deciding check fails, but not all could be decided.
    #[serde(rename = "inconclusive")]
    Inconclusive,
}

impl Verdict {
    /// How it is written everywhere.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Reproduced => "reproduced",
            Verdict::NotReproduced => "not reproduced",
            Verdict::Inconclusive => "inconclusive",
        }
    }

    /// The verdict on some checks, and its reason where it is not plain success.
    ///
    /// Checks for the record decide only when there are no others.
    pub fn of(checks: &[Check]) -> (Verdict, Option<String>) {
        let any_decides = checks.iter().any(Check::decides);
        let deciding: Vec<&Check> = checks.iter().filter(|check| check.decides() || !any_decides).collect();
        let those = |outcome: Option<bool>| deciding.iter().filter(move |check| check.outcome() == outcome);
        if deciding.is_empty() {
            return (Verdict::Inconclusive, Some("nothing was compared".to_owned()));
        }
        if let Some(first) = those(Some(false)).next() {
            let others = match those(Some(false)).count() - 1 {
                0 => String::new(),
                1 => ", and another check fails".to_owned(),
                others => format!(", and {others} other checks fail"),
            };
            let reason = format!("{}: {} (wanted: {}){others}", first.what(), first.measured(), first.wanted());
            return (Verdict::NotReproduced, Some(reason));
        }
        match those(None).next() {
            Some(open) => (
                Verdict::Inconclusive,
                Some(format!("{}: {} leaves it open (wanted: {})", open.what(), open.measured(), open.wanted())),
            ),
            None => (Verdict::Reproduced, None),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(holds: Option<bool>) -> Check {
        let number = holds.map_or(f64::NAN, |holds| if holds { 1.0 } else { 0.0 });
        Check::at_least("x", number, 0.5)
    }

    fn verdict(checks: &[Check]) -> Verdict {
        Verdict::of(checks).0
    }

    #[test]
    fn one_failed_check_is_enough_and_an_open_one_only_where_none_fails() {
        let (yes, no, open) = (check(Some(true)), check(Some(false)), check(None));
        assert_eq!(verdict(&[yes.clone(), yes.clone()]), Verdict::Reproduced);
        assert_eq!(verdict(&[yes.clone(), open.clone()]), Verdict::Inconclusive);
        assert_eq!(verdict(&[yes.clone(), open, no.clone()]), Verdict::NotReproduced);
        assert_eq!(verdict(&[]), Verdict::Inconclusive);
        let (_, reason) = Verdict::of(&[no.clone(), yes, no.clone(), no]);
        assert_eq!(reason.as_deref(), Some("x: 0 (wanted: at least 0.5), and 2 other checks fail"));
    }

    #[test]
    fn a_check_for_the_record_decides_only_where_there_is_no_other() {
        let (yes, no) = (check(Some(true)), check(Some(false)));
        assert_eq!(verdict(&[yes.clone(), no.clone().for_the_record()]), Verdict::Reproduced);
        assert_eq!(verdict(&[no.clone().for_the_record()]), Verdict::NotReproduced);
        assert_eq!(verdict(&[no, yes.for_the_record()]), Verdict::NotReproduced);
    }
}
