//! How long one record takes.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anabranch_proto::v1::{PutRecordRequest, ShardIteratorType};
use anyhow::{Context, Result};
use bytes::Bytes;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use super::super::child::Child;
use super::{DATA_BYTES, STREAM, Settings, Tally, connect};

/// Records a second, where it is not the rate that is asked for.
const CALM: u64 = 1000;

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
/// arrival at each of `subscribers`, spread over `shards`. None waits for another. The runtime's
/// timer, whose ticks are as long as the puts are apart, only sets their pace.
pub(in super::super) async fn put_to_push(
    child: &Child,
    subscribers: u32,
    shards: u32,
    seconds: f64,
) -> Result<(Histogram<u64>, Histogram<u64>)> {
    let mut followed = Vec::new();
    for subscriber in 0..subscribers {
        let latest = ShardIteratorType::Latest;
        followed.push(super::read::subscribe(child, subscriber, shards, latest).await?);
    }
    // The first event tells that the subscription stands: it is sent even where nothing is new,
    // seconds later.
    let first = followed.iter_mut().map(|events| events.message());
    futures_util::future::try_join_all(first).await?;
    let client = connect(child, Settings::Ours).await?;
    let puts = (seconds * CALM as f64) as usize;
    let begun = Instant::now() + Duration::from_millis(10);
    let due = move |number: usize| begun + Duration::from_secs(1) * number as u32 / CALM as u32;

    // By then everything has arrived, or is too late to be called pushed.
    let over = due(puts) + Duration::from_secs(1);
    let sent: Arc<[OnceLock<Instant>]> = (0..puts).map(|_| OnceLock::new()).collect();
    let mut arrivals = JoinSet::new();
    for mut events in followed {
        let sent_at = Arc::clone(&sent);
        arrivals.spawn(async move {
            let mut latency = Tally::new().latency;
            let mut seen = 0;
            // Of several shards nobody knows how many each has.
            while seen < puts {
                let Ok(event) = tokio::time::timeout_at(over.into(), events.message()).await else {
                    break;
                };
                let event = event?.context("the events ended")?;
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
    }

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
    let mut pushed = Tally::new().latency;
    while let Some(latency) = arrivals.join_next().await {
        pushed.add(latency??).expect("all have the same bounds");
    }
    Ok((acknowledged, pushed))
}

fn request(number: usize, data: Bytes) -> PutRecordRequest {
    PutRecordRequest {
        stream_name: STREAM.to_owned(),
        data,
        partition_key: format!("{:08}", number % 10_000),
        ..PutRecordRequest::default()
    }
}
