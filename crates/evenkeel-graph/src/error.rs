//! What is wrong with a formula, with the values' names, both shapes and the line it was written on.

use crate::shape::{DType, Shape};
use std::fmt;

/// One value an operation was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operand {
    /// The value's name, or where it comes from when it has none.
    pub name: String,
    /// Its element type.
    pub dtype: DType,
    /// Its shape.
    pub shape: Shape,
}

/// A formula that cannot be traced or transformed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    operation: String,
    problem: String,
    operands: Vec<Operand>,
    location: Option<String>,
}

/// The result of every transformation.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(operation: impl Into<String>, problem: impl Into<String>, operands: Vec<Operand>) -> Self {
        Error(Box::new(Inner { operation: operation.into(), problem: problem.into(), operands, location: None }))
    }

    pub(crate) fn at(mut self, location: impl fmt::Display) -> Self {
        self.0.location = Some(location.to_string());
        self
    }

    /// The operation that was asked for, e.g. `add` or `matmul`.
    pub fn operation(&self) -> &str {
        &self.0.operation
    }

    /// What is wrong, in one line.
    pub fn problem(&self) -> &str {
        &self.0.problem
    }

    /// The values the operation was given.
    pub fn operands(&self) -> &[Operand] {
        &self.0.operands
    }

    /// The source line that asked for it, as `file:line:column`.
    pub fn location(&self) -> Option<&str> {
        self.0.location.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.operation, self.0.problem)?;
        if let Some(location) = &self.0.location {
            write!(f, "\n  --> {location}")?;
        }
        let width = self.0.operands.iter().map(|operand| operand.name.chars().count()).max().unwrap_or(0);
        for operand in &self.0.operands {
            write!(f, "\n  {:width$}  {} {}", operand.name, operand.dtype, operand.shape)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
