//! ListStreams.

use anabranch_engine::Stream;
use anabranch_engine::ids::StreamName;
use anabranch_proto::v1::{
    ListStreamsRequest, ListStreamsResponse, StreamDescription, StreamSummary,
};

use super::{OpError, Operation, Ops, Result, describe, names};

impl Ops {
    /// Lists the streams by name.
    pub(super) fn list_streams(&self, request: ListStreamsRequest) -> Result<ListStreamsResponse> {
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
        let streams = self.engine.streams(after.as_ref(), limit + 1);
        let mut summaries: Vec<_> =
            streams.iter().map(|stream| self.stream_summary(stream)).collect();
        let deleting = self.deleting_streams(after.as_ref(), limit + 1);
        if !deleting.is_empty() {
            summaries.extend(deleting.into_iter().map(deleted_summary));
            summaries.sort_unstable_by(|one, other| one.stream_name.cmp(&other.stream_name));
        }
        let has_more_streams = summaries.len() > limit;
        summaries.truncate(limit);
        let names: Vec<_> = summaries.iter().map(|stream| stream.stream_name.clone()).collect();
        let last = names.last().filter(|_| has_more_streams);
        let seal = |name: &String| self.seal_stream_page(&name.parse().expect("it is a stream's"));
        Ok(ListStreamsResponse {
            next_token: last.map(seal),
            stream_names: names,
            has_more_streams,
            stream_summaries: summaries,
        })
    }

    fn stream_summary(&self, stream: &Stream) -> StreamSummary {
        StreamSummary {
            stream_name: stream.name().as_str().to_owned(),
            stream_arn: self.owner.stream_arn(stream.name()),
            stream_status: self.status(stream).into(),
            stream_mode: describe::mode(stream),
            stream_creation_timestamp_ms: stream.created_ms(),
        }
    }
}

/// A stream that is DELETING.
fn deleted_summary(deleted: StreamDescription) -> StreamSummary {
    StreamSummary {
        stream_name: deleted.stream_name,
        stream_arn: deleted.stream_arn,
        stream_status: deleted.stream_status,
        stream_mode: deleted.stream_mode,
        stream_creation_timestamp_ms: deleted.stream_creation_timestamp_ms,
    }
}
