//! How often the operations that describe and change streams may be called.
//!
//! The limits are those of [`QUOTAS`](super::quotas::QUOTAS) that count calls, each for its own
//! account, stream or shard. What is allowed a second is counted when it is called; what is
//! allowed a day, when it has succeeded: a call that was refused for its arguments changes nothing
//! that a day would have to bear.
//!
//! A meter whose calls have all been made up for says nothing and is dropped, so there are only
//! as many as were called in the last second, or succeeded in the last day.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use anabranch_engine::ids::{ShardId, StreamId, StreamName};
use parking_lot::Mutex;

use super::bucket::{Bucket, BucketSize};
use super::quotas::{Allowance, QUOTAS, Quota, Scope};
use crate::ops::OpError;

const DAY: Duration = Duration::from_hours(24);

/// What an operation is called on, as far as that is known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Target {
    /// The stream, if it is called on one.
    pub stream: Option<StreamId>,
    /// The shard, if it is called on one.
    pub shard: Option<ShardId>,
}

/// A quota of somebody, by its place in the table.
type Place = (usize, Target);

/// The meters of the operations.
#[derive(Debug, Default)]
pub struct Control {
    meters: Mutex<HashMap<Place, Meter>>,
}

#[derive(Clone, Debug)]
enum Meter {
    Second(Bucket),
    /// When it succeeded, rising; as many at most as are allowed.
    Day(VecDeque<Duration>),
}

/// Why a call is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exceeded {
    /// The limit that is reached.
    pub quota: &'static Quota,
    /// When a call will be admitted, if none comes before.
    pub retry_after: Duration,
}

impl Control {
    /// Admits a call of an operation, or says which limit is reached. One that is refused costs
    /// nothing.
    pub fn admit(&self, operation: &str, target: Target, now: Duration) -> Result<(), Exceeded> {
        let mut meters = self.meters.lock();
        for (quota, place) in quotas(operation, target) {
            let retry_after = match (quota.allowance, meters.get_mut(&place)) {
                (Allowance::PerSecond(count), Some(Meter::Second(bucket))) => {
                    bucket.fill(size(count), now);
                    bucket.wait(size(count), 1)
                }
                (Allowance::PerDay(count), Some(Meter::Day(times))) => {
                    forget(times, now);
                    let is_reached = times.len() >= count as usize;
                    let oldest = times.front().filter(|_| is_reached);
                    oldest.map_or(Duration::ZERO, |oldest| (*oldest + DAY).saturating_sub(now))
                }
                _ => Duration::ZERO,
            };
            if !retry_after.is_zero() {
                return Err(Exceeded { quota, retry_after });
            }
        }
        for (quota, place) in quotas(operation, target) {
            if let Allowance::PerSecond(count) = quota.allowance {
                let full = || Meter::Second(Bucket::full(size(count), now));
                if let Meter::Second(bucket) = meters.entry(place).or_insert_with(full) {
                    bucket.take(1);
                }
            }
        }
        Ok(())
    }

    /// A call of the operation has succeeded.
    pub fn succeeded(&self, operation: &str, target: Target, now: Duration) {
        for (quota, place) in quotas(operation, target) {
            let Allowance::PerDay(count) = quota.allowance else { continue };
            let mut meters = self.meters.lock();
            let meter = meters.entry(place).or_insert_with(|| Meter::Day(VecDeque::new()));
            if let Meter::Day(times) = meter {
                // Calls that were admitted side by side may be more than are allowed.
                times.push_back(now);
                while times.len() > count as usize {
                    times.pop_front();
                }
            }
        }
    }

    /// Drops the meters that say nothing any more.
    pub fn sweep(&self, now: Duration) {
        self.meters.lock().retain(|(index, _), meter| match (QUOTAS[*index].allowance, meter) {
            (Allowance::PerSecond(count), Meter::Second(bucket)) => {
                bucket.fill(size(count), now);
                !bucket.is_full(size(count))
            }
            (_, Meter::Day(times)) => {
                forget(times, now);
                !times.is_empty()
            }
            _ => false,
        });
    }
}

impl Exceeded {
    /// The refusal, with the figures. `stream` is the one that the operation was called on.
    pub fn error(&self, stream: Option<&StreamName>, account: &str) -> OpError {
        let Quota { operation, unit, .. } = self.quota;
        let whose = match (self.quota.scope, stream) {
            (Scope::Account, _) | (_, None) => format!("account {account}"),
            (_, Some(stream)) => format!("stream {stream} under account {account}"),
        };
        let (allowed, period) = match self.quota.allowance {
            Allowance::PerSecond(count) => (count, "second"),
            Allowance::PerDay(count) => (count, "24 hours"),
            Allowance::AtOnce(count) => (count, ""),
        };
        let message = format!(
            "Rate exceeded for {whose}: {operation} is allowed {allowed} {unit} per {period}."
        );
        let mut error = OpError::new(self.quota.refusal, message)
            .with("limit", *unit)
            .with("allowed", allowed.to_string())
            .with("period", period);
        error.retry_after = Some(self.retry_after);
        error
    }
}

