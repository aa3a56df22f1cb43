//! The one error of this crate: what went wrong, where, what was expected, what was found, and what to try next.

use std::fmt;

/// What class of failure an [`Error`] is; the command line turns it into an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A claim or a check did not hold (exit code 1).
    Failed,
    /// Wrong usage, configuration, data or file (exit code 2).
    Input,
    /// Data that is not there, and that somebody may have (exit code 2).
    Absent,
    /// More memory than may be taken (exit code 2).
    Memory,
    /// A non-finite number where a finite one was needed (exit code 3).
    Numerical,
    /// Stopped by the user after the state was saved (exit code 130).
    Interrupted,
}

/// A failure, told in the order a reader needs it.
///
/// ```
/// use evenkeel::Error;
/// let error = Error::input("train-images-idx3-ubyte ends early")
///     .detail("file", "data/train-images-idx3-ubyte")
///     .detail("expected", "47,040,016 bytes (60,000 images of 28×28)")
///     .detail("got", "18,874 bytes")
///     .hint("copy the file again from its source");
/// assert!(error.to_string().contains("  expected  47,040,016 bytes"));
/// ```
#[derive(Clone, Debug)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: ErrorKind,
    what: String,
    excerpt: Option<String>,
    details: Vec<(String, String)>,
    hint: Option<String>,
}

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of the given kind; `what` is one line without a final stop.
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Error(Box::new(Inner { kind, what: what.into(), excerpt: None, details: Vec::new(), hint: None }))
    }

    /// Wrong usage, configuration, data or file.
    pub fn input(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Input, what)
    }

    /// A non-finite number where a finite one was needed.
    pub fn numerical(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Numerical, what)
    }

    /// Adds one aligned line `label  value` (labels used: `file`, `byte`, `key`, `layer`, `expected`, `got`, ...).
    #[must_use]
    pub fn detail(mut self, label: impl Into<String>, value: impl fmt::Display) -> Self {
        self.0.details.push((label.into(), value.to_string()));
        self
    }

    /// Adds the next thing to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds a marked excerpt of a text file, already laid out (see `config`).
    #[must_use]
    pub fn excerpt(mut self, excerpt: impl Into<String>) -> Self {
        self.0.excerpt = Some(excerpt.into());
        self
    }

    /// What class of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The first line alone.
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// An operating-system error on a file or folder.
    pub fn io(action: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        let hint = match error.kind() {
            std::io::ErrorKind::NotFound => Some("check the path"),
            std::io::ErrorKind::IsADirectory => Some("give the path of a file"),
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                Some("make it writable, or choose another place")
            }
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Some("free some space, or choose another disk")
            }
            _ => None,
        };
        let error = error.to_string();
        // The path of a temporary file, which the error may end with, means nothing to a reader.
        let got = error.split_once(" at path ").map_or(error.as_str(), |(cause, _)| cause);
        let result = Self::input(format!("cannot {action}")).detail("file", path.display()).detail("got", got);
        match hint {
            Some(hint) => result.hint(hint),
            None => result,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.what)?;
        if let Some(excerpt) = &self.0.excerpt {
            write!(f, "\n{}", excerpt.trim_end())?;
        }
        let width = self.0.details.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0).max(8);
        for (label, value) in &self.0.details {
            write!(f, "\n  {label:width$}  {value}")?;
        }
        if let Some(hint) = &self.0.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<evenkeel_graph::Error> for Error {
    fn from(error: evenkeel_graph::Error) -> Self {
        let mut result = Error::input(format!("the network does not fit together: {}", error.problem()));
        if let Some(location) = error.location() {
            result = result.detail("where", location);
        }
        result = result.detail("operation", error.operation());
        for operand in error.operands() {
            result = result.detail(operand.name.clone(), format!("{} {}", operand.dtype, operand.shape));
        }
        result
    }
}

impl From<evenkeel_cpu::Error> for Error {
    fn from(error: evenkeel_cpu::Error) -> Self {
        match error {
            evenkeel_cpu::Error::Shape { name, expected, expected_dtype, got, got_dtype } => {
                Error::input(format!("{name} does not have the shape the network was compiled for"))
                    .detail("expected", format!("{expected_dtype} {expected}"))
                    .detail("got", format!("{got_dtype} {got}"))
            }
            evenkeel_cpu::Error::Memory { bytes } => Error::input("the program does not fit into memory")
                .detail("expected", "less than this machine has")
                .detail("got", format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64))
                .hint("use a smaller `--batch-size`, or a `--memory-limit` that fits, which is slower"),
            other => Error::input(other.to_string()),
        }
    }
}

/// The nearest of `names` to `given`, when it is near enough to be a slip of the finger.
pub fn nearest<'a>(given: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&given.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= 1 + name.chars().count() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let names = ["resnet20", "vgg11", "mlp"];
        assert_eq!(nearest("resnet2O", names), Some("resnet20"));
        assert_eq!(nearest("transformer", names), None);
    }
}
