//! Forward differentiation: tangents flow with the program.

use super::rules::{Rule, apply, reapply, reapply_joint, reduced_axes, rule};
use crate::error::{Error, Result};
use crate::graph::{Graph, Pass, Var};

impl Graph {
    /// Appends the directional derivative of `outputs` when each `wrt` value moves along its tangent:
    /// `Σ ∂output/∂wrt · tangent`.
    ///
    /// `wrt` may be any values; an inner value moves along its tangent whatever its operands do, and a value given twice
    /// along the sum of its tangents. Tangents have the shape
    /// and type of their values. Cost: at most twice the program's own work.
    ///
    /// # Errors
    /// When tracing had failed before, or a tangent does not have its value's shape and type.
    pub fn jvp<'g>(&'g self, outputs: &[Var<'g>], wrt: &[Var<'g>], tangents: &[Var<'g>]) -> Result<Vec<Var<'g>>> {
        self.check()?;
        self.owns("jvp", outputs.iter().chain(wrt).chain(tangents))?;
        if wrt.len() != tangents.len() {
            let problem = format!("{} values and {} tangents", wrt.len(), tangents.len());
            return Err(Error::new("jvp", problem, wrt.iter().map(|var| var.operand()).collect()));
        }
        let last = outputs.iter().map(|var| var.id().index()).max().unwrap_or(0);
        let mut flow: Vec<Option<Var<'g>>> = vec![None; last + 1];
        for (&value, &tangent) in wrt.iter().zip(tangents) {
            if value.shape() != tangent.shape() || value.dtype() != tangent.dtype() {
                let operands = vec![value.operand(), tangent.operand()];
                return Err(Error::new("jvp", "the tangent is not shaped like its value", operands));
            }
            if let Some(slot) = flow.get_mut(value.id().index()) {
                *slot = Some(slot.map_or(tangent, |sum| sum + tangent));
            }
        }
        for index in 0..=last {
            if flow[index].is_some() {
                continue;
            }
            let Some(node) = self.node(crate::NodeId(index as u32)) else { continue };
            let into: Vec<_> = node.inputs.iter().map(|id| flow[id.index()]).collect();
            if into.iter().all(Option::is_none) {
                continue;
            }
            let out = self.var(crate::NodeId(index as u32));
            let x: Vec<_> = node.inputs.iter().map(|&id| self.var(id)).collect();
            flow[index] = self.on_behalf_of(&node, Pass::Tangent, || match rule(&node, out, &x) {
                Rule::Local(partials) => sum(partials
                    .iter()
                    .zip(&into)
                    .filter_map(|(&partial, &tangent)| apply(partial, tangent?, node.dtype))),
                Rule::Linear(operands) => {
                    sum(operands.iter().filter_map(|&which| Some(reapply(&node, &x, which, into[which]?))))
                }
                Rule::Joint => reapply_joint(&node, &x, &into),
                Rule::Weighted(weight) => into[0].map(|tangent| (weight * tangent).sum(&reduced_axes(&node, x[0]))),
                Rule::Flat => None,
            });
        }
        self.check()?;
        Ok(outputs.iter().map(|&output| flow[output.id().index()].unwrap_or_else(|| output.like(0.0))).collect())
    }
}

fn sum<'g>(terms: impl Iterator<Item = Var<'g>>) -> Option<Var<'g>> {
    terms.reduce(|total, term| total + term)
}
