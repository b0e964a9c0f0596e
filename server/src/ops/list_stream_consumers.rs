//! ListStreamConsumers.

use anabranch_engine::ids::ConsumerName;
use anabranch_proto::v1::{ListStreamConsumersRequest, ListStreamConsumersResponse};

use super::{Kind, OpError, Operation, Ops, Result, names};

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
            .then(|| self.named_stream(&request))
            .transpose()?;
        if request.next_token.is_some() && request.stream_creation_timestamp_ms.is_some() {
            let message = "NextToken and StreamCreationTimestamp cannot be provided together.";
            return Err(OpError::in_its_words(Kind::InvalidArgument, "next_token", message));
        }
        let token = request.next_token.as_deref();
        let token = token.map(|token| self.open_page::<ConsumerName>(token)).transpose()?;
        let (stream, after) = match (named, token) {
            (Some(stream), Some(token)) if stream.id() != token.stream.id() => {
                let why = format_args!("came from another stream than {}", stream.name());
                return Err(OpError::invalid("next_token", why));
            }
            (_, Some(token)) => (token.stream, Some(token.last)),
            (Some(stream), None) => (stream, None),
            (None, None) => unreachable!("without a token the stream is looked up"),
        };
        self.check_creation(&stream, request.stream_creation_timestamp_ms)?;
        self.admit(Operation::ListStreamConsumers, Some(&stream))?;
        let mut consumers = stream.consumers();
        consumers.retain(|consumer| after.as_ref().is_none_or(|after| consumer.name > *after));
        let has_more = consumers.len() > limit;
        consumers.truncate(limit);
        let last = consumers.last().filter(|_| has_more);
        let next_token = last.map(|last| self.seal_page(&stream, &last.name));
        let shown = consumers.iter().map(|consumer| self.show_consumer(&stream, consumer));
        Ok(ListStreamConsumersResponse { consumers: shown.collect(), next_token })
    }
}
