//! What streams are shown as, with the delays of the real service and without.

use super::*;

fn status(fixture: &Fixture) -> v1::StreamStatus {
    let stream_name = "orders".to_owned();
    let request = v1::DescribeStreamRequest { stream_name, ..Default::default() };
    let described = fixture.ops.describe_stream(request).unwrap().stream_description.unwrap();
    let is_shown_empty = [v1::StreamStatus::Creating, v1::StreamStatus::Deleting]
        .contains(&described.stream_status());
    assert_eq!(described.shards.is_empty(), is_shown_empty);
    described.stream_status()
}

fn create() -> v1::CreateStreamRequest {
    let stream_name = "orders".to_owned();
    v1::CreateStreamRequest { stream_name, shard_count: 1, ..Default::default() }
}

fn split() -> v1::SplitShardRequest {
    v1::SplitShardRequest {
        stream_name: "orders".to_owned(),
        shard_to_split: "0".to_owned(),
        new_starting_hash_key: "77".to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn without_delays_a_stream_is_active_when_the_call_returns_and_its_name_is_free() {
    let fixture = Fixture::new();
    fixture.ops.create_stream(create()).await.unwrap();
    assert_eq!(status(&fixture), v1::StreamStatus::Active);
    fixture.ops.split_shard(split()).await.unwrap();
    assert_eq!(status(&fixture), v1::StreamStatus::Active);
    fixture.delete("orders").await;
    fixture.ops.create_stream(create()).await.unwrap();
}

#[tokio::test]
async fn with_delays_a_stream_goes_through_every_status_and_is_refused_what_the_service_refuses() {
    let fixture = Fixture::with_control_delays();
    fixture.ops.create_stream(create()).await.unwrap();
    assert_eq!(status(&fixture), v1::StreamStatus::Creating);
    let mut batch = Batch::default();
    let mut draft = batch.begin();
    draft.push("key", None, b"data").unwrap();
    draft.finish().unwrap();
    let early =
        fixture.ops.put_records(&Caller::anonymous(), to("orders"), &batch).await.unwrap_err();
    assert_eq!(early.kind, Kind::ResourceNotFound);
    assert_eq!(early.message, "Stream orders under account 000000000000 not found.");
    let early = fixture.ops.split_shard(split()).await.unwrap_err();
    assert_eq!(early.kind, Kind::ResourceInUse);
    assert_eq!(
        early.message,
        "Stream orders under account 000000000000 not ACTIVE, instead in state CREATING"
    );
    let stream_name = "orders".to_owned();
    let list = v1::ListShardsRequest { stream_name, ..Default::default() };
    assert_eq!(kind(fixture.ops.list_shards(list)), Kind::ResourceInUse);

    fixture.clock.advance(Duration::from_secs(10));
    assert_eq!(status(&fixture), v1::StreamStatus::Active);
    fixture.put("orders", 1).await;
    fixture.ops.split_shard(split()).await.unwrap();
    assert_eq!(status(&fixture), v1::StreamStatus::Updating);
    // A stream that is changed takes records, and no other change.
    fixture.put("orders", 1).await;
    assert_eq!(kind(fixture.ops.split_shard(split()).await), Kind::ResourceInUse);

    fixture.clock.advance(Duration::from_secs(15));
    fixture.delete("orders").await;
    assert_eq!(status(&fixture), v1::StreamStatus::Deleting);
    let taken = fixture.ops.create_stream(create()).await;
    assert_eq!(kind(taken), Kind::AlreadyExists);
    let gone = fixture.ops.put_records(&Caller::anonymous(), to("orders"), &batch).await;
    assert_eq!(kind(gone), Kind::ResourceNotFound);
    fixture.clock.advance(Duration::from_secs(10));
    let stream_name = "orders".to_owned();
    let request = v1::DescribeStreamRequest { stream_name, ..Default::default() };
    assert_eq!(kind(fixture.ops.describe_stream(request)), Kind::ResourceNotFound);
    fixture.ops.create_stream(create()).await.unwrap();
}

#[tokio::test]
async fn a_stream_that_is_deleting_is_listed_and_described_until_it_is_gone() {
    let fixture = Fixture::with_control_delays();
    for name in ["a", "m", "z"] {
        fixture.create(name, 2).await;
    }
    fixture.clock.advance(Duration::from_secs(10));
    fixture.delete("m").await;
    let list = |next_token| {
        let request = v1::ListStreamsRequest { limit: Some(2), next_token, ..Default::default() };
        fixture.ops.list_streams(request).unwrap()
    };
    let first = list(None);
    assert_eq!(first.stream_names, ["a", "m"]);
    assert!(first.has_more_streams);
    let statuses: Vec<_> =
        first.stream_summaries.iter().map(|summary| summary.stream_status()).collect();
    assert_eq!(statuses, [v1::StreamStatus::Active, v1::StreamStatus::Deleting]);
    let second = list(first.next_token);
    assert_eq!((second.stream_names, second.has_more_streams), (vec!["z".to_owned()], false));

    let stream_name = "m".to_owned();
    let request =
        v1::DescribeStreamSummaryRequest { stream_name: stream_name.clone(), ..Default::default() };
    let summary = fixture.ops.describe_stream_summary(request.clone()).unwrap();
    let summary = summary.stream_description_summary.unwrap();
    assert_eq!(summary.stream_status(), v1::StreamStatus::Deleting);
    assert_eq!((summary.open_shard_count, summary.retention_period_hours), (2, 24));
    // Neither is it deleted twice nor changed.
    let again = v1::DeleteStreamRequest { stream_name: stream_name.clone(), ..Default::default() };
    assert_eq!(
        message(fixture.ops.delete_stream(again).await),
        "Stream m under account 000000000000 not ACTIVE, instead in state DELETING"
    );
    let change = v1::UpdateShardCountRequest {
        stream_name: stream_name.clone(),
        target_shard_count: 4,
        ..Default::default()
    };
    assert_eq!(kind(fixture.ops.update_shard_count(change).await), Kind::ResourceInUse);

    fixture.clock.advance(Duration::from_secs(10));
    assert_eq!(kind(fixture.ops.describe_stream_summary(request)), Kind::ResourceNotFound);
    assert_eq!(list(None).stream_names, ["a", "z"]);
}

#[tokio::test]
async fn with_delays_mode_warm_throughput_and_encryption_take_their_time_and_other_settings_none() {
    let fixture = Fixture::with_control_delays();
    let on = v1::MinimumThroughputBillingCommitmentStatus::CommitmentEnabled;
    fixture.commit(on).await.unwrap();
    fixture.ops.create_stream(create()).await.unwrap();
    fixture.clock.advance(Duration::from_secs(10));
    let stream_name = || "orders".to_owned();
    let hours = v1::IncreaseStreamRetentionPeriodRequest {
        stream_name: stream_name(),
        retention_period_hours: 48,
        ..Default::default()
    };
    fixture.ops.increase_stream_retention_period(hours.clone()).await.unwrap();
    let tags = [("k".to_owned(), "v".to_owned())].into();
    let tags =
        v1::AddTagsToStreamRequest { stream_name: stream_name(), tags, ..Default::default() };
    fixture.ops.add_tags_to_stream(tags).await.unwrap();
    assert_eq!(status(&fixture), v1::StreamStatus::Active);

    let take_their_time = || {
        assert_eq!(status(&fixture), v1::StreamStatus::Updating);
        fixture.clock.advance(Duration::from_secs(15));
        assert_eq!(status(&fixture), v1::StreamStatus::Active);
    };
    let mode = v1::UpdateStreamModeRequest {
        stream_name: stream_name(),
        stream_mode: v1::StreamMode::OnDemand.into(),
        ..Default::default()
    };
    fixture.ops.update_stream_mode(mode.clone()).await.unwrap();
    assert_eq!(
        kind(fixture.ops.increase_stream_retention_period(hours).await),
        Kind::ResourceInUse
    );
    take_their_time();
    // What changes nothing takes no time.
    fixture.ops.update_stream_mode(mode).await.unwrap();
    assert_eq!(status(&fixture), v1::StreamStatus::Active);
    let warm = v1::UpdateStreamWarmThroughputRequest {
        stream_name: stream_name(),
        warm_throughput_mibps: 8,
        ..Default::default()
    };
    fixture.ops.update_stream_warm_throughput(warm).await.unwrap();
    take_their_time();
    let decrypt = v1::StopStreamEncryptionRequest {
        stream_name: stream_name(),
        encryption_type: v1::EncryptionType::Kms.into(),
        key_id: "k".to_owned(),
        ..Default::default()
    };
    fixture.ops.stop_stream_encryption(decrypt).unwrap();
    take_their_time();
}

#[tokio::test]
async fn with_delays_a_consumer_is_subscribed_when_it_is_active_and_its_name_is_free_when_it_is_gone()
 {
    let fixture = Fixture::with_control_delays();
    fixture.ops.create_stream(create()).await.unwrap();
    fixture.clock.advance(Duration::from_secs(10));
    let consumer = fixture.register("orders", "analytics").await;
    assert_eq!(consumer.consumer_status(), v1::ConsumerStatus::ConsumerCreating);
    let subscribe = || {
        let request = subscribe("analytics", ShardIteratorType::Latest);
        fixture.ops.subscribe_to_shard(request)
    };
    assert_eq!(
        message(subscribe()),
        "Consumer analytics of stream orders under account 000000000000 not ACTIVE, instead in \
         state CREATING"
    );
    let describe = || {
        let consumer_arn = consumer.consumer_arn.clone();
        let request = v1::DescribeStreamConsumerRequest { consumer_arn, ..Default::default() };
        let described = fixture.ops.describe_stream_consumer(request)?;
        Ok(described.consumer_description.unwrap().consumer_status())
    };
    fixture.clock.advance(Duration::from_secs(10));
    assert_eq!(describe().unwrap(), v1::ConsumerStatus::ConsumerActive);
    let subscription = subscribe().unwrap();

    let deregister = || v1::DeregisterStreamConsumerRequest {
        consumer_arn: consumer.consumer_arn.clone(),
        ..Default::default()
    };
    fixture.ops.deregister_stream_consumer(deregister()).await.unwrap();
    assert_eq!(describe().unwrap(), v1::ConsumerStatus::ConsumerDeleting);
    drop(subscription);
    assert_eq!(kind(subscribe()), Kind::ResourceInUse);
    let list = || {
        let stream_name = "orders".to_owned();
        let request = v1::ListStreamConsumersRequest { stream_name, ..Default::default() };
        fixture.ops.list_stream_consumers(request).unwrap().consumers
    };
    assert_eq!(list()[0].consumer_status(), v1::ConsumerStatus::ConsumerDeleting);
    let again = v1::RegisterStreamConsumerRequest {
        stream_name: "orders".to_owned(),
        consumer_name: "analytics".to_owned(),
        ..Default::default()
    };
    let taken = fixture.ops.register_stream_consumer(again.clone()).await;
    assert_eq!(kind(taken), Kind::AlreadyExists);
    let twice = fixture.ops.deregister_stream_consumer(deregister()).await;
    assert_eq!(kind(twice), Kind::ResourceNotFound);

    fixture.clock.advance(Duration::from_secs(10));
    assert!(list().is_empty());
    assert_eq!(kind(describe()), Kind::ResourceNotFound);
    fixture.ops.register_stream_consumer(again).await.unwrap();
}

#[tokio::test]
async fn five_consumers_of_a_stream_are_creating_at_a_time() {
    let fixture = Fixture::with_control_delays();
    fixture.ops.create_stream(create()).await.unwrap();
    fixture.clock.advance(Duration::from_secs(10));
    let quotas = v1::SetQuotasRequest {
        stream_name: "orders".to_owned(),
        quotas: v1::QuotaProfile::Aws.into(),
        ..Default::default()
    };
    fixture.ops.set_quotas(quotas).await.unwrap();
    for name in ["a", "b", "c", "d", "e"] {
        fixture.register("orders", name).await;
        // Not more than the five calls a second.
        fixture.clock.advance(Duration::from_millis(300));
    }
    let sixth = || {
        let consumer_name = "f".to_owned();
        let stream_name = "orders".to_owned();
        v1::RegisterStreamConsumerRequest { stream_name, consumer_name, ..Default::default() }
    };
    let refused = fixture.ops.register_stream_consumer(sixth()).await;
    assert_eq!(
        message(refused),
        "stream orders has 5 consumers in CREATING, and may have 5 (--quotas aws)"
    );
    fixture.clock.advance(Duration::from_secs(10));
    fixture.ops.register_stream_consumer(sixth()).await.unwrap();
}
