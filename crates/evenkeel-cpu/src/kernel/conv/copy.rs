//! Copies of a few input rows, zero padding written out, so that the tiles meet no border.

use super::geometry::Axis;

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

/// Copies the inputs of a unit as `[image][row][column][pixel]`, a pixel taking `pixel` scalars of which `take` are used.
///
/// Columns outside the input become zeros; rows outside it are left as they are, since no tap is ever taken there.
pub(super) fn copy_rows<T: Copy + Default>(
    source: Source<'_, T>,
    rows: &Axis,
    columns: &Axis,
    unit: Unit,
    pixel: usize,
    block: &mut [T],
) {
    let (height, width) = (rows.copy_len(unit.rows), columns.copy_len(columns.outputs));
    let (row_step, column_step) = (rows.copy_step(), columns.copy_step());
    let before = columns.first();
    // Columns `left .. right` of the copy lie inside the input.
    let left = ((-before).max(0) as usize).div_ceil(column_step).min(width);
    let right = ((source.width as isize - before).max(0) as usize).div_ceil(column_step).clamp(left, width);
    let dense = column_step == 1 && pixel == source.take && source.take == source.channels;
    for image in 0..unit.images {
        for row in 0..height {
            let input = (unit.first_row * rows.stride + row * row_step) as isize + rows.first();
            if !(0..source.height as isize).contains(&input) {
                continue;
            }
            let target = &mut block[(image * height + row) * width * pixel..][..width * pixel];
            target[..left * pixel].fill(T::default());
            target[right * pixel..].fill(T::default());
            if left == right {
                continue;
            }
            let line = ((unit.first_image + image) * source.height + input as usize) * source.width;
            let first = ((line + left * column_step) as isize + before) as usize;
            let target = &mut target[left * pixel..right * pixel];
            if dense {
                target.copy_from_slice(&source.data[first * pixel..][..(right - left) * pixel]);
            } else {
                for (column, target) in target.chunks_exact_mut(pixel).enumerate() {
                    let at = (first + column * column_step) * source.channels + source.from;
                    copy_short(&mut target[..source.take], &source.data[at..][..source.take]);
                }
            }
        }
    }
}

/// Copies some whole images as `[row][column][image][pixel]`, for images of so few columns that a row does not fill a tile.
pub(super) fn copy_images<T: Copy + Default>(
    source: Source<'_, T>,
    first_image: usize,
    images: usize,
    position: usize,
    pixel: usize,
    block: &mut [T],
) {
    let positions = source.height * source.width;
    for (image, target) in block[..images * pixel].chunks_exact_mut(pixel.max(1)).enumerate() {
        let at = ((first_image + image) * positions + position) * source.channels + source.from;
        copy_short(&mut target[..source.take], &source.data[at..][..source.take]);
    }
}

/// A copy of a pixel: a loop beats a call of `memcpy` below a few vectors.
#[inline(always)]
fn copy_short<T: Copy>(target: &mut [T], source: &[T]) {
    if target.len() >= 64 {
        target.copy_from_slice(source);
    } else {
        for (target, &source) in target.iter_mut().zip(source) {
            *target = source;
        }
    }
}
