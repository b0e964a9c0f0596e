//! From what a request sets on a stream to the engine's settings, and back.
//!
//! What may go with what is decided here: on-demand streams alone distribute records themselves
//! and are kept warm.

use std::sync::Arc;

use anabranch_engine::limits::{RECORD_KIB_MAX, RECORD_KIB_MIN, WARM_THROUGHPUT_MIB_S_MAX};
use anabranch_engine::settings::{Distribution, QuotaProfile, StreamMode};
use anabranch_engine::{Stream, StreamSettings};
use anabranch_proto::v1;

use super::{Kind, OpError, Ops, Result};

/// The mode that a request asks for; `None` if it asks for none.
pub(super) fn mode(value: i32) -> Result<Option<StreamMode>> {
    match v1::StreamMode::try_from(value) {
        Ok(v1::StreamMode::Unspecified) => Ok(None),
        Ok(v1::StreamMode::Provisioned) => Ok(Some(StreamMode::Provisioned)),
        Ok(v1::StreamMode::OnDemand) => Ok(Some(StreamMode::OnDemand)),
        Err(_) => {
            Err(OpError::invalid("stream_mode", "is unknown; it is PROVISIONED or ON_DEMAND"))
        }
    }
}

/// The strategy that a request asks for; `None` if it asks for none.
pub(super) fn distribution(value: i32) -> Result<Option<Distribution>> {
    match v1::RecordDistributionStrategy::try_from(value) {
        Ok(v1::RecordDistributionStrategy::Unspecified) => Ok(None),
        Ok(v1::RecordDistributionStrategy::Auto) => Ok(Some(Distribution::Auto)),
        Ok(v1::RecordDistributionStrategy::UserPartitionKey) => {
            Ok(Some(Distribution::UserPartitionKey))
        }
        Err(_) => {
            let why = "is unknown; it is AUTO or USER_PARTITION_KEY";
            Err(OpError::invalid("record_distribution_strategy", why))
        }
    }
}

/// The quotas that a request asks for; `None` for the server's.
pub(super) fn quotas(value: i32) -> Result<Option<QuotaProfile>> {
    match v1::QuotaProfile::try_from(value) {
        Ok(v1::QuotaProfile::Unspecified) => Ok(None),
        Ok(v1::QuotaProfile::Open) => Ok(Some(QuotaProfile::Open)),
        Ok(v1::QuotaProfile::Aws) => Ok(Some(QuotaProfile::Aws)),
        Err(_) => Err(OpError::invalid("quotas", "are unknown; they are OPEN or AWS")),
    }
}

/// A stream's largest record, in the words of the service if it is outside its limits.
pub(super) fn max_record_kib(value: u32) -> Result<u32> {
    let bound = match value {
        ..RECORD_KIB_MIN => format!("greater than or equal to {RECORD_KIB_MIN}"),
        RECORD_KIB_MIN..=RECORD_KIB_MAX => return Ok(value),
        _ => format!("less than or equal to {RECORD_KIB_MAX}"),
    };
    let message = format!(
        "1 validation error detected: Value '{value}' at 'maxRecordSizeInKiB' failed to satisfy \
         constraint: Member must have value {bound}"
    );
    Err(OpError::in_its_words(Kind::Validation, "max_record_size_in_kib", message)
        .with("value", value.to_string())
        .with("min", RECORD_KIB_MIN.to_string())
        .with("max", RECORD_KIB_MAX.to_string()))
}

/// Refuses a distribution that the mode does not have.
pub(super) fn check_distribution(mode: StreamMode, distribution: Distribution) -> Result<()> {
    match (mode, distribution) {
        (StreamMode::Provisioned, Distribution::Auto) => {
            let why = "AUTO is for on-demand streams, and this one is provisioned";
            Err(OpError::invalid("record_distribution_strategy", why))
        }
        _ => Ok(()),
    }
}

/// A mode as replies show it.
pub(super) fn shown_mode(mode: StreamMode) -> v1::StreamMode {
    match mode {
        StreamMode::Provisioned => v1::StreamMode::Provisioned,
        StreamMode::OnDemand => v1::StreamMode::OnDemand,
    }
}

/// A distribution as replies show it.
pub(super) fn shown_distribution(distribution: Distribution) -> v1::RecordDistributionStrategy {
    match distribution {
        Distribution::Auto => v1::RecordDistributionStrategy::Auto,
        Distribution::UserPartitionKey => v1::RecordDistributionStrategy::UserPartitionKey,
    }
}

/// Quotas as replies show them.
pub(super) fn shown_quotas(quotas: QuotaProfile) -> v1::QuotaProfile {
    match quotas {
        QuotaProfile::Open => v1::QuotaProfile::Open,
        QuotaProfile::Aws => v1::QuotaProfile::Aws,
    }
}

/// The warm throughput of an on-demand stream: a shard takes 1 MiB/s.
pub(super) fn shown_warm_throughput(stream: &Stream) -> v1::WarmThroughput {
    v1::WarmThroughput {
        target_mibps: stream.settings().warm_throughput_mib_s,
        current_mibps: stream.shards().open().len() as u32,
    }
}

impl Ops {
    /// A warm throughput that a stream of that mode may be kept ready for.
    pub(super) fn warm_throughput(&self, mode: StreamMode, mib_s: u32) -> Result<u32> {
        let field = "warm_throughput_mibps";
        if mib_s > WARM_THROUGHPUT_MIB_S_MAX {
            let max = WARM_THROUGHPUT_MIB_S_MAX;
            return Err(OpError::out_of_range(field, mib_s.into(), 0, max.into()));
        }
        if mib_s == 0 {
            return Ok(0);
        }
        if mode == StreamMode::Provisioned {
            return Err(OpError::invalid(field, "is for on-demand streams"));
        }
        self.check_commitment()?;
        Ok(mib_s)
    }

    /// The quotas in force for a stream with these settings.
    pub(super) fn quotas_of(&self, settings: &StreamSettings) -> QuotaProfile {
        settings.quotas.unwrap_or(self.quotas)
    }

    /// Changes what is set on a stream, and gives what `change` gives. What that refuses is not
    /// changed. It is durable when the call returns.
    pub(super) async fn change_stream<T: Send + 'static>(
        &self,
        stream: &Arc<Stream>,
        change: impl FnOnce(&mut StreamSettings) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let stream = Arc::clone(stream);
        let changed = self.blocking(move |engine| {
            let mut outcome = None;
            engine.change_settings(&stream, |settings| outcome = Some(change(settings)))?;
            Ok(outcome.expect("a change that is recorded was made"))
        });
        changed.await?
    }
}
