//! ListShards.

use std::sync::Arc;

use anabranch_engine::ids::ShardId;
use anabranch_engine::{Shard, Stream};
use anabranch_proto::v1::{ListShardsRequest, ListShardsResponse};

use super::names::NamesStream;
use super::shard_filter::{ShardFilter, ShardPageEnd};
use super::{Kind, OpError, Operation, Ops, Result, describe, names};

const HOUR_MS: u64 = 3_600_000;

/// What a request asks for: the shards of a stream behind one of them, as far as a filter admits
/// them.
struct Wanted {
    stream: Arc<Stream>,
    after: Option<ShardId>,
    filter: ShardFilter,
}

impl Ops {
    /// Lists the shards of a stream by index.
    pub(super) fn list_shards(&self, request: ListShardsRequest) -> Result<ListShardsResponse> {
        let limit = names::within("max_results", request.max_results, 1..=10_000, 1000)?;
        let Wanted { stream, after, filter } = self.wanted_shards(&request)?;
        self.admit(Operation::ListShards, Some(&stream))?;
        let now_ms = self.engine.now_ms();
        let kept_ms = u64::from(stream.retention_hours()) * HOUR_MS;
        let horizon_ms = now_ms.saturating_sub(kept_ms).max(stream.created_ms());
        let shards = stream.shards();
        let admits =
            |shard: &Shard| filter.admits(describe::shard_life(&shards, shard), horizon_ms);
        let (shards, has_more) = page_of_shards(&shards, after, limit, admits);
        let last = shards.last().filter(|_| has_more);
        let filter = filter.going_on(now_ms, horizon_ms);
        let next_token =
            last.map(|last| self.seal_page(&stream, &ShardPageEnd { last: last.id(), filter }));
        Ok(ListShardsResponse {
            shards: shards.iter().map(|shard| describe::shard(shard)).collect(),
            next_token,
        })
    }

    fn wanted_shards(&self, request: &ListShardsRequest) -> Result<Wanted> {
        if let Some(token) = &request.next_token {
            for (name, is_given) in [
                ("StreamName", !request.stream_fields().is_empty()),
                ("ExclusiveStartShardId", request.exclusive_start_shard_id.is_some()),
                ("StreamCreationTimestamp", request.stream_creation_timestamp_ms.is_some()),
                ("ShardFilter", request.shard_filter.is_some()),
            ] {
                if is_given {
                    return Err(refusal(format!(
                        "NextToken and {name} cannot be provided together."
                    )));
                }
            }
            let page = self.open_page::<ShardPageEnd>(token)?;
            let ShardPageEnd { last, filter } = page.last;
            return Ok(Wanted { stream: page.stream, after: Some(last), filter });
        }
        if request.stream_fields().is_empty() {
            return Err(refusal("Either NextToken or StreamName should be provided.".to_owned()));
        }
        let stream = self.named_stream(request)?;
        self.check_creation(&stream, request.stream_creation_timestamp_ms)?;
        self.check_made(&stream)?;
        let start = request.exclusive_start_shard_id.as_deref();
        let start = start.map(|text| names::shard_id("exclusive_start_shard_id", text));
        let filter = request.shard_filter.as_ref().map(ShardFilter::of_request).transpose()?;
        let (filter, after) = filter.unwrap_or_default();
        Ok(Wanted { stream, after: start.transpose()?.max(after), filter })
    }
}

fn refusal(message: String) -> OpError {
    OpError::in_its_words(Kind::InvalidArgument, "next_token", message)
}

/// Up to `limit` shards behind `after` that are admitted, and whether there are more.
pub(super) fn page_of_shards(
    shards: &[Arc<Shard>],
    after: Option<ShardId>,
    limit: usize,
    admits: impl Fn(&Shard) -> bool,
) -> (Vec<Arc<Shard>>, bool) {
    let start = after.map_or(0, |after| shards.partition_point(|shard| shard.id() <= after));
    let admitted = shards[start..].iter().filter(|shard| admits(shard));
    // One more than asked for tells whether there are more.
    let mut page: Vec<_> = admitted.take(limit + 1).cloned().collect();
    let has_more = page.len() > limit;
    page.truncate(limit);
    (page, has_more)
}
