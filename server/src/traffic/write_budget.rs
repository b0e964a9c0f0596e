//! What a shard takes: 1,000 records and 1 MiB a second, each from a bucket of its own.
//!
//! Both buckets must admit a record. A record of at most 1 MiB needs all its bytes in the bucket;
//! a larger one may overdraw it to -9 MiB, so that the largest of 10 MiB is taken by a full
//! bucket and costs the next seconds. Of the records of one put to one shard the longest run from
//! the start is admitted: behind the first that is refused all are, so that what a producer put
//! in order is never stored out of order.

use std::time::Duration;

use super::bucket::{Bucket, BucketSize};
use super::load::Count;

/// Records that a shard takes a second, and at once after a pause (service: 1,000).
pub const RECORDS: BucketSize = BucketSize { capacity: 1000, per_second: 1000 };

/// Bytes of keys and data that a shard takes a second, and at once after a pause (service: 1 MiB).
pub const BYTES: BucketSize = BucketSize { capacity: 1 << 20, per_second: 1 << 20 };

/// Only a record above this size may overdraw its shard: it fits no bucket.
pub const LARGE_RECORD_BYTES: u32 = 1 << 20;

/// How far a large record may overdraw the bytes (our reading of the service's "burst" to 10 MiB).
pub const OVERDRAFT_BYTES: i64 = 9 << 20;

/// Which of the two limits refused a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteLimit {
    /// 1,000 records a second.
    Records,
    /// 1 MiB a second.
    Bytes,
}

/// What a shard may still take.
#[derive(Clone, Copy, Debug)]
pub struct WriteBudget {
    records: Bucket,
    bytes: Bucket,
}

/// What of a run is taken: its first records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Admitted {
    /// How many records, and their bytes.
    pub count: Count,
    /// Why the next one was not taken, if there was one.
    pub refusal: Option<WriteRefusal>,
}

/// Why a record was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WriteRefusal {
    /// The limit that is reached.
    pub limit: WriteLimit,
    /// When it would be taken, if nothing else came.
    pub retry_after: Duration,
}

impl WriteBudget {
    /// Of a shard that has taken nothing for a while.
    pub fn full(now: Duration) -> WriteBudget {
        WriteBudget { records: Bucket::full(RECORDS, now), bytes: Bucket::full(BYTES, now) }
    }

    /// Takes the first records of a run, as many as there is room for. `run` is what they are
    /// together, `sizes` the bytes of each, which are looked at only where they do not all fit.
    pub fn admit(
        &mut self,
        run: Count,
        sizes: impl IntoIterator<Item = u32>,
        now: Duration,
    ) -> Admitted {
        self.records.fill(RECORDS, now);
        self.bytes.fill(BYTES, now);
        let all = u32::try_from(run.bytes)
            .ok()
            .filter(|bytes| self.records.leaves(run.records, 0) && self.bytes.leaves(*bytes, 0));
        if let Some(bytes) = all {
            self.records.take(run.records);
            self.bytes.take(bytes);
            return Admitted { count: run, refusal: None };
        }
        let mut count = Count::default();
        for size in sizes {
            if let Some(refusal) = self.refusal(size) {
                return Admitted { count, refusal: Some(refusal) };
            }
            self.records.take(1);
            self.bytes.take(size);
            count.records += 1;
            count.bytes += u64::from(size);
        }
        Admitted { count, refusal: None }
    }

    /// Gives back what was taken for records that were not stored after all.
    pub fn give_back(&mut self, count: Count, now: Duration) {
        for (bucket, size, tokens) in [
            (&mut self.records, RECORDS, u64::from(count.records)),
            (&mut self.bytes, BYTES, count.bytes),
        ] {
            bucket.fill(size, now);
            bucket.put_back(size, tokens as u32);
        }
    }

