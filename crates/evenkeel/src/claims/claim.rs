//! What a claim is, and how one is chosen.

use super::{Findings, Setting};
use crate::{Error, Result, nearest};
use std::fmt;

/// A paper and the claims of it that can be run.
#[derive(Debug)]
pub struct Paper {
    /// Two digits, e.g. `03`.
    pub number: &'static str,
    /// What it is about, who wrote it and when: `Batch normalization (Ioffe, Szegedy 2015)`.
    pub title: &'static str,
    /// Its claims, in the order of their numbers.
    pub claims: &'static [Claim],
}

/// A sentence of a paper, with the experiment that tests it.
#[derive(Debug)]
pub struct Claim {
    /// Its number within the paper, e.g. `1` or `2b`.
    pub number: &'static str,
    /// The sentence that is tested, in our words.
    pub title: &'static str,
    /// Data, network, optimizer and what is compared, in a line or two.
    pub recipe: &'static str,
    /// The criterion, in words.
    pub wanted: &'static str,
    /// How many seeds unless told otherwise.
    pub seeds: usize,
    /// About how long it takes on two cores, in seconds.
    pub seconds: u32,
    /// The experiment.
    pub run: fn(&Setting) -> Result<Findings>,
}

/// A claim that was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Chosen {
    /// The paper.
    pub paper: &'static Paper,
    /// The claim of it.
    pub claim: &'static Claim,
}

/// Paper and claim as they are asked for: `10.8`.
impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.paper.number, self.claim.number)
    }
}

/// The claims that some words name, each once, in the order of the words: `03` is all of a paper, `14.2b` one claim; no words are
/// everything.
///
/// # Errors
/// When there is no such paper or claim; the error says which there are.
pub fn select<W: AsRef<str>>(words: &[W]) -> Result<Vec<Chosen>> {
    select_from(super::papers(), words)
}

fn select_from<W: AsRef<str>>(papers: &[&'static Paper], words: &[W]) -> Result<Vec<Chosen>> {
    let all = |paper: &'static Paper| paper.claims.iter().map(move |claim| Chosen { paper, claim });
    if words.is_empty() {
        return Ok(papers.iter().copied().flat_map(all).collect());
    }
    let mut chosen: Vec<Chosen> = Vec::new();
    for word in words {
        let word = word.as_ref();
        let (paper, claim) = word.split_once('.').map_or((word, None), |(paper, claim)| (paper, Some(claim)));
        let number = if paper.len() == 1 { format!("0{paper}") } else { paper.to_owned() };
        let found = papers.iter().copied().find(|known| known.number == number);
        let found = found.ok_or_else(|| unknown_paper(papers, paper))?;
        let claims = all(found).filter(|one| claim.is_none_or(|claim| one.claim.number == claim));
        let claims: Vec<Chosen> = claims.collect();
        if claims.is_empty() {
            return Err(unknown_claim(found, word, claim.unwrap_or_default()));
        }
        for one in claims {
            if !chosen.iter().any(|other| other.to_string() == one.to_string()) {
                chosen.push(one);
            }
        }
    }
    Ok(chosen)
}

fn unknown_paper(papers: &[&Paper], asked: &str) -> Error {
    let numbers: Vec<&str> = papers.iter().map(|paper| paper.number).collect();
    let error = Error::input(format!("there are no claims of a paper '{asked}'"))
        .detail("expected", format!("one of {}", numbers.join(", ")))
        .detail("got", asked);
    // Of two-digit numbers every other one is near: only words that are none are slips of the finger.
    let slip = asked.bytes().any(|byte| !byte.is_ascii_digit());
    match nearest(asked, numbers).filter(|_| slip) {
        Some(near) => {
            error.hint(format!("did you mean '{near}'? `evenkeel reproduce --list` tells what each is about"))
        }
        None => error.hint("`evenkeel reproduce --list` tells what each is about"),
    }
}

fn unknown_claim(paper: &Paper, asked: &str, claim: &str) -> Error {
    let forms: Vec<String> = paper.claims.iter().map(|claim| format!("{}.{}", paper.number, claim.number)).collect();
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let near = paper.claims.iter().find(|one| {
        let (known, given) = (one.number, claim);
        digits(given) > 0 && known[..digits(known)] == given[..digits(given)]
    });
    let error = Error::input(format!("paper {} has no claim '{claim}'", paper.number))
        .detail("expected", format!("one of {}", forms.join(", ")))
        .detail("got", asked);
    match near {
        Some(near) => error.hint(format!("did you mean '{}.{}'?", paper.number, near.number)),
        None => error.hint(format!("`evenkeel reproduce {} --list` tells what each is about", paper.number)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn claim(number: &'static str) -> Claim {
        let run = |_: &Setting| Ok(Findings::new());
        Claim { number, title: "", recipe: "", wanted: "", seeds: 1, seconds: 1, run }
    }

    static PAPERS: [&Paper; 2] = [
        &Paper { number: "03", title: "", claims: &[claim("1"), claim("2"), claim("2b"), claim("10")] },
        &Paper { number: "14", title: "", claims: &[claim("1")] },
    ];

    fn chosen(words: &[&str]) -> Vec<String> {
        select_from(&PAPERS, words).unwrap().iter().map(Chosen::to_string).collect()
    }

    fn refused(words: &[&str]) -> String {
        select_from(&PAPERS, words).unwrap_err().to_string()
    }

    #[test]
    fn words_choose_papers_and_claims_each_once_in_their_order() {
        assert_eq!(chosen(&[]), ["03.1", "03.2", "03.2b", "03.10", "14.1"]);
        assert_eq!(chosen(&["14", "3.2b", "03"]), ["14.1", "03.2b", "03.1", "03.2", "03.10"]);
    }

    #[test]
    fn an_unknown_paper_is_told_which_there_are() {
        let error = refused(&["21"]);
        assert!(error.contains("expected  one of 03, 14\n") && !error.contains("did you mean"), "{error}");
        assert!(refused(&["O3"]).contains("did you mean '03'?"));
        assert!(refused(&[""]).contains("no claims of a paper ''"));
        assert!(refused(&["é.1"]).contains("no claims of a paper 'é'"));
    }

    #[test]
    fn an_unknown_claim_is_told_which_the_paper_has() {
        let error = refused(&["03.2c"]);
        assert!(error.contains("expected  one of 03.1, 03.2, 03.2b, 03.10\n"), "{error}");
        assert!(error.contains("did you mean '03.2'?"), "{error}");
        assert!(refused(&["14.7"]).contains("hint: `evenkeel reproduce 14 --list`"));
        assert!(refused(&["14."]).contains("paper 14 has no claim ''"));
    }
}
