//! Streams that go under their readers and writers, and clients that go without a word.

use std::pin::pin;

use anabranch_proto::v1::ShardIteratorType as Type;
use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::in_process::Machine;
use super::process::Server;
use super::rpc::*;

async fn orders() -> (Machine, Stub) {
    let machine = Machine::start(4).await;
    let mut stub = machine.connect().await;
    create(&mut stub, "orders", 1).await;
    register(&mut stub, "orders", "app").await;
    (machine, stub)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_produce_call_ends_when_its_stream_is_deleted() {
    let (machine, mut stub) = orders().await;
    let (requests, channel) = mpsc::unbounded_channel();
    let request = || produce_request("orders", vec![entry("key", "data")]);
    requests.send(request()).unwrap();
    let answers = stub.produce(UnboundedReceiverStream::new(channel)).await.unwrap();
    let mut answers = answers.into_inner();
    let first = answers.message().await.unwrap().unwrap();
    assert_eq!(first.sequence_numbers, [1]);
    delete(&mut stub, "orders").await;
    // A namesake is another stream: the call does not move over to it.
    create(&mut stub, "orders", 1).await;
    requests.send(request()).unwrap();
    let ended = answers.message().await;
    assert_eq!(Refusal::of(&ended.unwrap_err()).summary(), NOT_FOUND);
    assert_eq!(count(&mut stub, "orders", 1).await, 0);
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_ends_when_its_stream_is_deleted() {
    let (machine, mut stub) = orders().await;
    let request = subscribe_request("orders", "app", 0, Type::Latest);
    let mut events = stub.subscribe_to_shard(request).await.unwrap().into_inner();
    put_one(&mut stub, "orders", "data").await;
    assert_eq!(events.message().await.unwrap().unwrap().records.len(), 1);
    delete(&mut stub, "orders").await;
    let ended = events.message().await;
    let refusal = Refusal::of(&ended.unwrap_err());
    assert_eq!(refusal.summary(), NOT_FOUND);
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_ends_when_its_stream_is_deleted() {
    let (machine, mut stub) = orders().await;
    let token = iterator(&mut stub, "orders", 0, Type::Latest).await;
    let mut polling = stub.clone();
    let mut poll = pin!(polling.get_records(wait_for(&token)));
    // It is on its way; whether the deletion finds it waiting or not, it ends the same way.
    assert!((&mut poll).now_or_never().is_none());
    delete(&mut stub, "orders").await;
    assert_eq!(refused(poll.await).summary(), NOT_FOUND);
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_ends_when_its_consumer_is_deregistered() {
    let (machine, mut stub) = orders().await;
    let request = subscribe_request("orders", "app", 0, Type::Latest);
    let mut events = stub.subscribe_to_shard(request).await.unwrap().into_inner();
    let request = anabranch_proto::v1::DeregisterStreamConsumerRequest {
        stream_name: "orders".to_owned(),
        consumer_name: "app".to_owned(),
        ..Default::default()
    };
    stub.deregister_stream_consumer(request).await.unwrap();
    let refusal = Refusal::of(&events.message().await.unwrap_err());
    assert_eq!(refusal.summary(), NOT_FOUND);
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_vanishes_leaves_its_place() {
    let (machine, mut stub) = orders().await;
    for _ in 0..3 {
        let mut vanishing = machine.connect().await;
        let request = || subscribe_request("orders", "app", 0, Type::Latest);
        // A place is protected for five seconds: it is free because its holder has gone.
        eventually(async || match vanishing.subscribe_to_shard(request()).await {
            Ok(events) => {
                drop(events);
                true
            }
            Err(status) => {
                let refusal = Refusal::of(&status);
                assert_eq!(refusal.reason, "ResourceInUseException");
                assert!(refusal.retry_after.is_some());
                false
            }
        })
        .await;
    }
    put_one(&mut stub, "orders", "data").await;
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_closes_before_its_acknowledgements_leaves_whole_batches() {
    const BATCH: usize = 50;
    let (machine, mut stub) = orders().await;
    for round in 0..20 {
        let mut leaving = machine.connect().await;
        let (requests, channel) = mpsc::unbounded_channel();
        for batch in 0..8 {
            let records = (0..BATCH).map(|index| entry("key", format!("{round} {batch} {index}")));
            requests.send(produce_request("orders", records.collect())).unwrap();
        }
        let answers = leaving.produce(UnboundedReceiverStream::new(channel)).await.unwrap();
        let mut answers = answers.into_inner();
        for _ in 0..round % 4 {
            answers.message().await.unwrap().unwrap();
        }
        // The answers, the requests and the connection go, in an order that nobody chose.
        drop((answers, requests, leaving));
    }
    // Later than all that was on its way when the last one left.
    put_one(&mut stub, "orders", "end").await;
    let mut records = read_shard(&mut stub, "orders", 0).await;
    records.retain(|record| record.data != "end");
    assert_eq!(records.len() % BATCH, 0, "whole batches");
    for batch in records.chunks(BATCH) {
        let text = |index: usize| String::from_utf8(batch[index].data.to_vec()).unwrap();
        let prefix = text(0).strip_suffix(" 0").unwrap().to_owned();
        for index in 0..BATCH {
            assert_eq!(text(index), format!("{prefix} {index}"));
        }
    }
    let numbers: Vec<_> = records.iter().map(|record| record.sequence_number).collect();
    assert!(numbers.is_sorted());
    machine.stop().await;
}

/// What is put for a subscriber that does not read, in batches of 1 MiB.
const FLOOD_MIB: usize = 50;

/// Far less than what was put, and more than buffers, windows and allocator take.
const GROWTH_KIB_MAX: u64 = 16 << 10;

async fn flood(stub: &mut Stub, mib: usize) {
    for _ in 0..mib {
        let records = (0..8).map(|_| entry("key", vec![7; (128 << 10) - 3]));
        stub.put_records(put_request("orders", records.collect())).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_never_reads_costs_no_memory() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&directory.path().join("data"));
    let mut stub = connect(server.address()).await;
    create(&mut stub, "orders", 1).await;
    // What a server keeps once it has been busy is not the subscriber's.
    flood(&mut stub, 20).await;
    let mut subscriptions = Vec::new();
    for consumer in ["a", "b", "c", "d"] {
        register(&mut stub, "orders", consumer).await;
        // Each on a connection of its own: on a shared one they would fill its window, and the
        // one that wakes up could not read past the others.
        let mut sleeping = connect(server.address()).await;
        let request = subscribe_request("orders", consumer, 0, Type::TrimHorizon);
        subscriptions.push(sleeping.subscribe_to_shard(request).await.unwrap());
    }
    let before = server.anonymous_kib();
    flood(&mut stub, FLOOD_MIB).await;
    let growth = server.anonymous_kib().saturating_sub(before);
    assert!(growth < GROWTH_KIB_MAX, "{growth} KiB more than {before} KiB");
    // One that wakes up has missed nothing.
    let mut events = subscriptions.pop().unwrap().into_inner();
    let mut seen = 0;
    while seen < (20 + FLOOD_MIB) * 8 {
        seen += events.message().await.unwrap().unwrap().records.len();
    }
    drop((events, subscriptions));
    server.stop();
}
