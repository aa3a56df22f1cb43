//! Prints `docs/configuration.md`, every key of a configuration with its meaning and default, or `docs/evenkeel.schema.json`.
//!
//! `cargo run -p evenkeel --example configuration_reference > docs/configuration.md`
//! `cargo run -p evenkeel --example configuration_reference schema > docs/evenkeel.schema.json`

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("schema") => println!("{:#}", evenkeel::config::schema()),
        _ => print!("{}", evenkeel::config::reference_page()),
    }
}
