//! A histogram of durations that is filled without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets in microseconds: two a factor of ten around the cost of a sync,
/// from a put in memory to one that waited for a stalled disk.
pub(super) const BOUNDS_US: [u64; 14] = [
    100, 200, 300, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 500_000, 1_000_000,
    5_000_000,
];

/// Counts durations by size.
#[derive(Debug, Default)]
pub(super) struct DurationHistogram {
    /// One per bound, and one for all that is longer.
    counts: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl DurationHistogram {
    /// Counts `count` that took as long.
    pub(super) fn observe(&self, duration: Duration, count: u64) {
        let us = duration.as_micros() as u64;
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        self.counts[bucket].fetch_add(count, Ordering::Relaxed);
        self.sum_us.fetch_add(us * count, Ordering::Relaxed);
    }

    /// What was counted, by bucket, and the sum in microseconds.
    pub(super) fn read(&self) -> (Vec<u64>, u64) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (self.counts.iter().map(load).collect(), load(&self.sum_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_holds_it() {
        let histogram = DurationHistogram::default();
        for us in [0, 100, 101, 5_000_000, 5_000_001] {
            histogram.observe(Duration::from_micros(us), 1);
        }
        let (counts, sum_us) = histogram.read();
        assert_eq!((counts[0], counts[1]), (2, 1));
        assert_eq!((counts[13], counts[14]), (1, 1));
        assert_eq!(sum_us, 10_000_202);
    }
}
