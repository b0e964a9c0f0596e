//! What a shard gives: 5 calls and 2 MiB a second to all who poll it together, and 2 MiB a second
//! to each subscription.
//!
//! How much a call will bring is known only afterwards. So a call is admitted while the shard is
//! not in debt, and its page is charged then: a page that takes more than is left silences the
//! shard for a second, and a page beyond 2 MiB for as long as its bytes take at that rate, which
//! for one of 10 MiB is the service's 5 seconds. A subscription is never refused for its rate: it
//! is told how long to wait before it sends on.

use std::time::Duration;

use super::bucket::{Bucket, BucketSize};

/// GetRecords calls a second to one shard, of all callers together (service: 5).
pub const CALLS: BucketSize = BucketSize { capacity: 5, per_second: 5 };

/// Bytes a second that a shard gives, to all pollers together and to each subscription besides
/// (service: 2 MiB).
pub const BYTES: BucketSize = BucketSize { capacity: 2 << 20, per_second: 2 << 20 };

/// For how long a shard refuses calls after it gave more than its rate (service: 1 s).
pub const OVER_RATE: Duration = Duration::from_secs(1);

/// Which of the two limits refused a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadLimit {
    /// 5 calls a second.
    Calls,
    /// 2 MiB a second.
    Bytes,
}

/// What pollers may still take from a shard.
#[derive(Clone, Copy, Debug)]
pub struct ReadBudget {
    calls: Bucket,
    bytes: Bucket,
    /// No call is admitted before, on the monotonic clock.
    silent_until: Duration,
}

/// Why a call was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadRefusal {
    /// The limit that is reached.
    pub limit: ReadLimit,
    /// When a call will be admitted, if none comes before.
    pub retry_after: Duration,
}

impl ReadBudget {
    /// Of a shard that was not read for a while.
    pub fn full(now: Duration) -> ReadBudget {
        ReadBudget {
            calls: Bucket::full(CALLS, now),
            bytes: Bucket::full(BYTES, now),
            silent_until: Duration::ZERO,
        }
    }

    /// Admits a call, or not. One that is refused costs nothing.
    pub fn admit_call(&mut self, now: Duration) -> Result<(), ReadRefusal> {
        let silence = self.silent_until.saturating_sub(now);
        if !silence.is_zero() {
            return Err(ReadRefusal { limit: ReadLimit::Bytes, retry_after: silence });
        }
        self.calls.fill(CALLS, now);
        if !self.calls.leaves(1, 0) {
            let retry_after = self.calls.wait(CALLS, 1);
            return Err(ReadRefusal { limit: ReadLimit::Calls, retry_after });
        }
        self.calls.take(1);
        Ok(())
    }

    /// Charges the page of a call that was admitted. True: it silences the shard.
    pub fn charge(&mut self, bytes: u32, now: Duration) -> bool {
        self.bytes.fill(BYTES, now);
        self.bytes.take(bytes);
        let silence = if bytes > BYTES.capacity {
            let nanos = u64::from(bytes) * 1_000_000_000 / u64::from(BYTES.per_second);
            Duration::from_nanos(nanos)
        } else if bytes > 0 && !self.bytes.leaves(1, 0) {
            // The debt may be larger where several calls were under way at once.
            OVER_RATE.max(self.bytes.wait(BYTES, 1))
        } else {
            return false;
        };
        self.silent_until = self.silent_until.max(now + silence);
        true
    }
}

/// What a consumer may still take from a shard by its subscription.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    bytes: Bucket,
}

impl Pace {
    /// Of a consumer that took nothing for a while.
    pub fn new(now: Duration) -> Pace {
        Pace { bytes: Bucket::full(BYTES, now) }
    }

    /// Takes an event's bytes, and says how long to wait before it is sent.
    pub fn take(&mut self, bytes: u32, now: Duration) -> Duration {
        self.bytes.fill(BYTES, now);
        self.bytes.take(bytes);
        self.bytes.wait(BYTES, 0)
    }

