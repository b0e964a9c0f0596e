//! What can be set on a stream and on the account, beyond shards and retention.
//!
//! The engine keeps settings and gives them back; it acts on none of them. Whoever puts, reads
//! and scales (the server's operations) looks them up with [`Stream::settings`]. A change is
//! durable when [`Engine::change_settings`] returns, and seen by whoever asks from then on.
//! What may be combined with what, such as [`Distribution::Auto`] with [`StreamMode::OnDemand`]
//! alone, is the operations' to decide; sizes are checked here, so that every change that is
//! taken can be recorded.
//!
//! [`Stream::settings`]: crate::Stream::settings
//! [`Engine::change_settings`]: crate::Engine::change_settings

use std::collections::BTreeMap;
use std::fmt;

use crate::error::{Error, Result};
use crate::limits::{
    POLICY_BYTES_MAX, RECORD_KIB_MAX, RECORD_KIB_MIN, RETENTION_HOURS_MAX, RETENTION_HOURS_MIN,
    TAG_KEY_CHARS_MAX, TAG_VALUE_CHARS_MAX, TAGS_MAX, WARM_THROUGHPUT_MIB_S_MAX,
};

/// Tags of a stream or a consumer: at most 50, keys of 1 to 128 characters and values of up to 256
/// (API model).
pub type Tags = BTreeMap<String, String>;

/// The settings of a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamSettings {
    /// Who decides how many shards there are.
    pub mode: StreamMode,
    /// MiB/s that an on-demand stream is kept ready for; 0: none was asked for. At most 10 GiB/s.
    pub warm_throughput_mib_s: u32,
    /// KiB of data and partition key that one record may have: 1,024 to 10,240.
    pub max_record_kib: u32,
    /// What chooses a record's shard.
    pub distribution: Distribution,
    /// The quotas that hold; `None`: the server's.
    pub quotas: Option<QuotaProfile>,
    /// The metrics that are told for each shard.
    pub monitoring: ShardMetrics,
    /// The stream's tags.
    pub tags: Tags,
    /// The stream's resource policy, if it has one: text of up to 20 KiB.
    pub policy: Option<String>,
}

impl StreamSettings {
    /// Bytes of data and partition key that one record may have.
    pub fn record_bytes_max(&self) -> usize {
        self.max_record_kib as usize * 1024
    }

    /// Whether the sizes are within their limits.
    pub(crate) fn check(&self) -> Result<()> {
        let (warm, record) = (self.warm_throughput_mib_s, self.max_record_kib);
        check_range("warm_throughput_mib_s", warm.into(), 0, WARM_THROUGHPUT_MIB_S_MAX.into())?;
        check_range("max_record_kib", record.into(), RECORD_KIB_MIN.into(), RECORD_KIB_MAX.into())?;
        check_tags(&self.tags)?;
        check_policy(self.policy.as_deref())
    }
}

impl Default for StreamSettings {
    /// Those of a stream that is made without any: provisioned, records of up to 1 MiB that go
    /// where their keys say, no tags.
    fn default() -> Self {
        StreamSettings {
            mode: StreamMode::default(),
            warm_throughput_mib_s: 0,
            max_record_kib: RECORD_KIB_MIN,
            distribution: Distribution::default(),
            quotas: None,
            monitoring: ShardMetrics::NONE,
            tags: Tags::new(),
            policy: None,
        }
    }
}

/// Who decides how many shards a stream has.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum StreamMode {
    /// Its user.
    #[default]
    Provisioned,
    /// The server, by the load.
    OnDemand,
}

/// What chooses the shard of a record.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Distribution {
    /// Its explicit hash key, or else the MD5 of its partition key.
    #[default]
    UserPartitionKey,
    /// The server, so that the load spreads evenly. Keys are kept but route nothing, and may be
    /// left out.
    Auto,
}

/// Which limits hold beside those of sizes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QuotaProfile {
    /// None.
    Open,
    /// Those of the real service.
    Aws,
}

/// A metric that can be told for each shard of a stream (API model: `MetricsName`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ShardMetric {
    /// Bytes put.
    IncomingBytes,
    /// Records put.
    IncomingRecords,
    /// Bytes read.
    OutgoingBytes,
    /// Records read.
    OutgoingRecords,
    /// Records refused for want of write throughput.
    WriteProvisionedThroughputExceeded,
    /// Reads refused for want of read throughput.
    ReadProvisionedThroughputExceeded,
    /// How old the last record of a page was when it was read.
    IteratorAgeMilliseconds,
}

