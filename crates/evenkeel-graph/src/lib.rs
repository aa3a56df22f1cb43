//! Placeholder.

pub mod random;
