//! Elements moved and not changed: slices, pads, concatenations, gathers; and the transpose of the last, which adds.
//!
//! Each result is cut into runs of consecutive elements, whose borders depend on its shape alone; no two share an element.

use super::real::Real;
use evenkeel_graph::op::Progression;
use rayon::prelude::*;

/// Elements of a result that one thread fills at a time.
const RUN: usize = 16 * 1024;

/// One way to move elements, whatever they are.
#[derive(Clone, Debug)]
pub(crate) enum Movement {
    Slice(Strided),
    Pad(Strided),
    /// Elements of each operand that are taken in turn.
    Concat(Vec<usize>),
    Gather(Gather),
}

impl Movement {
    /// Fills `y` from the operands that `x` and `indices` find by their place.
    pub(crate) fn run<'a, E: Copy + Send + Sync + 'a>(
        &self,
        x: impl Fn(usize) -> &'a [E],
        indices: impl Fn(usize) -> &'a [i32],
        zero: E,
        y: &mut [E],
    ) {
        match self {
            Movement::Slice(geometry) => geometry.slice(x(0), y),
            Movement::Pad(geometry) => geometry.pad(x(0), zero, y),
            Movement::Concat(blocks) => {
                let parts: Vec<&[E]> = (0..blocks.len()).map(x).collect();
                concat(blocks, &parts, y);
            }
            Movement::Gather(geometry) => geometry.take(x(0), indices(1), zero, y),
        }
    }
}

/// The geometry of a slice, or read backwards of a pad: a dense value and the places of a larger one that it takes up.
#[derive(Clone, Debug)]
pub(crate) struct Strided {
    /// For each axis the places of the larger value.
    along: Vec<Progression>,
    /// Extents of the larger value.
    whole: Vec<usize>,
}

impl Strided {
    /// The places `along` of a value with the extents `whole`, at least one axis of it. Inner axes that are whole are one
    /// with the axis around them where that is read forwards.
    pub(crate) fn new(along: &[Progression], whole: &[usize]) -> Strided {
        let mut result = Strided { along: along.to_vec(), whole: whole.to_vec() };
        while let [.., outer, inner] = result.along[..]
            && let [.., _, extent] = result.whole[..]
            && inner.is_whole(extent)
            && extent > 0
            && outer.step() == 1
        {
            let last = result.along.len() - 2;
            result.along.truncate(last);
            result.along.push(Progression::new(outer.first() * extent, 1, outer.count() * extent));
            result.whole.truncate(last + 1);
            result.whole[last] *= extent;
        }
        result
    }

    /// x → the chosen places of it, dense.
    fn slice<E: Copy + Send + Sync>(&self, x: &[E], y: &mut [E]) {
        let Some((inner, outer)) = self.along.split_last() else { return };
        each_run(y, inner.count(), |row, column, y| {
            let start = self.row_start(outer, row);
            match inner.step() {
                1 => y.copy_from_slice(&x[start + inner.first() + column..][..y.len()]),
                _ => y.iter_mut().enumerate().for_each(|(n, y)| *y = x[start + inner.at(column + n)]),
            }
        });
    }

    /// x, dense → zeros with x at the chosen places.
    fn pad<E: Copy + Send + Sync>(&self, x: &[E], zero: E, y: &mut [E]) {
        let (Some((inner, outer)), Some((&length, extents))) = (self.along.split_last(), self.whole.split_last())
        else {
            return;
        };
        each_run(y, length, |row, column, y| {
            y.fill(zero);
            let Some(row) = source_row(outer, extents, row) else { return };
            let x = &x[row * inner.count()..][..inner.count()];
            if inner.step() == 1 {
                let (from, to) = (inner.first().max(column), (inner.first() + inner.count()).min(column + y.len()));
                if from < to {
                    y[from - column..to - column].copy_from_slice(&x[from - inner.first()..to - inner.first()]);
                }
            } else {
                for (number, &x) in x.iter().enumerate() {
                    if let Some(y) = inner.at(number).checked_sub(column).and_then(|place| y.get_mut(place)) {
                        *y = x;
                    }
                }
            }
        });
    }

    /// Where in the larger value the n-th row of the dense one lies.
    fn row_start(&self, outer: &[Progression], mut row: usize) -> usize {
        let mut stride = self.whole[outer.len()];
        let mut start = 0;
        for (along, &extent) in outer.iter().zip(&self.whole).rev() {
            start += along.at(row % along.count()) * stride;
            row /= along.count();
            stride *= extent;
        }
        start
    }
}

