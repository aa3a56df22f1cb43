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

use crate::cut::Network;
use crate::function::{Function, InputInfo};
use crate::graph::{Node, NodeId};
use crate::op::Op;
use crate::simplify::simplify;

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

/// How a fixed value comes to whoever reads it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Supply {
    /// It is at hand: an input, a constant, or kept in any case.
    Free,
    /// From its operands, inside a loop.
    Cheap,
    /// Only by being kept, or by keeping what is computed from it.
    Dear,
}

/// The fixed nodes to keep, ascending.
fn keep(nodes: &[Node], varies: &[bool]) -> Vec<usize> {
    let mut supply: Vec<Supply> = nodes.iter().map(|node| supply(&node.op)).collect();
    let mut wanted = vec![false; nodes.len()];
    let mut kept = Vec::new();
    for node in nodes.iter().zip(varies).filter_map(|(node, &varies)| varies.then_some(node)) {
        for operand in node.inputs.iter().map(|id| id.index()).filter(|&operand| !varies[operand]) {
            let memory = source(nodes, operand);
            if reads_memory(&node.op) && supply[memory] != Supply::Free {
                supply[memory] = Supply::Free;
                kept.push(memory);
            }
            wanted[operand] = true;
        }
    }
    // What the wanted values are computed from, back to what is at hand or dear.
    let mut inside = wanted.clone();
    for index in (0..nodes.len()).rev() {
        if inside[index] && supply[index] == Supply::Cheap {
            nodes[index].inputs.iter().for_each(|id| inside[id.index()] = true);
        }
    }
    let mut network = Network::new(nodes.len());
    for index in (0..nodes.len()).filter(|&index| inside[index] && supply[index] != Supply::Free) {
        // A value of no elements still costs a name.
        let bytes = (nodes[index].shape.elements() * nodes[index].dtype.bytes()).max(1);
        network.node(index, bytes as u64);
        if supply[index] == Supply::Dear {
            network.source(index);
        } else {
            for operand in nodes[index].inputs.iter().map(|id| id.index()) {
                if supply[operand] != Supply::Free {
                    network.edge(operand, index);
                }
            }
        }
        if wanted[index] {
            network.sink(index);
        }
    }
    kept.extend(network.least_cut());
    kept.sort_unstable();
    kept
}

fn supply(op: &Op) -> Supply {
    match op {
        Op::Input(_) | Op::Constant(_) | Op::Iota { .. } => Supply::Free,
        op if op.is_transcendental() => Supply::Dear,
        op if op.is_elementwise() => Supply::Cheap,
        Op::Reshape | Op::Transpose { .. } | Op::Broadcast { .. } => Supply::Cheap,
        _ => Supply::Dear,
    }
}

/// Whether an operation takes its operands from memory, rather than inside a loop that could compute them.
fn reads_memory(op: &Op) -> bool {
    !op.is_elementwise() && !matches!(op, Op::Reduce { .. } | Op::Reshape | Op::Transpose { .. } | Op::Broadcast { .. })
}

/// The value whose memory `node` is another look at.
fn source(nodes: &[Node], mut node: usize) -> usize {
    while matches!(nodes[node].op, Op::Reshape | Op::Transpose { .. } | Op::Broadcast { .. }) {
        node = nodes[node].inputs[0].index();
    }
    node
}
