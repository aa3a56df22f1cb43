//! Normalization layers.
//!
//! Each is a setting of `standardize` (which activations share their statistics, what they are divided by); `statistics` keeps those
//! that go over the batch. The layers themselves are methods of [`Context`]; here is what is done with networks that have them:
//!
//! * [`recalibrate`] takes running statistics anew, over as many batches as one likes
//! * [`scale_invariant`] finds the weights whose length means nothing
//! * [`fold`] makes norms part of the layers before them, for use after training
//! * [`merge_weights`] and [`split_weights`] lead from normalized weights to plain ones and back; [`check_weights`] refuses those that
//!   could never learn
//!
//! Where to start reading: `batch` and `sample`.

mod batch;
mod fold;
mod improved_group;
mod noise;
mod positions;
mod recalibrate;
mod sample;
mod scale_invariance;
mod standardize;
mod statistics;
mod weights;

pub use fold::fold;
pub(crate) use fold::{ConstantNorm, Folds};
pub use improved_group::{BatchAxes, Deviation, GroupForm, ImprovedGroup, Kept};
pub use noise::{Draws, Drift, DriftingNoise};
pub use recalibrate::recalibrate;
pub use scale_invariance::{Invariance, scale_invariant};
pub(crate) use standardize::root;
pub use weights::{check_weights, merge_weights, split_weights};

use crate::config::NormKind;
use crate::nn::Context;
use evenkeel_graph::Var;

impl<'g> Context<'g> {
    /// The normalization layer of the given kind under `name`; the identity for [`NormKind::None`].
    pub fn normalize(&self, kind: NormKind, name: &str, x: Var<'g>) -> Var<'g> {
        match kind {
            NormKind::None => x,
            NormKind::Batch => self.batch_norm(name, x),
            NormKind::NoisyBatch => self.noisy_batch_norm(name, x, DriftingNoise::default()),
            NormKind::MeanOnly => self.mean_only_batch_norm(name, x),
            NormKind::Layer => self.layer_norm(name, x),
            NormKind::Group(groups) => self.group_norm(name, x, groups),
            NormKind::Instance => self.instance_norm(name, x),
            NormKind::Rms => self.rms_norm(name, x),
            NormKind::L1 => self.l1_norm(name, x),
            NormKind::L2 => self.l2_norm(name, x),
            NormKind::Linf => self.linf_norm(name, x),
            NormKind::ImprovedGroup(groups) => {
                self.improved_group_norm(name, x, ImprovedGroup { groups, ..ImprovedGroup::default() })
            }
        }
    }
}
