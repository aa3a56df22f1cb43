//! How fast the programs behind training and curvature run on this machine.
//!
//! What is timed is the compiled program alone, on inputs that are ready: no data set, no files, no conversion of vectors.
//! A training step is the trainer's own program and updates its state in place.
//!
//! ```
//! use evenkeel::bench::{Bench, Settings, What};
//! let settings = Settings { batch_size: 8, input: vec![8, 8, 1], ..Settings::new("mlp:16".parse()?, What::Step) };
//! let measured = Bench::new(settings)?.measure(Some(3))?;
//! assert!(measured.min_ms <= measured.median_ms);
//! # Ok::<(), evenkeel::Error>(())
//! ```
//!
//! Where to start reading: `settings` (what can be timed), then `program` (how it is built).

mod clock;
mod profile;
mod program;
mod settings;

pub use profile::{KindProfile, Profile, Slow};
pub use program::{Bench, Measured};
pub use settings::{Case, Settings, What, standard};
