//! Placeholder.

mod error;
pub mod report;
pub mod store;

pub use error::{Error, ErrorKind, Result, nearest};
