//! Placeholder.

pub mod config;

mod error;

pub use error::{Error, ErrorKind, Result, nearest};
