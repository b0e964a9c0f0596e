//! The tip of a shard as it was at one moment, so that a reader can stop there.
//!
//! It is a number: that of the first record that did not exist at that moment. Numbers only rise,
//! so a reader cuts at exactly the right record, however fast somebody puts meanwhile; no clock
//! is compared with another, and nobody is asked a second time.

use anabranch_proto::v1;

use super::Position;
use crate::client::Client;
use crate::error::Result;

#[derive(Clone, Copy, Debug)]
pub(super) struct Tip {
    /// The number of the first record beyond the tip.
    beyond: u64,
}

impl Tip {
    /// The tip as it is now.
    pub(super) async fn now(client: &Client, stream_name: &str, shard_id: &str) -> Result<Tip> {
        let latest = client.locate(stream_name, shard_id, Position::Latest).await?;
        // A server that does not tell it is read until it has nothing new.
        Ok(Tip { beyond: latest.sequence_number.unwrap_or(u64::MAX) })
    }

    /// Takes away the records beyond the tip.
    pub(super) fn cut(self, records: &mut Vec<v1::Record>) {
        let below = records.partition_point(|record| record.sequence_number < self.beyond);
        records.truncate(below);
    }

    /// Whether a reader that has read up to this number has reached the tip.
    pub(super) fn is_reached(self, last: u64) -> bool {
        last.saturating_add(1) >= self.beyond
    }
}
