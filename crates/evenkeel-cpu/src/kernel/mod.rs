//! The loops that do the arithmetic: the only place in the workspace with `unsafe` code.

pub mod conv;
