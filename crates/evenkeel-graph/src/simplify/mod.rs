//! The same function with less work: constant folding, common subexpressions, dead code, sums from sums and of
//! squares.
//!
//! Live nodes are rebuilt in order. Each goes through the local rewrites of `Builder::rewrite` and is then looked up by
//! what it computes, so equal subexpressions become one node. Rewrites never change which values are infinite or NaN
//! (x · 0 stays) as long as sums stay finite, but may change the sign of a zero.

mod gram;
mod slicing;
mod sums;

use crate::graph::{Node, NodeId, Pass};
use crate::op::{Binary, Constant, Op, Reduction, Unary, round_to};
use crate::shape::{DType, Shape};
use std::collections::HashMap;

/// Rebuilds what `roots` need; returns the nodes and where the roots are now.
pub fn simplify(nodes: &[Node], roots: &[NodeId]) -> (Vec<Node>, Vec<NodeId>) {
    let (nodes, roots) = rebuild(nodes, roots, true);
    // Rewrites leave behind operands that nobody reads any more.
    let (nodes, roots) = rebuild(&nodes, &roots, false);
    match gram::without_products(&nodes, &roots) {
        Some((nodes, roots)) => rebuild(&nodes, &roots, false),
        None => (nodes, roots),
    }
}

fn rebuild(nodes: &[Node], roots: &[NodeId], rewrite: bool) -> (Vec<Node>, Vec<NodeId>) {
    let mut live = vec![false; nodes.len()];
    for root in roots {
        live[root.index()] = true;
    }
    for index in (0..nodes.len()).rev() {
        if live[index] {
            for input in &nodes[index].inputs {
                live[input.index()] = true;
            }
        }
    }
    let mut builder = Builder { nodes: Vec::new(), known: HashMap::new() };
    let mut now = vec![NodeId(u32::MAX); nodes.len()];
    for (index, node) in nodes.iter().enumerate().filter(|(index, _)| live[*index]) {
        let mut node = node.clone();
        for input in &mut node.inputs {
            *input = now[input.index()];
        }
        now[index] = if rewrite { builder.rewrite(node) } else { builder.intern(node) };
    }
    (builder.nodes, roots.iter().map(|root| now[root.index()]).collect())
}

/// Whether a transpose or a broadcast leaves the elements where they are: a reshape, then, which costs nothing.
fn keeps_order(node: &Node, operand: &Node) -> bool {
    match &node.op {
        Op::Transpose { permutation } => {
            let moved: Vec<usize> = permutation.iter().copied().filter(|&axis| operand.shape[axis] != 1).collect();
            moved.is_sorted() || operand.shape.elements() == 0
        }
        Op::Broadcast { .. } => operand.shape.elements() == node.shape.elements(),
        _ => false,
    }
}

type Key = (Op, Vec<NodeId>, Shape, DType);

struct Builder {
    nodes: Vec<Node>,
    known: HashMap<Key, NodeId>,
}

