//! The size of parameters as a penalty.

use crate::network::Trace;
use crate::objective::Term;
use crate::{Error, Result, pattern};
use evenkeel_graph::Var;

/// ½ · `weight` · Σ p² over the parameters whose paths match a pattern: L2 regularization.
///
/// Over all parameters it is what the optimiser calls weight decay, as far as plain gradient descent goes; as a term of the objective it
/// is also part of curvature, and of what Adam divides by.
///
/// # Errors
/// When no parameter matches.
///
/// Source: Krogh, Hertz 1991, "A simple weight decay can improve generalization".
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterNorm {
    /// What the squares are multiplied by, twice.
    pub weight: f64,
    /// Patterns with `*` for any text, and commas between them: `*.weight, head.*`.
    pub parameters: String,
}

impl Term for ParameterNorm {
    fn apply<'g>(&self, trace: &Trace<'g>, objective: Var<'g>) -> Result<Var<'g>> {
        let parameters = trace.cx.parameters();
        let chosen = parameters.iter().filter(|(info, _)| pattern::any_matches(&self.parameters, &info.path));
        let squares = chosen.map(|(_, parameter)| parameter.square().sum_all());
        let Some(square) = squares.reduce(|sum, square| sum + square) else {
            let some: Vec<&str> = parameters.iter().take(3).map(|(info, _)| info.path.as_str()).collect();
            return Err(Error::input("the penalty is over no parameter of the network")
                .detail("key", "l2.parameters")
                .detail("expected", format!("patterns of paths such as {}", some.join(", ")))
                .detail("got", &self.parameters));
        };
        Ok(objective + square * (0.5 * self.weight))
    }
}
