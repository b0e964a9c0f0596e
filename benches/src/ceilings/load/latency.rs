//! How long one record takes.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anabranch_proto::v1::{
    PutRecordRequest, ShardIteratorType, StartingPosition, SubscribeToShardRequest,
};
use anyhow::{Context, Result};
use bytes::Bytes;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use super::super::child::Child;
use super::{DATA_BYTES, STREAM, Settings, Tally, connect};

/// Records a second, where it is not the rate that is asked for.
const CALM: u64 = 1000;

/// The name under which records are pushed.
const CONSUMER: &str = "calm";

/// Puts that nobody counts.
const WARM_UP_PUTS: usize = 100;

/// One put after the other: nanoseconds from request to acknowledgement.
pub(in super::super) async fn one_at_a_time(child: &Child, puts: usize) -> Result<Histogram<u64>> {
    let mut client = connect(child, Settings::Ours).await?;
    let mut latency = Tally::new().latency;
    for number in 0..WARM_UP_PUTS + puts {
        let begun = Instant::now();
        client.put_record(request(number, Bytes::from(vec![b'x'; DATA_BYTES]))).await?;
        if number >= WARM_UP_PUTS {
            latency.saturating_record(begun.elapsed().as_nanos() as u64);
        }
    }
    Ok(latency)
}

/// A calm stream of puts: nanoseconds from when each is sent to its acknowledgement, and to its
/// arrival at a subscriber. None waits for another. The runtime's timer, whose ticks are as long as
/// the puts are apart, only sets their pace.
pub(in super::super) async fn put_to_push(
    child: &Child,
    seconds: f64,
) -> Result<(Histogram<u64>, Histogram<u64>)> {
    let mut subscriber = connect(child, Settings::Ours).await?;
    super::read::register(child, CONSUMER).await?;
    let subscribe = SubscribeToShardRequest {
        stream_name: STREAM.to_owned(),
        consumer_name: CONSUMER.to_owned(),
        shard_id: super::read::SHARD.to_owned(),
        starting_position: Some(StartingPosition {
            r#type: ShardIteratorType::Latest.into(),
            ..StartingPosition::default()
        }),
        ..SubscribeToShardRequest::default()
    };
    let mut events = subscriber.subscribe_to_shard(subscribe).await?.into_inner();
    let client = connect(child, Settings::Ours).await?;
    let puts = (seconds * CALM as f64) as usize;
    // The first event tells that the subscription stands: it is sent even where nothing is new.
    events.message().await?.context("the events ended")?;
    let begun = Instant::now() + Duration::from_millis(10);
    let due = move |number: usize| begun + Duration::from_secs(1) * number as u32 / CALM as u32;

    let sent: Arc<[OnceLock<Instant>]> = (0..puts).map(|_| OnceLock::new()).collect();
    let sent_at = Arc::clone(&sent);
    let arrivals = tokio::spawn(async move {
        let mut latency = Tally::new().latency;
        let mut seen = 0;
        while seen < puts {
            let event = events.message().await?.context("the events ended")?;
            let now = Instant::now();
            for record in &event.records {
                let number = record.data.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
                let begun = number.and_then(|number| sent_at.get(number as usize)?.get());
                let begun = begun.context("a record of somebody else")?;
                latency.saturating_record(now.duration_since(*begun).as_nanos() as u64);
            }
            seen += event.records.len();
        }
        anyhow::Ok(latency)
    });

    let mut calls = JoinSet::new();
    for number in 0..puts {
        tokio::time::sleep_until(due(number).into()).await;
        let (mut client, sent) = (client.clone(), Arc::clone(&sent));
        calls.spawn(async move {
            let mut data = vec![b'x'; DATA_BYTES];
            data[..8].copy_from_slice(&(number as u64).to_le_bytes());
            let begun = *sent[number].get_or_init(Instant::now);
            client.put_record(request(number, data.into())).await?;
            anyhow::Ok(begun.elapsed())
        });
    }
    let mut acknowledged = Tally::new().latency;
    while let Some(took) = calls.join_next().await {
        acknowledged.saturating_record(took??.as_nanos() as u64);
    }
    Ok((acknowledged, arrivals.await??))
}

fn request(number: usize, data: Bytes) -> PutRecordRequest {
    PutRecordRequest {
        stream_name: STREAM.to_owned(),
        data,
        partition_key: format!("{:08}", number % 10_000),
        ..PutRecordRequest::default()
    }
}
