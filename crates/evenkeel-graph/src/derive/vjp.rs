//! Reverse differentiation: cotangents flow against the program.

use super::rules::{Rule, apply, keep_axes, reduced_axes, rule, transpose};
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, Pass, Var};

impl Graph {
    /// Appends the gradient of `Σ ⟨output, cotangent⟩` with respect to each `wrt` value.
    ///
    /// Without cotangents the outputs must be scalars, and the result is the gradient of their sum. `wrt` may be any
    /// values of the graph. Cost: about twice the program's own work for any number of `wrt` values.
    ///
    /// # Errors
    /// When tracing had failed before, an output is not a floating-point value, a cotangent does not have its output's
    /// shape and type, or is missing for an output that is no scalar.
    pub fn vjp<'g>(
        &'g self,
        outputs: &[Var<'g>],
        wrt: &[Var<'g>],
        cotangents: Option<&[Var<'g>]>,
    ) -> Result<Vec<Var<'g>>> {
        self.check()?;
        self.owns("vjp", outputs.iter().chain(wrt).chain(cotangents.unwrap_or_default()))?;
        let refuse = |problem: &str, operands: Vec<_>| Err(Error::new("vjp", problem, operands));
        let last = outputs.iter().map(|var| var.id().index()).max().unwrap_or(0);
        let mut flow: Vec<Option<Var<'g>>> = vec![None; last + 1];
        if cotangents.is_some_and(|cotangents| cotangents.len() != outputs.len()) {
            return refuse("needs one cotangent an output", outputs.iter().map(|var| var.operand()).collect());
        }
        for (position, &output) in outputs.iter().enumerate() {
            if !output.dtype().is_float() {
                return refuse("only floating-point values have a gradient", vec![output.operand()]);
            }
            let cotangent = match cotangents {
                Some(cotangents) => cotangents[position],
                None if output.shape().is_empty() => output.like(1.0),
                None => return refuse("an output that is no scalar needs a cotangent", vec![output.operand()]),
            };
            if cotangent.shape() != output.shape() || cotangent.dtype() != output.dtype() {
                let operands = vec![output.operand(), cotangent.operand()];
                return refuse("the cotangent is not shaped like its output", operands);
            }
            let slot = &mut flow[output.id().index()];
            *slot = Some(slot.map_or(cotangent, |sum| sum + cotangent));
        }
        let moves = self.depends_on(wrt, last);
        for index in (0..=last).rev() {
            let (Some(g), true) = (flow[index], moves[index]) else { continue };
            let Some(node) = self.node(NodeId(index as u32)) else { continue };
            if !node.inputs.iter().any(|id| moves[id.index()]) {
                continue;
            }
            let out = self.var(NodeId(index as u32));
            let x: Vec<_> = node.inputs.iter().map(|&id| self.var(id)).collect();
            let contributions: Vec<(usize, Var<'g>)> = self.on_behalf_of(&node, Pass::Backward, || {
                let wanted = |which: usize| moves[x[which].id().index()];
                match rule(&node, out, &x) {
                    Rule::Local(partials) => partials
                        .iter()
                        .enumerate()
                        .filter(|&(which, _)| wanted(which))
                        .filter_map(|(which, &partial)| Some((which, apply(partial, g, x[which].dtype())?)))
                        .collect(),
                    Rule::Linear(operands) => operands
                        .iter()
                        .filter(|&&which| wanted(which))
                        .map(|&which| (which, transpose(&node, &x, which, g)))
                        .collect(),
                    Rule::Joint => (0..x.len())
                        .filter(|&which| wanted(which))
                        .map(|which| (which, transpose(&node, &x, which, g)))
                        .collect(),
                    Rule::Weighted(weight) => {
                        vec![(0, weight * keep_axes(g, x[0], &reduced_axes(&node, x[0])))]
                    }
                    Rule::Flat => vec![],
                }
            });
            for (which, contribution) in contributions {
                let slot = &mut flow[node.inputs[which].index()];
                *slot = Some(match *slot {
                    None => contribution,
                    Some(sum) => self.on_behalf_of(&node, Pass::Backward, || sum + contribution),
                });
            }
        }
        self.check()?;
        let gradient =
            |value: &Var<'g>| flow.get(value.id().index()).copied().flatten().unwrap_or_else(|| value.like(0.0));
        Ok(wrt.iter().map(gradient).collect())
    }

    /// For each node up to `last`, whether a change of `wrt` can reach it through floating-point values.
    fn depends_on(&self, wrt: &[Var<'_>], last: usize) -> Vec<bool> {
        let nodes = self.nodes();
        let mut moves = vec![false; last + 1];
        for value in wrt.iter().filter(|value| value.id().index() <= last) {
            moves[value.id().index()] = true;
        }
        for (index, node) in nodes.iter().take(last + 1).enumerate() {
            moves[index] |= node.dtype.is_float() && node.inputs.iter().any(|id| moves[id.index()]);
        }
        moves
    }
}
