//! Sums of squares of products, without the product.
//!
//! Σ (A B)² over all elements is ⟨AᵀA, B Bᵀ⟩: two products of the inner extent k alone. For k = 1, the gradient of a weight
//! from one sample, it is (Σ a²)(Σ b²). The gradient of a convolution's weights is such a product, too, of the patches that
//! its windows see with the gradient of its output. This is what makes norms of single samples' gradients cheap; it pays
//! where k is small and nobody reads the product itself.

use super::Builder;
use crate::graph::{Node, NodeId};
use crate::op::{Binary, Convolution, Op, Progression, Reduction, matmul_extents};
use crate::shape::Shape;
use std::collections::HashMap;

/// Replaces every sum of squares that is cheaper this way; `None` when there is none. No node may be dead: who else reads a
/// product decides.
pub(super) fn without_products(nodes: &[Node], roots: &[NodeId]) -> Option<(Vec<Node>, Vec<NodeId>)> {
    let mut uses = vec![0usize; nodes.len()];
    nodes.iter().flat_map(|node| &node.inputs).chain(roots).for_each(|id| uses[id.index()] += 1);
    let found: Vec<Option<Squares>> = nodes.iter().map(|node| Squares::find(nodes, &uses, node)).collect();
    if found.iter().all(Option::is_none) {
        return None;
    }
    let mut builder = Builder { nodes: Vec::new(), known: HashMap::new() };
    let mut now: Vec<NodeId> = Vec::with_capacity(nodes.len());
    for (node, squares) in nodes.iter().zip(found) {
        let inputs = node.inputs.iter().map(|id| now[id.index()]).collect();
        let node = Node { inputs, ..node.clone() };
        now.push(match squares {
            Some(squares) => builder.squares(node, &squares.renamed(&now)),
            None => builder.intern(node),
        });
    }
    Some((builder.nodes, roots.iter().map(|root| now[root.index()]).collect()))
}

/// A sum of squares of a product `[.., m, k] · [.., k, n]`.
struct Squares {
    /// The sides as they are given: matrices, or activations and the gradient of a convolution's output.
    sides: [NodeId; 2],
    kind: Kind,
    inner: usize,
    /// Leading axes that are summed over as well.
    leading: Vec<usize>,
}

enum Kind {
    MatMul { transpose_lhs: bool, transpose_rhs: bool },
    ConvWeightGradient(Convolution),
}

impl Squares {
    /// What `node` sums the squares of, where that is a product nobody else reads and the other way is cheaper.
    fn find(nodes: &[Node], uses: &[usize], node: &Node) -> Option<Squares> {
        let Op::Reduce { kind: Reduction::Sum, axes } = &node.op else { return None };
        let square = node.inputs[0].index();
        let product = nodes[square].inputs.first()?.index();
        let is_square = nodes[square].op == Op::Binary(Binary::Multiply) && nodes[square].inputs[1].index() == product;
        if !is_square || uses[square] != 1 || uses[product] != 2 {
            return None;
        }
        let (product, rank) = (&nodes[product], nodes[product].shape.len());
        let operand = |side: usize| &nodes[product.inputs[side].index()].shape;
        let (kind, [m, k, n], patches) = match &product.op {
            &Op::MatMul { transpose_lhs, transpose_rhs } => {
                let [_, m, k, n] = matmul_extents(operand(0), operand(1), transpose_lhs, transpose_rhs)?;
                (Kind::MatMul { transpose_lhs, transpose_rhs }, [m, k, n], 0)
            }
            Op::ConvWeightGradient(geometry) if geometry.groups == 1 && axes.len() == rank => {
                let [kh, kw, c_in, c_out] = geometry.weight;
                let k = operand(1).elements() / c_out.max(1);
                // Patches are written and read again once: as dear as some products an element.
                (Kind::ConvWeightGradient(geometry.clone()), [kh * kw * c_in, k, c_out], 8 * kh * kw * c_in)
            }
            _ => return None,
        };
        let last = [rank - 2, rank - 1];
        // A product without elements adds up to nothing, but a side of it may hold what times nothing is no number.
        let cheaper = k == 1 && m > 0 && n > 0 || k.checked_mul(m + n)?.checked_add(patches)? < m.checked_mul(n)?;
        (cheaper && last.iter().all(|axis| axes.contains(axis))).then(|| Squares {
            sides: [product.inputs[0], product.inputs[1]],
            inner: k,
            leading: match kind {
                Kind::MatMul { .. } => axes.iter().copied().filter(|axis| !last.contains(axis)).collect(),
                Kind::ConvWeightGradient(_) => vec![],
            },
            kind,
        })
    }

    fn renamed(mut self, now: &[NodeId]) -> Squares {
        self.sides = self.sides.map(|id| now[id.index()]);
        self
    }
}