    fn refusal(&self, size: u32) -> Option<WriteRefusal> {
        if !self.records.leaves(1, 0) {
            let retry_after = self.records.wait(RECORDS, 1);
            return Some(WriteRefusal { limit: WriteLimit::Records, retry_after });
        }
        let floor = if size > LARGE_RECORD_BYTES { -OVERDRAFT_BYTES } else { 0 };
        if !self.bytes.leaves(size, floor) {
            let retry_after = self.bytes.wait(BYTES, floor + i64::from(size));
            return Some(WriteRefusal { limit: WriteLimit::Bytes, retry_after });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u32 = 1 << 20;

    fn admit(budget: &mut WriteBudget, sizes: &[u32], now: Duration) -> Admitted {
        let bytes = sizes.iter().copied().map(u64::from).sum();
        let run = Count { records: sizes.len() as u32, bytes };
        budget.admit(run, sizes.iter().copied(), now)
    }

    /// Offers records of `size` every millisecond, more than are taken, and counts those taken.
    fn continuous_demand(seconds: u64, size: u32) -> Count {
        let mut budget = WriteBudget::full(Duration::ZERO);
        let mut taken = Count::default();
        for ms in 0..=seconds * 1000 {
            let run = vec![size; 1 + 2 * (1000 + MIB as usize / size as usize) / 1000];
            let admitted = admit(&mut budget, &run, Duration::from_millis(ms));
            taken += admitted.count;
        }
        taken
    }

    #[test]
    fn in_10_and_60_seconds_it_takes_the_capacity_and_the_rate() {
        for seconds in [10, 60] {
            let small = continuous_demand(seconds, 100);
            assert_eq!(u64::from(small.records), 1000 + 1000 * seconds);
            let large = continuous_demand(seconds, 10_000);
            let allowed = u64::from(MIB) * (1 + seconds);
            assert!(large.bytes <= allowed && large.bytes * 100 >= allowed * 99, "{large:?}");
        }
    }

    #[test]
    fn behind_the_first_refused_record_of_a_run_all_are_refused() {
        let mut budget = WriteBudget::full(Duration::ZERO);
        let admitted = admit(&mut budget, &[600_000, 600_000, 1], Duration::ZERO);
        assert_eq!(admitted.count, Count { records: 1, bytes: 600_000 });
        let refusal = admitted.refusal.unwrap();
        assert_eq!(refusal.limit, WriteLimit::Bytes);
        // When it says, the record is taken.
        let admitted = admit(&mut budget, &[600_000], refusal.retry_after);
        assert_eq!(admitted.refusal, None);
    }

    #[test]
    fn the_thousand_and_first_small_record_names_the_limit_of_records() {
        let mut budget = WriteBudget::full(Duration::ZERO);
        let admitted = admit(&mut budget, &[1; 1001], Duration::ZERO);
        assert_eq!(admitted.count.records, 1000);
        let refusal = admitted.refusal.unwrap();
        assert_eq!(refusal.limit, WriteLimit::Records);
        assert_eq!(refusal.retry_after, Duration::from_millis(1));
    }

    #[test]
    fn only_a_record_above_1_mib_overdraws_and_to_minus_9_mib() {
        let mut budget = WriteBudget::full(Duration::ZERO);
        assert_eq!(admit(&mut budget, &[10 * MIB], Duration::ZERO).refusal, None);
        // It is at -9 MiB: nothing fits for nine seconds and what the record needs.
        let nine = Duration::from_secs(9);
        assert_eq!(admit(&mut budget, &[MIB + 1], Duration::ZERO).count.records, 0);
        assert_eq!(admit(&mut budget, &[1], nine).count.records, 0);
        assert_eq!(admit(&mut budget, &[MIB], nine + Duration::from_millis(999)).count.records, 0);
        assert_eq!(admit(&mut budget, &[MIB], nine + Duration::from_secs(1)).count.records, 1);
        // From an empty bucket a large record of 9 MiB still goes, and a small one does not.
        let now = nine + Duration::from_secs(1);
        assert_eq!(admit(&mut budget, &[MIB], now).count.records, 0);
        assert_eq!(admit(&mut budget, &[9 * MIB + 1], now).count.records, 0);
        assert_eq!(admit(&mut budget, &[9 * MIB], now).count.records, 1);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_and_never_more() {
        let mut budget = WriteBudget::full(Duration::ZERO);
        let taken = admit(&mut budget, &[10_000; 50], Duration::ZERO).count;
        budget.give_back(taken, Duration::ZERO);
        budget.give_back(taken, Duration::ZERO);
        let admitted = admit(&mut budget, &[1; 1001], Duration::ZERO);
        assert_eq!(admitted.count.records, 1000);
    }

    proptest! {
        #[test]
        fn it_never_takes_more_than_the_capacity_the_rate_and_the_overdraft(
            runs in prop::collection::vec(
                (0u64..400_000_000, prop::collection::vec(
                    prop_oneof![1u32..5000, 1u32..=MIB, MIB + 1..=10 * MIB], 1..40)),
                1..60),
        ) {
            let mut budget = WriteBudget::full(Duration::ZERO);
            let (mut now, mut taken, mut taken_large) = (Duration::ZERO, Count::default(), false);
            for (step, sizes) in runs {
                now += Duration::from_nanos(step);
                let admitted = admit(&mut budget, &sizes, now);
                let first = &sizes[..admitted.count.records as usize];
                prop_assert_eq!(admitted.count.bytes, first.iter().map(|s| u64::from(*s)).sum::<u64>());
                prop_assert_eq!(admitted.refusal.is_none(), first.len() == sizes.len());
                taken_large |= first.iter().any(|size| *size > LARGE_RECORD_BYTES);
                taken += admitted.count;
                let flowed = |per_second: u64| {
                    per_second + (u128::from(per_second) * now.as_nanos() / 1_000_000_000) as u64
                };
                prop_assert!(u64::from(taken.records) <= flowed(1000));
                let overdraft = if taken_large { OVERDRAFT_BYTES as u64 } else { 0 };
                prop_assert!(taken.bytes <= flowed(MIB.into()) + overdraft);
            }
        }

        #[test]
        fn under_continuous_demand_it_takes_99_percent_of_what_it_may(
            sizes in prop::collection::vec(1u32..8000, 50..300),
            seconds in 10u64..61,
        ) {
            let mut budget = WriteBudget::full(Duration::ZERO);
            let mut taken = Count::default();
            let mut next = 0;
            // A producer that offers what was refused again, as soon as it is told to.
            let (mut now, end) = (Duration::ZERO, Duration::from_secs(seconds));
            while now <= end {
                let run: Vec<u32> = (0..500).map(|n| sizes[(next + n) % sizes.len()]).collect();
                let admitted = admit(&mut budget, &run, now);
                taken += admitted.count;
                next += admitted.count.records as usize;
                now += admitted.refusal.map_or(Duration::ZERO, |refusal| refusal.retry_after);
            }
            let records = 1000 * (1 + seconds);
            let bytes = u64::from(MIB) * (1 + seconds);
            prop_assert!(u64::from(taken.records) <= records && taken.bytes <= bytes);
            let is_near = |taken: u64, allowed: u64| taken * 100 >= allowed * 99;
            prop_assert!(is_near(taken.records.into(), records) || is_near(taken.bytes, bytes));
        }
    }
}
