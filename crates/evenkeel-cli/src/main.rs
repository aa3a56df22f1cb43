//! The command `evenkeel`.
fn main() {}
