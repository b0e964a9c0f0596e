//! A stream of many shards, and batches that reach each of them.

use anabranch_client::{Client, v1};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use tokio::sync::mpsc::unbounded_channel;
use tokio_stream::wrappers::UnboundedReceiverStream;

/// A stream whose shards are reached by explicit hash keys.
#[derive(Clone)]
pub(super) struct Wide {
    name: String,
    /// The first hash key of each shard, by index.
    keys: Vec<String>,
}

impl Wide {
    /// Makes the stream, if it is not there, and learns where its shards are.
    pub(super) async fn make(client: &Client, name: &str, shards: u32) -> Result<Wide> {
        match client.create_stream(name, shards).await {
            Ok(()) | Err(anabranch_client::Error::InUse { .. }) => {}
            Err(error) => return Err(error).context("cannot make the stream"),
        }
        let shards = client.list_shards(name).await?;
        let keys = shards.into_iter().map(|shard| {
            let range = shard.hash_key_range.unwrap_or_default();
            range.starting_hash_key
        });
        Ok(Wide { name: name.to_owned(), keys: keys.collect() })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn shards(&self) -> usize {
        self.keys.len()
    }

    /// A record for a shard.
    pub(super) fn record(&self, shard: usize, data: &Bytes) -> v1::PutRecordsRequestEntry {
        v1::PutRecordsRequestEntry {
            data: data.clone(),
            partition_key: "key".to_owned(),
            explicit_hash_key: Some(self.keys[shard].clone()),
        }
    }

    /// Puts batches over one `Produce` call with so many in flight, and gives each answer to
    /// `answered`, until there are no more. Refused records are an error.
    pub(super) async fn pour(
        &self,
        client: &Client,
        in_flight: usize,
        mut batches: impl Iterator<Item = Vec<v1::PutRecordsRequestEntry>>,
        mut answered: impl FnMut(v1::ProduceResponse),
    ) -> Result<()> {
        let (requests, channel) = unbounded_channel();
        let request = |records| v1::ProduceRequest {
            stream_name: self.name.clone(),
            records,
            ..Default::default()
        };
        let mut flying = 0;
        for records in batches.by_ref().take(in_flight) {
            let _ = requests.send(request(records));
            flying += 1;
        }
        let answers = client.stub().produce(UnboundedReceiverStream::new(channel)).await;
        let mut answers = answers.context("cannot put")?.into_inner();
        while flying > 0 {
            let answer = answers.message().await.context("a call broke off")?;
            let answer = answer.context("a call ended early")?;
            if let Some(failure) = answer.failures.first() {
                bail!("a record was refused: {}", failure.error_message);
            }
            answered(answer);
            match batches.next() {
                Some(records) => drop(requests.send(request(records))),
                None => flying -= 1,
            }
        }
        Ok(())
    }
}
