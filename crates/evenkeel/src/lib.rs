//! Placeholder.

pub mod data;
pub mod config;

mod error;

pub use error::{Error, ErrorKind, Result, nearest};
