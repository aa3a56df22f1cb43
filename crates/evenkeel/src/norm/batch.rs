//! Batch normalization with its three modes.

use crate::Error;
use crate::config::NormMode;
use crate::nn::{Context, Initial};
use evenkeel_graph::Var;

impl<'g> Context<'g> {
    /// Batch normalization: each channel is standardized, then scaled and shifted.
    ///
    /// y = γ · (x − μ) / √(σ² + ε) + β, with one γ (`weight`, 1 at first) and β (`bias`, 0 at first) a channel, and μ, σ²
    /// over all samples and positions; σ² is the biased variance.
    ///
    /// * input and output: `[N, H, W, C]` or `[N, C]`
    /// * [`NormMode::Batch`]: μ, σ² of this batch, differentiated through. The running statistics become
    ///   r ← (1 − m) r + m · value, with the unbiased variance m/(m−1) · σ², as in PyTorch; they are outputs of the
    ///   program, and a program that does not ask for them does not compute them.
    /// * [`NormMode::Running`]: the running statistics, constants.
    /// * [`NormMode::Frozen`]: the statistics of a named batch, constants.
    ///
    /// A batch with one value a channel has no variance: the network is refused in [`NormMode::Batch`].
    ///
    /// Source: Ioffe, Szegedy 2015, arXiv 1502.03167, algorithms 1 and 2.
    pub fn batch_norm(&self, name: &str, x: Var<'g>) -> Var<'g> {
        let _scope = self.scope(name);
        let shape = x.shape();
        let channels = shape.last().copied().unwrap_or(0);
        let axes: Vec<usize> = (0..shape.len().saturating_sub(1)).collect();
        let count = shape.elements().checked_div(channels).unwrap_or(0);
        let settings = self.norm();
        let running_mean = self.buffer("running_mean", [channels], 0.0);
        let running_var = self.buffer("running_var", [channels], 1.0);
        let (centered, variance) = match settings.mode {
            NormMode::Batch => {
                if count < 2 {
                    self.fail(
                        Error::input("batch normalization needs more than one value per channel")
                            .detail("layer", self.graph().path("").trim_end_matches('.'))
                            .detail("got", format!("a batch of shape {shape}"))
                            .hint("use more samples, or the running statistics (norm mode `running`)"),
                    );
                }
                let mean = x.mean(&axes);
                let centered = x - mean;
                let variance = centered.square().mean(&axes);
                let old = 1.0 - settings.momentum;
                let unbiased = variance * (settings.momentum * count as f64 / (count.max(2) - 1) as f64);
                self.update_buffer("running_mean", running_mean * old + mean * settings.momentum);
                self.update_buffer("running_var", running_var * old + unbiased);
                self.record_statistics(mean, variance);
                (centered, variance)
            }
            NormMode::Running => (x - running_mean, running_var),
            NormMode::Frozen => (x - self.frozen("mean", channels), self.frozen("variance", channels)),
        };
        let weight = self.param("weight", [channels], Initial::Constant(1.0));
        let bias = self.param("bias", [channels], Initial::Constant(0.0));
        centered * ((variance + settings.epsilon).rsqrt() * weight) + bias
    }
}
