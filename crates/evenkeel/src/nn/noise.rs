//! Noise on activations.

use super::Context;
use crate::Error;
use evenkeel_graph::Var;

impl<'g> Context<'g> {
    /// x + `deviation` · ε with ε standard normal for each element; where no noise is drawn, the identity.
    ///
    /// The noise is a function of the seed, the layer's path and the step, as the mask of [`Context::dropout`].
    pub fn gaussian_noise(&self, name: &str, x: Var<'g>, deviation: f64) -> Var<'g> {
        let _scope = self.scope(name);
        if !(deviation >= 0.0 && deviation.is_finite() && x.dtype().is_float()) {
            self.fail(
                Error::input("noise needs activations that are numbers, and a finite deviation of at least 0")
                    .detail("layer", self.place())
                    .detail("got", format!("deviation {deviation}, activations {} {}", x.dtype(), x.shape())),
            );
            return x;
        }
        let Some(key) = self.key().filter(|_| deviation > 0.0) else { return x };
        x + self.graph().normal(key, x.shape(), x.dtype()) * deviation
    }
}
