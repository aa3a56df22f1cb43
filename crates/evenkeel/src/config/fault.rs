//! What is wrong with one setting, before it is known where the setting was written.

use crate::Error;
use std::fmt;

/// Which half of `key = value` is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Culprit {
    Key,
    Value,
}

/// A refused setting: the first line of the error, the text after the carets, and the hint.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) culprit: Culprit,
    pub(crate) what: String,
    pub(crate) help: String,
    pub(crate) hint: Option<String>,
}

impl Fault {
    pub(crate) fn value(what: impl Into<String>, help: impl Into<String>) -> Self {
        Fault { culprit: Culprit::Value, what: what.into(), help: help.into(), hint: None }
    }

    pub(crate) fn key(what: impl Into<String>, help: impl Into<String>) -> Self {
        Fault { culprit: Culprit::Key, ..Self::value(what, help) }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The error of a value that stands in no file and in no flag.
    pub(crate) fn without_place(self) -> Error {
        let error = Error::input(self.what);
        match (self.help.is_empty(), self.hint) {
            (true, None) => error,
            (true, Some(hint)) => error.hint(hint),
            (false, None) => error.hint(self.help),
            (false, Some(hint)) => error.hint(format!("{}; {hint}", self.help)),
        }
    }
}

/// What a user wrote, made safe to repeat in a message: one line, no control characters, not too long.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 60;
        for (index, character) in self.0.chars().enumerate() {
            if index == LONGEST {
                return f.write_str("…");
            }
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

/// `did you mean 'x'?` for the nearest of `words`, or else the whole list.
pub(crate) fn suggest(given: &str, words: &[&str]) -> String {
    match (crate::nearest(given, words.iter().copied()), words) {
        (Some(near), _) => format!("did you mean '{near}'?"),
        (None, [only]) => format!("must be {only}"),
        (None, _) => format!("must be one of {}", words.join(", ")),
    }
}
