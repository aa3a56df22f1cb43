//! Sums that cost nothing because other sums are there: Σ (a · x + y) = a Σ x + Σ y where a is the same along the axes that are
//! summed over.
//!
//! The gradient of batch norm holds one: what the mean takes back is the sum of γ/σ · ȳ + c · (x − μ), whose parts are the
//! gradient of β and a sum that goes along with the variance. Taken apart, it saves a pass over two activations.
//!
//! Differences are left whole: their sides may be large where they are small.

use super::Builder;
use crate::graph::{Node, NodeId};
use crate::op::{Binary, Op, Unary};

/// How many values to look at before a sum counts as one that has to be taken.
const MOST_VALUES: usize = 32;

impl Builder {
    /// The sum `node` over `axes`, from sums over the same axes; `None` where a part of it would take a pass of its own.
    pub(super) fn sum_of_sums(&mut self, node: &Node, axes: &[usize]) -> Option<NodeId> {
        let mut left = MOST_VALUES;
        self.taken_apart(node, axes, node.inputs[0], &mut left)
    }

    /// The sum of `x`, which is `node` but for the operand, if it is there, known without summing, or comes along.
    fn free_sum(&mut self, node: &Node, axes: &[usize], x: NodeId, left: &mut usize) -> Option<NodeId> {
        *left = left.checked_sub(1)?;
        let sum = Node { inputs: vec![x], ..node.clone() };
        if self.known.contains_key(&(sum.op.clone(), sum.inputs.clone(), sum.shape.clone(), sum.dtype)) {
            return Some(self.intern(sum));
        }
        if let Some(value) = self.along(node, axes, x) {
            let shape = &self.node(x).shape;
            let times = axes.iter().map(|&axis| shape[axis] as f64).product();
            let times = self.constant(times, node);
            return Some(self.of_parts(node, Op::Binary(Binary::Multiply), vec![value, times]));
        }
        if let Some(parts) = self.taken_apart(node, axes, x, left) {
            return Some(parts);
        }
        self.comes_along(&sum).then(|| self.intern(sum))
    }

    /// The sum of `x` by what `x` is made of.
    fn taken_apart(&mut self, node: &Node, axes: &[usize], x: NodeId, left: &mut usize) -> Option<NodeId> {
        let Node { op, inputs, .. } = self.node(x).clone();
        let parts = match (&op, &inputs[..]) {
            (Op::Unary(Unary::Negate), &[x]) => vec![self.free_sum(node, axes, x, left)?],
            (Op::Binary(Binary::Add), &[x, y]) => {
                vec![self.free_sum(node, axes, x, left)?, self.free_sum(node, axes, y, left)?]
            }
            (Op::Binary(binary @ (Binary::Multiply | Binary::Divide)), &[x, y]) => match self.along(node, axes, y) {
                Some(factor) => vec![self.free_sum(node, axes, x, left)?, factor],
                None if *binary == Binary::Multiply => {
                    vec![self.along(node, axes, x)?, self.free_sum(node, axes, y, left)?]
                }
                None => return None,
            },
            _ => return None,
        };
        Some(self.of_parts(node, op, parts))
    }

    /// A value that is the same along the axes that `node` sums over, in the shape of the sum.
    fn along(&mut self, node: &Node, axes: &[usize], x: NodeId) -> Option<NodeId> {
        if let Some(value) = self.splat(x) {
            return Some(self.constant(value, node));
        }
        let Node { op: Op::Broadcast { axes: kept }, inputs, shape, .. } = self.node(x).clone() else { return None };
        let surviving: Vec<usize> = (0..shape.len()).filter(|axis| !axes.contains(axis)).collect();
        let places = kept.iter().map(|axis| surviving.iter().position(|other| other == axis));
        let axes = places.collect::<Option<Vec<usize>>>()?;
        Some(self.movement(Node { op: Op::Broadcast { axes }, inputs, ..node.clone() }))
    }

    /// Whether another sum over the same axes reads what `sum` does anyway: both run as one loop.
    fn comes_along(&self, sum: &Node) -> bool {
        let elementwise = |id: NodeId| self.node(id).op.is_elementwise().then(|| &self.node(id).inputs);
        let reads = |other: &Node| elementwise(other.inputs[0]).is_some_and(|inputs| inputs.contains(&sum.inputs[0]));
        let same = |other: &Node| other.op == sum.op && other.shape == sum.shape && other.dtype == sum.dtype;
        self.nodes.iter().any(|other| same(other) && reads(other))
    }

    /// A value of the shape of the sum.
    fn of_parts(&mut self, node: &Node, op: Op, inputs: Vec<NodeId>) -> NodeId {
        self.elementwise(Node { op, inputs, ..node.clone() })
    }
}
