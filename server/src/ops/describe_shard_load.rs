//! DescribeShardLoad.

use anabranch_engine::Shard;
use anabranch_proto::v1::{
    DescribeShardLoadRequest, DescribeShardLoadResponse, ScalingDecision, ShardLoad,
};

use super::{Ops, Result};
use crate::scaler::Decided;
use crate::traffic::StreamTraffic;
use crate::traffic::load::WINDOW_SECONDS;

impl Ops {
    /// Describes what the open shards of a stream took and gave in the last minute, and what was
    /// decided about their number in the last hour.
    pub(super) fn describe_shard_load(
        &self,
        request: DescribeShardLoadRequest,
    ) -> Result<DescribeShardLoadResponse> {
        let stream = self.named_stream(&request)?;
        let traffic = self.throughput.traffic(&stream);
        let shards = stream.shards();
        let mut loads: Vec<_> = shards.open().collect();
        loads.sort_unstable_by_key(|shard| shard.id());
        let loads = loads.into_iter().map(|shard| self.shard_load(&traffic, shard));
        let decisions = self.scaler.decided(stream.id()).into_iter().map(shown);
        Ok(DescribeShardLoadResponse { shards: loads.collect(), decisions: decisions.collect() })
    }

    fn shard_load(&self, traffic: &StreamTraffic, shard: &Shard) -> ShardLoad {
        let shard_id = shard.id().to_string();
        let Some(known) = traffic.known_shard(shard.id()) else {
            return ShardLoad { shard_id, ..ShardLoad::default() };
        };
        let now = self.throughput.now();
        let sums = known.over(WINDOW_SECONDS, now);
        let key_load = known.key_load(shard.hash_key_range(), now);
        let hottest = key_load.hottest();
        let per_second = |count: u64| count as f64 / WINDOW_SECONDS as f64;
        ShardLoad {
            shard_id,
            incoming_records_per_second: per_second(sums.records_in),
            incoming_bytes_per_second: per_second(sums.bytes_in),
            outgoing_records_per_second: per_second(sums.records_out),
            outgoing_bytes_per_second: per_second(sums.bytes_out),
            throttled_records: sums.throttled_records,
            hottest_hash_key: hottest.map(|hottest| hottest.key.to_string()),
            hottest_hash_key_share: hottest.map(|hottest| hottest.share),
            halving_hash_key: key_load.halving().map(|halving| halving.at.to_string()),
        }
    }
}

fn shown(decided: Decided) -> ScalingDecision {
    ScalingDecision {
        timestamp_ms: decided.at_ms,
        decision: decided.decision.to_string(),
        reason: decided.decision.reason().to_owned(),
    }
}
