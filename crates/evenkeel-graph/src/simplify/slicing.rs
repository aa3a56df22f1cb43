//! Rewrites of slices, pads and concatenations: two moves become one, and what is read nowhere is not written.

use super::Builder;
use crate::graph::{Node, NodeId};
use crate::op::{Binary, Op, Progression};
use crate::shape::Shape;

impl Builder {
    pub(super) fn slice(&mut self, node: Node) -> NodeId {
        let Op::Slice(along) = node.op.clone() else { return self.intern(node) };
        let x = node.inputs[0];
        if let Some(value) = self.splat(x) {
            return self.constant(value, &node);
        }
        let operand = self.node(x).clone();
        if along.iter().zip(operand.shape.iter()).all(|(along, &extent)| along.is_whole(extent)) {
            return x;
        }
        match &operand.op {
            Op::Slice(first) => {
                let op = Op::Slice(first.iter().zip(&along).map(|(first, along)| first.of(along)).collect());
                self.slice(Node { op, inputs: operand.inputs, ..node })
            }
            Op::Pad(written) => match read_of_written(&along, written) {
                Some(axes) => self.slice_of_pad(node, axes, operand.inputs[0]),
                None => self.intern(node),
            },
            Op::Concat { axis } => match self.part_of_concat(&along[*axis], *axis, &operand.inputs) {
                Some((part, within)) => {
                    let mut along = along;
                    along[*axis] = within;
                    self.slice(Node { op: Op::Slice(along), inputs: vec![part], ..node })
                }
                None => self.intern(node),
            },
            // Work moves to the small side of a broadcast.
            Op::Broadcast { axes } => {
                let kept: Vec<Progression> = axes.iter().map(|&axis| along[axis]).collect();
                let shape = kept.iter().map(Progression::count).collect::<Vec<_>>().into();
                let small = Node { op: Op::Slice(kept), inputs: operand.inputs.clone(), shape, ..node.clone() };
                let small = self.slice(small);
                self.movement(Node { op: operand.op, inputs: vec![small], ..node })
            }
            _ => self.intern(node),
        }
    }

    /// Reads first and writes the rest: what the slice leaves out is never written.
    fn slice_of_pad(&mut self, node: Node, axes: Vec<(Progression, Progression)>, source: NodeId) -> NodeId {
        let (read, written): (Vec<_>, Vec<_>) = axes.into_iter().unzip();
        let shape = read.iter().map(Progression::count).collect::<Vec<_>>().into();
        let part = self.slice(Node { op: Op::Slice(read), inputs: vec![source], shape, ..node.clone() });
        self.pad(Node { op: Op::Pad(written), inputs: vec![part], ..node })
    }

    /// The operand of a concatenation that holds all the positions read, and where in it they are.
    fn part_of_concat(&self, along: &Progression, axis: usize, parts: &[NodeId]) -> Option<(NodeId, Progression)> {
        let last = along.at(along.count().checked_sub(1)?);
        let (low, high) = (along.first().min(last), along.first().max(last));
        let mut start = 0;
        for &part in parts {
            let end = start + self.node(part).shape[axis];
            if start <= low && high < end {
                return Some((part, Progression::new(along.first() - start, along.step(), along.count())));
            }
            start = end;
        }
        None
    }

    pub(super) fn pad(&mut self, node: Node) -> NodeId {
        let Op::Pad(along) = node.op.clone() else { return self.intern(node) };
        let x = node.inputs[0];
        let operand = self.node(x).clone();
        if along.iter().zip(node.shape.iter()).all(|(along, &extent)| along.is_whole(extent)) {
            return x;
        }
        if operand.shape.elements() == 0 || self.splat(x) == Some(0.0) {
            return self.constant(0.0, &node);
        }
        match &operand.op {
            Op::Pad(first) => {
                let op = Op::Pad(along.iter().zip(first).map(|(along, first)| along.of(first)).collect());
                self.pad(Node { op, inputs: operand.inputs, ..node })
            }
            _ => self.intern(node),
        }
    }

    pub(super) fn concat(&mut self, node: Node) -> NodeId {
        let Op::Concat { axis } = node.op else { return self.intern(node) };
        // Concatenations along the same axis are one; parts without an element say nothing.
        let mut parts: Vec<NodeId> = Vec::new();
        for &input in &node.inputs {
            let operand = self.node(input);
            match &operand.op {
                Op::Concat { axis: inner } if *inner == axis => parts.extend(&operand.inputs),
                _ if operand.shape[axis] == 0 => {}
                _ => parts.push(input),
            }
        }
        let mut joined: Vec<NodeId> = Vec::new();
        for part in parts {
            match joined.last().and_then(|&last| self.neighbours(last, part, axis)) {
                Some(both) => {
                    joined.pop();
                    let both = self.rewrite(both);
                    joined.push(both);
                }
                None => joined.push(part),
            }
        }
        match joined[..] {
            [] => self.constant(0.0, &node),
            [only] => only,
            _ => self.intern(Node { inputs: joined, ..node }),
        }
    }

