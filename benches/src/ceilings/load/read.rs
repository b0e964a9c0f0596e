//! Reading what was put: by page, and pushed.

use std::time::Instant;

use anabranch_client::{Client, Item, Position};
use anabranch_proto::v1::streams_client::StreamsClient;
use anabranch_proto::v1::{
    GetRecordsRequest, GetShardIteratorRequest, RegisterStreamConsumerRequest, ShardIteratorType,
    StartingPosition, SubscribeToShardEvent, SubscribeToShardRequest,
};
use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::super::child::Child;
use super::{
    Outcome, PAGE_RECORDS, STREAM, Settings, Tally, Window, connect, cpu_seconds, outcome, spent,
};

/// The shard that is read: streams that are read have one.
pub(super) const SHARD: &str = "shardId-000000000000";

/// By `in_flight` readers that page through the shard with GetRecords, from the start again when
/// they are at the tip. A server that does nothing has no end.
pub(in super::super) async fn get(
    child: &Child,
    in_flight: usize,
    is_null: bool,
    seconds: f64,
) -> Result<Outcome> {
    let client = connect(child, Settings::Ours).await?;
    let first = if is_null { String::new() } else { oldest(client.clone()).await? };
    let window = Window::open(seconds);
    let mut parts = JoinSet::new();
    for _ in 0..in_flight {
        let (mut client, first) = (client.clone(), first.clone());
        parts.spawn(async move {
            let (mut tally, mut iterator) = (Tally::new(), first.clone());
            while !window.is_over() {
                let request = GetRecordsRequest {
                    shard_iterator: std::mem::take(&mut iterator),
                    limit: Some(PAGE_RECORDS as u32),
                    ..GetRecordsRequest::default()
                };
                let sent = Instant::now();
                let page = client.get_records(request).await?.into_inner();
                tally.note(window, sent, page.records.len());
                iterator = match page.records.len() {
                    PAGE_RECORDS => page.next_shard_iterator,
                    _ => first.clone(),
                };
            }
            anyhow::Ok(tally)
        });
    }
    let spent = spent(child, window).await?;
    let mut tally = Tally::new();
    while let Some(part) = parts.join_next().await {
        tally.add(&part??);
    }
    Ok(Outcome { disk: None, ..outcome(child, window, tally, spent)? })
}

async fn oldest(mut client: StreamsClient<Channel>) -> Result<String> {
    let request = GetShardIteratorRequest {
        stream_name: STREAM.to_owned(),
        shard_id: SHARD.to_owned(),
        shard_iterator_type: ShardIteratorType::TrimHorizon.into(),
        ..GetShardIteratorRequest::default()
    };
    Ok(client.get_shard_iterator(request).await?.into_inner().shard_iterator)
}

/// By our client: pushed from the oldest record to the tip.
pub(in super::super) async fn replay_by_our_client(child: &Child, records: u64) -> Result<Outcome> {
    let client = Client::connect(&child.url()).await?;
    register(child, "ours").await?;
    let before = (child.cpu_seconds()?, cpu_seconds("self")?);
    let begun = Instant::now();
    let reader = client.read(STREAM).from(Position::TrimHorizon).push("ours").until_tip(true);
    let mut reader = reader.start().await?;
    let mut read = 0;
    while let Some(item) = reader.next().await {
        match item? {
            Item::Batch(batch) => read += batch.records.len() as u64,
            Item::Damage(damage) => anyhow::bail!("records are damaged: {}", damage.loss),
            Item::End(_) => {}
        }
    }
    ensure!(read == records, "{read} of {records} records were pushed");
    since(child, before, begun, read)
}

/// By a client as tonic and prost make it, from a server of ours: pushed until `records` have
/// come.
pub(in super::super) async fn replay_stock(child: &Child, records: u64) -> Result<Outcome> {
    // One of its own: a second subscription of a name within five seconds is refused.
    register(child, "stock").await?;
    replay(child, Settings::Stock, records).await
}

/// The same from a server that does nothing, and with the settings of either.
pub(in super::super) async fn replay_raw(
    child: &Child,
    settings: Settings,
    records: u64,
) -> Result<Outcome> {
    replay(child, settings, records).await
}

async fn replay(child: &Child, settings: Settings, records: u64) -> Result<Outcome> {
    let mut client = connect(child, settings).await?;
    let before = (child.cpu_seconds()?, cpu_seconds("self")?);
    let begun = Instant::now();
    let request = SubscribeToShardRequest {
        stream_name: STREAM.to_owned(),
        consumer_name: "stock".to_owned(),
        shard_id: SHARD.to_owned(),
        starting_position: Some(StartingPosition {
            r#type: ShardIteratorType::TrimHorizon.into(),
            ..StartingPosition::default()
        }),
        ..SubscribeToShardRequest::default()
    };
    let mut events = client.subscribe_to_shard(request).await?.into_inner();
    let mut read = 0;
    while read < records {
        let event = events.message().await?.context("the events ended")?;
        read += event.records.len() as u64;
    }
    since(child, before, begun, read)
}

