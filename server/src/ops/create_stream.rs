//! CreateStream.

use anabranch_engine::StreamSettings;
use anabranch_engine::limits::SHARDS_PER_STREAM_MAX;
use anabranch_proto::v1::{CreateStreamRequest, CreateStreamResponse};

use super::{Ops, Result, names};

impl Ops {
    /// Makes a stream; it is there when the call returns.
    pub async fn create_stream(
        &self,
        request: CreateStreamRequest,
    ) -> Result<CreateStreamResponse> {
        let name = names::stream_name(&request.stream_name)?;
        let count = request.shard_count;
        names::within("shard_count", Some(count), 1..=SHARDS_PER_STREAM_MAX, 1)?;
        self.blocking(move |engine| engine.create_stream(&name, count, StreamSettings::default()))
            .await?;
        Ok(CreateStreamResponse {})
    }
}
