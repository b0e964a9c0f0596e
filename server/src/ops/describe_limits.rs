//! DescribeLimits.

use anabranch_proto::v1::{DescribeLimitsRequest, DescribeLimitsResponse};

use super::{Operation, Ops, Result};

/// The API's numbers end here (API model: 0 to 1,000,000).
const SHOWN_MAX: u64 = 1_000_000;

impl Ops {
    /// Describes how many shards and on-demand streams there are and may be.
    pub(super) fn describe_limits(
        &self,
        _request: DescribeLimitsRequest,
    ) -> Result<DescribeLimitsResponse> {
        self.admit(Operation::DescribeLimits, None)?;
        let (in_use, limits) = (self.account_use(), self.account_limits());
        let shown = |count: u64| count.min(SHOWN_MAX) as u32;
        Ok(DescribeLimitsResponse {
            shard_limit: limits.shards,
            open_shard_count: shown(in_use.open_shards),
            on_demand_stream_count: shown(in_use.on_demand_streams),
            on_demand_stream_count_limit: limits.on_demand_streams,
        })
    }
}
