//! What repeats the number of each row along its columns.

use super::arithmetic::Arithmetic;
use super::instruction_set::InstructionSet;
use super::real::Real;
use crate::loops::Tile;

/// Fills each row of a tile with one number; the numbers are so many elements apart.
///
/// # Safety
/// The processor has the instruction set; a number for each row is readable, and the tile is writable.
pub(crate) type Spread<T> = unsafe fn(*const T, usize, Tile, *mut T);

/// The function for the best instruction set of this machine.
pub(crate) fn compiled<T: Real>() -> Spread<T> {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
        unsafe fn avx512<T: Real>(from: *const T, stride: usize, tile: Tile, to: *mut T) {
            // SAFETY: the features are enabled here; the rest is the caller's promise.
            unsafe { spread::<T::Avx512>(from, stride, tile, to) }
        }
        #[target_feature(enable = "avx2,fma")]
        unsafe fn avx2<T: Real>(from: *const T, stride: usize, tile: Tile, to: *mut T) {
            // SAFETY: as above.
            unsafe { spread::<T::Avx2>(from, stride, tile, to) }
        }
        match InstructionSet::detect() {
            InstructionSet::Avx512 => return avx512::<T>,
            InstructionSet::Avx2 => return avx2::<T>,
            InstructionSet::Portable => {}
        }
    }
    spread::<T::Portable>
}

/// In vectors that are named: left to itself, a compiler may go down the columns instead, a scattered element at a time.
#[inline(always)]
unsafe fn spread<L: Arithmetic>(from: *const L::Scalar, stride: usize, tile: Tile, to: *mut L::Scalar) {
    let Tile { rows, columns, .. } = tile;
    let whole = columns - columns % L::N;
    for row in 0..rows {
        // SAFETY: the row lies within what is readable and writable, by the caller's promise.
        unsafe {
            let value = L::splat(from.add(row * stride));
            let line = to.add(row * columns);
            for column in (0..whole).step_by(L::N) {
                value.store(line.add(column));
            }
            if whole < columns {
                value.store_first(line.add(whole), columns - whole);
            }
        }
    }
}
