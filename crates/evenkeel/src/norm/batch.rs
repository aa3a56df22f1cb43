//! Layers whose statistics go over the batch, with its three modes.

use super::ConstantNorm;
use super::standardize::{Over, Power, Scale, Standardization};
use crate::Error;
use crate::config::NormMode;
use crate::nn::{Context, Initial, Standardized};
use evenkeel_graph::Var;

impl<'g> Context<'g> {
    /// Batch normalization: each channel is standardized, then scaled and shifted.
    ///
    /// y = γ · (x − μ) / √(σ² + ε) + β, with one γ (`weight`, 1 at first) and β (`bias`, 0 at first) a channel, and μ, σ²
    /// over all samples and positions; σ² is the biased variance.
    ///
    /// * input and output: `[N, H, W, C]` or `[N, C]`
    /// * [`NormMode::Batch`]: μ, σ² of this batch, differentiated through, or of ghost batches (Hoffer, Hubara, Soudry 2017, arXiv
    ///   1705.08741). The running statistics become r ← (1 − m) r + m · value, with the unbiased variance m/(m−1) · σ², as in
    ///   PyTorch; ghost batches contribute their mean.
    /// * [`NormMode::Running`]: the running statistics, constants.
    /// * [`NormMode::Frozen`]: the statistics of a named batch, constants.
    ///
    /// A batch with one value a channel has no variance: the network is refused in [`NormMode::Batch`]. So is a batch that
    /// ghost batches do not divide.
    ///
    /// Source: Ioffe, Szegedy 2015, arXiv 1502.03167, algorithms 1 and 2.
    pub fn batch_norm(&self, name: &str, x: Var<'g>) -> Var<'g> {
        self.over_batch("batch normalization", name, x, Scale::Deviation)
    }

    /// Mean-only batch normalization: y = x − μ + β, with μ as in [`Context::batch_norm`].
    ///
    /// Meant to follow layers with weight normalization, which fixes the scale.
    ///
    /// Source: Salimans, Kingma 2016, arXiv 1602.07868, section 4.
    pub fn mean_only_batch_norm(&self, name: &str, x: Var<'g>) -> Var<'g> {
        self.over_batch("mean-only batch normalization", name, x, Scale::Nothing)
    }

    /// ℓ₁ normalization over the batch: y = γ · (x − μ) / (N + ε) + β, where N is the mean of |x| before the mean is subtracted.
    ///
    /// Shapes and modes as in [`Context::batch_norm`]; running statistics of μ and N.
    ///
    /// Source: Santurkar, Tsipras, Ilyas, Madry 2018, arXiv 1805.11604, section 3.3.
    pub fn l1_norm(&self, name: &str, x: Var<'g>) -> Var<'g> {
        self.over_batch("l1 normalization", name, x, Scale::Power(Power::One))
    }

    /// ℓ₂ normalization over the batch: as [`Context::l1_norm`], with the root of the mean square before the mean is subtracted.
    pub fn l2_norm(&self, name: &str, x: Var<'g>) -> Var<'g> {
        self.over_batch("l2 normalization", name, x, Scale::Power(Power::Two))
    }

    /// ℓ∞ normalization over the batch: as [`Context::l1_norm`], with the largest |x| before the mean is subtracted. Its derivative is
    /// shared equally by equal largest elements.
    pub fn linf_norm(&self, name: &str, x: Var<'g>) -> Var<'g> {
        self.over_batch("linf normalization", name, x, Scale::Power(Power::Infinity))
    }

    fn over_batch(&self, noun: &str, name: &str, x: Var<'g>, scale: Scale) -> Var<'g> {
        let _scope = self.scope(name);
        let channels = x.shape().last().copied().unwrap_or(0);
        if let Some(bias) = self.folded() {
            return bias.map_or(x, |path| x + self.param_at(path, [channels].into(), Initial::Constant(0.0)));
        }
        let over = self.batches(noun, x);
        let how = Standardization { over, centered: true, scale };
        if self.norm().mode == NormMode::Batch {
            self.needs_two(
                noun,
                "channel",
                over,
                &x.shape(),
                "use more samples (`--batch-size`, `measure.samples`), a norm of each sample (`--norm group`), or in a measurement running \
                 statistics",
            );
        }
        self.record_standardized(Standardized { input: x, centered: how.centered, scaled: scale != Scale::Nothing });
        let moments = self.kept_moments(how, x);
        let (centered, factor) = how.parts(x, moments, self.norm().epsilon);
        let y = self.scale_and_shift(centered, factor, true);
        if self.norm().mode == NormMode::Running {
            let scale = factor.map(|factor| factor * self.param("weight", [channels], Initial::Constant(1.0)));
            let bias = self.param("bias", [channels], Initial::Constant(0.0));
            let shift = moments.mean.map_or(bias, |mean| bias - scale.map_or(mean, |scale| mean * scale));
            self.record_constant_norm(ConstantNorm { path: self.place(), input: x, map: Some((scale, shift)) });
        }
        y
    }

    /// The batch as a whole, or its ghost batches.
    fn batches(&self, noun: &str, x: Var<'g>) -> Over {
        let samples = x.shape().first().copied().unwrap_or(0);
        match self.norm().ghost {
            Some(size) if self.norm().mode == NormMode::Batch && size != samples => {
                if size == 0 || samples % size != 0 {
                    self.fail(
                        Error::input(format!("the ghost batches of {noun} do not divide the batch"))
                            .detail("layer", self.place())
                            .detail("expected", format!("a multiple of {size} samples"))
                            .detail("got", samples)
                            .hint("change `batch_norm.ghost`, or the number of samples"),
                    );
                    return Over::Batch;
                }
                Over::Ghosts(size)
            }
            _ => Over::Batch,
        }
    }
}
