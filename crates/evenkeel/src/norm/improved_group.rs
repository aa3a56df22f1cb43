//! Improved group normalization.

use super::ConstantNorm;
use super::positions::{Positions, Values};
use super::standardize::{Over, Scale, Standardization};
use crate::config::NormMode;
use crate::nn::{Context, Initial};
use evenkeel_graph::Var;

/// In which order activations are standardized over groups and over the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupForm {
    /// The batch standardizes what the groups give.
    #[default]
    GroupFirst,
    /// The groups standardize what the batch gives.
    BatchFirst,
    /// Both standardize the input.
    Parallel,
}

/// Which activations share their statistics over the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchAxes {
    /// Those of a channel, at all positions of all samples.
    #[default]
    SamplesAndPositions,
    /// Those of a channel at one position, in all samples, as in the authors' code.
    Samples,
}

/// What deviations are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deviation {
    /// s + ε, with the unbiased variance s², as in the authors' code.
    #[default]
    Sample,
    /// √(σ² + ε), with the biased variance, as in group and batch normalization elsewhere.
    Population,
}

impl Deviation {
    pub(super) fn scale(self) -> Scale {
        match self {
            Deviation::Sample => Scale::SampleDeviation,
            Deviation::Population => Scale::Deviation,
        }
    }
}

/// What is kept of the statistics over the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kept {
    /// Running statistics, for the norm modes that use them.
    #[default]
    Running,
    /// Nothing, as in the paper: in every norm mode they are those of the batch at hand, whatever it is used for, so that what a sample
    /// gets depends on its companions. An evaluation fills its last batch up with copies of the last sample.
    Nothing,
}

/// The choices of an improved group normalization.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImprovedGroup {
    /// The order.
    pub form: GroupForm,
    /// Groups of channels; without a number as in [`Context::group_norm`].
    pub groups: Option<usize>,
    /// What the batch's statistics are taken over.
    pub axes: BatchAxes,
    /// What both divide by.
    pub deviation: Deviation,
    /// What outlives a batch.
    pub kept: Kept,
}

impl<'g> Context<'g> {
    /// Improved group normalization: group normalization g, blended by a learned gate with a standardization b over the batch.
    ///
    /// y = γ · (σ(λ) · g + (1 − σ(λ)) · b) + β, with one λ (`lambda`, 1 at first) a layer and one γ (`weight`), β (`bias`) a
    /// channel. By form, g = G(x) and b = B(g); or b = B(x) and g = G(b); or g = G(x) and b = B(x).
    ///
    /// * input and output: `[N, H, W, C]` or `[N, C]`; the groups must divide `C`
    /// * statistics over the batch follow the norm mode, as in [`Context::batch_norm`], or are those of the batch in every mode
    ///   ([`Kept::Nothing`]). A batch of one sample has none: it is group normalization alone, and running statistics stay.
    /// * cost: that of instance normalization, two passes over the activations for all statistics; with [`BatchAxes::Samples`] two passes
    ///   more
    ///
    /// Source: Gunawan, Yin, Zhang 2022, arXiv 2207.01972, and the authors' code.
    pub fn improved_group_norm(&self, name: &str, x: Var<'g>, choices: ImprovedGroup) -> Var<'g> {
        let _scope = self.scope(name);
        let scale = choices.deviation.scale();
        let groups = Standardization {
            over: self.grouped("improved group normalization", x, choices.groups),
            centered: true,
            scale,
        };
        let over = match choices.axes {
            BatchAxes::SamplesAndPositions => Over::Batch,
            BatchAxes::Samples => Over::Samples,
        };
        let batch = Standardization { over, centered: true, scale };
        if choices.kept == Kept::Running && self.norm().mode == NormMode::Running {
            // A gate blends constants with statistics of the sample.
            self.record_constant_norm(ConstantNorm { path: self.place(), input: x, map: None });
        }
        match choices.axes {
            BatchAxes::SamplesAndPositions => self.blended(Positions::of(x), [groups, batch], choices),
            BatchAxes::Samples => self.blended(x, [groups, batch], choices),
        }
    }

    fn blended(
        &self,
        x: impl Values<'g>,
        [groups, batch]: [Standardization; 2],
        ImprovedGroup { form, kept, .. }: ImprovedGroup,
    ) -> Var<'g> {
        let (by_group, by_batch) = match form {
            GroupForm::GroupFirst => {
                let by_group = self.by_own_moments(groups, x);
                (by_group, self.over_samples(batch, by_group, kept).unwrap_or(by_group))
            }
            GroupForm::Parallel => {
                let by_group = self.by_own_moments(groups, x);
                (by_group, self.over_samples(batch, x, kept).unwrap_or(by_group))
            }
            GroupForm::BatchFirst => {
                let by_batch = self.over_samples(batch, x, kept);
                let by_group = self.by_own_moments(groups, by_batch.unwrap_or(x));
                (by_group, by_batch.unwrap_or(by_group))
            }
        };
        let share = self.param("lambda", [1], Initial::Constant(1.0)).sigmoid();
        let channels = x.shape().last().copied().unwrap_or(0);
        let weight = self.param("weight", [channels], Initial::Constant(1.0));
        by_group
            .mixed(by_batch, share)
            .scaled_and_shifted(weight, self.param("bias", [channels], Initial::Constant(0.0)))
    }

    /// `x` standardized by its own moments.
    fn by_own_moments<V: Values<'g>>(&self, how: Standardization, x: V) -> V {
        x.standardized(how, x.moments(how), self.norm().epsilon)
    }

    /// `x` standardized over the batch by norm mode; nothing where the batch is one sample.
    fn over_samples<V: Values<'g>>(&self, how: Standardization, x: V, kept: Kept) -> Option<V> {
        let alone = x.shape().first().is_none_or(|samples| *samples < 2);
        if kept == Kept::Nothing {
            self.couple_samples();
            return (!alone).then(|| self.by_own_moments(how, x));
        }
        if alone && self.norm().mode == NormMode::Batch {
            // What a network keeps does not depend on its batch.
            self.running(how, &x.shape());
            return None;
        }
        Some(x.standardized(how, self.kept_moments(how, x), self.norm().epsilon))
    }
}
