//! Counters of the engine: atomics on the hot path, a snapshot for whoever asks.

use std::sync::atomic::{AtomicU64, Ordering};

/// A histogram as it stood at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Histogram {
    /// Upper ends of the buckets, inclusive; one more bucket takes what lies above.
    pub bounds: &'static [u64],
    /// Values in each bucket, one more than there are bounds.
    pub counts: Vec<u64>,
    /// Sum of all values.
    pub sum: u64,
}

/// What the engine has done since it was opened, and how it stands.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Calls of `append`.
    pub puts: u64,
    /// Records appended.
    pub records: u64,
    /// Encoded bytes appended.
    pub bytes: u64,
    /// Commits that succeeded.
    pub commits: u64,
    /// Bytes written by commits, headers and padding included.
    pub committed_bytes: u64,
    /// Appends refused because staging was full.
    pub busy: u64,
    /// Commits refused because the disk was full.
    pub refused_full: u64,
    /// Logs that refuse writes until the server is restarted.
    pub halted_logs: u64,
    /// Damaged places found at the start and while reading.
    pub damage_found: u64,
    /// Free bytes of the file system.
    pub disk_free_bytes: u64,
    /// Bytes of the file system.
    pub disk_total_bytes: u64,
    /// Whether the last commit that needed space found none.
    pub is_disk_full: bool,
    /// Streams.
    pub streams: u64,
    /// Shards of all streams.
    pub shards: u64,
    /// Segment files held open for reading.
    pub open_segments: u64,
    /// Retired segments waiting to be used again.
    pub spare_segments: u64,
    /// Bytes staged and not yet committed.
    pub staged_bytes: u64,
    /// Whether the wall clock stands where stamps do not follow it.
    pub is_clock_jump_pending: bool,
    /// Microseconds of each `fdatasync` of a commit.
    pub sync_us: Histogram,
    /// Records of each commit.
    pub commit_records: Histogram,
}

/// Bounds of sync times, in microseconds.
const SYNC_US: &[u64] =
    &[50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 102_400, 1_000_000];

/// Bounds of records per commit.
const COMMIT_RECORDS: &[u64] = &[1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

pub(crate) struct Buckets {
    bounds: &'static [u64],
    counts: Vec<AtomicU64>,
    sum: AtomicU64,
}

impl Buckets {
    fn new(bounds: &'static [u64]) -> Buckets {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Buckets { bounds, counts, sum: AtomicU64::new(0) }
    }

    pub(crate) fn note(&self, value: u64) {
        let bucket = self.bounds.partition_point(|&bound| bound < value);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Histogram {
        Histogram {
            bounds: self.bounds,
            counts: self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }
}

/// The counters themselves.
pub(crate) struct Counters {
    pub(crate) puts: AtomicU64,
    pub(crate) records: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) committed_bytes: AtomicU64,
    pub(crate) busy: AtomicU64,
    pub(crate) refused_full: AtomicU64,
    pub(crate) halted_logs: AtomicU64,
    pub(crate) sync_us: Buckets,
    pub(crate) commit_records: Buckets,
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            puts: AtomicU64::new(0),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            committed_bytes: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            refused_full: AtomicU64::new(0),
            halted_logs: AtomicU64::new(0),
            sync_us: Buckets::new(SYNC_US),
            commit_records: Buckets::new(COMMIT_RECORDS),
        }
    }
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, value: u64) {
    counter.fetch_add(value, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_falls_into_the_bucket_whose_bound_it_does_not_exceed() {
        let buckets = Buckets::new(&[10, 20]);
        for value in [0, 10, 11, 20, 21] {
            buckets.note(value);
        }
        let snapshot = buckets.snapshot();
        assert_eq!(snapshot.counts, [2, 2, 1]);
        assert_eq!(snapshot.sum, 62);
    }
}
