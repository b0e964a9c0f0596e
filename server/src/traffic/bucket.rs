//! A token bucket in whole numbers: what is admitted in `t` seconds is its capacity and what
//! flows in, to the last token.
//!
//! The level is kept in billionths of a token, and time in nanoseconds. So what flows in since
//! the last look is a product of two whole numbers, nothing is rounded, and nothing drifts
//! however often it is looked at. What may be taken is for the caller to say: the level may go
//! below zero, and is paid back before anything else is admitted.

use std::time::Duration;

/// Parts of a token that the level counts in: one flows in each nanosecond at one token a second.
const PARTS: i64 = 1_000_000_000;

/// What a bucket holds, and what flows into it. The unit is the caller's: records, bytes, calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BucketSize {
    /// Tokens in a full bucket: what is admitted at once after a pause.
    pub capacity: u32,
    /// Tokens that flow in each second, at least 1.
    pub per_second: u32,
}

/// A bucket of tokens. Its [`BucketSize`] is given with each call, because many buckets share one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bucket {
    /// In billionths of a token; never above the capacity.
    level: i64,
    /// When the level was right, on the monotonic clock. It never falls.
    at_ns: u64,
}

impl Bucket {
    /// A full bucket.
    pub fn full(size: BucketSize, now: Duration) -> Bucket {
        Bucket { level: parts(size.capacity.into()), at_ns: nanos(now) }
    }

    /// Lets in what has flowed since the last call. Callers that read the clock before they had
    /// the bucket may come in any order: a `now` of the past changes nothing.
    pub fn fill(&mut self, size: BucketSize, now: Duration) {
        let now_ns = nanos(now);
        let Some(elapsed_ns) = now_ns.checked_sub(self.at_ns) else {
            return;
        };
        self.at_ns = now_ns;
        // An idle year at a high rate is more than fits; it fills any bucket.
        let elapsed_ns = i64::try_from(elapsed_ns).unwrap_or(i64::MAX);
        let inflow = elapsed_ns.saturating_mul(size.per_second.into());
        self.level = self.level.saturating_add(inflow).min(parts(size.capacity.into()));
    }

    /// Whether at least `tokens` would be left if `taken` were taken now. Fill it first.
    pub fn leaves(&self, taken: u32, tokens: i64) -> bool {
        self.level - parts(taken.into()) >= parts(tokens)
    }

    /// Takes tokens, whether they are there or not. Fill it first.
    pub fn take(&mut self, tokens: u32) {
        self.level -= parts(tokens.into());
    }

    /// Puts tokens back that were taken and not used; what does not fit is lost. Fill it first.
    pub fn put_back(&mut self, size: BucketSize, tokens: u32) {
        let level = self.level.saturating_add(parts(tokens.into()));
        self.level = level.min(parts(size.capacity.into()));
    }

    /// Whole tokens in it, rounded down. Fill it first.
    pub fn tokens(&self) -> i64 {
        self.level.div_euclid(PARTS)
    }

    /// Whether nothing more fits: such a bucket is as good as a new one. Fill it first.
    pub fn is_full(&self, size: BucketSize) -> bool {
        self.level == parts(size.capacity.into())
    }

    /// How long until it holds `tokens`, if nothing is taken meanwhile. Fill it first.
    pub fn wait(&self, size: BucketSize, tokens: i64) -> Duration {
        let missing = parts(tokens) - self.level;
        match u64::try_from(missing) {
            Ok(missing) => Duration::from_nanos(missing.div_ceil(size.per_second.into())),
            Err(_) => Duration::ZERO,
        }
    }
}

/// No product overflows: the largest bucket is overdrawn by 9 MiB, and 10 MiB are 10^16 parts.
fn parts(tokens: i64) -> i64 {
    tokens.saturating_mul(PARTS)
}

fn nanos(now: Duration) -> u64 {
    // Enough for 584 years of running.
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE: BucketSize = BucketSize { capacity: 1000, per_second: 1000 };

    fn millis(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_pause_fills_it_and_not_more() {
        let mut bucket = Bucket::full(SIZE, millis(0));
        assert!(bucket.leaves(1000, 0) && !bucket.leaves(1001, 0));
        bucket.take(1000);
        bucket.fill(SIZE, millis(250));
        assert_eq!(bucket.tokens(), 250);
        bucket.fill(SIZE, Duration::from_secs(1 << 40));
        assert!(bucket.is_full(SIZE));
        assert_eq!(bucket.tokens(), 1000);
    }

    #[test]
    fn a_time_of_the_past_brings_nothing() {
        let mut bucket = Bucket::full(SIZE, millis(500));
        bucket.take(1000);
        bucket.fill(SIZE, millis(400));
        assert_eq!(bucket.tokens(), 0);
        bucket.fill(SIZE, millis(600));
        assert_eq!(bucket.tokens(), 100);
    }

    #[test]
    fn what_is_overdrawn_is_paid_back_first() {
        let mut bucket = Bucket::full(SIZE, millis(0));
        bucket.take(3000);
        assert_eq!(bucket.tokens(), -2000);
        assert_eq!(bucket.wait(SIZE, 1), millis(2001));
        bucket.fill(SIZE, millis(2000));
        assert!(!bucket.leaves(1, 0));
        bucket.fill(SIZE, millis(2001));
        assert!(bucket.leaves(1, 0));
        assert_eq!(bucket.wait(SIZE, 1), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn looking_often_changes_nothing(
            steps in prop::collection::vec(1u64..50_000_000, 1..200),
            capacity in 1u32..2_000_000,
            per_second in 1u32..2_000_000,
        ) {
            let size = BucketSize { capacity, per_second };
            let mut watched = Bucket::full(size, Duration::ZERO);
            watched.take(capacity);
            let mut other = watched;
            let mut now = Duration::ZERO;
            for step in steps {
                now += Duration::from_nanos(step);
                watched.fill(size, now);
            }
            other.fill(size, now);
            prop_assert_eq!(watched, other);
        }
    }
}
