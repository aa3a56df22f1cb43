//! The one place where activations are centred and scaled. A normalization layer is a choice of which activations share their
//! statistics ([`Over`]) and what they are divided by ([`Scale`]).

use evenkeel_graph::{Shape, Var};

/// Which activations `[N, .., C]` share their statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// Those of a channel.
    Batch,
    /// Those of a channel in so many samples that follow each other.
    Ghosts(usize),
    /// Those of a channel at one position, in all samples.
    Samples,
    /// Those of one position.
    Channels,
    /// Those of a sample in one of so many groups of channels that follow each other.
    Groups(usize),
}

/// What activations are divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// One.
    Nothing,
    /// √(σ² + ε), with the biased variance.
    Deviation,
    /// s + ε, with the unbiased variance s².
    SampleDeviation,
    /// √(mean x² + ε)
    RootMeanSquare,
    /// (mean |x|ᵖ)^(1/p) + ε
    Power(Power),
}

/// The exponent p of a mean |x|ᵖ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Power {
    /// The mean absolute value.
    One,
    /// The root mean square.
    Two,
    /// The largest absolute value.
    Infinity,
}

/// How a layer centres and scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standardization {
    pub(super) over: Over,
    /// Whether the mean is subtracted first.
    pub(super) centered: bool,
    pub(super) scale: Scale,
}

/// What the activations that share their statistics have in common, in shapes that repeat to the activations'.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments<'g> {
    /// The mean, where it is subtracted.
    pub(super) mean: Option<Var<'g>>,
    /// The variance, mean square or norm that the scale is made from.
    pub(super) size: Option<Var<'g>>,
}

impl Over {
    /// How many activations of a value of this shape share their statistics.
    pub(super) fn count(self, shape: &Shape) -> usize {
        let (samples, channels) = ends(shape);
        let all = shape.elements();
        match self {
            Over::Batch => all.checked_div(channels),
            Over::Ghosts(size) => (all / samples.max(1) * size).checked_div(channels),
            Over::Samples => Some(samples),
            Over::Channels => Some(channels),
            Over::Groups(groups) => all.checked_div(samples * groups),
        }
        .unwrap_or(0)
    }

    /// The mean over what shares its statistics, see [`Over::pool`].
    pub(super) fn mean(self, values: Var<'_>) -> Var<'_> {
        self.pool(values, |values, axes| values.mean(axes))
    }

    /// `reduce` (a mean or a maximum) over what shares its statistics.
    ///
    /// Where neither all nor a single one of an axis take part, positions are reduced first and what is small is grouped: the
    /// activations keep their shape.
    pub(super) fn pool<'g>(self, values: Var<'g>, reduce: fn(Var<'g>, &[usize]) -> Var<'g>) -> Var<'g> {
        let shape = values.shape();
        let last = shape.len().saturating_sub(1);
        let (samples, channels) = ends(&shape);
        let space: Vec<usize> = (1..last).collect();
        // [N, C] as [N, 1, .., C].
        let repeat = |rows: Var<'g>| {
            let extent = |axis| {
                [(0, samples), (last, channels)].iter().find(|(at, _)| *at == axis).map_or(1, |(_, extent)| *extent)
            };
            rows.reshape((0..shape.len()).map(extent).collect::<Vec<_>>())
        };
        match self {
            Over::Batch => reduce(values, &(0..last).collect::<Vec<_>>()),
            Over::Samples => reduce(values, &[0]),
            Over::Channels => {
                let mut rows = shape.to_vec();
                if let Some(extent) = rows.last_mut() {
                    *extent = 1;
                }
                reduce(values, &[last]).reshape(rows)
            }
            Over::Ghosts(size) => {
                let split = Shape::from([samples / size, size, channels]);
                let pooled = reduce(reduce(values, &space).reshape(&split), &[1]);
                repeat(pooled.broadcast_along(vec![0, 2], &split).reshape([samples, channels]))
            }
            Over::Groups(groups) => {
                let split = Shape::from([samples, groups, channels / groups]);
                let pooled = reduce(reduce(values, &space).reshape(&split), &[2]);
                repeat(pooled.broadcast_along(vec![0, 1], &split).reshape([samples, channels]))
            }
        }
    }
}

impl Standardization {
    /// The moments of `x`, differentiated through.
    pub(super) fn moments<'g>(self, x: Var<'g>) -> Moments<'g> {
        let mean = |values: Var<'g>| self.over.mean(values);
        let center = self.centered.then(|| mean(x));
        let variance = || mean(center.map_or(x, |center| x - center).square());
        let size = match self.scale {
            Scale::Nothing => None,
            Scale::Deviation | Scale::SampleDeviation => Some(variance() * self.correction(&x.shape())),
            Scale::RootMeanSquare => Some(mean(x.square())),
            Scale::Power(Power::One) => Some(mean(x.abs())),
            Scale::Power(Power::Two) => Some(root(mean(x.square()))),
            Scale::Power(Power::Infinity) => Some(self.over.pool(x.abs(), |values, axes| values.max(axes))),
        };
        Moments { mean: center, size }
    }

    /// What a variance over activations of this shape is multiplied by: 1 where it is the biased one.
    pub(super) fn correction(self, shape: &Shape) -> f64 {
        match self.scale {
            Scale::SampleDeviation => {
                let count = self.over.count(shape);
                count as f64 / (count.max(2) - 1) as f64
            }
            _ => 1.0,
        }
    }

    /// `x` without its mean, and what that is multiplied by; `epsilon` keeps it finite.
    pub(super) fn parts<'g>(self, x: Var<'g>, moments: Moments<'g>, epsilon: f64) -> (Var<'g>, Option<Var<'g>>) {
        let centered = moments.mean.map_or(x, |mean| x - mean);
        let factor = moments.size.map(|size| match self.scale {
            Scale::Nothing | Scale::Deviation | Scale::RootMeanSquare => (size + epsilon).rsqrt(),
            Scale::SampleDeviation => 1.0 / (root(size) + epsilon),
            Scale::Power(_) => 1.0 / (size + epsilon),
        });
        (centered, factor)
    }
}

/// √x, with derivative 0 where x is 0: what has no size has none in every direction.
pub(crate) fn root(x: Var<'_>) -> Var<'_> {
    let none = x.equal(x.like(0.0));
    none.select(x.like(0.0), none.select(x.like(1.0), x).sqrt())
}

/// The first and the last extent.
fn ends(shape: &Shape) -> (usize, usize) {
    (shape.first().copied().unwrap_or(0), shape.last().copied().unwrap_or(0))
}
