//! Vectors for numbers.

use super::{Context, Initial};
use evenkeel_graph::Var;

impl<'g> Context<'g> {
    /// A learned vector for each of `vocabulary` integers: indices `I32` of any shape `[..]` become `[.., width]`, rows of
    /// `weight` `[vocabulary, width]`.
    ///
    /// An index outside the vocabulary is the zero vector and learns nothing. Starts normal with `deviation`. Cost: a copy
    /// of the rows; the gradient is a sum over the rows' uses.
    pub fn embedding(&self, name: &str, indices: Var<'g>, vocabulary: usize, width: usize, deviation: f64) -> Var<'g> {
        let _scope = self.scope(name);
        self.param("weight", [vocabulary, width], Initial::Normal(deviation)).gather(0, indices)
    }
}