/// The limits on the calls of an operation, and whose they are.
fn quotas(operation: &str, target: Target) -> impl Iterator<Item = (&'static Quota, Place)> {
    let of = QUOTAS.iter().enumerate().filter(move |(_, quota)| {
        let is_rate = !matches!(quota.allowance, Allowance::AtOnce(_));
        quota.operation == operation && quota.unit == "calls" && is_rate
    });
    of.map(move |(index, quota)| {
        let whose = match quota.scope {
            Scope::Account => Target::default(),
            Scope::Stream => Target { shard: None, ..target },
            Scope::Shard | Scope::ConsumerAndShard => target,
        };
        (quota, (index, whose))
    })
}

fn size(count: u32) -> BucketSize {
    BucketSize { capacity: count, per_second: count }
}

fn forget(times: &mut VecDeque<Duration>, now: Duration) {
    while times.front().is_some_and(|time| now.saturating_sub(*time) >= DAY) {
        times.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Kind;

    const A: Target = Target { stream: Some(StreamId(1)), shard: None };
    const B: Target = Target { stream: Some(StreamId(2)), shard: None };

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn each_stream_has_its_own_limit_and_the_account_one_for_all() {
        let control = Control::default();
        for target in [A, B] {
            for _ in 0..5 {
                control.admit("SplitShard", target, at(0)).unwrap();
            }
            let exceeded = control.admit("SplitShard", target, at(0)).unwrap_err();
            assert_eq!(exceeded.retry_after, at(200));
        }
        for call in 0..10 {
            control.admit("DescribeStream", if call % 2 == 0 { A } else { B }, at(0)).unwrap();
        }
        assert!(control.admit("DescribeStream", A, at(99)).is_err());
        assert!(control.admit("DescribeStream", A, at(100)).is_ok());
        // An operation without a limit has none.
        for _ in 0..100 {
            control.admit("PutRecords", A, at(0)).unwrap();
        }
    }

    #[test]
    fn a_shard_has_five_iterators_a_second() {
        let control = Control::default();
        let of = |shard| Target { shard: Some(ShardId(shard)), ..A };
        for _ in 0..5 {
            control.admit("GetShardIterator", of(0), at(0)).unwrap();
        }
        let exceeded = control.admit("GetShardIterator", of(0), at(0)).unwrap_err();
        assert_eq!(exceeded.quota.refusal, Kind::Throttled);
        assert!(control.admit("GetShardIterator", of(1), at(0)).is_ok());
    }

    #[test]
    fn ten_changes_of_the_shard_count_are_allowed_in_any_24_hours() {
        let control = Control::default();
        let hour = |hour: u64| at(hour * 3_600_000);
        for change in 0..10 {
            // Calls that fail do not count.
            for _ in 0..3 {
                control.admit("UpdateShardCount", A, hour(change)).unwrap();
            }
            control.succeeded("UpdateShardCount", A, hour(change));
        }
        let exceeded = control.admit("UpdateShardCount", A, hour(10)).unwrap_err();
        assert_eq!(exceeded.retry_after, hour(14));
        let error = exceeded.error(Some(&"s".parse().unwrap()), "000000000000");
        assert_eq!(
            error.message,
            "Rate exceeded for stream s under account 000000000000: UpdateShardCount is allowed \
             10 calls per 24 hours."
        );
        assert!(control.admit("UpdateShardCount", B, hour(10)).is_ok());
        assert!(control.admit("UpdateShardCount", A, at(24 * 3_600_000 - 1)).is_err());
        assert!(control.admit("UpdateShardCount", A, hour(24)).is_ok());
        control.succeeded("UpdateShardCount", A, hour(24));
        assert!(control.admit("UpdateShardCount", A, hour(24)).is_err());
    }

    #[test]
    fn meters_that_say_nothing_are_dropped() {
        let control = Control::default();
        control.admit("ListShards", A, at(0)).unwrap();
        control.succeeded("UpdateStreamMode", A, at(0));
        assert_eq!(control.meters.lock().len(), 2);
        control.sweep(at(1000));
        assert_eq!(control.meters.lock().len(), 1);
        control.sweep(DAY);
        assert!(control.meters.lock().is_empty());
    }
}
