//! Less memory for more work: values of the first part of a function that the second part computes again.
//!
//! A gradient reads in reverse what the forward pass computed in order, so that at the turn between the two nearly all of it
//! waits. [`Function::recompute`] cuts the part before the turn into segments. What the second part reads of a segment is
//! computed again when its first reader is reached, from the values that cross into the segment; the segment's own
//! values need no memory in between (Chen, Xu, Zhang, Guestrin: *Training deep nets with sublinear memory cost*, 2016). With
//! the square root of n segments, n layers take the memory of twice that many, and a gradient one forward pass more.
//!
//! Which values are kept is the choice that [`Function::linearize`] makes, too: the cut of the fewest bytes between what
//! must not be computed again and what is read. In segments that are not computed again only what is dear must not be, so
//! that there, too, activations and masks are computed from a layer's result instead of waiting beside it.

use crate::function::Function;
use crate::graph::{Node, NodeId, Pass};
use crate::op::Op;
use crate::supply::{Supply, bytes_of, is_view, least_to_keep, reads_memory, source, supply};
use std::ops::Range;

/// A sum over at least this many numbers is kept rather than computed again: statistics of a batch, for example.
const SUMMANDS: usize = 16;

impl Function {
    /// The same function with its nodes in ascending order of `position`, those of equal ones as they were, those without one
    /// last. Where a node would come before one that it reads, it stays behind it.
    pub fn in_order(&self, position: &[usize]) -> Function {
        let mut key: Vec<usize> =
            (0..self.nodes.len()).map(|index| position.get(index).copied().unwrap_or(usize::MAX)).collect();
        for (index, node) in self.nodes.iter().enumerate() {
            key[index] = node.inputs.iter().fold(key[index], |key_of, id| key_of.max(key[id.index()]));
        }
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        order.sort_by_key(|&index| key[index]);
        let mut now = vec![NodeId(u32::MAX); order.len()];
        let mut nodes = Vec::with_capacity(order.len());
        for index in order {
            now[index] = NodeId(nodes.len() as u32);
            let inputs = self.nodes[index].inputs.iter().map(|id| now[id.index()]).collect();
            nodes.push(Node { inputs, ..self.nodes[index].clone() });
        }
        let outputs = self.outputs.iter().map(|(name, id)| (name.clone(), now[id.index()])).collect();
        Function { nodes, inputs: self.inputs.clone(), outputs }
    }

    /// The position of the node at which the most bytes wait: computed before it, and read at it or later.
    pub fn busiest(&self) -> usize {
        let memory = Memory::of(self);
        let last = memory.last_reads(&self.nodes, 0..self.nodes.len());
        let waiting = waiting(&self.nodes, &memory, &last);
        // The first of equals.
        (0..waiting.len()).rev().max_by_key(|&position| waiting[position]).unwrap_or(0)
    }

    /// The same function, but what its nodes from position `turn` on read of those before is computed again in place.
    ///
    /// The part before the turn is cut into `segments` of about as many waiting bytes each. In the first `again` of them
    /// everything but long sums may be computed again, in the others only what is cheap. The results are the same numbers
    /// to the rounding of sums that an executor takes in another order. The nodes computed again are of [`Pass::Again`].
    /// The function must not be simplified afterwards: equal values would become one.
    ///
    /// Cost: grows with the number of nodes, and for each segment with the length of ways through it.
    pub fn recompute(&self, turn: usize, segments: usize, again: usize) -> Function {
        let nodes = &self.nodes;
        let turn = turn.min(nodes.len());
        let memory = Memory::of(self);
        let mut read_late = vec![false; turn];
        for input in nodes[turn..].iter().flat_map(|node| &node.inputs).filter(|id| id.index() < turn) {
            read_late[input.index()] = true;
        }
        let starts = memory.boundaries(nodes, turn, segments);
        let ends = starts.iter().skip(1).copied().chain([turn]);
        let parts: Vec<Range<usize>> = starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect();

        let kept = choose(nodes, &parts, again, read_late);
        let dear = nodes.iter().map(|node| supply(&node.op) == Supply::Dear).collect();
        let none = || vec![None; nodes.len()];
        let mut rebuilt = Rebuilt { nodes: nodes[..turn].to_vec(), kept, dear, copies: [none(), none()] };
        for index in turn..nodes.len() {
            rebuilt.add(nodes, index, turn);
        }
        let outputs = self.outputs.iter().map(|(name, id)| {
            let early = id.index() < turn;
            (name.clone(), if early { *id } else { rebuilt.at_hand(id.index(), Way::Reader).unwrap_or(*id) })
        });
        let outputs = outputs.collect();
        without_dead(Function { nodes: rebuilt.nodes, inputs: self.inputs.clone(), outputs })
    }
}

