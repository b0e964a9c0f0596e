//! ListStreams.

use anabranch_engine::Stream;
use anabranch_proto::v1::{ListStreamsRequest, ListStreamsResponse, StreamSummary};

use super::{OpError, Ops, Result, describe, names};

impl Ops {
    /// Lists the streams by name.
    pub fn list_streams(&self, request: ListStreamsRequest) -> Result<ListStreamsResponse> {
        let limit = names::within("limit", request.limit, 1..=10_000, 100)?;
        let after = request.exclusive_start_stream_name.as_deref();
        let after = after
            .map(|text| {
                text.parse()
                    .map_err(|why| OpError::invalid_text("exclusive_start_stream_name", text, why))
            })
            .transpose()?;
        // One more than asked for tells whether there are more.
        let mut streams = self.engine.streams(after.as_ref(), limit + 1);
        let has_more_streams = streams.len() > limit;
        streams.truncate(limit);
        let summary = |stream: &Stream| StreamSummary {
            stream_name: stream.name().as_str().to_owned(),
            stream_arn: self.owner.stream_arn(stream.name()),
            stream_status: describe::status(stream),
            stream_mode: describe::mode(stream),
            stream_creation_timestamp_ms: stream.created_ms(),
        };
        let names = streams.iter().map(|stream| stream.name().as_str().to_owned());
        Ok(ListStreamsResponse {
            stream_names: names.collect(),
            has_more_streams,
            stream_summaries: streams.iter().map(|stream| summary(stream)).collect(),
            next_token: None,
        })
    }
}
