//! What may be asked of runs in words: `optimizer.learning_rate > 0.01 and test_accuracy >= 0.9 and tag = good`.
//!
//! ```text
//! filter      comparisons joined by `and`, `or`, `not` and parentheses
//! comparison  sum (= != < <= > >= ~) sum
//! sum         numbers and names joined by + - * / and parentheses; an operator stands between spaces
//! name        a setting (`optimizer.learning_rate`, or `lr` alone where only one is called so), a metric (its last value; also
//!             `min(x)`, `max(x)`, `last(x)`), or one of name, id, status, tag, steps, epoch, age (in days)
//! ```
//! Behind `=`, `!=` and `~` a single word is text: `status = finished`, `model ~ resnet`, `data.source = mnist:DIR`; text with spaces
//! stands in quotes. `~` asks whether the text is contained, or, with `*` and `?`, fits whole. `x = none` holds where there is no
//! value. A name that is both a setting and a metric, such as `loss`, is the metric where numbers are compared; `config.loss` and
//! `metric.loss` say which.
//!
//! Everything becomes one parameterised SQL expression: no text of the user's is ever part of a statement.

mod parse;
mod token;
mod translate;

use std::fmt::Display;
use std::ops::Range;

use crate::Error;
use crate::config::excerpt;

pub(super) use translate::{Names, Translated};

/// A filter that reads well; whether its names exist shows when it is used.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    text: String,
    root: parse::Condition,
}

/// A sum to sort by, such as a metric or a setting.
#[derive(Clone, Debug, PartialEq)]
pub struct SortKey {
    text: String,
    root: parse::Sum,
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// When it cannot be read; the error marks the place.
    pub fn parse(text: &str) -> crate::Result<Filter> {
        let root = parse::condition(text).map_err(|fault| fault.error("--where", text))?;
        Ok(Filter { text: text.to_owned(), root })
    }

    pub(super) fn translate(&self, names: &dyn Names) -> crate::Result<Translated> {
        translate::condition(&self.root, names).map_err(|fault| fault.error("--where", &self.text))
    }
}

impl SortKey {
    /// Reads a sum.
    ///
    /// # Errors
    /// When it cannot be read; the error marks the place.
    pub fn parse(text: &str) -> crate::Result<SortKey> {
        let root = parse::sum(text).map_err(|fault| fault.error("--sort", text))?;
        Ok(SortKey { text: text.to_owned(), root })
    }

    pub(super) fn translate(&self, names: &dyn Names) -> crate::Result<Translated> {
        translate::sort_key(&self.root, names).map_err(|fault| fault.error("--sort", &self.text))
    }
}

/// What is wrong, and where in the text.
#[derive(Clone, Debug, PartialEq)]
struct Fault {
    what: String,
    span: Range<usize>,
    help: String,
    hint: Option<String>,
}

impl Fault {
    fn new(what: impl Display, span: Range<usize>, help: impl Display) -> Fault {
        Fault { what: what.to_string(), span, help: help.to_string(), hint: None }
    }

    fn error(self, origin: &str, text: &str) -> Error {
        let error = Error::input(self.what).excerpt(excerpt::of_part(origin, text, self.span, &self.help));
        match self.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests;