/// Which values of the parts stay; those in `read_late` are needed behind the last part.
///
/// What a part needs of the one before is what crosses into it, and stays. What it needs of earlier ones (a backward pass of
/// the forward pass, say) is computed again there.
fn choose(nodes: &[Node], parts: &[Range<usize>], again: usize, mut read_late: Vec<bool>) -> Vec<bool> {
    let mut kept: Vec<bool> = nodes[..read_late.len()].iter().map(|node| supply(&node.op) == Supply::Free).collect();
    for (number, part) in parts.iter().enumerate().rev() {
        let before = parts[number.saturating_sub(1)].start;
        let supplies: Vec<Supply> = (0..part.end)
            .map(|index| match &nodes[index] {
                _ if kept[index] || index < before => Supply::Free,
                _ if index < part.start => Supply::Dear,
                node if number < again && !is_long_sum(nodes, node) => Supply::Cheap,
                node => supply(&node.op),
            })
            .collect();
        let wanted: Vec<usize> = part.clone().filter(|&index| read_late[index]).collect();
        least_to_keep(nodes, &supplies, &wanted).into_iter().for_each(|index| kept[index] = true);
        for index in part.clone().rev().filter(|&index| !kept[index]) {
            if read_late[index] {
                nodes[index].inputs.iter().for_each(|id| read_late[id.index()] = true);
            }
        }
    }
    kept
}

/// Which values an executor that fuses keeps in memory, as far as a graph can tell.
struct Memory {
    /// Bytes; 0 for what is computed inside loops, is another look at memory, or belongs to the caller.
    bytes: Vec<u64>,
}

impl Memory {
    fn of(function: &Function) -> Memory {
        let nodes = &function.nodes;
        let mut stored: Vec<bool> = nodes.iter().map(|node| supply(&node.op) == Supply::Dear).collect();
        for node in nodes.iter().filter(|node| reads_memory(&node.op)) {
            node.inputs.iter().for_each(|id| stored[source(nodes, id.index())] = true);
        }
        for (_, id) in &function.outputs {
            stored[source(nodes, id.index())] = false;
        }
        let bytes = |(node, stored): (&Node, &bool)| match supply(&node.op) {
            Supply::Free => 0,
            _ if *stored && !is_view(&node.op) => bytes_of(node),
            _ => 0,
        };
        Memory { bytes: nodes.iter().zip(&stored).map(bytes).collect() }
    }

    /// For each node of a range, the last one of it that reads its value from memory, be it inside a loop that computes others.
    fn last_reads(&self, nodes: &[Node], range: Range<usize>) -> Vec<usize> {
        let mut last: Vec<usize> = (0..range.end).collect();
        for index in range.rev() {
            let reader = if self.bytes[index] > 0 { index } else { last[index] };
            for input in &nodes[index].inputs {
                last[input.index()] = last[input.index()].max(reader);
            }
        }
        last
    }

    /// Where segments before `turn` start: each has about as many of the bytes that wait at the turn, and is entered by few.
    fn boundaries(&self, nodes: &[Node], turn: usize, segments: usize) -> Vec<usize> {
        let last = self.last_reads(nodes, 0..nodes.len());
        let mut sum = 0;
        let passed: Vec<u64> = (0..turn)
            .map(|index| {
                let before = sum;
                sum += if last[index] >= turn { self.bytes[index] } else { 0 };
                before
            })
            .collect();
        let crossing = waiting(nodes, self, &self.last_reads(nodes, 0..turn));
        let mut starts = vec![0];
        for segment in 1..segments as u64 {
            let share = |halves: u64| (u128::from(sum) * u128::from(halves) / (2 * segments as u128)) as u64;
            let (from, at, to) = (share(2 * segment - 1), share(2 * segment), share(2 * segment + 1));
            let first = passed.partition_point(|&passed| passed < from);
            let end = passed.partition_point(|&passed| passed <= to);
            let best = (first..end).min_by_key(|&position| (crossing[position], passed[position].abs_diff(at)));
            starts.extend(best.filter(|position| starts.last() < Some(position)));
        }
        starts
    }
}

