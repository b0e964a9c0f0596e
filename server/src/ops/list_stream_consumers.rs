//! ListStreamConsumers.

use anabranch_engine::ids::ConsumerName;
use anabranch_proto::v1::{Consumer, ListStreamConsumersRequest, ListStreamConsumersResponse};

use super::{Kind, OpError, Operation, Ops, Result, names};

impl Ops {
    /// Lists the consumers of a stream by name.
    pub(super) fn list_stream_consumers(
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
        self.check_made(&stream)?;
        self.admit(Operation::ListStreamConsumers, Some(&stream))?;
        let registered = stream.consumers();
        let mut consumers: Vec<_> =
            registered.iter().map(|consumer| self.show_consumer(&stream, consumer)).collect();
        consumers.extend(self.deregistered_consumers(&stream));
        let after = after.as_ref().map_or("", |after| after.as_str());
        consumers.retain(|consumer| consumer.consumer_name.as_str() > after);
        consumers.sort_unstable_by(|one, other| one.consumer_name.cmp(&other.consumer_name));
        let has_more = consumers.len() > limit;
        consumers.truncate(limit);
        let last = consumers.last().filter(|_| has_more);
        let name = |consumer: &Consumer| consumer.consumer_name.parse::<ConsumerName>();
        let last = last.map(|last| name(last).expect("it is a consumer's"));
        let next_token = last.map(|last| self.seal_page(&stream, &last));
        Ok(ListStreamConsumersResponse { consumers, next_token })
    }
}
