//! Dry runs: checked like any other call, and without a trace.

use super::*;

const NAME: &str = "orders";

async fn put_record(fixture: &Fixture, stream_name: &str) -> Result<v1::PutRecordResponse> {
    let request = v1::PutRecordRequest {
        stream_name: stream_name.to_owned(),
        partition_key: "k".to_owned(),
        dry_run: true,
        ..Default::default()
    };
    fixture.ops.put_record(request).await
}

async fn put_records(fixture: &Fixture, stream: &str) -> Result<put::Outcome> {
    let batch = Batch::of_one("k", None, b"data").unwrap();
    let head = put_records::PutHead { dry_run: true, ..to(stream) };
    fixture.ops.put_records(&Caller::anonymous(), head, &batch).await
}

fn shard_iterator(fixture: &Fixture, stream: &str) -> Result<v1::GetShardIteratorResponse> {
    let request = iterator_request(stream, ShardIteratorType::Latest);
    fixture.ops.get_shard_iterator(v1::GetShardIteratorRequest { dry_run: true, ..request })
}

fn subscription(fixture: &Fixture, consumer: &str) -> Result<crate::push::Subscription> {
    let request = subscribe(consumer, ShardIteratorType::Latest);
    fixture.ops.subscribe_to_shard(v1::SubscribeToShardRequest { dry_run: true, ..request })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_would_be_carried_out_says_so_and_does_nothing() {
    let fixture = Fixture::with_stream(NAME, 1).await;
    fixture.register(NAME, "analytics").await;
    let refused = put_record(&fixture, NAME).await;
    assert_eq!(message(refused), "Request would have succeeded, but DryRun flag is set.");
    assert_eq!(kind(put_records(&fixture, NAME).await), Kind::DryRun);
    assert_eq!(kind(shard_iterator(&fixture, NAME)), Kind::DryRun);
    assert_eq!(kind(subscription(&fixture, "analytics")), Kind::DryRun);
    let iterator = fixture.iterator(NAME, ShardIteratorType::TrimHorizon);
    let dry = v1::GetRecordsRequest { dry_run: true, ..get(&iterator) };
    assert_eq!(kind(fixture.ops.get_records(dry).await), Kind::DryRun);

    // Nothing was put, and the place of the subscription is free.
    assert_eq!(fixture.ops.get_records(get(&iterator)).await.unwrap().page.records, 0);
    let request = subscribe("analytics", ShardIteratorType::Latest);
    assert!(fixture.ops.subscribe_to_shard(request).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_would_be_refused_gets_its_own_error() {
    let fixture = Fixture::with_stream(NAME, 1).await;
    assert_eq!(kind(put_record(&fixture, "others").await), Kind::ResourceNotFound);
    assert_eq!(kind(put_records(&fixture, "others").await), Kind::ResourceNotFound);
    assert_eq!(kind(shard_iterator(&fixture, "others")), Kind::ResourceNotFound);
    assert_eq!(kind(subscription(&fixture, "nobody")), Kind::ResourceNotFound);
    let forged = v1::GetRecordsRequest { dry_run: true, ..get("AAAA") };
    assert_eq!(kind(fixture.ops.get_records(forged).await), Kind::InvalidArgument);
}
