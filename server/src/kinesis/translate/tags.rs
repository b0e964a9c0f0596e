//! Tags of streams and of consumers.

use anabranch_proto::v1;

use super::{FromMembers, IntoMembers, count, empty, stream_arn, stream_name, text};
use crate::kinesis::value::Members;

impl FromMembers for v1::AddTagsToStreamRequest {
    fn from_members(mut members: Members) -> Self {
        v1::AddTagsToStreamRequest {
            stream_name: stream_name(&mut members),
            stream_arn: stream_arn(&mut members),
            tags: tags(&mut members),
        }
    }
}

impl FromMembers for v1::RemoveTagsFromStreamRequest {
    fn from_members(mut members: Members) -> Self {
        v1::RemoveTagsFromStreamRequest {
            stream_name: stream_name(&mut members),
            stream_arn: stream_arn(&mut members),
            tag_keys: tag_keys(&mut members),
        }
    }
}

impl FromMembers for v1::ListTagsForStreamRequest {
    fn from_members(mut members: Members) -> Self {
        v1::ListTagsForStreamRequest {
            stream_name: stream_name(&mut members),
            stream_arn: stream_arn(&mut members),
            exclusive_start_tag_key: members.take_text("ExclusiveStartTagKey"),
            limit: count(&members, "Limit"),
        }
    }
}

impl IntoMembers for v1::ListTagsForStreamResponse {
    fn into_members(self) -> Members {
        Members::new().with("Tags", listed(self.tags)).with("HasMoreTags", self.has_more_tags)
    }
}

impl FromMembers for v1::TagResourceRequest {
    fn from_members(mut members: Members) -> Self {
        let resource_arn = text(&mut members, "ResourceARN");
        v1::TagResourceRequest { resource_arn, tags: tags(&mut members) }
    }
}

impl FromMembers for v1::UntagResourceRequest {
    fn from_members(mut members: Members) -> Self {
        let resource_arn = text(&mut members, "ResourceARN");
        v1::UntagResourceRequest { resource_arn, tag_keys: tag_keys(&mut members) }
    }
}

impl FromMembers for v1::ListTagsForResourceRequest {
    fn from_members(mut members: Members) -> Self {
        v1::ListTagsForResourceRequest { resource_arn: text(&mut members, "ResourceARN") }
    }
}

impl IntoMembers for v1::ListTagsForResourceResponse {
    fn into_members(self) -> Members {
        Members::new().with("Tags", listed(self.tags))
    }
}

empty! {
    AddTagsToStreamResponse,
    RemoveTagsFromStreamResponse,
    TagResourceResponse,
    UntagResourceResponse,
}

/// The tags that a request brings.
pub(super) fn tags<T: FromIterator<(String, String)>>(members: &mut Members) -> T {
    let tags = members.take_map("Tags").unwrap_or_default().into_iter();
    tags.filter_map(|(key, value)| Some((key.into_owned(), value.into_text()?))).collect()
}

fn tag_keys(members: &mut Members) -> Vec<String> {
    members.take_texts("TagKeys").unwrap_or_default()
}

fn listed(tags: Vec<v1::Tag>) -> Vec<Members> {
    let tag = |tag: v1::Tag| Members::new().with("Key", tag.key).with("Value", tag.value);
    tags.into_iter().map(tag).collect()
}
