//! What holds for the whole account, which is the server.

use anabranch_proto::v1::{self, MinimumThroughputBillingCommitmentStatus as Status};

use super::streams::time;
use super::{FromMembers, IntoMembers, choice};
use crate::kinesis::value::Members;

/// What stands before the API's names in ours.
const PREFIX: &str = "COMMITMENT_";

impl FromMembers for v1::DescribeAccountSettingsRequest {
    fn from_members(_: Members) -> Self {
        v1::DescribeAccountSettingsRequest {}
    }
}

impl FromMembers for v1::UpdateAccountSettingsRequest {
    fn from_members(mut members: Members) -> Self {
        let commitment = members.take_map("MinimumThroughputBillingCommitment");
        v1::UpdateAccountSettingsRequest {
            minimum_throughput_billing_commitment: commitment.map(|commitment| {
                let of_name = |name: &str| Status::from_str_name(&format!("{PREFIX}{name}"));
                let status = choice(&commitment, "Status", of_name);
                v1::MinimumThroughputBillingCommitmentInput { status }
            }),
        }
    }
}

/// Replies that tell of the commitment.
macro_rules! commitments {
    ($($reply:ident,)*) => {
        $(impl IntoMembers for v1::$reply {
            fn into_members(self) -> Members {
                let commitment = self.minimum_throughput_billing_commitment.map(commitment);
                Members::new().with_some("MinimumThroughputBillingCommitment", commitment)
            }
        })*
    };
}

commitments! {
    DescribeAccountSettingsResponse,
    UpdateAccountSettingsResponse,
}

fn commitment(commitment: v1::MinimumThroughputBillingCommitment) -> Members {
    let status = Status::try_from(commitment.status).unwrap_or_default();
    Members::new()
        .with("Status", status.as_str_name().trim_start_matches(PREFIX))
        .with_some("StartedAt", commitment.started_timestamp_ms.map(time))
        .with_some("EndedAt", commitment.ended_timestamp_ms.map(time))
        .with_some("EarliestAllowedEndAt", commitment.earliest_allowed_end_timestamp_ms.map(time))
}

impl FromMembers for v1::DescribeLimitsRequest {
    fn from_members(_: Members) -> Self {
        v1::DescribeLimitsRequest {}
    }
}

impl IntoMembers for v1::DescribeLimitsResponse {
    fn into_members(self) -> Members {
        Members::new()
            .with("ShardLimit", self.shard_limit)
            .with("OpenShardCount", self.open_shard_count)
            .with("OnDemandStreamCount", self.on_demand_stream_count)
            .with("OnDemandStreamCountLimit", self.on_demand_stream_count_limit)
    }
}
