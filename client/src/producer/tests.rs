//! The producer against a server that fails on demand.

use std::time::Duration;

use futures_util::FutureExt;

use super::*;
use crate::fake::Fake;

fn record(data: &str) -> Record {
    Record::new("k", data.to_owned())
}

async fn stream(shards: u32) -> (Arc<crate::fake::Fake>, Client) {
    let (fake, client) = Fake::start().await;
    client.create_stream("s", shards).await.unwrap();
    (fake, client)
}

fn quick() -> RetryPolicy {
    RetryPolicy {
        base: Duration::from_millis(1),
        cap: Duration::from_millis(5),
        ..RetryPolicy::default()
    }
}

#[tokio::test]
async fn every_record_gets_its_own_place_in_order() {
    let (fake, client) = stream(2).await;
    let producer = client.producer("s").start();
    let mut tickets = Vec::new();
    for number in 0..1000u64 {
        let key = if number % 2 == 0 { "kk" } else { "k" };
        let ticket = producer.put(Record::new(key, number.to_string())).await;
        tickets.push(ticket.unwrap());
    }
    for (number, ticket) in tickets.into_iter().enumerate() {
        let placed = ticket.await.unwrap();
        assert_eq!(placed.shard_index as usize, number % 2);
        assert_eq!(placed.sequence_number as usize, number / 2 + 1);
    }
    let stats = producer.close().await.unwrap();
    assert_eq!(stats.acknowledged, 1000);
    assert_eq!((stats.failed, stats.may_stand_twice), (0, 0));
    assert_eq!(fake.data("s", 0).len() + fake.data("s", 1).len(), 1000);
}

#[tokio::test]
async fn batches_fill_while_no_more_may_be_in_flight() {
    let (fake, client) = stream(1).await;
    fake.order(|orders| orders.hold = true);
    let producer = client.producer("s").in_flight_batches(1).batch_records(100).start();
    let first = producer.put(record("first")).await.unwrap();
    // The first one is under way alone once the worker has taken the next; whatever the
    // scheduler does, 250 more need three batches and not 250.
    let rest: Vec<Record> = (0..250).map(|number| record(&number.to_string())).collect();
    tokio::task::yield_now().await;
    let rest = producer.put_batch(rest).await.unwrap();
    fake.order(|orders| orders.hold = false);
    first.await.unwrap();
    assert_eq!(rest.await.unwrap().len(), 250);
    assert!(fake.batches().len() <= 4, "{:?}", fake.batches());
    assert!(fake.batches().iter().all(|count| *count <= 100));
}

#[tokio::test]
async fn a_batch_is_cut_by_bytes_too() {
    let (fake, client) = stream(1).await;
    let producer = client.producer("s").batch_bytes(1000).start();
    let records = (0..10).map(|_| record(&"x".repeat(400))).collect();
    producer.put_batch(records).await.unwrap().await.unwrap();
    assert!(fake.batches().iter().all(|count| *count <= 2), "{:?}", fake.batches());
}

#[tokio::test]
async fn throttled_records_are_put_again_and_stand_once() {
    let (fake, client) = stream(1).await;
    fake.order(|orders| orders.throttle_records = 7);
    let producer = client.producer("s").retry(quick()).start();
    let records = (0..5).map(|number| record(&number.to_string())).collect();
    let outcomes = producer.put_batch(records).await.unwrap().await.unwrap();
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let mut data = fake.data("s", 0);
    data.sort();
    assert_eq!(data, ["0", "1", "2", "3", "4"]);
    let stats = producer.close().await.unwrap();
    assert_eq!((stats.put_again, stats.may_stand_twice), (7, 0));
}

#[tokio::test]
async fn throttling_that_does_not_end_fails_the_record_alone() {
    let (fake, client) = stream(1).await;
    fake.order(|orders| orders.throttle_records = 1);
    let producer = client.producer("s").retry(RetryPolicy::none()).start();
    let records = vec![record("a"), record("b")];
    let outcomes = producer.put_batch(records).await.unwrap().await.unwrap();
    assert!(matches!(outcomes[0], Err(Error::Throttled { .. })));
    assert!(outcomes[1].is_ok());
}

