//! Copies of a few input pixels, zero padding written out, so that the tiles meet no border.

use std::ops::Range;

use super::geometry::Axis;
use super::kernels::Real;
use super::pack::transpose;
use super::simd::{Lanes, prefetch};
use crate::kernel::instruction_set::InstructionSet;

/// A dense `[N, H, W, C]` array and the channels of it that are wanted.
#[derive(Clone, Copy)]
pub(super) struct Source<'a, T> {
    pub(super) data: &'a [T],
    pub(super) height: usize,
    pub(super) width: usize,
    /// All channels of a pixel.
    pub(super) channels: usize,
    /// First wanted channel.
    pub(super) from: usize,
    /// Wanted channels.
    pub(super) take: usize,
}

/// A piece of work: some images, and some output rows of each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit {
    pub(super) first_image: usize,
    pub(super) images: usize,
    pub(super) first_row: usize,
    pub(super) rows: usize,
}

/// The units of a correlation: blocks of rows, or whole images together where they are small.
#[derive(Clone, Copy, Debug)]
pub(super) struct Units {
    batch: usize,
    rows: usize,
    images_each: usize,
    rows_each: usize,
}

impl Units {
    /// Splits `batch` images of `rows` × `columns` outputs into units of about `pixels` outputs.
    pub(super) fn new(batch: usize, rows: usize, columns: usize, pixels: usize) -> Units {
        let image = (rows * columns).max(1);
        if image <= pixels {
            Units { batch, rows, images_each: (pixels / image).clamp(1, batch.max(1)), rows_each: rows.max(1) }
        } else {
            let blocks = rows.div_ceil((pixels / columns.max(1)).max(1));
            Units { batch, rows, images_each: 1, rows_each: rows.div_ceil(blocks) }
        }
    }

    /// Whole images, `images` at a time.
    pub(super) fn whole(batch: usize, rows: usize, images: usize) -> Units {
        Units { batch, rows, images_each: images.max(1), rows_each: rows.max(1) }
    }

    pub(super) fn count(&self) -> usize {
        self.batch.div_ceil(self.images_each) * self.rows.div_ceil(self.rows_each)
    }

    pub(super) fn get(&self, index: usize) -> Unit {
        let blocks = self.rows.div_ceil(self.rows_each);
        let (group, block) = (index / blocks, index % blocks);
        let (first_image, first_row) = (group * self.images_each, block * self.rows_each);
        Unit {
            first_image,
            images: self.images_each.min(self.batch - first_image),
            first_row,
            rows: self.rows_each.min(self.rows - first_row),
        }
    }

    /// The largest unit.
    pub(super) fn largest(&self) -> (usize, usize) {
        (self.images_each.min(self.batch), self.rows_each.min(self.rows))
    }
}

/// Pixels ahead whose first line is asked for: they may be too far apart for the processor to foresee.
pub(in crate::kernel) const AHEAD: usize = 64;

/// The operands of a copy of pixels.
pub(super) struct Pixels<T> {
    pub(super) source: *const T,
    pub(super) source_step: usize,
    pub(super) target: *mut T,
    pub(super) target_step: usize,
    /// Scalars of a pixel that are copied, and how many are written: zeros follow.
    pub(super) take: usize,
    pub(super) width: usize,
    pub(super) count: usize,
}

/// Copies pixels.
///
/// # Safety
/// The processor has the instruction set of `L`; the pointers are valid for what steps, sizes and count name.
#[inline(always)]
pub(super) unsafe fn copy_pixels<L: Lanes>(pixels: &Pixels<L::Scalar>) {
    let whole = pixels.take / L::N * L::N;
    for pixel in 0..pixels.count {
        // SAFETY: the caller's promise.
        unsafe {
            let source = pixels.source.add(pixel * pixels.source_step);
            let target = pixels.target.add(pixel * pixels.target_step);
            prefetch(source.wrapping_add(AHEAD * pixels.source_step));
            for at in (0..whole).step_by(L::N) {
                L::load(source.add(at)).store(target.add(at));
            }
            for at in (whole..pixels.width).step_by(L::N) {
                let rest = pixels.take.saturating_sub(at);
                L::load_first(source.wrapping_add(at), rest).store_first(target.add(at), L::N.min(pixels.width - at));
            }
        }
    }
}

/// The columns of a copy that lie inside the input, and the input column of the first.
fn inside(source_width: usize, columns: &Axis) -> (Range<usize>, usize) {
    let (width, step) = (columns.copy_len(columns.outputs), columns.copy_step());
    let left = columns.offset.min(0).unsigned_abs().div_ceil(step).min(width);
    let right = ((source_width as isize - columns.offset).max(0) as usize).div_ceil(step).clamp(left, width);
    let first = (left * step) as isize + columns.offset;
    (left..right, if left == right { 0 } else { first as usize })
}

