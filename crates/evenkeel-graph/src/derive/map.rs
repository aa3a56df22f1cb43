//! One program over a stack of values.

use super::stack::{Operand, repeat, rule};
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, Var};
use crate::shape::Shape;

impl Graph {
    /// Appends the outputs as they are when each value of `over` is one of K: `stacked` holds the K values along a new
    /// leading axis, and so do the results.
    ///
    /// Only what depends on `over` is rebuilt; all else is computed once and shared. `over` may be any values; an inner
    /// value is replaced whatever its operands are. An output that does not depend on `over` is repeated. Maps nest and
    /// mix with [`Graph::vjp`] and [`Graph::jvp`] in any order: a tangent mapped over its direction is a block of
    /// tangents that pays for the primal values once, a gradient mapped over one sample gives the gradient of each sample.
    ///
    /// Cost: K times the work of what depends on `over`, as one wider product or convolution wherever the other operand is
    /// shared.
    ///
    /// # Errors
    /// When tracing had failed before, or a stack is not its value's shape behind one common extent of
    /// at least 1.
    pub fn map<'g>(&'g self, outputs: &[Var<'g>], over: &[Var<'g>], stacked: &[Var<'g>]) -> Result<Vec<Var<'g>>> {
        self.check()?;
        self.owns("map", outputs.iter().chain(over).chain(stacked))?;
        let refuse = |problem: String, operands: Vec<_>| Err(Error::new("map", problem, operands));
        if over.len() != stacked.len() {
            let problem = format!("{} values and {} stacks", over.len(), stacked.len());
            return refuse(problem, over.iter().map(|var| var.operand()).collect());
        }
        let count = stacked.first().and_then(|stack| stack.shape().first().copied()).unwrap_or(0);
        if count == 0 {
            let operands = stacked.iter().map(|var| var.operand()).collect();
            return refuse("needs at least one stack with at least one value".into(), operands);
        }
        let last = outputs.iter().map(|var| var.id().index()).max().unwrap_or(0);
        let mut flow: Vec<Option<Var<'g>>> = vec![None; last + 1];
        for (&value, &stack) in over.iter().zip(stacked) {
            if stack.shape() != in_front(count, &value.shape()) || stack.dtype() != value.dtype() {
                let problem = format!("the stack is not {count} values in front of the value's shape");
                return refuse(problem, vec![value.operand(), stack.operand()]);
            }
            if let Some(slot) = flow.get_mut(value.id().index()) {
                *slot = Some(stack);
            }
        }
        for index in 0..=last {
            let Some(node) = self.node(NodeId(index as u32)) else { continue };
            if flow[index].is_some() || node.inputs.iter().all(|id| flow[id.index()].is_none()) {
                continue;
            }
            let operand = |&id: &NodeId| match flow[id.index()] {
                Some(value) => Operand { value, stacked: true },
                None => Operand { value: self.var(id), stacked: false },
            };
            let operands: Vec<_> = node.inputs.iter().map(operand).collect();
            flow[index] = Some(self.on_behalf_of(&node, node.pass, || rule(&node, count, &operands)));
        }
        self.check()?;
        Ok(outputs.iter().map(|&output| flow[output.id().index()].unwrap_or_else(|| repeat(output, count))).collect())
    }
}

/// A shape behind one more extent.
pub(super) fn in_front(count: usize, shape: &[usize]) -> Shape {
    std::iter::once(count).chain(shape.iter().copied()).collect::<Vec<_>>().into()
}
