//! What a value costs to have again, and which values to keep so that others can be had from them.

use crate::cut::Network;
use crate::graph::Node;
use crate::op::Op;

/// How a value comes to whoever reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Supply {
    /// It is at hand: an input, a constant, or kept in any case.
    Free,
    /// From its operands.
    Cheap,
    /// Only by being kept, or by keeping what is computed from it.
    Dear,
}

/// What it takes to compute a value inside a loop: nothing that is a kernel of its own, or a pass over more than it gives.
pub(crate) fn supply(op: &Op) -> Supply {
    match op {
        Op::Input(_) | Op::Constant(_) | Op::Iota { .. } => Supply::Free,
        op if op.is_transcendental() => Supply::Dear,
        op if op.is_elementwise() => Supply::Cheap,
        op if is_view(op) => Supply::Cheap,
        _ => Supply::Dear,
    }
}

/// Whether a value is another look at its operand's memory.
pub(crate) fn is_view(op: &Op) -> bool {
    matches!(op, Op::Reshape | Op::Transpose { .. } | Op::Broadcast { .. })
}

/// Whether an operation takes its operands from memory, rather than inside a loop that could compute them.
pub(crate) fn reads_memory(op: &Op) -> bool {
    !op.is_elementwise() && !matches!(op, Op::Reduce { .. }) && !is_view(op)
}

/// The value whose memory `node` is another look at.
pub(crate) fn source(nodes: &[Node], mut node: usize) -> usize {
    while is_view(&nodes[node].op) {
        node = nodes[node].inputs[0].index();
    }
    node
}

/// The bytes a value takes in memory.
pub(crate) fn bytes_of(node: &Node) -> u64 {
    (node.shape.elements() as u64).saturating_mul(node.dtype.bytes() as u64)
}

/// The values of the fewest bytes, ascending, from which those in `wanted` can be computed without computing anything dear;
/// what is free is not named.
pub(crate) fn least_to_keep(nodes: &[Node], supply: &[Supply], wanted: &[usize]) -> Vec<usize> {
    // What the wanted values are computed from, back to what is at hand or dear.
    let mut place = vec![usize::MAX; nodes.len()];
    let mut inside: Vec<usize> = Vec::new();
    let mut open = wanted.to_vec();
    while let Some(index) = open.pop() {
        if supply[index] == Supply::Free || place[index] != usize::MAX {
            continue;
        }
        place[index] = inside.len();
        inside.push(index);
        if supply[index] == Supply::Cheap {
            open.extend(nodes[index].inputs.iter().map(|id| id.index()));
        }
    }
    let mut network = Network::new(inside.len());
    for (number, &index) in inside.iter().enumerate() {
        // A value of no elements still costs a name.
        network.node(number, bytes_of(&nodes[index]).max(1));
        match supply[index] {
            Supply::Dear => network.source(number),
            _ => {
                let operands = nodes[index].inputs.iter().map(|id| id.index());
                operands
                    .filter(|&from| supply[from] != Supply::Free)
                    .for_each(|from| network.edge(place[from], number));
            }
        }
    }
    let mut wanted = wanted.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    wanted.iter().filter(|&&index| supply[index] != Supply::Free).for_each(|&index| network.sink(place[index]));
    let mut kept: Vec<usize> = network.least_cut().into_iter().map(|number| inside[number]).collect();
    kept.sort_unstable();
    kept
}
