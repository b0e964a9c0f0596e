//! Everything that a server has, read back through its API.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use anabranch_client::{Client, Error, Position, v1};
use anyhow::{Context, Result, bail};

use super::record::{Identity, STREAMS};
use crate::checker::Seen;
use crate::torture::server::connect;

/// A shard: index of its stream in [`STREAMS`], and its own.
pub(super) type ShardKey = (u32, u32);

/// A record as it was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stands {
    /// What a reader sees.
    pub(super) seen: Seen,
    /// Who it is; `None` where its bytes are not right.
    pub(super) identity: Option<Identity>,
}

/// What a server has.
#[derive(Default)]
pub(super) struct Found {
    /// The records of each shard, in the order in which they were read.
    pub(super) shards: BTreeMap<ShardKey, Vec<Stands>>,
    /// Its streams.
    pub(super) names: BTreeSet<String>,
    /// The damage that reading met.
    pub(super) damage: Vec<String>,
}

/// Reads all.
pub(super) async fn everything(address: SocketAddr) -> Result<Found> {
    let client = connect(address).await?;
    let mut found = Found::default();
    let streams = client.list_streams().await.context("cannot list the streams")?;
    found.names = streams.into_iter().map(|stream| stream.stream_name).collect();
    for (stream, (name, shards)) in STREAMS.into_iter().enumerate() {
        // Cut off before it was made.
        if !found.names.contains(name) {
            continue;
        }
        for shard in 0..shards {
            let records = read_shard(&client, name, shard, &mut found.damage).await?;
            found.shards.insert((stream as u32, shard), records);
        }
    }
    Ok(found)
}

/// A shard from its trim horizon to its tip.
async fn read_shard(
    client: &Client,
    name: &str,
    shard: u32,
    damage: &mut Vec<String>,
) -> Result<Vec<Stands>> {
    let shard_id = format!("shardId-{shard:012}");
    let mut next = client.get_shard_iterator(name, &shard_id, Position::TrimHorizon).await?;
    let mut records = Vec::new();
    loop {
        let request = v1::GetRecordsRequest {
            shard_iterator: next.clone(),
            max_bytes: Some(10 << 20),
            ..v1::GetRecordsRequest::default()
        };
        match client.get_records(request).await {
            Ok(page) => {
                if page.records.is_empty() && page.millis_behind_latest == 0 {
                    return Ok(records);
                }
                records.extend(page.records.iter().map(stands));
                next = page.next_shard_iterator;
            }
            Err(Error::DataLoss(loss)) => {
                damage.push(loss.to_string());
                next.clone_from(&loss.next_shard_iterator);
            }
            Err(error) => bail!("cannot read shard {shard} of {name}: {error}"),
        }
    }
}

/// What there is to know of a record.
pub(super) fn stands(record: &v1::Record) -> Stands {
    let identity = Identity::of(&record.partition_key, &record.data);
    // Bytes that are not right are nobody's.
    let wrong = || u64::from(crc32fast::hash(&record.data));
    let seen = Seen {
        number: record.sequence_number,
        digest: identity.map_or_else(wrong, Identity::digest),
        arrival_ms: record.arrival_time_ms,
    };
    Stands { seen, identity }
}
