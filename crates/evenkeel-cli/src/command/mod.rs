//! One file a command.

pub(crate) mod bench;
mod complexity;
pub(crate) mod export;
pub(crate) mod init;
pub(crate) mod list;
pub(crate) mod measure;
pub(crate) mod report;
pub(crate) mod reproduce;
pub(crate) mod runs;
pub(crate) mod train;
mod words;
