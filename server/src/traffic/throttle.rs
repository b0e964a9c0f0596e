//! A refusal for want of throughput: which limit, what it allows, and what was seen.

use std::time::Duration;

use anabranch_engine::ids::{ShardId, StreamName};

use crate::ops::{Kind, OpError};

/// Why a shard refused records or a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Throttle {
    /// What is limited: "records", "bytes" or "calls".
    pub limit: &'static str,
    /// How many of it a second the shard gives or takes.
    pub allowed: u64,
    /// How many of it were asked for in the second before, refused ones among them.
    pub seen: u64,
    /// When it would be admitted, if nothing else came.
    pub retry_after: Duration,
}

impl Throttle {
    /// The refusal, in the words of the service and with the figures beside them.
    pub fn error(&self, shard: ShardId, stream: &StreamName, account: &str) -> OpError {
        let message =
            format!("Rate exceeded for shard {shard} in stream {stream} under account {account}.");
        let mut error = OpError::new(Kind::Throttled, message)
            .with("shard_id", shard.to_string())
            .with("limit", self.limit)
            .with("allowed", self.allowed.to_string())
            .with("seen", self.seen.to_string());
        error.retry_after = Some(self.retry_after);
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_speaks_as_the_service_does_and_says_which_limit_and_the_rate_seen() {
        let retry_after = Duration::from_millis(3);
        let throttle = Throttle { limit: "records", allowed: 1000, seen: 1234, retry_after };
        let error = throttle.error(ShardId(3), &"s".parse().unwrap(), "000000000000");
        assert_eq!(error.kind.reason(), "ProvisionedThroughputExceededException");
        assert_eq!(
            error.message,
            "Rate exceeded for shard shardId-000000000003 in stream s under account 000000000000."
        );
        let values: Vec<_> = error.metadata.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["shardId-000000000003", "records", "1000", "1234"]);
        assert_eq!(error.retry_after, Some(retry_after));
    }
}
