//! Executable claims: sentences of papers, each with an experiment that a wrong implementation would fail.
//!
//! ```no_run
//! use evenkeel::claims::{Reproduction, Results, Scale, select};
//! let all = Reproduction { scale: Scale::Cpu, seeds: None, seed: 0, data: vec!["data".into()], watch: std::sync::Arc::new(()) };
//! let results = Results::in_dir("runs/claims");
//! for chosen in select(&["10.8"])? {
//!     let outcome = all.judge(chosen)?;
//!     println!("{}: {}", chosen, outcome.verdict);
//!     results.write(&outcome)?;
//! }
//! results.write_page()?;
//! # Ok::<(), evenkeel::Error>(())
//! ```
//!
//! A paper is a file `paper_NN_name.rs` with a `static PAPER: Paper`, listed in [`papers`]. Each [`Claim`] of it has a function from a
//! [`Setting`] to [`Findings`]:
//!
//! * `setting.seeds()` are the seeds; `setting.each(jobs, |job| ..)` runs independent trainings side by side and gives their results in
//!   the order of the jobs. It needs no care about threads, and asks between jobs whether to stop; a loop of minutes within one job
//!   says `setting.go_on()?` now and then.
//! * `setting.digits()?` and `setting.dataset("mnist", &options)?` are the data. Where it is missing, the claim becomes inconclusive by
//!   itself, as it does when the experiment ends in a numerical error; [`Findings::inconclusive`] says so for any other reason.
//! * `findings.check(Check::at_most("what was measured", number_or_numbers, bound))` compares; every number has to hold. The [`Verdict`]
//!   follows from the checks alone. What happened in some seeds is `Check::count("lower", &cases, 4)`; an effect whose size nobody
//!   published is [`Check::calibrated`]. Cap a step that was never reached at its budget and count what diverged: a number that is not
//!   finite leaves the claim open.
//! * A result that is known not to show at this scale, and a control, is `.for_the_record()`: told, but without a vote, unless a claim
//!   has nothing else. A bound is never loosened until it holds.
//! * [`Figure`] is the one figure, `findings.note("..")` a sentence for the reader of the numbers, [`statistics`] has what is needed to
//!   get from seeds to a number.
//!
//! Where to start reading: [`Claim`], then `paper_10_geometric_complexity.rs` as an example, then [`Check`] and [`Verdict`].

mod check;
mod claim;
mod findings;
mod outcome;
mod page;
mod results;
mod setting;
mod setup;
mod verdict;

mod paper_03_batch_normalization;
mod paper_04_batch_size;
mod paper_05_dropout;
mod paper_07_weight_rescaling;
mod paper_08_improved_group_norm;
mod paper_09_noise_injection;
mod paper_10_geometric_complexity;
mod paper_11_gradinit;
mod paper_12_batch_norm_explained;
mod paper_14_weight_normalization;
mod paper_16_entropy_sgd;
mod paper_19_batch_entropy;

pub use crate::report::Figure;
pub use crate::statistics;
pub use check::{Check, Numbers, Relation};
pub use claim::{Chosen, Claim, Paper, select};
pub use findings::Findings;
pub use outcome::{Outcome, Reproduction, all_reproduced};
pub use results::{Found, Results};
pub use setting::{Scale, Setting, Watch};
pub use verdict::Verdict;

static PAPERS: &[&Paper] = &[
    &paper_03_batch_normalization::PAPER,
    &paper_04_batch_size::PAPER,
    &paper_05_dropout::PAPER,
    &paper_07_weight_rescaling::PAPER,
    &paper_08_improved_group_norm::PAPER,
    &paper_09_noise_injection::PAPER,
    &paper_10_geometric_complexity::PAPER,
    &paper_11_gradinit::PAPER,
    &paper_12_batch_norm_explained::PAPER,
    &paper_14_weight_normalization::PAPER,
    &paper_16_entropy_sgd::PAPER,
    &paper_19_batch_entropy::PAPER,
];

/// Every paper with claims, by number.
pub fn papers() -> &'static [&'static Paper] {
    PAPERS
}
