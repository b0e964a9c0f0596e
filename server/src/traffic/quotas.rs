//! Every limit of the `aws` profile, as data: what it counts, how much is allowed, how a refusal
//! is called, and whether the service publishes it.
//!
//! The service publishes its limits in two places: the API model, and the page "Quotas and limits"
//! of the developer guide. Where the two differ in whom a limit is for, the guide is followed, as
//! the newer one. What neither says is our reading, and said to be.
//! docs/quotas.md shows this table; a test holds the two together.

use crate::ops::Kind;

/// A limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quota {
    /// The operation that is refused, by its name in the API.
    pub operation: &'static str,
    /// What the limit is for: each has one of its own.
    pub scope: Scope,
    /// What is counted, in the plural.
    pub unit: &'static str,
    /// How many of it are allowed.
    pub allowance: Allowance,
    /// How a refusal is called.
    pub refusal: Kind,
    /// Who says so.
    pub source: Source,
}

/// What a limit is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scope {
    /// The server: there is one account.
    Account,
    /// Each stream.
    Stream,
    /// Each shard.
    Shard,
    /// Each pair of a consumer and a shard.
    ConsumerAndShard,
}

/// How many are allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Allowance {
    /// So many a second, and at once after a pause.
    PerSecond(u32),
    /// So many in any 24 hours.
    PerDay(u32),
    /// So many at a time.
    AtOnce(u32),
}

/// Who says that there is such a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// The service, in its API model or its developer guide.
    Published,
    /// We, where the service says nothing or no longer says it.
    OurReading,
}

use Allowance::{AtOnce, PerDay, PerSecond};
use Kind::{LimitExceeded, Throttled};
use Scope::{Account, ConsumerAndShard, Shard, Stream};
use Source::{OurReading, Published};

/// The limits, by operation.
pub const QUOTAS: &[Quota] = &[
    calls("AddTagsToStream", Account, PerSecond(5), Published),
    calls("CreateStream", Account, PerSecond(5), Published),
    Quota { unit: "streams in CREATING", ..calls("CreateStream", Account, AtOnce(5), Published) },
    // The guide says 500 no longer: 1,000 to 20,000, by region.
    Quota { unit: "on-demand streams", ..calls("CreateStream", Account, AtOnce(50), Published) },
    Quota { unit: "shards", ..calls("CreateStream", Account, AtOnce(500), OurReading) },
    calls("DecreaseStreamRetentionPeriod", Stream, PerSecond(5), Published),
    calls("DeleteResourcePolicy", Account, PerSecond(5), Published),
    calls("DeleteStream", Account, PerSecond(5), Published),
    calls("DeregisterStreamConsumer", Stream, PerSecond(5), Published),
    calls("DescribeAccountSettings", Account, PerSecond(5), Published),
    calls("DescribeLimits", Account, PerSecond(1), Published),
    calls("DescribeStream", Account, PerSecond(10), Published),
    calls("DescribeStreamConsumer", Stream, PerSecond(20), Published),
    calls("DescribeStreamSummary", Account, PerSecond(20), Published),
    calls("DisableEnhancedMonitoring", Stream, PerSecond(5), Published),
    calls("EnableEnhancedMonitoring", Stream, PerSecond(5), Published),
    Quota { refusal: Throttled, ..calls("GetRecords", Shard, PerSecond(5), Published) },
    Quota {
        unit: "bytes",
        refusal: Throttled,
        ..calls("GetRecords", Shard, PerSecond(2 << 20), Published)
    },
    calls("GetResourcePolicy", Account, PerSecond(5), Published),
    Quota { refusal: Throttled, ..calls("GetShardIterator", Shard, PerSecond(5), Published) },
    calls("IncreaseStreamRetentionPeriod", Stream, PerSecond(5), Published),
    calls("ListShards", Stream, PerSecond(1000), Published),
    calls("ListStreamConsumers", Stream, PerSecond(5), Published),
    calls("ListStreams", Account, PerSecond(5), Published),
    calls("ListTagsForResource", Account, PerSecond(5), OurReading),
    calls("ListTagsForStream", Stream, PerSecond(5), Published),
    calls("MergeShards", Stream, PerSecond(5), Published),
    Quota {
        unit: "records",
        refusal: Throttled,
        ..calls("PutRecord, PutRecords", Shard, PerSecond(1000), Published)
    },
    Quota {
        unit: "bytes",
        refusal: Throttled,
        ..calls("PutRecord, PutRecords", Shard, PerSecond(1 << 20), Published)
    },
    calls("PutResourcePolicy", Account, PerSecond(5), Published),
    calls("RegisterStreamConsumer", Stream, PerSecond(5), Published),
    Quota { unit: "consumers", ..calls("RegisterStreamConsumer", Stream, AtOnce(20), Published) },
    Quota {
        unit: "consumers in CREATING",
        ..calls("RegisterStreamConsumer", Stream, AtOnce(5), Published)
    },
    calls("RemoveTagsFromStream", Stream, PerSecond(5), Published),
    calls("SplitShard", Stream, PerSecond(5), Published),
    calls("StartStreamEncryption", Stream, PerDay(25), Published),
    calls("StopStreamEncryption", Stream, PerDay(25), Published),
    calls("SubscribeToShard", ConsumerAndShard, PerSecond(1), Published),
    // It is not refused: the subscription waits.
    Quota {
        unit: "bytes",
        ..calls("SubscribeToShard", ConsumerAndShard, PerSecond(2 << 20), Published)
    },
    calls("TagResource", Account, PerSecond(5), OurReading),
    calls("UntagResource", Account, PerSecond(5), OurReading),
    calls("UpdateAccountSettings", Account, PerSecond(5), Published),
    calls("UpdateMaxRecordSize", Stream, PerSecond(5), OurReading),
    calls("UpdateShardCount", Account, PerSecond(10), Published),
    calls("UpdateShardCount", Stream, PerDay(10), Published),
    calls("UpdateStreamMode", Stream, PerDay(2), Published),
    calls("UpdateStreamRecordDistributionStrategy", Stream, PerSecond(5), OurReading),
    calls("UpdateStreamWarmThroughput", Account, PerSecond(5), Published),
];

