//! The load of shards over the last minute, where a server tells it.

use std::collections::HashMap;

use anabranch_proto::v1;
use serde_json::{Value, json};
use tonic::Code;

use super::size::{IN_KIB_S, IN_RECORDS_S};
use crate::client::Client;
use crate::error::{Error, Result};

/// What a server says about the load of a stream's shards.
#[derive(Clone, Debug, Default)]
pub(super) struct StreamLoad {
    /// By id; the open shards.
    pub(super) shards: HashMap<String, v1::ShardLoad>,
    /// What the server decided about their number, the oldest first.
    pub(super) decisions: Vec<v1::ScalingDecision>,
}

/// The load of a stream; none from a server that does not know the call.
pub(super) async fn of(client: &Client, stream_name: &str) -> Result<Option<StreamLoad>> {
    match client.describe_shard_load(stream_name).await {
        Ok(reply) => {
            let shards = reply.shards.into_iter().map(|load| (load.shard_id.clone(), load));
            Ok(Some(StreamLoad { shards: shards.collect(), decisions: reply.decisions }))
        }
        Err(Error::Other(status)) if status.code() == Code::Unimplemented => Ok(None),
        Err(error) => Err(error),
    }
}

/// KiB put a second.
pub(super) fn in_kib_s(load: &v1::ShardLoad) -> f64 {
    load.incoming_bytes_per_second / 1024.0
}

/// The part of what a shard of the real service takes that is put into this one, by records or by
/// bytes, whichever is more; 1 is all of it.
pub(super) fn utilisation(load: &v1::ShardLoad) -> f64 {
    let records = load.incoming_records_per_second / IN_RECORDS_S as f64;
    records.max(in_kib_s(load) / IN_KIB_S as f64)
}

/// A load for programs. The names are the API's.
pub(super) fn object(load: &v1::ShardLoad) -> Value {
    json!({
        "incoming_records_per_second": load.incoming_records_per_second,
        "incoming_bytes_per_second": load.incoming_bytes_per_second,
        "outgoing_records_per_second": load.outgoing_records_per_second,
        "outgoing_bytes_per_second": load.outgoing_bytes_per_second,
        "throttled_records": load.throttled_records,
        "hottest_hash_key": load.hottest_hash_key,
        "hottest_hash_key_share": load.hottest_hash_key_share,
        "halving_hash_key": load.halving_hash_key,
    })
}

/// The decisions for programs.
pub(super) fn decision_object(decision: &v1::ScalingDecision) -> Value {
    json!({
        "timestamp_ms": decision.timestamp_ms,
        "decision": decision.decision,
        "reason": decision.reason,
    })
}
