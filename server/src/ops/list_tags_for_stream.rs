//! ListTagsForStream.

use std::ops::Bound::{Excluded, Unbounded};

use anabranch_engine::limits::TAGS_MAX;
use anabranch_proto::v1::{ListTagsForStreamRequest, ListTagsForStreamResponse};

use super::{Operation, Ops, Result, names, tags};

impl Ops {
    /// Lists the tags of a stream by key.
    pub(super) fn list_tags_for_stream(
        &self,
        request: ListTagsForStreamRequest,
    ) -> Result<ListTagsForStreamResponse> {
        let max = TAGS_MAX as u32;
        let limit = names::within("limit", request.limit, 1..=max, max)?;
        let stream = self.named_stream(&request)?;
        self.admit(Operation::ListTagsForStream, Some(&stream))?;
        let settings = stream.settings();
        let start = request.exclusive_start_tag_key.as_ref().map_or(Unbounded, Excluded);
        let mut rest = settings.tags.range::<String, _>((start, Unbounded));
        let tags = tags::shown(rest.by_ref().take(limit));
        Ok(ListTagsForStreamResponse { tags, has_more_tags: rest.next().is_some() })
    }
}
