//! Where products read their operands: transposes, broadcasts, slices and reshapes as steps through other values' memory.

use crate::fuse::base_of;
use crate::kernel::matmul::{Layout, MatMul};
use evenkeel_graph::op::{Op, matmul_extents};
use evenkeel_graph::{Node, Shape};

/// A value as a part of some memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    /// The node whose memory is read: computed by itself, or another name of one that is.
    pub(crate) node: usize,
    /// The first element.
    start: usize,
    /// Elements to move for one step along each axis of the value.
    strides: Vec<usize>,
}

impl Region {
    /// The memory of the value itself.
    pub(crate) fn whole(nodes: &[Node], node: usize) -> Region {
        Region { node, start: 0, strides: nodes[node].shape.strides() }
    }

    /// The memory a matrix or a batch of them can be read from without a copy: where rows or columns are contiguous in it, the
    /// furthest back.
    pub(crate) fn of_matrices(nodes: &[Node], node: usize) -> Region {
        let found = Region::trace(nodes, node);
        match found.strides[..] {
            [.., row, column] if row == 1 || column == 1 => found,
            _ => Region::whole(nodes, node),
        }
    }

    fn trace(nodes: &[Node], node: usize) -> Region {
        let operand = || Region::trace(nodes, nodes[node].inputs[0].index());
        match &nodes[node].op {
            Op::Transpose { permutation } => {
                let inner = operand();
                Region { strides: permutation.iter().map(|&axis| inner.strides[axis]).collect(), ..inner }
            }
            Op::Broadcast { axes } => {
                let inner = operand();
                let mut strides = vec![0; nodes[node].shape.len()];
                for (&axis, &stride) in axes.iter().zip(&inner.strides) {
                    strides[axis] = stride;
                }
                Region { strides, ..inner }
            }
            Op::Slice(along) if along.iter().all(|places| places.step() > 0 && places.count() > 0) => {
                let inner = operand();
                let places = || along.iter().zip(&inner.strides);
                let start = inner.start + places().map(|(places, stride)| places.first() * stride).sum::<usize>();
                let strides = places().map(|(places, stride)| places.step().unsigned_abs() * stride).collect();
                Region { node: inner.node, start, strides }
            }
            Op::Reshape => {
                let inner = operand();
                let from = &nodes[nodes[node].inputs[0].index()].shape;
                match reshaped(from, &inner.strides, &nodes[node].shape) {
                    Some(strides) => Region { strides, ..inner },
                    None => Region::whole(nodes, node),
                }
            }
            _ => Region::whole(nodes, node),
        }
    }

    /// The layout of its matrices, stored transposed or not.
    fn layout(&self, transposed: bool) -> Layout {
        let (batch, matrix) = self.strides.split_at(self.strides.len().saturating_sub(2));
        let (row, column) = match *matrix {
            [row, column] if transposed => (column, row),
            [row, column] => (row, column),
            _ => (1, 1),
        };
        Layout { start: self.start, batch: batch.to_vec(), row, column }
    }
}

/// The steps of a value through memory after a reshape, if there are such: where an axis spans several old ones, these must be
/// walked through as one.
fn reshaped(from: &Shape, strides: &[usize], to: &Shape) -> Option<Vec<usize>> {
    let mut result = vec![1; to.len()];
    let mut old = from.iter().zip(strides).rev().filter(|(extent, _)| **extent != 1);
    // What is left of the old axes taken so far: elements, and the step between them.
    let (mut left, mut stride) = (1usize, 1);
    for (axis, &extent) in to.iter().enumerate().rev().filter(|(_, extent)| **extent != 1) {
        while extent == 0 || !left.is_multiple_of(extent) {
            let (&more, &step) = old.next()?;
            match left {
                1 => stride = step,
                _ if step == stride * left => {}
                _ => return None,
            }
            left *= more;
        }
        result[axis] = stride;
        (left, stride) = (left / extent, stride * extent);
    }
    Some(result)
}

/// The product `node`, of operands in these regions, with its result stored in the order `permutation` of its axes.
pub(crate) fn product(nodes: &[Node], node: usize, operands: &[Region; 2], permutation: Option<&[usize]>) -> MatMul {
    let shape = |place: usize| &nodes[nodes[node].inputs[place].index()].shape;
    let Op::MatMul { transpose_lhs, transpose_rhs } = nodes[node].op else {
        return MatMul::default();
    };
    // Tracing has checked that the extents agree.
    let [_, m, k, n] = matmul_extents(shape(0), shape(1), transpose_lhs, transpose_rhs).unwrap_or_default();
    let own = &nodes[node].shape;
    let mut result = Region::whole(nodes, node);
    if let Some(permutation) = permutation {
        let stored: Shape = permutation.iter().map(|&axis| own[axis]).collect::<Vec<_>>().into();
        for (&axis, stride) in permutation.iter().zip(stored.strides()) {
            result.strides[axis] = stride;
        }
    }
    let mut product = MatMul {
        batch: own[..own.len().saturating_sub(2)].to_vec(),
        m,
        k,
        n,
        lhs: operands[0].layout(transpose_lhs),
        rhs: operands[1].layout(transpose_rhs),
        result: result.layout(false),
    };
    product.fold();
    product
}

/// The nodes that a product reads: those whose memory is found in its regions.
pub(crate) fn reads(nodes: &[Node], operands: &[Region; 2]) -> Vec<usize> {
    operands.iter().map(|region| base_of(nodes, region.node)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(from: &[usize], strides: &[usize], to: &[usize]) -> Option<Vec<usize>> {
        reshaped(&from.to_vec().into(), strides, &to.to_vec().into())
    }

    #[test]
    fn a_reshape_is_a_walk_where_whole_axes_are_split_or_merged() {
        assert_eq!(steps(&[4, 6], &[6, 1], &[24]), Some(vec![1]));
        assert_eq!(steps(&[4, 6], &[6, 1], &[2, 12]), Some(vec![12, 1]));
        assert_eq!(steps(&[4, 6], &[1, 4], &[2, 2, 1, 6]), Some(vec![2, 1, 1, 4]));
        assert_eq!(steps(&[1, 4, 1], &[7, 3, 9], &[2, 2]), Some(vec![6, 3]));
        assert_eq!(steps(&[2, 3], &[0, 1], &[2, 1, 3]), Some(vec![0, 1, 1]));
        assert_eq!(steps(&[2, 3], &[0, 0], &[6]), Some(vec![0]));
    }

    #[test]
    fn a_reshape_that_mixes_axes_is_no_walk() {
        assert_eq!(steps(&[4, 6], &[1, 4], &[24]), None);
        assert_eq!(steps(&[4, 6], &[8, 1], &[2, 12]), None);
        assert_eq!(steps(&[0, 6], &[6, 1], &[6, 0]), None);
    }
}