/// The row of the dense value that belongs to a row of the larger one, if one does.
fn source_row(outer: &[Progression], extents: &[usize], mut row: usize) -> Option<usize> {
    let mut stride = 1;
    let mut source = 0;
    for (along, &extent) in outer.iter().zip(extents).rev() {
        let distance = (row % extent) as isize - along.first() as isize;
        let number = usize::try_from(distance / along.step()).ok();
        let number = number.filter(|&number| number < along.count() && distance % along.step() == 0)?;
        source += number * stride;
        row /= extent;
        stride *= along.count();
    }
    Some(source)
}

/// Values one after the other: from each in turn one block of `blocks[value]` elements.
fn concat<E: Copy + Send + Sync>(blocks: &[usize], x: &[&[E]], y: &mut [E]) {
    each_run(y, blocks.iter().sum(), |row, column, y| {
        let mut start = 0;
        for (&block, x) in blocks.iter().zip(x) {
            let (from, to) = (start.max(column), (start + block).min(column + y.len()));
            if from < to {
                let x = &x[row * block..][from - start..to - start];
                y[from - column..to - column].copy_from_slice(x);
            }
            start += block;
        }
    });
}

/// The geometry of a gather: `outer` times `extent` slices of `inner` elements, of which indices name some.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gather {
    pub(crate) extent: usize,
    pub(crate) inner: usize,
}

impl Gather {
    /// The slices that the indices name; zeros for an index outside.
    fn take<E: Copy + Send + Sync>(&self, x: &[E], indices: &[i32], zero: E, y: &mut [E]) {
        each_run(y, self.inner, |row, column, y| {
            let (outer, place) = (row / indices.len(), row % indices.len());
            match self.place(indices[place]) {
                Some(place) => {
                    let start = (outer * self.extent + place) * self.inner + column;
                    y.copy_from_slice(&x[start..][..y.len()]);
                }
                None => y.fill(zero),
            }
        });
    }

    /// Each slice of `y` added at the place its index names, in the order of the indices.
    ///
    /// The result is cut into runs of whole slices, and each run goes through all indices for those it holds: nobody else
    /// writes them, and the order of additions is that of the indices whatever the cut.
    pub(crate) fn add<T: Real>(&self, y: &[T], indices: &[i32], x: &mut [T]) {
        if self.inner == 0 {
            return;
        }
        let slices = (RUN / self.inner).clamp(1, self.extent.max(1));
        let add = |(number, x): (usize, &mut [T])| {
            x.fill(T::ZERO);
            let first = number * slices;
            let count = x.len() / self.inner;
            for outer in first / self.extent..=(first + count - 1) / self.extent {
                let y = &y[outer * indices.len() * self.inner..][..indices.len() * self.inner];
                for (&index, y) in indices.iter().zip(y.chunks_exact(self.inner)) {
                    let place = self.place(index).and_then(|place| (outer * self.extent + place).checked_sub(first));
                    if let Some(place) = place.filter(|&place| place < count) {
                        let x = &mut x[place * self.inner..][..self.inner];
                        x.iter_mut().zip(y).for_each(|(x, &y)| *x += y);
                    }
                }
            }
        };
        x.par_chunks_mut(slices * self.inner).enumerate().for_each(add);
    }

    fn place(&self, index: i32) -> Option<usize> {
        usize::try_from(index).ok().filter(|&place| place < self.extent)
    }
}

/// Calls `f` with pieces of rows of `length`: the row, the column the piece starts at, and the piece.
fn each_run<E: Send>(y: &mut [E], length: usize, f: impl Fn(usize, usize, &mut [E]) + Sync) {
    if length == 0 {
        return;
    }
    let fill = |(number, run): (usize, &mut [E])| {
        let mut position = number * RUN;
        let mut rest = run;
        while !rest.is_empty() {
            let (row, column) = (position / length, position % length);
            let (piece, after) = rest.split_at_mut((length - column).min(rest.len()));
            position += piece.len();
            f(row, column, piece);
            rest = after;
        }
    };
    if y.len() <= RUN {
        fill((0, y));
    } else {
        y.par_chunks_mut(RUN).enumerate().for_each(fill);
    }
}