/// By `subscribers`, each over a connection of its own and with `shards` spread evenly over them:
/// what they are pushed together, until each has had `records`.
pub(in super::super) async fn fan_out(
    child: &Child,
    subscribers: u32,
    shards: u32,
    records: u64,
) -> Result<Outcome> {
    let mut all = Vec::new();
    for subscriber in 0..subscribers {
        all.push(subscribe(child, subscriber, shards, ShardIteratorType::TrimHorizon).await?);
    }
    let before = (child.cpu_seconds()?, cpu_seconds("self")?);
    let begun = Instant::now();
    let mut parts = JoinSet::new();
    for mut events in all {
        parts.spawn(async move {
            let mut read = 0;
            while read < records {
                let event = events.message().await?.context("the events ended")?;
                read += event.records.len() as u64;
            }
            anyhow::Ok(read)
        });
    }
    let mut read = 0;
    while let Some(part) = parts.join_next().await {
        read += part??;
    }
    since(child, before, begun, read)
}

/// By as many subscribers, for a while and from the start again and again: the most memory of its
/// own that the server has meanwhile.
pub(in super::super) async fn follow(
    child: &Child,
    subscribers: u32,
    shards: u32,
    seconds: f64,
) -> Result<u64> {
    let mut parts = JoinSet::new();
    for subscriber in 0..subscribers {
        let mut events =
            subscribe(child, subscriber, shards, ShardIteratorType::TrimHorizon).await?;
        parts.spawn(async move { while let Ok(Some(_)) = events.message().await {} });
    }
    let window = Window::open(seconds);
    let mut most = 0;
    while !window.is_over() {
        most = most.max(child.anonymous_bytes()?);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    parts.shutdown().await;
    Ok(most)
}

/// A subscription over a connection of its own: the subscribers of a shard have names of their
/// own, and a name has all shards.
pub(super) async fn subscribe(
    child: &Child,
    subscriber: u32,
    shards: u32,
    from: ShardIteratorType,
) -> Result<tonic::Streaming<SubscribeToShardEvent>> {
    let consumer_name = format!("subscriber-{}", subscriber / shards);
    register(child, &consumer_name).await?;
    let request = SubscribeToShardRequest {
        stream_name: STREAM.to_owned(),
        consumer_name,
        shard_id: format!("shardId-{:012}", subscriber % shards),
        starting_position: Some(StartingPosition {
            r#type: from.into(),
            ..StartingPosition::default()
        }),
        ..SubscribeToShardRequest::default()
    };
    let mut client = connect(child, Settings::Ours).await?;
    Ok(client.subscribe_to_shard(request).await?.into_inner())
}

pub(super) async fn register(child: &Child, consumer: &str) -> Result<()> {
    let mut client = connect(child, Settings::Stock).await?;
    let request = RegisterStreamConsumerRequest {
        stream_name: STREAM.to_owned(),
        consumer_name: consumer.to_owned(),
        ..RegisterStreamConsumerRequest::default()
    };
    match client.register_stream_consumer(request).await {
        // It is there from an earlier replay.
        Err(status) if status.code() == tonic::Code::AlreadyExists => Ok(()),
        Err(status) => Err(status.into()),
        Ok(_) => Ok(()),
    }
}

/// Registers a consumer, and tells its ARN.
pub(super) async fn consumer_arn(child: &Child, consumer: &str) -> Result<String> {
    let mut client = connect(child, Settings::Stock).await?;
    let request = RegisterStreamConsumerRequest {
        stream_name: STREAM.to_owned(),
        consumer_name: consumer.to_owned(),
        ..RegisterStreamConsumerRequest::default()
    };
    let registered = client.register_stream_consumer(request).await?.into_inner();
    Ok(registered.consumer.context("a consumer that is not told")?.consumer_arn)
}

pub(super) fn since(
    child: &Child,
    before: (f64, f64),
    begun: Instant,
    records: u64,
) -> Result<Outcome> {
    Ok(Outcome {
        records,
        total: records,
        seconds: begun.elapsed().as_secs_f64(),
        server_cpu: child.cpu_seconds()? - before.0,
        client_cpu: cpu_seconds("self")? - before.1,
        resident: child.resident_bytes()?,
        disk: None,
        latency: Tally::new().latency,
    })
}
