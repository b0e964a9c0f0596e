//! Records in and out, a call each. [`Client::producer`] and [`Client::read`] are built on these.

use anabranch_proto::v1;

use super::Client;
use crate::consumer::Position;
use crate::error::Result;
use crate::producer::Record;

impl Client {
    /// Puts one record with a call of its own. For more than a few a [`Client::producer`] is
    /// twenty times faster. `sequence_number_for_ordering` is the number that this producer's
    /// last record of the same key got.
    pub async fn put_record(
        &self,
        stream_name: &str,
        record: Record,
        sequence_number_for_ordering: Option<u64>,
    ) -> Result<v1::PutRecordResponse> {
        let request = v1::PutRecordRequest {
            stream_name: stream_name.to_owned(),
            data: record.data,
            partition_key: record.partition_key,
            explicit_hash_key: record.explicit_hash_key,
            sequence_number_for_ordering,
            ..Default::default()
        };
        self.reply(self.stub().put_record(request).await)
    }

    /// Puts up to 500 records with one call. Each has its own outcome.
    pub async fn put_records(
        &self,
        stream_name: &str,
        records: Vec<Record>,
    ) -> Result<v1::PutRecordsResponse> {
        let request = v1::PutRecordsRequest {
            stream_name: stream_name.to_owned(),
            records: records.into_iter().map(Record::into_entry).collect(),
            ..Default::default()
        };
        self.reply(self.stub().put_records(request).await)
    }

    /// A position in a shard as a token for [`Client::get_records`], valid for 300 seconds.
    pub async fn get_shard_iterator(
        &self,
        stream_name: &str,
        shard_id: &str,
        position: Position,
    ) -> Result<String> {
        Ok(self.locate(stream_name, shard_id, position).await?.shard_iterator)
    }

    /// A position in a shard as a token and as a number.
    pub(crate) async fn locate(
        &self,
        stream_name: &str,
        shard_id: &str,
        position: Position,
    ) -> Result<v1::GetShardIteratorResponse> {
        let start = position.to_starting_position();
        let request = v1::GetShardIteratorRequest {
            stream_name: stream_name.to_owned(),
            shard_id: shard_id.to_owned(),
            shard_iterator_type: start.r#type,
            starting_sequence_number: start.sequence_number,
            timestamp_ms: start.timestamp_ms,
            ..Default::default()
        };
        self.reading(|mut stub| {
            let request = request.clone();
            async move { stub.get_shard_iterator(request).await }
        })
        .await
    }

    /// Reads one page. It is not tried again: a [`Client::read`] does that, and renews what
    /// has expired.
    pub async fn get_records(
        &self,
        request: v1::GetRecordsRequest,
    ) -> Result<v1::GetRecordsResponse> {
        self.reply(self.stub().get_records(request).await)
    }
}
