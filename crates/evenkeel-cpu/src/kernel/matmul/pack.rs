//! Operands in the order in which the tiles read them.

use super::super::conv::Real;
use super::super::conv::copy::copy_all;
use super::super::conv::pack::transpose;
use super::super::instruction_set::InstructionSet;

/// Writes `target[k · width + lane] = source[k · steps[0] + lane · steps[1]]` for all k below `depth` and lanes below `lanes`,
/// and zeros in the lanes behind.
pub(super) fn pack<T: Real>(
    level: InstructionSet,
    source: &[T],
    steps: [usize; 2],
    [depth, lanes, width]: [usize; 3],
    target: &mut [T],
) {
    if steps[1] == 1 || lanes <= 1 {
        return copy_all(level, source, steps[0], target, width, lanes);
    }
    if lanes < width {
        target.fill(T::default());
    }
    transpose(level, source, target, [depth, lanes], [steps[0], steps[1], width]);
}