impl Builder {
    /// The node that computes this, new or not.
    fn intern(&mut self, node: Node) -> NodeId {
        let key = (node.op.clone(), node.inputs.clone(), node.shape.clone(), node.dtype);
        if let Some(&id) = self.known.get(&key) {
            // A value that the forward pass needs belongs to it, whoever asks for it as well.
            let known = &mut self.nodes[id.index()];
            if node.pass == Pass::Forward && known.pass != Pass::Forward {
                known.pass = Pass::Forward;
                known.scope = node.scope;
            }
            return id;
        }
        let id = NodeId(self.nodes.len() as u32);
        self.known.insert(key, id);
        self.nodes.push(node);
        id
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    fn splat(&self, id: NodeId) -> Option<f64> {
        match self.node(id).op {
            Op::Constant(Constant::Splat(value)) => Some(value),
            _ => None,
        }
    }

    fn constant(&mut self, value: f64, like: &Node) -> NodeId {
        let op = Op::Constant(Constant::Splat(round_to(value, like.dtype)));
        self.intern(Node { op, inputs: vec![], ..like.clone() })
    }

    /// Applies the first rewrite that fits and whatever follows from it.
    fn rewrite(&mut self, node: Node) -> NodeId {
        match &node.op {
            Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Cast => self.elementwise(node),
            Op::Reshape | Op::Transpose { .. } | Op::Broadcast { .. } => self.movement(node),
            Op::Reduce { .. } => self.reduction(node),
            Op::Slice(_) => self.slice(node),
            Op::Pad(_) => self.pad(node),
            Op::Concat { .. } => self.concat(node),
            Op::MatMul { .. } => self.matmul(node),
            _ => self.intern(node),
        }
    }

    fn elementwise(&mut self, node: Node) -> NodeId {
        let x = node.inputs.clone();
        if let Some(value) = self.fold(&node) {
            return self.constant(value, &node);
        }
        match (&node.op, self.splat(x[0]), x.get(1).and_then(|&id| self.splat(id))) {
            (Op::Unary(Unary::Negate), ..) if self.node(x[0]).op == Op::Unary(Unary::Negate) => {
                return self.node(x[0]).inputs[0];
            }
            (Op::Unary(Unary::Power(exponent)), ..) if *exponent == 1.0 => return x[0],
            (Op::Binary(Binary::Add), _, Some(0.0)) | (Op::Binary(Binary::Subtract), _, Some(0.0)) => return x[0],
            (Op::Binary(Binary::Add), Some(0.0), _) => return x[1],
            (Op::Binary(Binary::Multiply | Binary::Divide), _, Some(1.0)) => return x[0],
            (Op::Binary(Binary::Multiply), Some(1.0), _) => return x[1],
            (Op::Binary(Binary::Power), _, Some(exponent)) => {
                return self.elementwise(Node { op: Op::Unary(Unary::Power(exponent)), inputs: vec![x[0]], ..node });
            }
            (Op::Select, Some(mask), _) => return if mask != 0.0 { x[1] } else { x[2] },
            (Op::Select, ..) if x[1] == x[2] => return x[1],
            (Op::Cast, ..) if self.node(x[0]).dtype == node.dtype => return x[0],
            _ => {}
        }
        match self.sum_of_pads(&node) {
            Some(sum) => sum,
            None => self.hoist(node),
        }
    }

    /// The value of an elementwise node whose operands are all splats.
    fn fold(&self, node: &Node) -> Option<f64> {
        let values = node.inputs.iter().map(|&id| self.splat(id)).collect::<Option<Vec<_>>>()?;
        Some(match node.op {
            Op::Unary(unary) => unary.evaluate(values[0]),
            Op::Binary(binary) => binary.evaluate(values[0], values[1]),
            Op::Compare(comparison) => f64::from(u8::from(comparison.evaluate(values[0], values[1]))),
            Op::Select => values[if values[0] != 0.0 { 1 } else { 2 }],
            Op::Cast => values[0],
            _ => return None,
        })
    }

    /// f(broadcast x, broadcast y) = broadcast f(x, y): work moves to the smaller side.
    fn hoist(&mut self, node: Node) -> NodeId {
        let mut broadcast: Option<(Vec<usize>, Shape)> = None;
        for &input in &node.inputs {
            let operand = self.node(input);
            match &operand.op {
                Op::Constant(Constant::Splat(_)) => {}
                Op::Broadcast { axes } => {
                    let from = self.node(operand.inputs[0]).shape.clone();
                    if broadcast.get_or_insert_with(|| (axes.clone(), from)).0 != *axes {
                        return self.intern(node);
                    }
                }
                _ => return self.intern(node),
            }
        }
        let Some((axes, shape)) = broadcast else { return self.intern(node) };
        let inputs = node.inputs.clone().into_iter().map(|input| match self.node(input).op.clone() {
            Op::Broadcast { .. } => self.node(input).inputs[0],
            _ => {
                let small = Node { shape: shape.clone(), ..self.node(input).clone() };
                self.intern(small)
            }
        });
        let inputs = inputs.collect();
        let small = self.elementwise(Node { inputs, shape, ..node.clone() });
        self.movement(Node { op: Op::Broadcast { axes }, inputs: vec![small], ..node })
    }

    fn movement(&mut self, node: Node) -> NodeId {
        let x = node.inputs[0];
        let operand = self.node(x).clone();
        if let Some(value) = self.splat(x) {
            return self.constant(value, &node);
        }
        if operand.shape == node.shape && !matches!(node.op, Op::Transpose { .. }) {
            return x;
        }
        if keeps_order(&node, &operand) {
            return self.movement(Node { op: Op::Reshape, ..node });
        }
        let merged = match (&node.op, &operand.op) {
            (Op::Transpose { permutation }, Op::Transpose { permutation: first }) => {
                Op::Transpose { permutation: permutation.iter().map(|&axis| first[axis]).collect() }
            }
            (Op::Reshape, Op::Reshape) => Op::Reshape,
            (Op::Broadcast { axes }, Op::Broadcast { axes: first }) => {
                Op::Broadcast { axes: first.iter().map(|&axis| axes[axis]).collect() }
            }
            _ => return self.intern(node),
        };
        self.movement(Node { op: merged, inputs: operand.inputs, ..node })
    }

    fn reduction(&mut self, node: Node) -> NodeId {
        let Op::Reduce { kind, axes } = node.op.clone() else { return self.intern(node) };
        let x = node.inputs[0];
        let operand = self.node(x).clone();
        let count: usize = axes.iter().map(|&axis| operand.shape[axis]).product();
        if let (Some(value), Reduction::Sum) = (self.splat(x), kind) {
            // Over nothing the sum is 0, whatever the number would have been.
            let sum = if count == 0 { 0.0 } else { value * count as f64 };
            return self.constant(sum, &node);
        }
        if count == 1 {
            return self.movement(Node { op: Op::Reshape, ..node });
        }
        // Over axes along which the operand only repeats, a sum is a product and a maximum nothing.
        if let Op::Broadcast { axes: kept } = &operand.op {
            let repeated: Vec<usize> = axes.iter().copied().filter(|axis| !kept.contains(axis)).collect();
            let times: usize = repeated.iter().map(|&axis| operand.shape[axis]).product();
            if !repeated.is_empty() && times > 0 {
                return self.reduce_broadcast(node, kind, &axes, kept, &operand, times);
            }
        }
        let parts = if kind == Reduction::Sum && count > 0 { self.sum_of_sums(&node, &axes) } else { None };
        parts.unwrap_or_else(|| self.intern(node))
    }

    fn reduce_broadcast(
        &mut self,
        node: Node,
        kind: Reduction,
        axes: &[usize],
        kept: &[usize],
        operand: &Node,
        times: usize,
    ) -> NodeId {
        let source = operand.inputs[0];
        let inner: Vec<usize> = (0..kept.len()).filter(|&axis| axes.contains(&kept[axis])).collect();
        let shape = self.node(source).shape.without(&inner);
        let mut value = source;
        if !inner.is_empty() {
            let op = Op::Reduce { kind, axes: inner };
            value = self.reduction(Node { op, inputs: vec![source], shape: shape.clone(), ..node.clone() });
        }
        if kind == Reduction::Sum {
            let like = Node { shape: shape.clone(), ..node.clone() };
            let times = self.constant(times as f64, &like);
            value = self.elementwise(Node { op: Op::Binary(Binary::Multiply), inputs: vec![value, times], ..like });
        }
        // Where the surviving axes lie in the result.
        let surviving: Vec<usize> = (0..operand.shape.len()).filter(|axis| !axes.contains(axis)).collect();
        let places: Vec<usize> = (0..surviving.len()).filter(|&place| kept.contains(&surviving[place])).collect();
        if places.len() == surviving.len() {
            return value;
        }
        self.movement(Node { op: Op::Broadcast { axes: places }, inputs: vec![value], ..node })
    }

    /// A product of a transposed matrix reads the matrix transposed instead.
    fn matmul(&mut self, mut node: Node) -> NodeId {
        let Op::MatMul { mut transpose_lhs, mut transpose_rhs } = node.op else { return self.intern(node) };
        for (side, flag) in [&mut transpose_lhs, &mut transpose_rhs].into_iter().enumerate() {
            let operand = self.node(node.inputs[side]);
            if let Op::Transpose { permutation } = &operand.op {
                let rank = permutation.len();
                let leading = permutation[..rank - 2].iter().copied().eq(0..rank - 2);
                if leading && permutation[rank - 2] == rank - 1 {
                    node.inputs[side] = operand.inputs[0];
                    *flag = !*flag;
                }
            }
        }
        node.op = Op::MatMul { transpose_lhs, transpose_rhs };
        self.intern(node)
    }
}
