//! Flatness of the loss as a penalty.

use crate::Result;
use crate::network::Trace;
use crate::objective::Term;
use evenkeel_graph::Var;

/// `weight` · ‖∂L/∂θ‖², with L the objective that the term is given and θ all parameters so far: descent seeks where the loss is flat.
///
/// * L is the mean over the batch: of one step, not of all samples
/// * cost: about two steps more (a gradient of a gradient)
///
/// Source: Barrett, Dherin 2021, arXiv 2009.11162, section 3; Smith et al. 2021, arXiv 2101.12176, equation 4.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flatness {
    /// What the square of the gradient is multiplied by.
    pub weight: f64,
}

impl Term for Flatness {
    fn apply<'g>(&self, trace: &Trace<'g>, objective: Var<'g>) -> Result<Var<'g>> {
        let gradient = trace.cx.graph().vjp(&[objective], &trace.parameters(), None)?;
        let squares = gradient.iter().map(|gradient| gradient.square().sum_all());
        Ok(match squares.reduce(|sum, square| sum + square) {
            Some(square) => objective + square * self.weight,
            None => objective,
        })
    }
}