impl Builder {
    /// The sum of squares by its sides; `node` is the sum as it was.
    fn squares(&mut self, node: Node, squares: &Squares) -> NodeId {
        let [lhs, rhs] = squares.sides;
        let (lhs, rhs, transpose_lhs, transpose_rhs) = match &squares.kind {
            &Kind::MatMul { transpose_lhs, transpose_rhs } => (lhs, rhs, transpose_lhs, transpose_rhs),
            // w̄ = Uᵀ ḡ with a row of U for each place of the output.
            Kind::ConvWeightGradient(geometry) => {
                let patches = self.patches(&node, lhs, geometry);
                let gradient = self.matrix(&node, rhs, squares.inner);
                (patches, gradient, true, false)
            }
        };
        let sums = if squares.inner == 1 {
            [lhs, rhs].map(|side| {
                let square = self.multiply(&node, side, side);
                self.sum_matrices(&node, square)
            })
        } else {
            let gram_lhs = self.gram(&node, lhs, transpose_lhs);
            let gram_rhs = self.gram(&node, rhs, !transpose_rhs);
            [gram_lhs, gram_rhs]
        };
        let product = self.multiply(&node, sums[0], sums[1]);
        let mut value = product;
        if squares.inner != 1 {
            value = self.sum_matrices(&node, product);
            // Rounding must not make a sum of squares negative.
            let zero = self.constant(0.0, &Node { shape: self.node(value).shape.clone(), ..node.clone() });
            let shape = self.node(value).shape.clone();
            let op = Op::Binary(Binary::Maximum);
            value = self.rewrite(Node { op, inputs: vec![value, zero], shape, ..node.clone() });
        }
        if squares.leading.is_empty() {
            return value;
        }
        let op = Op::Reduce { kind: Reduction::Sum, axes: squares.leading.clone() };
        self.rewrite(Node { op, inputs: vec![value], ..node })
    }

    fn multiply(&mut self, like: &Node, a: NodeId, b: NodeId) -> NodeId {
        let shape = self.node(a).shape.clone();
        self.rewrite(Node { op: Op::Binary(Binary::Multiply), inputs: vec![a, b], shape, ..like.clone() })
    }

    /// The sum over the last two axes.
    fn sum_matrices(&mut self, like: &Node, value: NodeId) -> NodeId {
        let shape = self.node(value).shape.clone();
        let axes = vec![shape.len() - 2, shape.len() - 1];
        let (op, shape) = (Op::Reduce { kind: Reduction::Sum, axes: axes.clone() }, shape.without(&axes));
        self.rewrite(Node { op, inputs: vec![value], shape, ..like.clone() })
    }

    /// S Sᵀ of the stored matrices S `[.., rows, columns]` where `rows` is set, else Sᵀ S.
    fn gram(&mut self, like: &Node, side: NodeId, rows: bool) -> NodeId {
        let mut shape = self.node(side).shape.to_vec();
        let rank = shape.len();
        let extent = shape[rank - if rows { 2 } else { 1 }];
        shape[rank - 2..].fill(extent);
        let op = Op::MatMul { transpose_lhs: !rows, transpose_rhs: rows };
        self.rewrite(Node { op, inputs: vec![side, side], shape: shape.into(), ..like.clone() })
    }

    /// A value as a matrix of so many rows.
    fn matrix(&mut self, like: &Node, value: NodeId, rows: usize) -> NodeId {
        let columns = self.node(value).shape.elements() / rows.max(1);
        self.rewrite(Node { op: Op::Reshape, inputs: vec![value], shape: [rows, columns].into(), ..like.clone() })
    }

    /// What each window of a convolution sees, a row a window: shifted looks at the padded activations side by side.
    fn patches(&mut self, like: &Node, x: NodeId, geometry: &Convolution) -> NodeId {
        let [n, oh, ow, _] = geometry.output();
        let [_, h, w, c] = geometry.input;
        let [[top, bottom], [left, right]] = geometry.padding;
        let padded: Shape = [n, h + top + bottom, w + left + right, c].into();
        let along = [(0, n), (top, h), (left, w), (0, c)].map(|(first, count)| Progression::new(first, 1, count));
        let padded = self.rewrite(Node { op: Op::Pad(along.to_vec()), inputs: vec![x], shape: padded, ..like.clone() });
        let [kh, kw, ..] = geometry.weight;
        let mut looks = Vec::with_capacity(kh * kw);
        for (i, j) in (0..kh).flat_map(|i| (0..kw).map(move |j| (i, j))) {
            let [down, across] = geometry.stride.map(|stride| stride as isize);
            let along = vec![
                Progression::whole(n),
                Progression::new(i * geometry.dilation[0], down, oh),
                Progression::new(j * geometry.dilation[1], across, ow),
                Progression::whole(c),
            ];
            let shape = [n, oh, ow, c].into();
            looks.push(self.rewrite(Node { op: Op::Slice(along), inputs: vec![padded], shape, ..like.clone() }));
        }
        let shape = [n, oh, ow, kh * kw * c].into();
        let patches = self.rewrite(Node { op: Op::Concat { axis: 3 }, inputs: looks, shape, ..like.clone() });
        self.matrix(like, patches, n * oh * ow)
    }
}