#[tokio::test]
async fn a_lost_answer_is_put_again_and_counted() {
    let (fake, client) = stream(1).await;
    fake.order(|orders| orders.lose_answers = 1);
    let producer = client.producer("s").retry(quick()).start();
    producer.send_one(record("a")).await.unwrap();
    assert_eq!(fake.data("s", 0), ["a", "a"]);
    assert_eq!(producer.close().await.unwrap().may_stand_twice, 1);
}

#[tokio::test]
async fn a_lost_answer_is_told_where_nothing_may_stand_twice() {
    let (fake, client) = stream(1).await;
    fake.order(|orders| orders.lose_answers = 1);
    let producer = client.producer("s").retry(quick()).retry_unknown(false).start();
    let outcome = producer.send_one(record("a")).await;
    assert!(matches!(outcome, Err(Error::OutcomeUnknown { .. })), "{outcome:?}");
    // The producer goes on.
    producer.send_one(record("b")).await.unwrap();
    assert_eq!(fake.data("s", 0), ["a", "b"]);
}

#[tokio::test]
async fn a_put_waits_for_room() {
    let (fake, client) = stream(1).await;
    fake.order(|orders| orders.hold = true);
    let producer = client.producer("s").in_flight_bytes(0).start();
    let large = "x".repeat(600 << 10);
    let first = producer.put(record(&large)).await.unwrap();
    let mut second = Box::pin(producer.put(record(&large)));
    assert!((&mut second).now_or_never().is_none());
    fake.order(|orders| orders.hold = false);
    first.await.unwrap();
    second.await.unwrap().await.unwrap();
}

#[tokio::test]
async fn a_batch_beyond_all_room_still_goes() {
    let (_, client) = stream(1).await;
    let producer = client.producer("s").in_flight_bytes(0).start();
    let records = vec![record(&"x".repeat(900 << 10)); 3];
    let outcomes = producer.put_batch(records).await.unwrap().await.unwrap();
    assert!(outcomes.iter().all(Result::is_ok));
    let empty = producer.put_batch(Vec::new()).await.unwrap().await.unwrap();
    assert!(empty.is_empty());
}

#[tokio::test]
async fn flush_waits_for_what_was_accepted_and_ends_a_linger() {
    let (fake, client) = stream(1).await;
    let hour = Duration::from_secs(3600);
    let producer = client.producer("s").linger(hour).start();
    let mut ticket = producer.put(record("a")).await.unwrap();
    producer.flush().await.unwrap();
    assert_eq!(fake.data("s", 0), ["a"]);
    assert!((&mut ticket).now_or_never().is_some());
    producer.flush().await.unwrap();
}

#[tokio::test]
async fn close_delivers_and_drop_abandons() {
    let (fake, client) = stream(1).await;
    let hour = Duration::from_secs(3600);
    let producer = client.producer("s").linger(hour).start();
    let ticket = producer.put(record("kept")).await.unwrap();
    producer.close().await.unwrap();
    ticket.await.unwrap();

    let producer = client.producer("s").linger(hour).start();
    let ticket = producer.put(record("abandoned")).await.unwrap();
    drop(producer);
    assert!(matches!(ticket.await, Err(Error::Closed)));
    assert_eq!(fake.data("s", 0), ["kept"]);
}

#[tokio::test]
async fn an_unknown_stream_fails_what_waits_for_it() {
    let (_, client) = Fake::start().await;
    let producer = client.producer("nowhere").start();
    let outcome = producer.send_one(record("a")).await;
    assert!(matches!(outcome, Err(Error::NotFound { .. })), "{outcome:?}");
}

#[tokio::test]
async fn what_no_stream_takes_is_refused_at_once() {
    let (fake, client) = stream(1).await;
    let producer = client.producer("s").start();
    let mut bad_hash_key = record("a");
    bad_hash_key.explicit_hash_key = Some("-1".to_owned());
    let bad = [
        Record::new("", "no key"),
        Record::new("ü".repeat(257), "long key"),
        record(&"x".repeat(RECORD_BYTES_MAX)),
        bad_hash_key,
    ];
    for record in bad {
        let refused = producer.put(record).await;
        assert!(matches!(refused, Err(Error::InvalidArgument { .. })));
    }
    producer.put(Record::new("ü".repeat(256), "")).await.unwrap().await.unwrap();
    producer.send_one(record(&"x".repeat(RECORD_BYTES_MAX - 1))).await.unwrap();
    assert_eq!(fake.batches(), [1, 1]);
}
