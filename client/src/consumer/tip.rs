//! The tip of a shard as it was at one moment, so that a reader can stop there.
//!
//! A LATEST iterator taken at that moment points behind the newest record. What it reads
//! first, whenever that is, is the first record *beyond* the tip: its number is the boundary.
//! As long as it reads nothing, nothing lies beyond the tip, and all that a reader has is
//! below it. So whoever asks for the boundary after a page was read, and before it is handed
//! over, cuts at exactly the right record, however fast somebody puts meanwhile, and no clock
//! is compared with another.

use anabranch_proto::v1;

use super::Position;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::retry::Retry;

#[derive(Debug)]
pub(super) struct Tip {
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing lay beyond the tip when this token was last used.
    Quiet { token: String },
    /// The first record beyond the tip.
    Boundary(u64),
}

impl Tip {
    /// The tip as it is now.
    pub(super) async fn now(client: &Client, stream_name: &str, shard_id: &str) -> Result<Tip> {
        let token = client.get_shard_iterator(stream_name, shard_id, Position::Latest).await?;
        let state = State::Quiet { token };
        Ok(Tip { state })
    }

    /// The number of the first record beyond the tip; none if there is none yet.
    pub(super) async fn boundary(&mut self, client: &Client) -> Result<Option<u64>> {
        let mut retry = Retry::new(client.retry_policy());
        loop {
            let token = match &self.state {
                State::Boundary(number) => return Ok(Some(*number)),
                State::Quiet { token } => token.clone(),
            };
            let request = v1::GetRecordsRequest {
                shard_iterator: token,
                limit: Some(1),
                ..v1::GetRecordsRequest::default()
            };
            match client.get_records(request).await {
                Ok(page) => {
                    if let Some(first) = page.records.first() {
                        self.state = State::Boundary(first.sequence_number);
                        continue;
                    }
                    // Using the token renews it. At the end of a closed shard there is no
                    // next one, and nothing will ever lie beyond the tip.
                    if !page.next_shard_iterator.is_empty() {
                        self.state = State::Quiet { token: page.next_shard_iterator };
                    }
                    return Ok(None);
                }
                Err(Error::DataLoss(loss)) => self.state = State::Boundary(loss.first_lost),
                Err(error) => retry.pause(error).await?,
            }
        }
    }
}
