//! One function as two: what depends on the point alone, and what is left for each direction.
//!
//! A product with a Hessian is linear in its direction but most of its values are not: activations, statistics and
//! cotangents belong to the point. [`Function::linearize`] computes those once and keeps what the direction needs. Nothing
//! here asks for linearity: any inputs may play the direction.
//!
//! What is kept is chosen so that the direction's program does no dear work again and holds as few bytes as that allows.
//! A value is *dear* when it takes a product, a convolution, a reduction, a window or a transcendental function; all else
//! (masks, standardised activations, moves) is computed again inside the loops that read it. Operands of products,
//! convolutions and windows are read from memory as they are, so they are kept themselves. For the others the choice is a
//! cut: between the dear values and the readers, through values of the fewest bytes.

use crate::function::{Function, InputInfo};
use crate::graph::{Node, NodeId};
use crate::op::Op;
use crate::simplify::simplify;
use crate::supply::{Supply, least_to_keep, reads_memory, source, supply};

/// A function split where the direction comes in.
#[derive(Clone, Debug)]
pub struct Linearized {
    /// Takes all inputs but the directions, in the function's order. Gives the values to keep (`kept/0`, `kept/1`, ..), then
    /// the function's outputs that depend on no direction, in order and under their names.
    pub point: Function,
    /// Takes all inputs of the function in its order, then the kept values. Gives the other outputs, in order.
    pub direction: Function,
    /// How many values are kept.
    pub kept: usize,
}

impl Linearized {
    /// Bytes of the kept values.
    pub fn kept_bytes(&self) -> usize {
        let inputs = self.direction.inputs();
        let kept = inputs.iter().skip(inputs.len() - self.kept);
        kept.map(|info| info.shape.elements() * info.dtype.bytes()).sum()
    }
}

impl Function {
    /// Splits the function into what depends on no direction and what does.
    ///
    /// Running `point` once and `direction` many times gives what running the function many times gives, to rounding.
    /// Cost: grows with the number of nodes times the length of paths between dear values and their readers.
    pub fn linearize(&self, is_direction: impl Fn(&InputInfo) -> bool) -> Linearized {
        let direction: Vec<bool> = self.inputs.iter().map(is_direction).collect();
        let mut varies = vec![false; self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            varies[index] = match node.op {
                Op::Input(input) => direction[input],
                _ => node.inputs.iter().any(|id| varies[id.index()]),
            };
        }
        let kept = keep(&self.nodes, &varies);

        // Both programs are the function's nodes with some replaced by inputs; simplification drops what neither reads.
        let input = |node: &Node, place: usize| Node { op: Op::Input(place), inputs: vec![], ..node.clone() };
        let mut place = vec![0; direction.len()];
        let mut point_inputs = Vec::new();
        for (index, info) in self.inputs.iter().enumerate().filter(|(index, _)| !direction[*index]) {
            place[index] = point_inputs.len();
            point_inputs.push(info.clone());
        }
        let point_nodes: Vec<Node> = self
            .nodes
            .iter()
            .map(|node| match node.op {
                Op::Input(from) => input(node, place[from]),
                _ => node.clone(),
            })
            .collect();
        let mut direction_nodes = self.nodes.clone();
        let mut direction_inputs = self.inputs.clone();
        let mut kept_outputs = Vec::new();
        for &index in &kept {
            let node = &self.nodes[index];
            let name = format!("kept/{}", kept_outputs.len());
            direction_nodes[index] = input(node, direction_inputs.len());
            direction_inputs.push(InputInfo { name: name.clone(), shape: node.shape.clone(), dtype: node.dtype });
            kept_outputs.push((name, NodeId(index as u32)));
        }
        let (late, early): (Vec<_>, Vec<_>) = self.outputs.iter().cloned().partition(|(_, id)| varies[id.index()]);
        let point_outputs = kept_outputs.into_iter().chain(early).collect();
        Linearized {
            point: extract(&point_nodes, point_inputs, point_outputs),
            direction: extract(&direction_nodes, direction_inputs, late),
            kept: kept.len(),
        }
    }
}

fn extract(nodes: &[Node], inputs: Vec<InputInfo>, outputs: Vec<(String, NodeId)>) -> Function {
    let roots: Vec<NodeId> = outputs.iter().map(|&(_, id)| id).collect();
    let (nodes, roots) = simplify(nodes, &roots);
    let outputs = outputs.into_iter().zip(roots).map(|((name, _), id)| (name, id)).collect();
    Function { nodes, inputs, outputs }
}

/// The fixed nodes to keep, ascending.
fn keep(nodes: &[Node], varies: &[bool]) -> Vec<usize> {
    let mut supply: Vec<Supply> = nodes.iter().map(|node| supply(&node.op)).collect();
    let mut wanted = Vec::new();
    let mut kept = Vec::new();
    for node in nodes.iter().zip(varies).filter_map(|(node, &varies)| varies.then_some(node)) {
        for operand in node.inputs.iter().map(|id| id.index()).filter(|&operand| !varies[operand]) {
            let memory = source(nodes, operand);
            if reads_memory(&node.op) && supply[memory] != Supply::Free {
                supply[memory] = Supply::Free;
                kept.push(memory);
            }
            wanted.push(operand);
        }
    }
    kept.extend(least_to_keep(nodes, &supply, &wanted));
    kept.sort_unstable();
    kept
}
