//! One file a command.

pub(crate) mod bench;
mod complexity;
pub(crate) mod config;
pub(crate) mod data;
pub(crate) mod export;
pub(crate) mod init;
pub(crate) mod list;
pub(crate) mod measure;
pub(crate) mod report;
pub(crate) mod reproduce;
pub(crate) mod runs;
mod settings;
pub(crate) mod sweep;
mod sweep_watch;
pub(crate) mod train;
mod words;
