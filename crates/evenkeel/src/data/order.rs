//! In which order the samples of an epoch are visited.

use evenkeel_graph::random::Key;

/// The order in which epoch `epoch` visits `len` samples: a permutation of 0 .. len, fixed by its three arguments alone.
///
/// Fisher–Yates, driven by the stream `data/order` of the seed with the epoch as its step. A resumed run therefore needs to
/// remember nothing but the epoch and its position in it. Sample numbers are 32-bit: no data set here has more than 2³² − 1.
pub fn epoch_order(seed: u64, epoch: u64, len: usize) -> Vec<u32> {
    permutation(Key::new(seed, "data/order", epoch), len)
}

/// `count` of `len` samples, each once, drawn by the stream `path` of the seed; all where there are not so many.
pub(crate) fn drawn(seed: u64, path: &str, len: usize, count: usize) -> Vec<u32> {
    let mut order = permutation(Key::new(seed, path, 0), len);
    order.truncate(count);
    order
}

/// Which samples each step of a run is taken on: epoch after epoch of [`epoch_order`] in batches of one size, without what is left of
/// an epoch.
#[derive(Clone, Debug)]
pub struct Batches {
    seed: u64,
    samples: usize,
    batch: usize,
    /// The epoch in work and its order.
    order: Option<(u64, Vec<u32>)>,
}

impl Batches {
    /// Batches of `batch` out of `samples` samples.
    pub fn new(seed: u64, samples: usize, batch: usize) -> Self {
        Batches { seed, samples, batch, order: None }
    }

    /// Steps of an epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.samples.checked_div(self.batch).unwrap_or(0) as u64
    }

    /// The samples of a step, counted from 0; none where the samples do not fill a batch.
    pub fn indices(&mut self, step: u64) -> &[u32] {
        let Some(epoch) = step.checked_div(self.steps_per_epoch()) else { return &[] };
        let start = (step % self.steps_per_epoch()) as usize * self.batch;
        if self.order.as_ref().is_none_or(|(known, _)| *known != epoch) {
            self.order = Some((epoch, epoch_order(self.seed, epoch, self.samples)));
        }
        self.order.as_ref().map_or(&[], |(_, order)| &order[start..start + self.batch])
    }
}

/// A uniformly drawn permutation of 0 .. len, by Fisher–Yates from the end.
pub(crate) fn permutation(key: Key, len: usize) -> Vec<u32> {
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    let mut order: Vec<u32> = (0..len).collect();
    let mut random = key.random();
    for last in (1..order.len()).rev() {
        let other = random.below(last as u64 + 1) as usize;
        order.swap(last, other);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_visits_every_sample_once() {
        for len in [0, 1, 2, 3, 100, 1797] {
            let mut order = epoch_order(5, 3, len);
            order.sort_unstable();
            assert!(order.iter().copied().eq(0..len as u32));
        }
    }

    #[test]
    fn the_order_depends_on_seed_and_epoch_and_on_nothing_else() {
        assert_eq!(epoch_order(1, 2, 50), epoch_order(1, 2, 50));
        assert_ne!(epoch_order(1, 2, 50), epoch_order(1, 3, 50));
        assert_ne!(epoch_order(1, 2, 50), epoch_order(2, 2, 50));
    }

    #[test]
    fn batches_go_through_each_epoch_in_its_order_and_leave_out_the_rest() {
        let mut batches = Batches::new(3, 10, 4);
        assert_eq!(batches.steps_per_epoch(), 2);
        for (step, epoch, start) in [(0, 0, 0), (1, 0, 4), (2, 1, 0), (5, 2, 4), (0, 0, 0)] {
            assert_eq!(batches.indices(step), &epoch_order(3, epoch, 10)[start..start + 4]);
        }
        assert!(Batches::new(3, 3, 4).indices(0).is_empty() && Batches::new(3, 3, 0).indices(0).is_empty());
    }

    /// Old runs resume only if these never change.
    #[test]
    fn the_order_is_the_one_of_every_earlier_version() {
        assert_eq!(epoch_order(0, 0, 10), GOLDEN_0_0);
        assert_eq!(epoch_order(42, 7, 10), GOLDEN_42_7);
    }

    const GOLDEN_0_0: [u32; 10] = [1, 2, 9, 3, 0, 4, 7, 5, 8, 6];
    const GOLDEN_42_7: [u32; 10] = [6, 8, 2, 9, 0, 4, 7, 3, 5, 1];
}
