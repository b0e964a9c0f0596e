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
    let early = fixture.ops.put_records(to("orders"), &batch).await.unwrap_err();
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
    let gone = fixture.ops.put_records(to("orders"), &batch).await;
    assert_eq!(kind(gone), Kind::ResourceNotFound);
    fixture.clock.advance(Duration::from_secs(10));
    let stream_name = "orders".to_owned();
    let request = v1::DescribeStreamRequest { stream_name, ..Default::default() };
    assert_eq!(kind(fixture.ops.describe_stream(request)), Kind::ResourceNotFound);
    fixture.ops.create_stream(create()).await.unwrap();
}
