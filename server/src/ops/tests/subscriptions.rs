//! Subscriptions.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_idle_subscription_sends_a_heartbeat_every_five_seconds_for_five_minutes() {
    let fixture = Fixture::without_threads();
    fixture.create("orders", 1).await;
    fixture.register("orders", "analytics").await;
    let request = subscribe("analytics", ShardIteratorType::Latest);
    let mut subscription = fixture.ops.subscribe_to_shard(request).unwrap();
    let start = tokio::time::Instant::now();
    let mut heartbeats = 0;
    while let Some(event) = subscription.next().await {
        let event = event.unwrap();
        assert_eq!((event.page.records, event.continuation_sequence_number), (0, 0));
        // The first one says at once where the tip is.
        assert_eq!(start.elapsed(), Duration::from_secs(5) * heartbeats);
        heartbeats += 1;
    }
    assert_eq!(start.elapsed(), Duration::from_mins(5));
    assert_eq!(heartbeats, 60);
    assert!(subscription.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_hands_out_what_becomes_durable_and_ends_with_its_consumer() {
    let fixture = Fixture::with_stream("orders", 1).await;
    fixture.register("orders", "analytics").await;
    let ops = &fixture.ops;
    let request = subscribe("analytics", ShardIteratorType::TrimHorizon);
    let mut subscription = ops.subscribe_to_shard(request.clone()).unwrap();
    assert_eq!(kind(ops.subscribe_to_shard(request)), Kind::ResourceInUse);
    assert!(ops.metrics().encode().contains("anabranch_subscribers 1"));
    for last in [3, 6] {
        fixture.put("orders", 3).await;
        let event = subscription.next().await.unwrap().unwrap();
        assert_eq!((event.page.records, event.continuation_sequence_number), (3, last));
    }
    let deregister = v1::DeregisterStreamConsumerRequest {
        stream_name: "orders".to_owned(),
        consumer_name: "analytics".to_owned(),
        ..Default::default()
    };
    ops.deregister_stream_consumer(deregister).await.unwrap();
    assert_eq!(kind(subscription.next().await.unwrap()), Kind::ResourceNotFound);
    assert!(subscription.next().await.is_none());
    drop(subscription);
    assert!(ops.metrics().encode().contains("anabranch_subscribers 0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_ends_with_its_stream_and_with_the_server() {
    let fixture = Fixture::with_stream("orders", 1).await;
    fixture.register("orders", "analytics").await;
    let request = subscribe("analytics", ShardIteratorType::Latest);
    let mut subscription = fixture.ops.subscribe_to_shard(request.clone()).unwrap();
    let (ended, ()) = tokio::join!(subscription.next(), fixture.delete("orders"));
    assert_eq!(kind(ended.unwrap()), Kind::ResourceNotFound);

    fixture.create("orders", 1).await;
    fixture.register("orders", "analytics").await;
    let mut subscription = fixture.ops.subscribe_to_shard(request.clone()).unwrap();
    let (ended, ()) = tokio::join!(subscription.next(), async { fixture.ops.begin_shutdown() });
    assert_eq!(kind(ended.unwrap()), Kind::ShuttingDown);
    assert_eq!(kind(fixture.ops.subscribe_to_shard(request)), Kind::ShuttingDown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_wants_a_consumer_a_shard_and_a_start() {
    let fixture = Fixture::with_stream("orders", 1).await;
    fixture.register("orders", "analytics").await;
    let ops = &fixture.ops;
    let good = || subscribe("analytics", ShardIteratorType::Latest);
    let nobody = subscribe("nobody", ShardIteratorType::Latest);
    assert_eq!(kind(ops.subscribe_to_shard(nobody)), Kind::ResourceNotFound);
    let shard_id = "shardId-000000000001".to_owned();
    let elsewhere = v1::SubscribeToShardRequest { shard_id, ..good() };
    assert_eq!(kind(ops.subscribe_to_shard(elsewhere)), Kind::ResourceNotFound);
    let nowhere = v1::SubscribeToShardRequest { starting_position: None, ..good() };
    assert_eq!(field(ops.subscribe_to_shard(nowhere)), "starting_position");
    let large = v1::SubscribeToShardRequest { max_bytes: Some(u32::MAX), ..good() };
    assert_eq!(field(ops.subscribe_to_shard(large)), "max_bytes");
}