/// For each position, the bytes that were computed before it and are read at it or later.
fn waiting(nodes: &[Node], memory: &Memory, last: &[usize]) -> Vec<u64> {
    let mut ends = vec![0u64; nodes.len() + 1];
    let mut waiting = Vec::with_capacity(last.len());
    let mut now = 0u64;
    for (index, &last) in last.iter().enumerate() {
        waiting.push(now);
        now = now.saturating_sub(ends[index]);
        if last > index {
            now += memory.bytes[index];
            ends[last] += memory.bytes[index];
        }
    }
    waiting
}

fn is_long_sum(nodes: &[Node], node: &Node) -> bool {
    let elements = |id: &NodeId| nodes[id.index()].shape.elements();
    matches!(node.op, Op::Reduce { .. })
        && node.inputs.first().is_some_and(|id| elements(id) >= SUMMANDS.saturating_mul(node.shape.elements()))
}

/// Who reads a value that is computed again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A node that is computed again itself.
    Copy,
    /// A node behind the turn. What is cheap it has copies of its own of, made from the dear ones when it is reached: the activation
    /// between two convolutions that are computed again need not wait for the gradient of the second.
    Reader,
}

/// A function in the making: the nodes before the turn as they were, then the others with what they need again.
struct Rebuilt {
    nodes: Vec<Node>,
    /// Of the nodes before the turn, those that later ones read as they are.
    kept: Vec<bool>,
    dear: Vec<bool>,
    /// For both ways, where the value of a node is read.
    copies: [Vec<Option<NodeId>>; 2],
}

impl Rebuilt {
    /// Adds node `reader` of `nodes`, and before it the operands that it needs again.
    fn add(&mut self, nodes: &[Node], reader: usize, turn: usize) {
        let mut open = vec![(reader, Way::Reader)];
        while let Some(&(next, way)) = open.last() {
            if self.at_hand(next, way).is_some() {
                open.pop();
                continue;
            }
            let way = self.way(next, way);
            let (count, inputs) = (open.len(), &nodes[next].inputs);
            let missing = inputs.iter().map(|id| id.index()).filter(|&input| self.at_hand(input, way).is_none());
            open.extend(missing.map(|input| (input, way)));
            if open.len() == count {
                let inputs = inputs.iter().map(|&id| self.at_hand(id.index(), way).unwrap_or(id)).collect();
                let number = 2 * reader as u32 + u32::from(way == Way::Reader);
                let pass = if next < turn { Pass::Again(number) } else { nodes[next].pass };
                self.copies[way as usize][next] = Some(NodeId(self.nodes.len() as u32));
                self.nodes.push(Node { inputs, pass, ..nodes[next].clone() });
                open.pop();
            }
        }
    }

    /// What is dear is computed again once, for all.
    fn way(&self, index: usize, way: Way) -> Way {
        if self.dear[index] && index < self.kept.len() { Way::Copy } else { way }
    }

    fn at_hand(&self, index: usize, way: Way) -> Option<NodeId> {
        let kept = self.kept.get(index).is_some_and(|&kept| kept);
        self.copies[self.way(index, way) as usize][index].or(kept.then_some(NodeId(index as u32)))
    }
}

/// The function without nodes that no output needs; unlike simplification, equal nodes stay apart.
fn without_dead(function: Function) -> Function {
    let Function { nodes, inputs, outputs } = function;
    let mut live = vec![false; nodes.len()];
    outputs.iter().for_each(|(_, id)| live[id.index()] = true);
    for index in (0..nodes.len()).rev() {
        if live[index] {
            nodes[index].inputs.iter().for_each(|id| live[id.index()] = true);
        }
    }
    let mut now = vec![NodeId(u32::MAX); nodes.len()];
    let mut alive: Vec<Node> = Vec::new();
    for (index, mut node) in nodes.into_iter().enumerate().filter(|(index, _)| live[*index]) {
        node.inputs.iter_mut().for_each(|id| *id = now[id.index()]);
        now[index] = NodeId(alive.len() as u32);
        alive.push(node);
    }
    let outputs = outputs.into_iter().map(|(name, id)| (name, now[id.index()])).collect();
    Function { nodes: alive, inputs, outputs }
}