impl ShardMetric {
    /// All of them, in the order of the API model.
    pub const ALL: [ShardMetric; 7] = [
        ShardMetric::IncomingBytes,
        ShardMetric::IncomingRecords,
        ShardMetric::OutgoingBytes,
        ShardMetric::OutgoingRecords,
        ShardMetric::WriteProvisionedThroughputExceeded,
        ShardMetric::ReadProvisionedThroughputExceeded,
        ShardMetric::IteratorAgeMilliseconds,
    ];

    /// Its name in the API model.
    pub fn name(self) -> &'static str {
        match self {
            ShardMetric::IncomingBytes => "IncomingBytes",
            ShardMetric::IncomingRecords => "IncomingRecords",
            ShardMetric::OutgoingBytes => "OutgoingBytes",
            ShardMetric::OutgoingRecords => "OutgoingRecords",
            ShardMetric::WriteProvisionedThroughputExceeded => "WriteProvisionedThroughputExceeded",
            ShardMetric::ReadProvisionedThroughputExceeded => "ReadProvisionedThroughputExceeded",
            ShardMetric::IteratorAgeMilliseconds => "IteratorAgeMilliseconds",
        }
    }

    /// Its bit in a [`ShardMetrics`]. **Frozen.**
    fn bit(self) -> u8 {
        match self {
            ShardMetric::IncomingBytes => 1,
            ShardMetric::IncomingRecords => 2,
            ShardMetric::OutgoingBytes => 4,
            ShardMetric::OutgoingRecords => 8,
            ShardMetric::WriteProvisionedThroughputExceeded => 16,
            ShardMetric::ReadProvisionedThroughputExceeded => 32,
            ShardMetric::IteratorAgeMilliseconds => 64,
        }
    }
}

/// A set of [`ShardMetric`]s.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct ShardMetrics(u8);

impl ShardMetrics {
    /// No metric.
    pub const NONE: ShardMetrics = ShardMetrics(0);
    /// All seven.
    pub const ALL: ShardMetrics = ShardMetrics(0x7f);

    /// The set of these bits; `None` where one of them stands for nothing.
    pub(crate) fn from_bits(bits: u8) -> Option<ShardMetrics> {
        (bits & !ShardMetrics::ALL.0 == 0).then_some(ShardMetrics(bits))
    }

    /// The set as bits, one for each metric.
    pub(crate) fn bits(self) -> u8 {
        self.0
    }

    /// Whether the metric is in the set.
    pub fn contains(self, metric: ShardMetric) -> bool {
        self.0 & metric.bit() != 0
    }

    /// Whether there is none in the set.
    pub fn is_empty(self) -> bool {
        self == ShardMetrics::NONE
    }

    /// What is in one of the two.
    #[must_use]
    pub fn union(self, other: ShardMetrics) -> ShardMetrics {
        ShardMetrics(self.0 | other.0)
    }

    /// What is in this one and not in the other.
    #[must_use]
    pub fn without(self, other: ShardMetrics) -> ShardMetrics {
        ShardMetrics(self.0 & !other.0)
    }

    /// The metrics of the set, in the order of the API model.
    pub fn iter(self) -> impl Iterator<Item = ShardMetric> {
        ShardMetric::ALL.into_iter().filter(move |metric| self.contains(*metric))
    }
}

impl FromIterator<ShardMetric> for ShardMetrics {
    fn from_iter<I: IntoIterator<Item = ShardMetric>>(metrics: I) -> Self {
        ShardMetrics(metrics.into_iter().fold(0, |bits, metric| bits | metric.bit()))
    }
}

impl fmt::Debug for ShardMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The settings of the account, of which a server has one.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct AccountSettings {
    /// The commitment to a minimum throughput (API model: `MinimumThroughputBillingCommitment`).
    pub commitment: Commitment,
}

/// A commitment to a minimum throughput. It costs nothing here; on-demand streams may be kept
/// warm while it holds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Commitment {
    /// Whether it holds.
    pub status: CommitmentStatus,
    /// When it began, milliseconds since 1970.
    pub started_ms: Option<u64>,
    /// When it ended, milliseconds since 1970.
    pub ended_ms: Option<u64>,
    /// When it may end at the earliest, milliseconds since 1970.
    pub earliest_end_ms: Option<u64>,
}

