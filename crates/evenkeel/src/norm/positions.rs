//! Activations that are standardized several times over, over groups of channels and over the batch.
//!
//! Each time, the positions of a channel of a sample share what is done to them. So all moments that come after are known from their mean
//! and variance: two passes over the activations, then tables `[N, C]`. Over any set of channels and samples the mean is that of
//! the means, and the variance the mean of the variances plus the variance of the means.

use super::standardize::{Moments, Standardization};
use evenkeel_graph::{Shape, Var};

/// What can be standardized and mixed.
pub(super) trait Values<'g>: Copy {
    /// `[N, .., C]`
    fn shape(self) -> Shape;

    /// The moments that `how` divides by, differentiated through.
    fn moments(self, how: Standardization) -> Moments<'g>;

    /// Centred and scaled by the given moments.
    fn standardized(self, how: Standardization, moments: Moments<'g>, epsilon: f64) -> Self;

    /// share · self + (1 − share) · other
    fn mixed(self, other: Self, share: Var<'g>) -> Self;

    /// The activations, each channel multiplied and added to.
    fn scaled_and_shifted(self, scale: Var<'g>, shift: Var<'g>) -> Var<'g>;
}

impl<'g> Values<'g> for Var<'g> {
    fn shape(self) -> Shape {
        self.shape()
    }

    fn moments(self, how: Standardization) -> Moments<'g> {
        how.moments(self)
    }

    fn standardized(self, how: Standardization, moments: Moments<'g>, epsilon: f64) -> Self {
        let (centered, factor) = how.parts(self, moments, epsilon);
        factor.map_or(centered, |factor| centered * factor)
    }

    fn mixed(self, other: Self, share: Var<'g>) -> Self {
        other + share * (self - other)
    }

    fn scaled_and_shifted(self, scale: Var<'g>, shift: Var<'g>) -> Var<'g> {
        self * scale + shift
    }
}

/// Activations scale · (x − m) + mean, with m the mean of x over the positions of each channel of each sample.
#[derive(Clone, Copy)]
pub(super) struct Positions<'g> {
    /// x − m, `[N, .., C]`
    centered: Var<'g>,
    /// Its mean square over positions, `[N, C]`.
    variance: Var<'g>,
    /// `[N, C]`
    scale: Var<'g>,
    /// `[N, C]`
    mean: Var<'g>,
}

impl<'g> Positions<'g> {
    /// The activations `[N, .., C]` as they are.
    pub(super) fn of(x: Var<'g>) -> Self {
        let space: Vec<usize> = (1..x.shape().len().saturating_sub(1)).collect();
        let mean = x.mean(&space);
        let centered = x - at_every_position(mean, &x.shape());
        Positions { centered, variance: centered.square().mean(&space), scale: mean.like(1.0), mean }
    }
}

impl<'g> Values<'g> for Positions<'g> {
    fn shape(self) -> Shape {
        self.centered.shape()
    }

    /// Of standardizations whose size is a variance.
    fn moments(self, how: Standardization) -> Moments<'g> {
        let mean = how.over.mean(self.mean);
        let variance = how.over.mean(self.variance * self.scale.square() + (self.mean - mean).square());
        Moments { mean: Some(mean), size: Some(variance * how.correction(&self.shape())) }
    }

    fn standardized(self, how: Standardization, moments: Moments<'g>, epsilon: f64) -> Self {
        let (mean, factor) = how.parts(self.mean, moments, epsilon);
        match factor {
            Some(factor) => Positions { scale: self.scale * factor, mean: mean * factor, ..self },
            None => Positions { mean, ..self },
        }
    }

    fn mixed(self, other: Self, share: Var<'g>) -> Self {
        Positions { scale: self.scale.mixed(other.scale, share), mean: self.mean.mixed(other.mean, share), ..self }
    }

    fn scaled_and_shifted(self, scale: Var<'g>, shift: Var<'g>) -> Var<'g> {
        let shape = self.shape();
        let (scale, shift) = (self.scale * scale, self.mean * scale + shift);
        self.centered * at_every_position(scale, &shape) + at_every_position(shift, &shape)
    }
}

/// `[N, C]` along `[N, .., C]`.
fn at_every_position<'g>(table: Var<'g>, shape: &Shape) -> Var<'g> {
    table.broadcast_along(vec![0, shape.len().saturating_sub(1)], shape)
}
