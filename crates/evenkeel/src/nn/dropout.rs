//! Dropout.

use super::Context;
use crate::Error;
use evenkeel_graph::Var;

impl<'g> Context<'g> {
    /// Each element is 0 with probability `rate`, else divided by 1 − rate, so that its mean stays; where no noise is drawn,
    /// the identity.
    ///
    /// The mask is a function of the seed, the layer's path and the step: the same in the loss, in its gradient and in its
    /// Hessian products, on any number of threads.
    ///
    /// Source: Srivastava et al. 2014, JMLR 15, section 10, as inverted dropout.
    pub fn dropout(&self, name: &str, x: Var<'g>, rate: f64) -> Var<'g> {
        let _scope = self.scope(name);
        if !(0.0..1.0).contains(&rate) {
            self.fail(
                Error::input("dropout drops a share of at least 0 and below 1")
                    .detail("layer", self.graph().path("").trim_end_matches('.'))
                    .detail("got", rate),
            );
            return x;
        }
        let Some(key) = self.key().filter(|_| rate > 0.0) else { return x };
        let drawn = self.graph().uniform(key, x.shape(), x.dtype());
        drawn.greater_or_equal(drawn.like(rate)).select(x / (1.0 - rate), x.like(0.0))
    }
}
