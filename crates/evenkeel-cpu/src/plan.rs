//! Where every value lives: a static plan of one arena, made before the first run.
//!
//! A value's memory is taken from the step that computes it to the last step that reads it. Offsets are given out largest
//! value first, each at the lowest place that is free for its whole life; the arena's size is the peak.

/// Alignment of every buffer: one cache line, one AVX-512 register.
pub(crate) const ALIGNMENT: usize = 64;

/// A piece of memory needed over a range of steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) bytes: usize,
    /// The step that writes it first.
    pub(crate) from: usize,
    /// The last step that reads it.
    pub(crate) to: usize,
}

/// Offsets for each life, and the size of the arena.
pub(crate) fn place(lives: &[Life]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..lives.len()).collect();
    order.sort_by_key(|&index| (std::cmp::Reverse(lives[index].bytes), lives[index].from, index));
    let mut offsets = vec![0; lives.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut size = 0;
    for index in order {
        let life = lives[index];
        if life.bytes == 0 {
            continue;
        }
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|&&other| lives[other].from <= life.to && life.from <= lives[other].to)
            .map(|&other| (offsets[other], end_of(offsets[other], lives[other])))
            .collect();
        taken.sort_unstable();
        let mut offset = 0;
        for (start, end) in taken {
            if start >= end_of(offset, life) {
                break;
            }
            offset = offset.max(end.checked_next_multiple_of(ALIGNMENT).unwrap_or(usize::MAX));
        }
        offsets[index] = offset;
        size = size.max(end_of(offset, life));
        placed.push(index);
    }
    (offsets, size.checked_next_multiple_of(ALIGNMENT).unwrap_or(usize::MAX))
}

/// Where a life's memory ends; beyond all addresses it stays there, and the arena is refused.
fn end_of(offset: usize, life: Life) -> usize {
    offset.saturating_add(life.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lives_that_overlap_in_time_never_overlap_in_memory(
            raw in proptest::collection::vec((0usize..5000, 0usize..20, 0usize..20), 0..60)
        ) {
            let lives: Vec<Life> = raw
                .iter()
                .map(|&(bytes, a, b)| Life { bytes, from: a.min(b), to: a.max(b) })
                .collect();
            let (offsets, size) = place(&lives);
            for (i, a) in lives.iter().enumerate() {
                prop_assert!(offsets[i] + a.bytes <= size);
                for (j, b) in lives.iter().enumerate().skip(i + 1) {
                    let together = a.from <= b.to && b.from <= a.to;
                    let apart = offsets[i] + a.bytes <= offsets[j] || offsets[j] + b.bytes <= offsets[i];
                    prop_assert!(!together || apart || a.bytes == 0 || b.bytes == 0);
                }
            }
        }
    }
}
