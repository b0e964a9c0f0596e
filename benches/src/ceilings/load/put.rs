//! Putting records, as fast as a bounded number of calls in flight allows.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use anabranch_proto::v1::streams_client::StreamsClient;
use anabranch_proto::v1::{
    ProduceRequest, PutRecordRequest, PutRecordsRequest, PutRecordsRequestEntry,
};
use anyhow::{Context, Result, ensure};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::super::child::Child;
use super::super::null::stubs::streams_client::StreamsClient as SwallowClient;
use super::{
    DATA_BYTES, Outcome, STREAM, Settings, Tally, Window, batches, connect, outcome, spent,
};

/// How records are put.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Puts {
    /// Records of a message or call.
    pub(in super::super) batch: usize,
    /// Messages or calls under way, over all connections.
    pub(in super::super) in_flight: usize,
    pub(in super::super) connections: usize,
    /// Bytes of a record's data; its key has eight.
    pub(in super::super) data_bytes: usize,
    pub(in super::super) seconds: f64,
}

/// By `Produce`: a stream of batches, each of which is acknowledged.
pub(in super::super) async fn produce(child: &Child, puts: Puts) -> Result<Outcome> {
    let clients = connections(child, puts).await?;
    let batches = Arc::new(batches(puts.batch, puts.data_bytes));
    let window = Window::open(puts.seconds);
    let mut parts = JoinSet::new();
    for client in clients {
        let in_flight = puts.in_flight / puts.connections;
        parts.spawn(produce_on(client, batches.clone(), in_flight, window));
    }
    finish(child, window, parts).await
}

async fn produce_on(
    mut client: StreamsClient<Channel>,
    batches: Arc<Vec<Vec<PutRecordsRequestEntry>>>,
    in_flight: usize,
    window: Window,
) -> Result<Tally> {
    let batch = batches[0].len();
    let request = |number: usize| ProduceRequest {
        // The first names the stream for all.
        stream_name: if number == 0 { STREAM.to_owned() } else { String::new() },
        records: batches[number % batches.len()].clone(),
        ..Default::default()
    };
    let (sender, receiver) = mpsc::channel(in_flight);
    let mut sent = VecDeque::with_capacity(in_flight);
    for number in 0..in_flight {
        sender.try_send(request(number))?;
        sent.push_back(Instant::now());
    }
    let mut answers = client.produce(ReceiverStream::new(receiver)).await?.into_inner();
    let mut tally = Tally::new();
    let mut number = in_flight;
    while !window.is_over() {
        let answer = answers.message().await?.context("the answers ended")?;
        ensure!(answer.failures.is_empty(), "records were refused: {:?}", answer.failures);
        tally.note(window, sent.pop_front().context("an answer too many")?, batch);
        sender.try_send(request(number))?;
        sent.push_back(Instant::now());
        number += 1;
    }
    drop(sender);
    while let Some(answer) = answers.message().await? {
        ensure!(answer.failures.is_empty(), "records were refused: {:?}", answer.failures);
        tally.note(window, sent.pop_front().context("an answer too many")?, batch);
    }
    Ok(tally)
}

/// By calls of PutRecords.
pub(in super::super) async fn put_records(child: &Child, puts: Puts) -> Result<Outcome> {
    let clients = connections(child, puts).await?;
    let window = Window::open(puts.seconds);
    let mut parts = JoinSet::new();
    for call in 0..puts.in_flight {
        let mut client = clients[call % clients.len()].clone();
        parts.spawn(async move {
            let (mut tally, batches) = (Tally::new(), batches(puts.batch, puts.data_bytes));
            let mut number = call;
            while !window.is_over() {
                let records = batches[number % batches.len()].clone();
                number += 1;
                let request = PutRecordsRequest {
                    stream_name: STREAM.to_owned(),
                    records,
                    ..Default::default()
                };
                let sent = Instant::now();
                let answer = client.put_records(request).await?.into_inner();
                ensure!(answer.failed_record_count == 0, "records were refused");
                tally.note(window, sent, puts.batch);
            }
            Ok(tally)
        });
    }
    finish(child, window, parts).await
}

/// By calls of PutRecord.
pub(in super::super) async fn put_one(child: &Child, puts: Puts) -> Result<Outcome> {
    let clients = connections(child, puts).await?;
    let window = Window::open(puts.seconds);
    let mut parts = JoinSet::new();
    for call in 0..puts.in_flight {
        let mut client = clients[call % clients.len()].clone();
        parts.spawn(async move {
            let (mut tally, records) = (Tally::new(), batches(1, puts.data_bytes));
            let mut number = call;
            while !window.is_over() {
                let record = records[number % records.len()][0].clone();
                number += 1;
                let request = PutRecordRequest {
                    stream_name: STREAM.to_owned(),
                    data: record.data,
                    partition_key: record.partition_key,
                    ..PutRecordRequest::default()
                };
                let sent = Instant::now();
                client.put_record(request).await?;
                tally.note(window, sent, 1);
            }
            Ok(tally)
        });
    }
    finish(child, window, parts).await
}

