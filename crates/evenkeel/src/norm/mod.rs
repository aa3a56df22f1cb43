//! Normalization layers.
//!
//! Each is a setting of `standardize` (which activations share their statistics, what they are divided by); `statistics` keeps those
//! that go over the batch. Where to start reading: `batch` and `sample`.

mod batch;
mod improved_group;
mod sample;
mod standardize;
mod statistics;

pub use improved_group::{BatchAxes, Deviation, GroupForm, ImprovedGroup};
pub(crate) use standardize::root;

use crate::config::NormKind;
use crate::nn::Context;
use evenkeel_graph::Var;

impl<'g> Context<'g> {
    /// The normalization layer of the given kind under `name`; the identity for [`NormKind::None`].
    pub fn normalize(&self, kind: NormKind, name: &str, x: Var<'g>) -> Var<'g> {
        match kind {
            NormKind::None => x,
            NormKind::Batch => self.batch_norm(name, x),
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
