//! GradInit: one learned factor for each parameter tensor, so that the first step of the optimiser helps most.
//!
//! `programs` computes losses, gradients and Hessian products; `scale` is Adam on one factor; `search` is the loop.

mod programs;
mod scale;
mod search;
#[cfg(test)]
mod tests;

pub use crate::config::{LookAhead, Overlap, SecondMoment};

use crate::network::{Network, State};
use crate::store::number;
use crate::{Batch, Result};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// How factors m of the parameters W⁰ are searched for, θ = m ⊙ W⁰ with one m a tensor:
///
/// minimize L(S̃; θ − η A\[g\]) subject to ‖g‖ ≤ γ, with g = ∇L(S; θ) and A\[g\] the first step of the optimiser (a constant: nothing
/// is differentiated through it).
///
/// Every iteration draws a batch S. Where ‖g‖ > γ the factors move against d‖g‖/dm, which is a Hessian product with g's direction,
/// exact; else against dL(S̃; θ − η A\[g\])/dm / η, where half of S̃ is half of S. Both by Adam, one step a factor.
///
/// * batch statistics are those of each batch, differentiated through; running ones stay as they are; nothing draws noise
/// * a tensor that is zero keeps its factor 1; a bias may fall to 0, and stays there
/// * where a number is not finite, all factors are halved
/// * cost, in units of a gradient: an iteration that keeps to the bound takes 2, one that does not about 3
///
/// ```no_run
/// # use evenkeel::{Batch, Network, State, init::GradInit};
/// # use std::ops::ControlFlow;
/// # fn example(network: &Network, state: State, samples: &Batch) -> evenkeel::Result<()> {
/// let found = GradInit { iterations: 150, batch: 64, ..GradInit::default() }
///     .run(network, state, samples, &mut |_| ControlFlow::Continue(()))?;
/// println!("{:?}", found.scales);
/// # Ok(())
/// # }
/// ```
///
/// Source: Zhu, Ni, Xu, Kong, Huang, Goldstein 2021, arXiv 2102.08098, and the authors' code; see `docs/methods/gradinit.md`.
#[derive(Clone, Debug, PartialEq)]
pub struct GradInit {
    /// A: whose first step is looked ahead, which also says in what norm the gradient is bounded.
    pub look_ahead: LookAhead,
    /// η, the rate of that step.
    pub learning_rate: f64,
    /// γ, what the norm of the gradient may be.
    pub gradient_bound: f64,
    /// τ, Adam's rate for the factors.
    pub scale_rate: f64,
    /// Steps of the factors.
    pub iterations: usize,
    /// Samples of S and of S̃; even.
    pub batch: usize,
    /// What a factor may fall to; that of a bias may fall to 0.
    pub min_scale: f64,
    /// What a factor may rise to.
    pub max_scale: Option<f64>,
    /// The largest slope that Adam is shown.
    pub clip: Option<f64>,
    /// Adam's decay rates of the first and second moment.
    pub betas: (f64, f64),
    /// What S and S̃ have in common.
    pub overlap: Overlap,
    /// Whether slopes of both kinds share their second moment.
    pub second_moment: SecondMoment,
    /// Draws the batches.
    pub seed: u64,
}

impl Default for GradInit {
    /// The authors' settings for image networks without normalization, by stochastic gradient descent.
    fn default() -> Self {
        GradInit {
            look_ahead: LookAhead::NormalizedSgd,
            learning_rate: 0.1,
            gradient_bound: 1.0,
            scale_rate: 0.01,
            iterations: 390,
            batch: 128,
            min_scale: 0.01,
            max_scale: None,
            clip: Some(1.0),
            betas: (0.9, 0.999),
            overlap: Overlap::Half,
            second_moment: SecondMoment::Shared,
            seed: 0,
        }
    }
}

impl GradInit {
    /// The authors' settings for a transformer that Adam will train. The bound is on ‖g‖₁, which grows with the number of parameters:
    /// it fits networks of millions.
    pub fn adam() -> GradInit {
        GradInit {
            look_ahead: LookAhead::Adam,
            learning_rate: 1e-3,
            gradient_bound: 1000.0,
            scale_rate: 2.5e-3,
            iterations: 780,
            max_scale: Some(100.0),
            clip: None,
            betas: (0.9, 0.98),
            second_moment: SecondMoment::Separate,
            ..GradInit::default()
        }
    }
}

/// What one iteration found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GradInitStep {
    /// Iterations before it.
    pub iteration: usize,
    /// L(S; θ).
    #[serde(with = "number")]
    pub loss: f64,
    /// ‖g‖, in the norm of the optimiser.
    #[serde(with = "number")]
    pub gradient_norm: f64,
    /// L(S̃; θ − η A\[g\]) where ‖g‖ kept to its bound.
    pub loss_ahead: Option<f64>,
}

impl GradInitStep {
    /// Whether the gradient kept to its bound.
    pub fn within_bound(&self) -> bool {
        self.loss_ahead.is_some()
    }
}

/// The factor of one parameter.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ParameterScale {
    /// Which parameter.
    pub path: String,
    /// Its factor.
    pub scale: f64,
    /// Whether it has none because it is zero everywhere.
    pub zero: bool,
}

/// What GradInit found.
#[derive(Clone, Debug)]
pub struct GradInitOutcome {
    /// The parameters times their factors, and the buffers as they were.
    pub state: State,
    /// The factors, in the order of [`Network::parameters`].
    pub scales: Vec<ParameterScale>,
    /// Every iteration.
    pub trace: Vec<GradInitStep>,
}

impl GradInitOutcome {
    /// The part of the iterations in which the gradient did not keep to its bound. Near 1 the loss was never looked at: the bound is too
    /// low, or the rate of the factors.
    pub fn share_beyond_bound(&self) -> f64 {
        share_beyond_bound(&self.trace)
    }
}

pub(super) fn share_beyond_bound(trace: &[GradInitStep]) -> f64 {
    let beyond = trace.iter().filter(|step| !step.within_bound()).count();
    beyond as f64 / trace.len().max(1) as f64
}

/// Where a state stands, over some batches.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Prospect {
    /// Mean of L(S; θ).
    pub loss: f64,
    /// Mean of ‖g‖, in the norm of the optimiser.
    pub gradient_norm: f64,
    /// Mean of L(S̃; θ − η A\[g\]).
    pub loss_ahead: f64,
}

impl GradInit {
    /// Searches the factors of `state` on batches of `samples`; `progress` is told every iteration and may end it.
    ///
    /// The same settings and samples give the same bits, on any number of threads.
    ///
    /// # Errors
    /// When a setting is outside its range, the samples are too few for two batches, or the network does not fit them;
    /// [`ErrorKind::Interrupted`](crate::ErrorKind::Interrupted) when `progress` breaks off.
    pub fn run(
        &self,
        network: &Network,
        state: State,
        samples: &Batch,
        progress: &mut dyn FnMut(&GradInitStep) -> ControlFlow<()>,
    ) -> Result<GradInitOutcome> {
        self.run_on(network, state, samples.len(), &mut |indices| samples.take(indices), progress)
    }

    /// What the first step will bring from `state`, over `batches` batches that depend on [`GradInit::seed`] alone: to compare
    /// states before and after.
    ///
    /// # Errors
    /// As [`GradInit::run`].
    pub fn prospect(&self, network: &Network, state: &State, samples: &Batch, batches: usize) -> Result<Prospect> {
        self.prospect_on(network, state, batches, samples.len(), &mut |indices| samples.take(indices))
    }
}
