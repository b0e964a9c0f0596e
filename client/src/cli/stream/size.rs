//! `stream size`: how many shards a load needs, by the limits of the real service.
//!
//! A shard takes 1 MiB and 1,000 records and gives 2 MiB a second. Consumers that are pushed to
//! have 2 MiB of every shard to themselves, so they never decide: they read no more than is put.

use clap::Args;
use serde_json::json;

use crate::cli::failure::Failure;
use crate::cli::output::{count, print_object};
use crate::cli::{DONE, Global};

/// KiB a second that a shard takes.
pub(super) const IN_KIB_S: u64 = 1024;
/// Records a second that a shard takes.
pub(super) const IN_RECORDS_S: u64 = 1000;
/// KiB a second that a shard gives to all who pull.
pub(super) const OUT_KIB_S: u64 = 2048;

/// A load.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  anabranch stream size --in-kib-s 3000 --out-kib-s 9000
  anabranch stream size --in-kib-s 500 --records-s 4500 --consumers 3")]
pub struct SizeArguments {
    /// KiB per second put at the busiest time
    #[arg(long, value_name = "A")]
    pub(super) in_kib_s: u64,
    /// KiB per second read by all pulling consumers together at the busiest time
    #[arg(
        long,
        value_name = "B",
        required_unless_present = "consumers",
        default_value_if("consumers", clap::builder::ArgPredicate::IsPresent, "0")
    )]
    pub(super) out_kib_s: Option<u64>,
    /// Records per second put at the busiest time
    #[arg(long, value_name = "R", default_value_t = 0)]
    pub(super) records_s: u64,
    /// Consumers that each pull everything that is put, besides what --out-kib-s says
    #[arg(long, value_name = "C", default_value_t = 0)]
    pub(super) consumers: u64,
}

pub(super) fn run(arguments: &SizeArguments, global: &Global) -> Result<i32, Failure> {
    let SizeArguments { in_kib_s, out_kib_s, records_s, consumers } = *arguments;
    let pulled = in_kib_s.saturating_mul(consumers);
    let out_kib_s = out_kib_s.unwrap_or_default().saturating_add(pulled);
    let demand = Demand { in_kib_s, records_s, out_kib_s };
    let sizing = size(demand);
    let object = json!({
        "shard_count": sizing.shards,
        "decided_by": sizing.limit.name(),
        "in_kib_s": in_kib_s,
        "out_kib_s": out_kib_s,
        "records_s": records_s,
    });
    print_object(global.output, &sizing.shards.to_string(), &object)?;
    if global.output == crate::cli::OutputFormat::Table {
        eprintln!("{}", sizing.limit.words(demand));
        let without = size(Demand { out_kib_s: 0, ..demand }).shards;
        if without < sizing.shards {
            eprintln!(
                "readers that are pushed to (tail --push NAME) take nothing of this: with them \
                 {} would do",
                count(without)
            );
        }
    }
    Ok(DONE)
}

/// A load to find a number of shards for.
// All of it is a second, and a number without its unit says less.
#[allow(clippy::struct_field_names)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    /// KiB of keys and data put a second.
    pub(super) in_kib_s: u64,
    /// Records put a second.
    pub(super) records_s: u64,
    /// KiB pulled a second by all together.
    pub(super) out_kib_s: u64,
}

/// How many shards a load needs, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sizing {
    pub(super) shards: u64,
    pub(super) limit: Limit,
}

/// What decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Limit {
    BytesIn,
    RecordsIn,
    BytesOut,
    /// A stream has one shard at least.
    Least,
}

impl Limit {
    fn name(self) -> &'static str {
        match self {
            Limit::BytesIn => "in_kib_s",
            Limit::RecordsIn => "records_s",
            Limit::BytesOut => "out_kib_s",
            Limit::Least => "least",
        }
    }

    fn words(self, demand: Demand) -> String {
        let (load, what, limit) = match self {
            Limit::BytesIn => (demand.in_kib_s, "KiB/s in", IN_KIB_S),
            Limit::RecordsIn => (demand.records_s, "records/s in", IN_RECORDS_S),
            Limit::BytesOut => (demand.out_kib_s, "KiB/s out by pull", OUT_KIB_S),
            Limit::Least => return "a stream has one shard at least".to_owned(),
        };
        format!("{} {what} decide, at {} a shard", count(load), count(limit))
    }
}

/// The limit that needs most shards decides; of those that need as many, the first.
pub(super) fn size(demand: Demand) -> Sizing {
    let each = [
        (demand.in_kib_s.div_ceil(IN_KIB_S), Limit::BytesIn),
        (demand.records_s.div_ceil(IN_RECORDS_S), Limit::RecordsIn),
        (demand.out_kib_s.div_ceil(OUT_KIB_S), Limit::BytesOut),
    ];
    let least = Sizing { shards: 1, limit: Limit::Least };
    each.into_iter().filter(|(shards, _)| *shards > 0).fold(least, |most, (shards, limit)| {
        let decides = shards > most.shards || most.limit == Limit::Least;
        if decides { Sizing { shards, limit } } else { most }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_follows_the_busiest_limit_and_is_at_least_one() {
        let size = |in_kib_s, records_s, out_kib_s| {
            let sizing = size(Demand { in_kib_s, records_s, out_kib_s });
            (sizing.shards, sizing.limit)
        };
        assert_eq!(size(0, 0, 0), (1, Limit::Least));
        assert_eq!(size(1024, 0, 2048), (1, Limit::BytesIn));
        assert_eq!(size(1025, 0, 0), (2, Limit::BytesIn));
        assert_eq!(size(1024, 2001, 4096), (3, Limit::RecordsIn));
        assert_eq!(size(1024, 0, 4097), (3, Limit::BytesOut));
        assert_eq!(size(10 * 1024, 10_000, 2048), (10, Limit::BytesIn));
    }

    #[test]
    fn the_reason_has_the_figures() {
        let demand = Demand { in_kib_s: 3000, records_s: 0, out_kib_s: 9000 };
        assert_eq!(
            size(demand).limit.words(demand),
            "9,000 KiB/s out by pull decide, at 2,048 a shard"
        );
    }
}