    /// Whether it is as good as a new one.
    pub fn is_rested(&mut self, now: Duration) -> bool {
        self.bytes.fill(BYTES, now);
        self.bytes.is_full(BYTES)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u32 = 1 << 20;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn the_sixth_call_of_a_second_is_refused() {
        let mut budget = ReadBudget::full(Duration::ZERO);
        for _ in 0..5 {
            budget.admit_call(Duration::ZERO).unwrap();
        }
        let refusal = budget.admit_call(Duration::ZERO).unwrap_err();
        assert_eq!(refusal.limit, ReadLimit::Calls);
        assert_eq!(refusal.retry_after, seconds(0.2));
        assert!(budget.admit_call(seconds(0.199)).is_err());
        assert!(budget.admit_call(seconds(0.2)).is_ok());
    }

    #[test]
    fn a_page_of_10_mib_costs_the_next_5_seconds() {
        let mut budget = ReadBudget::full(Duration::ZERO);
        budget.admit_call(Duration::ZERO).unwrap();
        budget.charge(10 * MIB, Duration::ZERO);
        let refusal = budget.admit_call(seconds(0.1)).unwrap_err();
        assert_eq!((refusal.limit, refusal.retry_after), (ReadLimit::Bytes, seconds(4.9)));
        assert!(budget.admit_call(seconds(4.999)).is_err());
        assert!(budget.admit_call(seconds(5.0)).is_ok());
        // And the next one again.
        budget.charge(10 * MIB, seconds(5.0));
        assert!(budget.admit_call(seconds(9.999)).is_err());
        assert!(budget.admit_call(seconds(10.0)).is_ok());
    }

    #[test]
    fn who_reads_over_the_rate_is_refused_for_a_second() {
        let mut budget = ReadBudget::full(Duration::ZERO);
        for page in 0..2 {
            budget.admit_call(Duration::ZERO).unwrap_or_else(|_| panic!("page {page}"));
            budget.charge(MIB, Duration::ZERO);
        }
        let refusal = budget.admit_call(Duration::ZERO).unwrap_err();
        assert_eq!((refusal.limit, refusal.retry_after), (ReadLimit::Bytes, seconds(1.0)));
        assert!(budget.admit_call(seconds(1.0)).is_ok());
    }

    #[test]
    fn empty_pages_cost_nothing_but_their_calls() {
        let mut budget = ReadBudget::full(Duration::ZERO);
        for call in 0..100 {
            let now = seconds(0.2 * f64::from(call));
            budget.admit_call(now).unwrap();
            budget.charge(0, now);
        }
    }

    #[test]
    fn a_subscription_is_paced_to_its_rate() {
        for event in [100_000, MIB, 5 * MIB] {
            let mut pace = Pace::new(Duration::ZERO);
            let (mut now, mut sent) = (Duration::ZERO, 0u64);
            while now < seconds(60.0) {
                now += pace.take(event, now);
                sent += u64::from(event);
                let allowed = f64::from(2 * MIB) * (1.0 + now.as_secs_f64());
                assert!(sent as f64 <= allowed + 1.0, "{sent} in {now:?}");
            }
            assert!(sent as f64 >= 0.99 * f64::from(2 * MIB) * 61.0, "{sent}");
        }
    }

    proptest! {
        #[test]
        fn pollers_together_get_no_more_than_the_rate_and_one_page(
            pages in prop::collection::vec((0u64..3_000_000_000, 0u32..=10 * MIB), 1..100),
        ) {
            let mut budget = ReadBudget::full(Duration::ZERO);
            let (mut now, mut read, mut last, mut calls) = (Duration::ZERO, 0u64, 0u64, 0u64);
            for (step, page) in pages {
                now += Duration::from_nanos(step);
                if budget.admit_call(now).is_ok() {
                    budget.charge(page, now);
                    (read, last, calls) = (read + u64::from(page), page.into(), calls + 1);
                }
                let flowed = |rate: u64| rate + (rate as f64 * now.as_secs_f64()) as u64 + 1;
                prop_assert!(read <= flowed(u64::from(2 * MIB)) + last);
                prop_assert!(calls <= flowed(5));
            }
        }
    }
}
