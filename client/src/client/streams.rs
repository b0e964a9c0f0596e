//! Streams: made, described, listed, kept for so long, tagged, deleted.

use anabranch_proto::v1;

use super::Client;
use crate::error::Result;

impl Client {
    /// Makes a stream. It is ready when the call returns. A count of 0 leaves it to the server,
    /// which makes four shards.
    pub async fn create_stream(&self, stream_name: &str, shard_count: u32) -> Result<()> {
        self.create_stream_with(v1::CreateStreamRequest {
            stream_name: stream_name.to_owned(),
            shard_count,
            ..Default::default()
        })
        .await
    }

    /// Makes a stream with more settings than a name and a number of shards. It is ready when
    /// the call returns.
    pub async fn create_stream_with(&self, request: v1::CreateStreamRequest) -> Result<()> {
        self.reply(self.stub().create_stream(request).await)?;
        Ok(())
    }

    /// Deletes a stream and its records; with `enforce_consumer_deletion` its registered
    /// consumers too, which otherwise forbid it.
    pub async fn delete_stream(
        &self,
        stream_name: &str,
        enforce_consumer_deletion: bool,
    ) -> Result<()> {
        let request = v1::DeleteStreamRequest {
            stream_name: stream_name.to_owned(),
            enforce_consumer_deletion,
            ..Default::default()
        };
        self.reply(self.stub().delete_stream(request).await)?;
        Ok(())
    }

    /// Describes a stream without its shards.
    pub async fn describe_stream_summary(
        &self,
        stream_name: &str,
    ) -> Result<v1::StreamDescriptionSummary> {
        let request = v1::DescribeStreamSummaryRequest {
            stream_name: stream_name.to_owned(),
            ..Default::default()
        };
        let reply = self
            .reading(|mut stub| {
                let request = request.clone();
                async move { stub.describe_stream_summary(request).await }
            })
            .await?;
        Ok(reply.stream_description_summary.unwrap_or_default())
    }

    /// Describes a stream and one page of its shards: at most `limit` (1 to 10,000, by default
    /// 100) behind the given one.
    pub async fn describe_stream(
        &self,
        stream_name: &str,
        limit: Option<u32>,
        exclusive_start_shard_id: Option<&str>,
    ) -> Result<v1::StreamDescription> {
        let request = v1::DescribeStreamRequest {
            stream_name: stream_name.to_owned(),
            limit,
            exclusive_start_shard_id: exclusive_start_shard_id.map(str::to_owned),
            ..Default::default()
        };
        let reply = self
            .reading(|mut stub| {
                let request = request.clone();
                async move { stub.describe_stream(request).await }
            })
            .await?;
        Ok(reply.stream_description.unwrap_or_default())
    }

    /// All streams, by name.
    pub async fn list_streams(&self) -> Result<Vec<v1::StreamSummary>> {
        let mut streams: Vec<v1::StreamSummary> = Vec::new();
        loop {
            let request = v1::ListStreamsRequest {
                limit: Some(1000),
                exclusive_start_stream_name: streams.last().map(|last| last.stream_name.clone()),
                ..Default::default()
            };
            let page = self
                .reading(|mut stub| {
                    let request = request.clone();
                    async move { stub.list_streams(request).await }
                })
                .await?;
            let is_last = !page.has_more_streams || page.stream_summaries.is_empty();
            streams.extend(page.stream_summaries);
            if is_last {
                return Ok(streams);
            }
        }
    }

    /// All shards of a stream that may hold records, by index.
    pub async fn list_shards(&self, stream_name: &str) -> Result<Vec<v1::Shard>> {
        self.all_shards(stream_name, None).await
    }

    /// The shards of a stream that a filter admits, by index.
    pub async fn list_shards_filtered(
        &self,
        stream_name: &str,
        filter: v1::ShardFilter,
    ) -> Result<Vec<v1::Shard>> {
        self.all_shards(stream_name, Some(filter)).await
    }

    async fn all_shards(
        &self,
        stream_name: &str,
        shard_filter: Option<v1::ShardFilter>,
    ) -> Result<Vec<v1::Shard>> {
        let mut shards = Vec::new();
        let mut request = v1::ListShardsRequest {
            stream_name: stream_name.to_owned(),
            shard_filter,
            ..v1::ListShardsRequest::default()
        };
        loop {
            let page = self
                .reading(|mut stub| {
                    let request = request.clone();
                    async move { stub.list_shards(request).await }
                })
                .await?;
            shards.extend(page.shards);
            let Some(next_token) = page.next_token else {
                return Ok(shards);
            };
            // The filter goes on with the token.
            request = v1::ListShardsRequest {
                next_token: Some(next_token),
                ..v1::ListShardsRequest::default()
            };
        }
    }

    /// Keeps records for longer, up to 8,760 hours.
    pub async fn increase_stream_retention_period(
        &self,
        stream_name: &str,
        retention_period_hours: u32,
    ) -> Result<()> {
        let request = v1::IncreaseStreamRetentionPeriodRequest {
            stream_name: stream_name.to_owned(),
            retention_period_hours,
            ..Default::default()
        };
        self.reply(self.stub().increase_stream_retention_period(request).await)?;
        Ok(())
    }

    /// Keeps records for less long, down to 24 hours.
    pub async fn decrease_stream_retention_period(
        &self,
        stream_name: &str,
        retention_period_hours: u32,
    ) -> Result<()> {
        let request = v1::DecreaseStreamRetentionPeriodRequest {
            stream_name: stream_name.to_owned(),
            retention_period_hours,
            ..Default::default()
        };
        self.reply(self.stub().decrease_stream_retention_period(request).await)?;
        Ok(())
    }

    /// The tags of a stream, by key.
    pub async fn list_tags_for_stream(&self, stream_name: &str) -> Result<Vec<v1::Tag>> {
        let mut tags: Vec<v1::Tag> = Vec::new();
        loop {
            let request = v1::ListTagsForStreamRequest {
                stream_name: stream_name.to_owned(),
                exclusive_start_tag_key: tags.last().map(|last| last.key.clone()),
                ..Default::default()
            };
            let page = self
                .reading(|mut stub| {
                    let request = request.clone();
                    async move { stub.list_tags_for_stream(request).await }
                })
                .await?;
            let is_last = !page.has_more_tags || page.tags.is_empty();
            tags.extend(page.tags);
            if is_last {
                return Ok(tags);
            }
        }
    }

    /// Adds tags to a stream, at most 50 in all, or overwrites the values of those it has.
    pub async fn add_tags_to_stream(
        &self,
        stream_name: &str,
        tags: impl IntoIterator<Item = (String, String)>,
    ) -> Result<()> {
        let request = v1::AddTagsToStreamRequest {
            stream_name: stream_name.to_owned(),
            tags: tags.into_iter().collect(),
            ..Default::default()
        };
        self.reply(self.stub().add_tags_to_stream(request).await)?;
        Ok(())
    }

    /// Removes tags from a stream. Those that it does not have are ignored.
    pub async fn remove_tags_from_stream(
        &self,
        stream_name: &str,
        tag_keys: Vec<String>,
    ) -> Result<()> {
        let request = v1::RemoveTagsFromStreamRequest {
            stream_name: stream_name.to_owned(),
            tag_keys,
            ..Default::default()
        };
        self.reply(self.stub().remove_tags_from_stream(request).await)?;
        Ok(())
    }
}
