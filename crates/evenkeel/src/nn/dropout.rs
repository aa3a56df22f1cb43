//! Dropout.

use super::Context;
use crate::Error;
use crate::config::DropoutMasks;
use evenkeel_graph::{Shape, Var};

/// What is dropped, and how samples share it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// The probability that an element becomes 0. (The papers' p is what is kept: 1 − rate.)
    pub rate: f64,
    /// Which samples share a mask.
    pub masks: DropoutMasks,
}

impl Dropout {
    /// v = rate / (1 − rate): the variance of what an element is multiplied by.
    pub fn variance(self) -> f64 {
        self.rate / (1.0 - self.rate)
    }
}

/// A place in a network where values are dropped.
#[derive(Clone, Debug)]
pub struct DropoutSite<'g> {
    /// Where it is, e.g. `drop1`.
    pub path: String,
    /// How.
    pub dropout: Dropout,
    /// The values before, `[N, ..]`.
    pub input: Var<'g>,
    /// What they are multiplied by, in their shape: 0 or 1 / (1 − rate), and 1 where no mask is drawn.
    pub mask: Var<'g>,
    /// The values after.
    pub output: Var<'g>,
}

impl<'g> DropoutSite<'g> {
    /// The mask of a key for values of the site's shape, or a stack of `count` of them with one more axis in front.
    pub fn masks(&self, key: Var<'g>, count: Option<usize>) -> Var<'g> {
        let mut drawn = self.input.shape().to_vec();
        if let (DropoutMasks::PerStep, Some(samples)) = (self.dropout.masks, drawn.first_mut()) {
            *samples = 1;
        }
        let stack = |shape: &[usize]| Shape::from(count.into_iter().chain(shape.iter().copied()).collect::<Vec<_>>());
        let uniform = key.graph().uniform(key, stack(&drawn), self.input.dtype());
        let kept = uniform.like(1.0 / (1.0 - self.dropout.rate));
        let mask = uniform.greater_or_equal(uniform.like(self.dropout.rate)).select(kept, uniform.like(0.0));
        mask.broadcast_to(&stack(&self.input.shape()))
    }
}

impl<'g> Context<'g> {
    /// Each element is 0 with probability `rate`, else divided by 1 − rate, so that its mean stays; where no noise is drawn,
    /// the identity. Every sample has a mask of its own.
    ///
    /// The mask is a function of the seed, the layer's path and the step: the same in the loss, in its gradient and in its
    /// Hessian products, on any number of threads.
    ///
    /// Source: Srivastava et al. 2014, JMLR 15, section 10, as inverted dropout.
    pub fn dropout(&self, name: &str, x: Var<'g>, rate: f64) -> Var<'g> {
        self.dropout_with(name, x, Dropout { rate, masks: DropoutMasks::PerSample })
    }

    /// The same with masks that samples share or that are not drawn at all, see [`Dropout`]; terms of the objective know the place by
    /// [`Context::dropout_sites`] either way.
    pub fn dropout_with(&self, name: &str, x: Var<'g>, dropout: Dropout) -> Var<'g> {
        let _scope = self.scope(name);
        if !(0.0..1.0).contains(&dropout.rate) {
            self.fail(
                Error::input("dropout drops a share of at least 0 and below 1")
                    .detail("layer", self.place())
                    .detail("got", dropout.rate),
            );
            return x;
        }
        let ones = self.graph().splat(1.0, x.shape(), x.dtype());
        let mut site = DropoutSite { path: self.place(), dropout, input: x, mask: ones, output: x };
        if let Some(key) = self.key().filter(|_| dropout.rate > 0.0 && dropout.masks != DropoutMasks::None) {
            site.mask = site.masks(key, None);
        }
        site.output = x * site.mask;
        self.record_dropout(site)
    }
}
