//! ListStreams.

use anabranch_engine::Stream;
use anabranch_engine::ids::StreamName;
use anabranch_proto::v1::{ListStreamsRequest, ListStreamsResponse, StreamSummary};

use super::{OpError, Operation, Ops, Result, describe, names};

impl Ops {
    /// Lists the streams by name.
    pub fn list_streams(&self, request: ListStreamsRequest) -> Result<ListStreamsResponse> {
        let limit = names::within("limit", request.limit, 1..=10_000, 100)?;
        let start = request.exclusive_start_stream_name.as_deref();
        let start = start.map(|text| {
            let invalid = |why| OpError::invalid_text("exclusive_start_stream_name", text, why);
            text.parse::<StreamName>().map_err(invalid)
        });
        // Paginators of SDKs send what began the list along with the token, which lies behind it.
        let after = match (&request.next_token, start.transpose()?) {
            (Some(token), _) => Some(self.open_stream_page(token)?),
            (None, start) => start,
        };
        self.admit(Operation::ListStreams, None)?;
        // One more than asked for tells whether there are more.
        let mut streams = self.engine.streams(after.as_ref(), limit + 1);
        let has_more_streams = streams.len() > limit;
        streams.truncate(limit);
        let last = streams.last().filter(|_| has_more_streams);
        let next_token = last.map(|last| self.seal_stream_page(last.name()));
        let summary = |stream: &Stream| StreamSummary {
            stream_name: stream.name().as_str().to_owned(),
            stream_arn: self.owner.stream_arn(stream.name()),
            stream_status: self.status(stream).into(),
            stream_mode: describe::mode(stream),
            stream_creation_timestamp_ms: stream.created_ms(),
        };
        let names = streams.iter().map(|stream| stream.name().as_str().to_owned());
        Ok(ListStreamsResponse {
            stream_names: names.collect(),
            has_more_streams,
            stream_summaries: streams.iter().map(|stream| summary(stream)).collect(),
            next_token,
        })
    }
}
