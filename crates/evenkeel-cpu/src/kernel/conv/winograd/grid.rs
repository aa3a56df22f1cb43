//! How images are cut into tiles of 2 × 2 outputs.

use super::super::geometry::ConvShape;

/// Outputs along one side of a tile.
pub(super) const SIDE: usize = 2;

/// The tiles of a batch of images: one list, image by image and row by row, so that small images share a band.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub(super) batch: usize,
    /// Rows and columns of the input.
    pub(super) inputs: [usize; 2],
    /// Rows and columns of the output.
    pub(super) outputs: [usize; 2],
    /// By how much the first tap lies before the output it belongs to; negative for one behind it.
    pub(super) before: [isize; 2],
    /// Rows and columns of tiles in an image; the last ones may reach beyond the output.
    pub(super) tiles: [usize; 2],
}

/// A tile: which image, which row and which column of tiles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) image: usize,
    pub(super) tile: [usize; 2],
}

impl Grid {
    fn new(batch: usize, inputs: [usize; 2], outputs: [usize; 2], before: [isize; 2]) -> Grid {
        Grid { batch, inputs, outputs, before, tiles: outputs.map(|size| size.div_ceil(SIDE)) }
    }

    /// The tiles of the output, over the input.
    pub(super) fn forward(shape: &ConvShape) -> Grid {
        let before = [0, 1].map(|axis| shape.padding[axis][0] as isize);
        Grid::new(shape.batch, [shape.height, shape.width], shape.output(), before)
    }

    /// The tiles of the input's gradient, over the output's gradient: the kernel is mirrored, and so is the padding.
    pub(super) fn backward(shape: &ConvShape) -> Grid {
        let before = [0, 1].map(|axis| 2 - shape.padding[axis][0] as isize);
        Grid::new(shape.batch, shape.output(), [shape.height, shape.width], before)
    }

    /// Tiles of all images.
    pub(super) fn count(&self) -> usize {
        self.batch * self.tiles[0] * self.tiles[1]
    }

    /// The tile at `index`, for a grid that has tiles.
    pub(super) fn place(&self, index: usize) -> Place {
        let [rows, columns] = self.tiles;
        Place { image: index / (rows * columns), tile: [index / columns % rows, index % columns] }
    }

    /// The tile behind `place`.
    #[inline(always)]
    pub(super) fn next(&self, place: Place) -> Place {
        let Place { mut image, tile: [mut row, mut column] } = place;
        column += 1;
        if column == self.tiles[1] {
            (row, column) = (row + 1, 0);
        }
        if row == self.tiles[0] {
            (image, row) = (image + 1, 0);
        }
        Place { image, tile: [row, column] }
    }
}