/// By a stream of batches that is answered at its end alone: only a server that does nothing can
/// offer that. Everything from the first message on counts, as nobody tells what has arrived.
pub(in super::super) async fn swallow(child: &Child, puts: Puts) -> Result<Outcome> {
    let channel = tonic::transport::Endpoint::from_shared(child.url())?;
    let channel = channel.tcp_nodelay(true).connect().await?;
    let mut client = SwallowClient::new(channel);
    let (sender, receiver) = mpsc::channel(puts.in_flight);
    let before = (child.cpu_seconds()?, super::cpu_seconds("self")?);
    let begun = Instant::now();
    let answer = tokio::spawn(async move { client.swallow(ReceiverStream::new(receiver)).await });
    let batches = batches(puts.batch, puts.data_bytes);
    let mut messages = 0;
    while begun.elapsed().as_secs_f64() < puts.seconds {
        let records = batches[messages % batches.len()].clone();
        sender
            .send(ProduceRequest { stream_name: String::new(), records, ..Default::default() })
            .await?;
        messages += 1;
    }
    drop(sender);
    answer.await??;
    Ok(Outcome {
        records: (messages * puts.batch) as u64,
        total: (messages * puts.batch) as u64,
        seconds: begun.elapsed().as_secs_f64(),
        server_cpu: child.cpu_seconds()? - before.0,
        client_cpu: super::cpu_seconds("self")? - before.1,
        resident: child.resident_bytes()?,
        disk: None,
        latency: Tally::new().latency,
    })
}

async fn connections(child: &Child, puts: Puts) -> Result<Vec<StreamsClient<Channel>>> {
    let mut clients = Vec::new();
    for _ in 0..puts.connections {
        clients.push(connect(child, Settings::Ours).await?);
    }
    Ok(clients)
}

pub(super) async fn finish(
    child: &Child,
    window: Window,
    mut parts: JoinSet<Result<Tally>>,
) -> Result<Outcome> {
    let spent = spent(child, window).await?;
    let mut tally = Tally::new();
    while let Some(part) = parts.join_next().await {
        tally.add(&part??);
    }
    outcome(child, window, tally, spent)
}

/// Puts so many records of the usual size, in batches of `batch`.
pub(in super::super) async fn fill(child: &Child, records: u64, batch: usize) -> Result<()> {
    put_so_many(child, records, batch, 8).await
}

/// Puts so many records by `Produce`, in messages of `batch`, of which so many wait to be sent.
pub(in super::super) async fn put_so_many(
    child: &Child,
    records: u64,
    batch: usize,
    waiting: usize,
) -> Result<()> {
    let messages = records as usize / batch;
    let batches = batches(batch, DATA_BYTES);
    let request = move |number: usize| batches[number % batches.len()].clone();
    put_all(child, (0..messages).map(request), messages * batch, waiting).await
}

/// Puts a record into each of so many shards.
pub(in super::super) async fn touch(child: &Child, shards: u32) -> Result<()> {
    const BATCH: u32 = 100;
    let records = move |batch: u32| {
        let record = |shard: u32| PutRecordsRequestEntry {
            data: vec![b'x'; DATA_BYTES].into(),
            partition_key: format!("{shard:08}"),
            // Shards have equal parts of the keys; this is amid one.
            explicit_hash_key: {
                let part = u128::MAX / u128::from(shards);
                Some((part * u128::from(shard) + part / 2).to_string())
            },
        };
        (batch * BATCH..shards.min((batch + 1) * BATCH)).map(record).collect()
    };
    put_all(child, (0..shards.div_ceil(BATCH)).map(records), shards as usize, 8).await
}

async fn put_all(
    child: &Child,
    batches: impl Iterator<Item = Vec<PutRecordsRequestEntry>> + Send + 'static,
    records: usize,
    waiting: usize,
) -> Result<()> {
    let mut client = connect(child, Settings::Ours).await?;
    let (sender, receiver) = mpsc::channel(waiting);
    let feed = tokio::spawn(async move {
        for records in batches {
            let request =
                ProduceRequest { stream_name: STREAM.to_owned(), records, ..Default::default() };
            if sender.send(request).await.is_err() {
                // The answers tell why.
                break;
            }
        }
    });
    let mut answers = client.produce(ReceiverStream::new(receiver)).await?.into_inner();
    let mut put = 0;
    while let Some(answer) = answers.message().await? {
        ensure!(answer.failures.is_empty(), "records were refused: {:?}", answer.failures);
        put += answer.sequence_numbers.len();
    }
    feed.await?;
    ensure!(put == records, "{put} of {records} records were put");
    Ok(())
}