    /// Two parts that are one: splats of one number, or slices that follow each other in one value.
    fn neighbours(&self, a: NodeId, b: NodeId, axis: usize) -> Option<Node> {
        let (left, right) = (self.node(a), self.node(b));
        let mut extents = left.shape.to_vec();
        extents[axis] += right.shape[axis];
        let shape = Shape::from(extents);
        if let (Some(one), Some(other)) = (self.splat(a), self.splat(b)) {
            return (one.to_bits() == other.to_bits()).then(|| Node { shape, ..left.clone() });
        }
        let (Op::Slice(first), Op::Slice(second)) = (&left.op, &right.op) else { return None };
        if left.inputs != right.inputs {
            return None;
        }
        let follows = first.iter().zip(second).enumerate().all(|(place, (first, second))| {
            if place == axis {
                first.step() == 1 && second.step() == 1 && first.first() + first.count() == second.first()
            } else {
                first == second
            }
        });
        let mut along = first.clone();
        along[axis] = Progression::new(first[axis].first(), 1, shape[axis]);
        follows.then(|| Node { op: Op::Slice(along), shape, ..left.clone() })
    }

    /// pad a + pad b with a and b side by side is the pad of both: so the parts of a split give their gradient back.
    pub(super) fn sum_of_pads(&mut self, node: &Node) -> Option<NodeId> {
        if node.op != Op::Binary(Binary::Add) {
            return None;
        }
        let (a, b) = (self.node(node.inputs[0]), self.node(node.inputs[1]));
        let (Op::Pad(left), Op::Pad(right)) = (&a.op, &b.op) else { return None };
        let mut differing = (0..left.len()).filter(|&axis| left[axis] != right[axis]);
        let (axis, None) = (differing.next()?, differing.next()) else { return None };
        let (one, other) = (left[axis], right[axis]);
        if one.step() != 1 || other.step() != 1 {
            return None;
        }
        let (first, parts) = if one.first() + one.count() == other.first() {
            (one.first(), vec![a.inputs[0], b.inputs[0]])
        } else if other.first() + other.count() == one.first() {
            (other.first(), vec![b.inputs[0], a.inputs[0]])
        } else {
            return None;
        };
        let mut along = left.clone();
        along[axis] = Progression::new(first, 1, one.count() + other.count());
        let shape = along.iter().map(Progression::count).collect::<Vec<_>>().into();
        let both = self.concat(Node { op: Op::Concat { axis }, inputs: parts, shape, ..node.clone() });
        Some(self.pad(Node { op: Op::Pad(along), inputs: vec![both], ..node.clone() }))
    }
}

/// A slice of a pad as a pad of a slice: for each axis, what is read of the source and where it is written.
///
/// Result position i is padded position `first + step · i`, which holds source position j where that is
/// `first' + step' · j`. Where step' divides step, or one of them misses the other altogether, the answer is two progressions.
fn read_of_written(along: &[Progression], written: &[Progression]) -> Option<Vec<(Progression, Progression)>> {
    let nothing = (Progression::new(0, 1, 0), Progression::new(0, 1, 0));
    let axis = |(along, written): (&Progression, &Progression)| {
        let distance = along.first() as isize - written.first() as isize;
        let (step, unit) = (along.step(), written.step());
        if along.count() == 0 || written.count() == 0 {
            return Some(nothing);
        }
        if step % unit != 0 {
            return None;
        }
        if distance % unit != 0 {
            return Some(nothing);
        }
        // Result position i reads source position origin + stride · i, where that is one.
        let (origin, stride) = (distance / unit, step / unit);
        let (low, high) = if stride > 0 {
            (div_ceil(-origin, stride), (written.count() as isize - 1 - origin).div_euclid(stride))
        } else {
            (div_ceil(origin - (written.count() as isize - 1), -stride), origin.div_euclid(-stride))
        };
        let (low, high) = (low.max(0), high.min(along.count() as isize - 1));
        if low > high {
            return Some(nothing);
        }
        let count = (high - low + 1) as usize;
        let read = Progression::new((origin + stride * low) as usize, stride, count);
        Some((read, Progression::new(low as usize, 1, count)))
    };
    along.iter().zip(written).map(axis).collect()
}

/// a / b rounded up, for b > 0.
fn div_ceil(a: isize, b: isize) -> isize {
    -(-a).div_euclid(b)
}