/// Copies the inputs of a unit as `[image][row][column][pixel]`, a pixel taking `pixel` scalars from the wanted channels on.
///
/// Columns outside the input become zeros; rows outside it are left as they are, since no tap is ever taken there.
pub(super) fn copy_rows<T: Real>(
    level: InstructionSet,
    source: Source<'_, T>,
    rows: &Axis,
    columns: &Axis,
    unit: Unit,
    pixel: usize,
    block: &mut [T],
) {
    let (height, width) = (rows.copy_len(unit.rows), columns.copy_len(columns.outputs));
    let (row_step, column_step) = (rows.copy_step(), columns.copy_step());
    let (inside, first) = inside(source.width, columns);
    let dense = column_step == 1 && pixel == source.channels && pixel == source.take;
    for image in 0..unit.images {
        for row in 0..height {
            let input = rows.first_input(unit.first_row) + (row * row_step) as isize;
            if !(0..source.height as isize).contains(&input) {
                continue;
            }
            let target = &mut block[(image * height + row) * width * pixel..][..width * pixel];
            target[..inside.start * pixel].fill(T::default());
            target[inside.end * pixel..].fill(T::default());
            if inside.is_empty() {
                continue;
            }
            let line = ((unit.first_image + image) * source.height + input as usize) * source.width + first;
            let target = &mut target[inside.start * pixel..inside.end * pixel];
            if dense {
                target.copy_from_slice(&source.data[line * pixel..][..inside.len() * pixel]);
            } else {
                let data = &source.data[line * source.channels + source.from..];
                copy_all(level, data, column_step * source.channels, target, pixel, source.take);
            }
        }
    }
}

/// Copies the position of some images as `[image][pixel]`, a pixel taking `pixel` scalars.
pub(super) fn copy_images<T: Real>(
    level: InstructionSet,
    source: Source<'_, T>,
    images: Range<usize>,
    position: usize,
    pixel: usize,
    target: &mut [T],
) {
    let step = source.height * source.width * source.channels;
    let data = &source.data[images.start * step + position * source.channels + source.from..];
    copy_all(level, data, step, &mut target[..images.len() * pixel], pixel, source.take);
}

/// Fills `target` with pixels of `pixel` scalars, of which the first `take` are copied and the others become zeros.
pub(in crate::kernel) fn copy_all<T: Real>(
    level: InstructionSet,
    source: &[T],
    source_step: usize,
    target: &mut [T],
    pixel: usize,
    take: usize,
) {
    let count = target.len() / pixel.max(1);
    if take == 0 || count == 0 {
        return;
    }
    assert!(take <= pixel && (count - 1) * source_step + take <= source.len(), "convolution: a copy leaves its source");
    let pixels = Pixels {
        source: source.as_ptr(),
        source_step,
        target: target.as_mut_ptr(),
        target_step: pixel,
        take,
        width: pixel,
        count,
    };
    // SAFETY: `level` was detected on this processor; the lengths were checked.
    unsafe { (T::kernels(level).copy)(&pixels) };
}

/// Copies the inputs of some output rows of an image as `[channel][row][column]`, channels `plane` scalars apart, with zeros
/// outside the input. Only for strides of 1.
pub(super) fn copy_planes<T: Real>(
    level: InstructionSet,
    source: Source<'_, T>,
    rows: &Axis,
    columns: &Axis,
    (image, outputs): (usize, Range<usize>),
    plane: usize,
    block: &mut [T],
) {
    let (height, width) = (rows.copy_len(outputs.len()), columns.copy_len(columns.outputs));
    let (inside, first) = inside(source.width, columns);
    for row in 0..height {
        let input = rows.first_input(outputs.start) + row as isize;
        let outside = !(0..source.height as isize).contains(&input);
        let start = row * width;
        for channel in 0..source.take {
            let target = &mut block[channel * plane + start..][..width];
            if outside || inside.is_empty() {
                target.fill(T::default());
            } else {
                target[..inside.start].fill(T::default());
                target[inside.end..].fill(T::default());
            }
        }
        if outside || inside.is_empty() {
            continue;
        }
        let line = (image * source.height + input as usize) * source.width + first;
        let data = &source.data[line * source.channels + source.from..];
        let target = &mut block[start + inside.start..];
        transpose(level, data, target, [source.take, inside.len()], [1, source.channels, plane]);
    }
}
