//! Prints `docs/configuration.md`: every key of a configuration with its meaning and default.
//!
//! `cargo run -p evenkeel --example configuration_reference > docs/configuration.md`

fn main() {
    println!("# Configuration\n");
    println!("Every key with its meaning and default. A file sets any of them, `--set section.key=value` sets one.\n");
    println!("```toml\n{}\n```", evenkeel::config::reference().trim_end());
}
