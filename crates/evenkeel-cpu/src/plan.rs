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
///
/// Cost: n log n for n lives where memory is well filled, whatever number is alive at once.
pub(crate) fn place(lives: &[Life]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..lives.len()).filter(|&index| lives[index].bytes > 0).collect();
    order.sort_by_key(|&index| (std::cmp::Reverse(lives[index].bytes), lives[index].from, index));
    let mut offsets = vec![0; lives.len()];
    let mut taken = Taken::new(lives.iter().map(|life| life.to + 1).max().unwrap_or(0));
    let mut size = 0;
    for index in order {
        let life = lives[index];
        offsets[index] = taken.lowest(life);
        size = size.max(end_of(offsets[index], life));
        taken.take(offsets[index], life);
    }
    (offsets, size.checked_next_multiple_of(ALIGNMENT).unwrap_or(usize::MAX))
}

/// Which memory is taken when: a binary tree over the steps.
struct Taken {
    /// Leaves of the tree: steps, up to the next power of two.
    leaves: usize,
    /// The root is node 1, the halves of node n are nodes 2n and 2n + 1.
    nodes: Vec<Node>,
}

/// Some consecutive steps.
#[derive(Clone, Default)]
struct Node {
    /// Memory taken by lives that last through all of these steps, and not through those of the node above.
    throughout: Runs,
    /// Memory taken at any of these steps by lives that do not last through those of the node above.
    anywhere: Runs,
}

impl Taken {
    fn new(steps: usize) -> Taken {
        let leaves = steps.next_power_of_two();
        Taken { leaves, nodes: vec![Node::default(); 2 * leaves] }
    }

    /// The fewest nodes whose steps are together those of a life.
    fn parts(&self, life: Life) -> Vec<usize> {
        let (mut from, mut to) = (life.from + self.leaves, life.to + 1 + self.leaves);
        let mut parts = Vec::new();
        while from < to {
            if from % 2 == 1 {
                parts.push(from);
                from += 1;
            }
            if to % 2 == 1 {
                to -= 1;
                parts.push(to);
            }
            (from, to) = (from / 2, to / 2);
        }
        parts
    }

    /// The nodes above these.
    fn above(parts: &[usize]) -> Vec<usize> {
        let up =
            |&node: &usize| std::iter::successors(Some(node / 2), |node| Some(node / 2)).take_while(|&node| node > 0);
        let mut above: Vec<usize> = parts.iter().flat_map(up).collect();
        above.sort_unstable();
        above.dedup();
        above
    }

    /// The lowest place that is free for the whole life.
    fn lowest(&self, life: Life) -> usize {
        let parts = self.parts(life);
        let above = Taken::above(&parts);
        let runs = parts.iter().map(|&node| &self.nodes[node].anywhere);
        let runs: Vec<&Runs> = runs.chain(above.iter().map(|&node| &self.nodes[node].throughout)).collect();
        let mut offset = 0;
        while let Some(end) = runs.iter().find_map(|runs| runs.in_the_way(offset, end_of(offset, life))) {
            offset = end;
        }
        offset
    }

    fn take(&mut self, offset: usize, life: Life) {
        let parts = self.parts(life);
        let end = end_of(offset, life).checked_next_multiple_of(ALIGNMENT).unwrap_or(usize::MAX);
        for &node in &parts {
            self.nodes[node].throughout.add(offset, end);
            self.nodes[node].anywhere.add(offset, end);
        }
        for node in Taken::above(&parts) {
            self.nodes[node].anywhere.add(offset, end);
        }
    }
}

/// Ranges of memory in ascending order, apart from each other: neighbours are one.
#[derive(Clone, Default)]
struct Runs(Vec<(usize, usize)>);

impl Runs {
    /// The end of a run that shares memory with these bytes.
    fn in_the_way(&self, from: usize, to: usize) -> Option<usize> {
        let next = self.0.partition_point(|&(_, end)| end <= from);
        self.0.get(next).filter(|&&(start, _)| start < to).map(|&(_, end)| end)
    }

    fn add(&mut self, start: usize, end: usize) {
        let first = self.0.partition_point(|&(_, end)| end < start);
        let behind = first + self.0[first..].partition_point(|&(start, _)| start <= end);
        let touched = &self.0[first..behind];
        let start = touched.first().map_or(start, |run| run.0.min(start));
        let end = touched.last().map_or(end, |run| run.1.max(end));
        self.0.splice(first..behind, [(start, end)]);
    }
}

/// Where a life's memory ends; beyond all addresses it stays there, and the arena is refused.
fn end_of(offset: usize, life: Life) -> usize {
    offset.saturating_add(life.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The lowest free places, by a search through all that was placed before.
    fn searched(lives: &[Life]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..lives.len()).filter(|&index| lives[index].bytes > 0).collect();
        order.sort_by_key(|&index| (std::cmp::Reverse(lives[index].bytes), lives[index].from, index));
        let mut offsets = vec![0; lives.len()];
        for (number, &index) in order.iter().enumerate() {
            let life = lives[index];
            let mut together: Vec<usize> = order[..number]
                .iter()
                .copied()
                .filter(|&other| lives[other].from <= life.to && life.from <= lives[other].to)
                .collect();
            together.sort_unstable_by_key(|&other| offsets[other]);
            for other in together.into_iter().filter(|&other| lives[other].bytes > 0) {
                if offsets[other] >= offsets[index] + life.bytes {
                    break;
                }
                let end = (offsets[other] + lives[other].bytes).next_multiple_of(ALIGNMENT);
                offsets[index] = offsets[index].max(end);
            }
        }
        offsets
    }

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
            prop_assert_eq!(&offsets, &searched(&lives));
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
