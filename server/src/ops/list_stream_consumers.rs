//! ListStreamConsumers.

use anabranch_engine::ids::ConsumerName;
use anabranch_proto::v1::{ListStreamConsumersRequest, ListStreamConsumersResponse};

use super::page_token::PageToken;
use super::{OpError, Ops, Result, names};

impl Ops {
    /// Lists the consumers of a stream by name.
    pub fn list_stream_consumers(
        &self,
        request: ListStreamConsumersRequest,
    ) -> Result<ListStreamConsumersResponse> {
        let limit = names::within("max_results", request.max_results, 1..=10_000, 100)?;
        // The service wants the stream's ARN along with the token, so both may be given.
        let named = !request.stream_arn.is_empty() || !request.stream_name.is_empty();
        let named = (named || request.next_token.is_none())
            .then(|| names::stream_by_arn(&self.engine, &request.stream_arn, &request.stream_name))
            .transpose()?;
        let token = request.next_token.as_deref();
        let token = token
            .map(|token| PageToken::<ConsumerName>::open(&self.engine, &self.seal, token))
            .transpose()?;
        let (stream, after) = match (named, token) {
            (Some(stream), Some(token)) if stream.id() != token.stream.id() => {
                let why = format_args!("came from another stream than {}", stream.name());
                return Err(OpError::invalid("next_token", why));
            }
            (_, Some(token)) => (token.stream, Some(token.last)),
            (Some(stream), None) => (stream, None),
            (None, None) => return Err(OpError::invalid("stream_name", "is missing")),
        };
        let mut consumers = stream.consumers();
        consumers.retain(|consumer| after.as_ref().is_none_or(|after| consumer.name > *after));
        let has_more = consumers.len() > limit;
        consumers.truncate(limit);
        let last = consumers.last().filter(|_| has_more);
        let next_token =
            last.map(|last| PageToken::seal(&self.engine, &self.seal, &stream, &last.name));
        let shown = consumers.iter().map(|consumer| self.show_consumer(&stream, consumer));
        Ok(ListStreamConsumersResponse { consumers: shown.collect(), next_token })
    }
}
