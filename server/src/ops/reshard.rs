//! What the operations that change a stream's shards share: who may, and in which words they are
//! refused.

use std::sync::Arc;

use anabranch_engine::Stream;
use anabranch_engine::error::Error;
use anabranch_engine::ids::ShardId;
use anabranch_engine::reshard::Step;
use anabranch_engine::settings::StreamMode;
use anabranch_proto::v1::StreamStatus;

use super::names::{self, NamesStream};
use super::{Kind, OpError, Ops, Result};

impl Ops {
    /// The stream that a request names, if its shards are the user's to change: it is ACTIVE and
    /// in mode PROVISIONED.
    pub(super) fn provisioned_stream(&self, request: &impl NamesStream) -> Result<Arc<Stream>> {
        let stream = self.active_stream(request)?;
        if stream.settings().mode == StreamMode::OnDemand {
            let message = format!(
                "Stream {} under account {} is in the on-demand capacity mode. This operation is \
                 only supported for data streams with the provisioned capacity mode.",
                stream.name(),
                self.owner.account
            );
            let error = OpError::new(Kind::Validation, message);
            return Err(error.with("stream_name", stream.name().as_str()));
        }
        Ok(stream)
    }

    /// The open shard of that id.
    pub(super) fn open_shard(
        &self,
        stream: &Stream,
        field: &'static str,
        id: &str,
    ) -> Result<Arc<anabranch_engine::Shard>> {
        let id = names::shard_id(field, id)?;
        let (name, account) = (stream.name(), &self.owner.account);
        let Some(shard) = stream.shards().get(id).cloned() else {
            let message =
                format!("Could not find shard {id} in stream {name} under account {account}.");
            let mut error = OpError::new(Kind::ResourceNotFound, message);
            error.field = Some(field.into());
            return Err(error.with("shard_id", id.to_string()));
        };
        if shard.closed().is_some() {
            return Err(self.not_eligible(stream, field, id));
        }
        Ok(shard)
    }

    fn not_eligible(&self, stream: &Stream, field: &'static str, id: ShardId) -> OpError {
        let message = format!(
            "Shard {id} in stream {} under account {} has already been merged or split, and thus \
             is not eligible for merging or splitting.",
            stream.name(),
            self.owner.account
        );
        let error = OpError::in_its_words(Kind::InvalidArgument, field, message);
        error.with("shard_id", id.to_string())
    }

    /// Makes the steps. `field` is the one of the request that names the shard.
    pub(super) async fn reshard(
        &self,
        stream: Arc<Stream>,
        field: &'static str,
        steps: Vec<Step>,
    ) -> Result<()> {
        let to_change = Arc::clone(&stream);
        let made = self.blocking(move |engine| Ok(engine.reshard(&to_change, &steps))).await?;
        if made.is_ok() {
            self.show_updating(&stream);
        }
        made.map_err(|error| match error {
            // Another call was quicker.
            Error::ShardClosed { shard } => self.not_eligible(&stream, field, shard),
            Error::StreamUpdating { .. } => self.not_active(stream.name(), StreamStatus::Updating),
            Error::NotAdjacent { shard, adjacent } => {
                let message = format!(
                    "Shards {shard} and {adjacent} in stream {} under account {} are not an \
                     adjacent pair of shards eligible for merging",
                    stream.name(),
                    self.owner.account
                );
                OpError::in_its_words(Kind::InvalidArgument, field, message)
                    .with("shard_id", shard.to_string())
                    .with("adjacent_shard_id", adjacent.to_string())
            }
            error => error.into(),
        })
    }
}
