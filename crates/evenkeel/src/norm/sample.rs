//! Layers that look at one sample alone: every norm mode computes the same.

use super::Deviation;
use super::standardize::{Over, Scale, Standardization};
use crate::Error;
use crate::nn::Context;
use evenkeel_graph::Var;

/// The most groups that are taken where no number is given.
const GROUPS: usize = 32;

impl<'g> Context<'g> {
    /// Layer normalization: each position is standardized over its channels, then scaled and shifted.
    ///
    /// y = γ · (x − μ) / √(σ² + ε) + β, with one γ (`weight`, 1 at first) and β (`bias`, 0 at first) a channel, and μ, σ² over
    /// the last axis; σ² is the biased variance.
    ///
    /// Input and output: `[.., C]` with at least two channels.
    ///
    /// Source: Ba, Kiros, Hinton 2016, arXiv 1607.06450, section 3.
    pub fn layer_norm(&self, name: &str, x: Var<'g>) -> Var<'g> {
        let _scope = self.scope(name);
        let hint = "use `batch`, or a wider layer";
        self.needs_two("layer normalization", "position", Over::Channels, &x.shape(), hint);
        self.by_sample(x, Standardization { over: Over::Channels, centered: true, scale: Scale::Deviation }, true)
    }

    /// Root-mean-square normalization: y = γ · x / √(mean x² + ε) over the channels of each position, with one γ (`weight`, 1 at
    /// first) a channel.
    ///
    /// Input and output: `[.., C]`.
    ///
    /// Source: Zhang, Sennrich 2019, arXiv 1910.07467, section 4.
    pub fn rms_norm(&self, name: &str, x: Var<'g>) -> Var<'g> {
        let _scope = self.scope(name);
        self.by_sample(
            x,
            Standardization { over: Over::Channels, centered: false, scale: Scale::RootMeanSquare },
            false,
        )
    }

    /// Group normalization: a sample's channels are cut into `groups` that follow each other, each standardized over its channels
    /// and all positions; then each channel is scaled (`weight`) and shifted (`bias`).
    ///
    /// * input and output: `[N, H, W, C]`, `[N, T, C]` or `[N, C]`; `groups` must divide `C`
    /// * without a number: the largest divisor of `C` up to 32, as in the paper, that leaves two channels a group
    ///
    /// Source: Wu, He 2018, arXiv 1803.08494, section 3.
    pub fn group_norm(&self, name: &str, x: Var<'g>, groups: Option<usize>) -> Var<'g> {
        self.group_norm_by(name, x, groups, Deviation::Population)
    }

    /// [`Context::group_norm`] that divides by the deviation of choice.
    pub fn group_norm_by(&self, name: &str, x: Var<'g>, groups: Option<usize>, deviation: Deviation) -> Var<'g> {
        let _scope = self.scope(name);
        let over = self.grouped("group normalization", x, groups);
        self.by_sample(x, Standardization { over, centered: true, scale: deviation.scale() }, true)
    }

    /// Instance normalization: each channel of each sample is standardized over its positions, then scaled and shifted.
    ///
    /// Input and output: `[N, H, W, C]` or `[N, T, C]` with more than one position.
    ///
    /// Source: Ulyanov, Vedaldi, Lempitsky 2016, arXiv 1607.08022.
    pub fn instance_norm(&self, name: &str, x: Var<'g>) -> Var<'g> {
        let _scope = self.scope(name);
        let over = Over::Groups(x.shape().last().copied().unwrap_or(0).max(1));
        let hint = "instance normalization is for layers over positions: use `layer` or `batch` here";
        self.needs_two("instance normalization", "channel of a sample", over, &x.shape(), hint);
        self.by_sample(x, Standardization { over, centered: true, scale: Scale::Deviation }, true)
    }

    fn by_sample(&self, x: Var<'g>, how: Standardization, shifted: bool) -> Var<'g> {
        let (centered, factor) = how.parts(x, how.moments(x), self.norm().epsilon);
        self.scale_and_shift(centered, factor, shifted)
    }

    /// The groups that `x` is cut into; fails where they do not divide its channels or hold a single value.
    pub(super) fn grouped(&self, noun: &str, x: Var<'g>, groups: Option<usize>) -> Over {
        let shape = x.shape();
        let channels = shape.last().copied().unwrap_or(0);
        let groups = groups.unwrap_or_else(|| usual_groups(channels));
        if shape.len() < 2 || groups == 0 || !channels.is_multiple_of(groups) {
            let divisors: Vec<String> =
                (1..=channels).filter(|g| channels.is_multiple_of(*g)).map(|g| g.to_string()).collect();
            self.fail(
                Error::input(format!("the groups of {noun} do not divide its channels"))
                    .detail("layer", self.place())
                    .detail("expected", format!("a divisor of {channels}: {}", divisors.join(", ")))
                    .detail("got", groups)
                    .hint("leave the number out to take one that fits, as in `--norm group`"),
            );
            return Over::Groups(1);
        }
        let over = Over::Groups(groups);
        self.needs_two(noun, "group", over, &shape, "use fewer groups");
        over
    }
}

/// The groups that are taken where no number is given.
fn usual_groups(channels: usize) -> usize {
    (1..=GROUPS.min(channels / 2)).rev().find(|groups| channels.is_multiple_of(*groups)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::usual_groups;

    #[test]
    fn groups_that_nobody_chose_divide_the_channels_and_hold_two_of_them() {
        for (channels, groups) in
            [(512, 32), (64, 32), (32, 16), (16, 8), (48, 24), (9, 3), (7, 1), (2, 1), (1, 1), (0, 1)]
        {
            assert_eq!(usual_groups(channels), groups, "{channels} channels");
        }
    }
}