const fn calls(
    operation: &'static str,
    scope: Scope,
    allowance: Allowance,
    source: Source,
) -> Quota {
    Quota { operation, scope, unit: "calls", allowance, refusal: LimitExceeded, source }
}

/// The limit on how many of `unit` there are at a time.
///
/// # Panics
///
/// Where the table has none.
pub fn at_once(unit: &str) -> u32 {
    let found = QUOTAS.iter().find_map(|quota| match quota.allowance {
        AtOnce(count) if quota.unit == unit => Some(count),
        _ => None,
    });
    found.expect("the table names the unit")
}

impl std::fmt::Display for Quota {
    /// A row of the table in docs/quotas.md.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scope = match self.scope {
            Account => "account",
            Stream => "stream",
            Shard => "shard",
            ConsumerAndShard => "consumer and shard",
        };
        let Quota { operation, unit, .. } = self;
        let allowed = match self.allowance {
            PerSecond(count) => format!("{} a second", amount(count, unit)),
            PerDay(count) => format!("{} in 24 hours", amount(count, unit)),
            AtOnce(count) => format!("{} at a time", amount(count, unit)),
        };
        let refusal = match (*operation, *unit) {
            ("SubscribeToShard", "bytes") => "none: it waits",
            _ => self.refusal.reason(),
        };
        let source = match self.source {
            Published => "the service",
            OurReading => "our reading",
        };
        write!(f, "| {operation} | {scope} | {allowed} | {refusal} | {source} |")
    }
}

/// As in "1,000 records", "1 call", "2 MiB".
fn amount(count: u32, unit: &str) -> String {
    match count {
        1 => format!("1 {}", unit.trim_end_matches('s')),
        1_048_576.. if unit == "bytes" => format!("{} MiB", count >> 20),
        1000.. => format!("{},{:03} {unit}", count / 1000, count % 1000),
        _ => format!("{count} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::{read_budget, write_budget};

    #[test]
    fn the_documentation_has_every_limit_and_no_other() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/quotas.md");
        let text = std::fs::read_to_string(path).expect("docs/quotas.md is there");
        let rows = |line: &&str| line.starts_with("| ") && !line.starts_with("| operation");
        let documented: Vec<_> = text.lines().filter(rows).collect();
        let table: Vec<_> = QUOTAS.iter().map(ToString::to_string).collect();
        assert_eq!(documented, table, "\n{}", table.join("\n"));
    }

    #[test]
    fn the_budgets_are_those_of_the_table() {
        let per_second = |operation: &str, unit: &str| {
            let mut of = QUOTAS.iter().filter(|it| it.operation == operation && it.unit == unit);
            let found = of.next().map(|quota| quota.allowance);
            assert!(of.next().is_none());
            let Some(PerSecond(count)) = found else { panic!("{operation}: {found:?}") };
            count
        };
        let put = "PutRecord, PutRecords";
        assert_eq!(per_second(put, "records"), write_budget::RECORDS.per_second);
        assert_eq!(per_second(put, "bytes"), write_budget::BYTES.per_second);
        assert_eq!(per_second("GetRecords", "calls"), read_budget::CALLS.per_second);
        assert_eq!(per_second("GetRecords", "bytes"), read_budget::BYTES.per_second);
        assert_eq!(per_second("SubscribeToShard", "bytes"), read_budget::BYTES.per_second);
        assert_eq!(
            at_once("consumers") as usize,
            anabranch_engine::limits::CONSUMERS_PER_STREAM_MAX
        );
        assert_eq!((at_once("shards"), at_once("streams in CREATING")), (500, 5));
    }

    #[test]
    fn operations_stand_in_their_order() {
        assert!(QUOTAS.is_sorted_by_key(|quota| quota.operation));
    }
}