/// Whether a commitment holds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum CommitmentStatus {
    /// It does not.
    #[default]
    Disabled,
    /// It does.
    Enabled,
    /// It was given up, and holds until it may end.
    EnabledUntilEarliestAllowedEnd,
}

/// Whether tags are within their limits.
pub(crate) fn check_tags(tags: &Tags) -> Result<()> {
    if tags.len() > TAGS_MAX {
        return Err(Error::LimitExceeded { what: "tags of a resource", max: TAGS_MAX as u64 });
    }
    tags.iter().try_for_each(|(key, value)| {
        let (key, value) = (key.chars().count() as u64, value.chars().count() as u64);
        check_range("characters of a tag's key", key, 1, TAG_KEY_CHARS_MAX as u64)?;
        check_range("characters of a tag's value", value, 0, TAG_VALUE_CHARS_MAX as u64)
    })
}

/// Whether a policy is within its limit.
pub(crate) fn check_policy(policy: Option<&str>) -> Result<()> {
    let bytes = policy.map_or(0, str::len) as u64;
    check_range("bytes of a resource policy", bytes, 0, POLICY_BYTES_MAX as u64)
}

/// Whether records may be kept for so many hours.
pub(crate) fn check_retention(hours: u32) -> Result<()> {
    let (min, max) = (u64::from(RETENTION_HOURS_MIN), u64::from(RETENTION_HOURS_MAX));
    check_range("retention_period_hours", u64::from(hours), min, max)
}

/// Whether a count or size is within its limits.
pub(crate) fn check_range(what: &'static str, value: u64, min: u64, max: u64) -> Result<()> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::OutOfRange { what, value, min, max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_metrics_holds_what_is_put_into_it_and_has_a_bit_for_each() {
        let mut bits = 0;
        for metric in ShardMetric::ALL {
            let one: ShardMetrics = [metric].into_iter().collect();
            assert!(one.contains(metric) && ShardMetrics::ALL.contains(metric));
            assert_eq!(one.iter().collect::<Vec<_>>(), [metric]);
            assert!(!ShardMetrics::ALL.without(one).contains(metric));
            assert_eq!(ShardMetrics::from_bits(one.bits()), Some(one));
            assert_eq!(bits & one.bits(), 0, "{}", metric.name());
            bits |= one.bits();
        }
        assert_eq!(bits, ShardMetrics::ALL.bits());
        assert_eq!(ShardMetrics::from_bits(0x80), None);
        assert!(ShardMetrics::NONE.is_empty());
        assert_eq!(ShardMetrics::NONE.union(ShardMetrics::ALL).iter().count(), 7);
    }

    #[test]
    fn sizes_are_checked_at_their_borders() {
        let check = |change: fn(&mut StreamSettings)| {
            let mut settings = StreamSettings::default();
            change(&mut settings);
            settings.check()
        };
        assert!(check(|_| ()).is_ok());
        assert!(check(|settings| settings.max_record_kib = 10_240).is_ok());
        assert!(check(|settings| settings.max_record_kib = 10_241).is_err());
        assert!(check(|settings| settings.max_record_kib = 1_023).is_err());
        assert!(check(|settings| settings.warm_throughput_mib_s = 10_240).is_ok());
        assert!(check(|settings| settings.warm_throughput_mib_s = 10_241).is_err());
        assert!(check(|settings| settings.policy = Some("x".repeat(20 << 10))).is_ok());
        assert!(check(|settings| settings.policy = Some("x".repeat((20 << 10) + 1))).is_err());
        let tag = |key: usize, value: usize| Tags::from([("ä".repeat(key), "ä".repeat(value))]);
        assert!(check_tags(&tag(128, 256)).is_ok());
        assert!(check_tags(&tag(1, 0)).is_ok());
        assert!(check_tags(&tag(0, 1)).is_err());
        assert!(check_tags(&tag(129, 1)).is_err());
        assert!(check_tags(&tag(1, 257)).is_err());
        let many = |count: u32| (0..count).map(|key| (key.to_string(), String::new())).collect();
        assert!(check_tags(&many(50)).is_ok());
        assert!(check_tags(&many(51)).is_err());
    }
}
