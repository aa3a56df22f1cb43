//! Placeholder.

mod error;
pub mod store;

pub use error::{Error, ErrorKind, Result, nearest};
