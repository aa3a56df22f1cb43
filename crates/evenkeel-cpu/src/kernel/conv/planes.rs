//! Correlations whose outputs have too few channels to fill a vector: the lanes are pixels instead.
//!
//! A unit's input rows are copied as planes, `[channel][row][column]` with the padding, and its outputs are computed as if the
//! rows of a plane were one long row: the sums that straddle two rows mean nothing and are dropped.

use super::copy::{Units, copy_planes};
use super::correlate::{Correlation, TASKS};
use super::kernels::Real;
use super::tile::{Nest, PlaneTile};
use super::work::{Shared, apart, each, even};
use crate::kernel::instruction_set::InstructionSet;

/// Output pixels in a unit: rows enough that the copy of those around them does not weigh much.
const UNIT_PIXELS: usize = 256;
/// Most vectors of pixels of a tile.
const VECTORS: usize = 8;

/// How the work is laid out.
pub(super) struct Planes {
    units: Units,
    tasks: usize,
    /// Scalars of one plane of a copy, of a whole copy, and of the sums of one tile.
    plane: usize,
    copied: usize,
    sums: usize,
}

impl Planes {
    /// The layout, where it costs less than a vector of channels for each pixel.
    ///
    /// In vector operations for each reduced channel: a tile of channels takes one for each tap and pixel; planes take
    /// `produce / lanes` of it, for the dropped pixels too, and about one for each pixel to turn it round.
    pub(super) fn new(of: &Correlation, lanes: usize) -> Option<Planes> {
        if of.produce > lanes / 2 || of.rows.stride * of.columns.stride != 1 || of.depth() == 0 {
            return None;
        }
        let (rows, columns) = (of.rows.outputs, of.columns.outputs);
        let pixels = (of.batch * rows * columns / TASKS).clamp(lanes, UNIT_PIXELS);
        let units = Units::new(of.batch, rows, columns, pixels);
        let (_, unit_rows) = units.largest();
        let (height, width) = (of.rows.copy_len(unit_rows), of.columns.copy_len(columns));
        let computed = (unit_rows * width).next_multiple_of(2 * lanes);
        let turned = height * width;
        let planes = of.taps() * of.produce * computed + turned * lanes;
        (planes < of.taps() * unit_rows * columns * lanes).then(|| Planes {
            tasks: units.count().min(TASKS),
            units,
            plane: height * width,
            copied: of.reduce * height * width + VECTORS * lanes,
            sums: of.produce * VECTORS * lanes,
        })
    }

    /// Scratch in scalars: the weights in order, and for each task a copy and the sums of a tile.
    pub(super) fn scratch(&self, of: &Correlation, _lanes: usize) -> usize {
        of.groups * of.depth() * of.produce + self.tasks * (self.copied + self.sums)
    }

    /// Runs the correlation, as [`Correlation::run`].
    pub(super) fn run<T: Real>(
        &self,
        of: &Correlation,
        level: InstructionSet,
        x: &[T],
        w: &[T],
        y: Shared<T>,
        scratch: &mut [T],
    ) {
        let group_weights = of.depth() * of.produce;
        let (packed, copies) = scratch.split_at_mut(of.groups * group_weights);
        let [row_step, column_step, group_step, reduce_step, produce_step] = of.weight_steps;
        let mut targets = packed.iter_mut();
        for group in 0..of.groups {
            for tap in 0..of.taps() {
                let (row, column) = (tap / of.columns.taps, tap % of.columns.taps);
                let start = of.rows.index(row) * row_step + of.columns.index(column) * column_step + group * group_step;
                for k in 0..of.reduce {
                    for (o, target) in (0..of.produce).zip(&mut targets) {
                        *target = w[start + k * reduce_step + o * produce_step];
                    }
                }
            }
        }
        let packed = &*packed;
        let (copies, apart) = (Shared::new(copies), apart());
        each(of.multiply_adds(), self.tasks, |task| {
            let size = self.copied + self.sums;
            // SAFETY: inside the scratch, whose size has been checked; tasks that run at once have copies of their own.
            let (copy, sums) = unsafe { copies.slice(task * apart * size, size) }.split_at_mut(self.copied);
            // What follows the last plane is read with it, and its sums dropped.
            copy.fill(T::default());
            for unit in even(self.units.count(), self.tasks, task).map(|unit| self.units.get(unit)) {
                for image in unit.first_image..unit.first_image + unit.images {
                    for group in 0..of.groups {
                        let rows = unit.first_row..unit.first_row + unit.rows;
                        copy_planes(
                            level,
                            of.source(x, group),
                            &of.rows,
                            &of.columns,
                            (image, rows.clone()),
                            self.plane,
                            copy,
                        );
                        let weights = &packed[group * group_weights..][..group_weights];
                        let origin =
                            of.origin + image * of.steps[0] + unit.first_row * of.steps[1] + group * of.produce;
                        self.image(of, level, copy, weights, sums, y, (origin, rows.len()));
                    }
                }
            }
        });
    }

    /// Some rows of one image, of which output (0, 0) lies at `origin`.
    #[allow(clippy::too_many_arguments)]
    fn image<T: Real>(
        &self,
        of: &Correlation,
        level: InstructionSet,
        copy: &[T],
        weights: &[T],
        sums: &mut [T],
        y: Shared<T>,
        (origin, rows): (usize, usize),
    ) {
        let lanes = level.lanes(size_of::<T>());
        let width = of.columns.copy_len(of.columns.outputs);
        let (vectors, kernel) = T::kernels(level).planes[of.produce - 1];
        let tap = of.reduce * of.produce;
        let nest = Nest {
            counts: [of.rows.taps, of.columns.taps, of.reduce],
            first: [of.rows.spread * width, of.columns.spread, self.plane],
            second: [of.columns.taps * tap, tap, of.produce],
        };
        let (mut row, mut column) = (0, 0);
        for first in (0..rows * width).step_by(vectors * lanes) {
            let tile = PlaneTile {
                x: copy.as_ptr().wrapping_add(first),
                weights: weights.as_ptr(),
                nest,
                sums: sums.as_mut_ptr(),
            };
            // SAFETY: `level` was detected on this processor. The nest leads from the first output of the rows to all of its
            // inputs in the copy, and the copy goes on for the size of a tile after its last plane.
            unsafe { kernel(&tile) };
            for lane in 0..vectors * lanes {
                if row < rows && column < of.columns.outputs {
                    let at = origin + row * of.steps[1] + column * of.steps[2];
                    for o in 0..of.produce {
                        // SAFETY: an output of this task's rows, which no other task writes.
                        unsafe { *y.at(at + o) = sums[o * vectors * lanes + lane] };
                    }
                }
                column += 1;
                if column == width {
                    (row, column) = (row + 1, 0);
                }
            }
        }
    }
}
