//! Streams that cannot be made, are not there, or are called something odd.

use anabranch_proto::v1::{self, ShardIteratorType as Type};
use tonic::Code;

use super::in_process::Machine;
use super::rpc::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_absurd_shard_count_is_refused_and_0_stands_for_none_given() {
    let machine = Machine::start(2).await;
    let mut stub = machine.connect().await;
    for shard_count in [10_001, u32::MAX] {
        let request = v1::CreateStreamRequest {
            stream_name: "orders".to_owned(),
            shard_count,
            ..Default::default()
        };
        let refusal = refused(stub.create_stream(request).await);
        assert_eq!(refusal.summary(), invalid("shard_count"));
        assert_eq!(refusal.values["value"], shard_count.to_string());
        assert_eq!(refusal.values["max"], "10000");
    }
    let listed = stub.list_streams(v1::ListStreamsRequest::default()).await.unwrap().into_inner();
    assert!(listed.stream_names.is_empty());
    let request =
        v1::CreateStreamRequest { stream_name: "orders".to_owned(), ..Default::default() };
    stub.create_stream(request).await.unwrap();
    let request =
        v1::DescribeStreamSummaryRequest { stream_name: "orders".to_owned(), ..Default::default() };
    let described = stub.describe_stream_summary(request).await.unwrap().into_inner();
    assert_eq!(described.stream_description_summary.unwrap().open_shard_count, 4);
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_none_is_refused_by_its_field() {
    let machine = Machine::start(2).await;
    let mut stub = machine.connect().await;
    let long = "n".repeat(129);
    for name in ["", "a/b", "../../etc", "a b", "\u{e4}", "a\0", &long] {
        let request = v1::CreateStreamRequest {
            stream_name: name.to_owned(),
            shard_count: 1,
            ..Default::default()
        };
        let refusal = refused(stub.create_stream(request).await);
        assert_eq!(refusal.summary(), invalid("stream_name"), "{name:?}");
    }
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_stream_is_not_found_by_any_operation() {
    let machine = Machine::start(2).await;
    let mut stub = machine.connect().await;
    create(&mut stub, "other", 1).await;
    let name = || "missing".to_owned();
    let mut refusals = Vec::new();
    let request = v1::DeleteStreamRequest { stream_name: name(), ..Default::default() };
    refusals.push(refused(stub.delete_stream(request).await));
    let request = v1::DescribeStreamRequest { stream_name: name(), ..Default::default() };
    refusals.push(refused(stub.describe_stream(request).await));
    let request = v1::DescribeStreamSummaryRequest { stream_name: name(), ..Default::default() };
    refusals.push(refused(stub.describe_stream_summary(request).await));
    let request = v1::ListShardsRequest { stream_name: name(), ..Default::default() };
    refusals.push(refused(stub.list_shards(request).await));
    let request = v1::IncreaseStreamRetentionPeriodRequest {
        stream_name: name(),
        retention_period_hours: 48,
        ..Default::default()
    };
    refusals.push(refused(stub.increase_stream_retention_period(request).await));
    let request = v1::DecreaseStreamRetentionPeriodRequest {
        stream_name: name(),
        retention_period_hours: 24,
        ..Default::default()
    };
    refusals.push(refused(stub.decrease_stream_retention_period(request).await));
    let request = v1::PutRecordRequest {
        stream_name: name(),
        partition_key: "key".to_owned(),
        ..Default::default()
    };
    refusals.push(refused(stub.put_record(request).await));
    let request = put_request("missing", vec![entry("key", "")]);
    refusals.push(refused(stub.put_records(request).await));
    let requests = tokio_stream::iter([produce_request("missing", vec![entry("key", "")])]);
    let mut answers = stub.produce(requests).await.unwrap().into_inner();
    refusals.push(Refusal::of(&answers.message().await.unwrap_err()));
    let request = iterator_request("missing", 0, Type::Latest);
    refusals.push(refused(stub.get_shard_iterator(request).await));
    let request = v1::RegisterStreamConsumerRequest {
        stream_name: name(),
        consumer_name: "app".to_owned(),
        ..Default::default()
    };
    refusals.push(refused(stub.register_stream_consumer(request).await));
    let request = v1::DescribeStreamConsumerRequest {
        stream_name: name(),
        consumer_name: "app".to_owned(),
        ..Default::default()
    };
    refusals.push(refused(stub.describe_stream_consumer(request).await));
    let request = v1::ListStreamConsumersRequest { stream_name: name(), ..Default::default() };
    refusals.push(refused(stub.list_stream_consumers(request).await));
    let request = v1::DeregisterStreamConsumerRequest {
        stream_name: name(),
        consumer_name: "app".to_owned(),
        ..Default::default()
    };
    refusals.push(refused(stub.deregister_stream_consumer(request).await));
    let request = subscribe_request("missing", "app", 0, Type::Latest);
    refusals.push(refused(stub.subscribe_to_shard(request).await));
    for (index, refusal) in refusals.iter().enumerate() {
        assert_eq!(refusal.summary(), NOT_FOUND, "call {index}");
        assert_eq!(refusal.values["stream_name"], "missing", "call {index}");
    }
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_shard_and_an_unknown_consumer_are_not_found() {
    let machine = Machine::start(2).await;
    let mut stub = machine.connect().await;
    create(&mut stub, "orders", 2).await;
    let refusal =
        refused(stub.get_shard_iterator(iterator_request("orders", 2, Type::Latest)).await);
    assert_eq!(refusal.summary(), NOT_FOUND);
    assert_eq!(refusal.values["shard_id"], "shardId-000000000002");
    let refusal =
        refused(stub.subscribe_to_shard(subscribe_request("orders", "app", 0, Type::Latest)).await);
    assert_eq!(refusal.summary(), NOT_FOUND);
    assert_eq!(refusal.values["consumer_name"], "app");
    let request = v1::GetShardIteratorRequest {
        shard_id: "shard-x".to_owned(),
        ..iterator_request("orders", 0, Type::Latest)
    };
    // What is no shard's name is nobody's: the service says so too.
    assert_eq!(refused(stub.get_shard_iterator(request).await).summary(), NOT_FOUND);
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_exists_is_not_made_again_and_keeps_its_records() {
    let machine = Machine::start(2).await;
    let mut stub = machine.connect().await;
    create(&mut stub, "orders", 1).await;
    put_one(&mut stub, "orders", "data").await;
    let request = v1::CreateStreamRequest {
        stream_name: "orders".to_owned(),
        shard_count: 9,
        ..Default::default()
    };
    let refusal = refused(stub.create_stream(request).await);
    assert_eq!(refusal.summary(), (Code::AlreadyExists, "ResourceInUseException", None));
    assert_eq!(refusal.values["stream_name"], "orders");
    assert_eq!(count(&mut stub, "orders", 1).await, 1);
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_stream_is_gone_at_once_and_its_name_is_free() {
    let machine = Machine::start(2).await;
    let mut stub = machine.connect().await;
    create(&mut stub, "orders", 1).await;
    put_one(&mut stub, "orders", "old").await;
    // Of several that delete it at the same time, one does.
    let deletions = (0..4).map(|_| {
        let mut stub = stub.clone();
        async move {
            let request =
                v1::DeleteStreamRequest { stream_name: "orders".to_owned(), ..Default::default() };
            stub.delete_stream(request).await
        }
    });
    let outcomes = futures_util::future::join_all(deletions).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for outcome in outcomes.into_iter().filter(Result::is_err) {
        assert_eq!(refused(outcome).summary(), NOT_FOUND);
    }
    let put = stub.put_records(put_request("orders", vec![entry("key", "")])).await;
    assert_eq!(refused(put).summary(), NOT_FOUND);
    create(&mut stub, "orders", 1).await;
    assert_eq!(put_one(&mut stub, "orders", "new").await, 1);
    let records = read_shard(&mut stub, "orders", 0).await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].data, "new");
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_with_consumers_is_deleted_only_when_told_so() {
    let machine = Machine::start(2).await;
    let mut stub = machine.connect().await;
    create(&mut stub, "orders", 1).await;
    register(&mut stub, "orders", "app").await;
    let request =
        v1::DeleteStreamRequest { stream_name: "orders".to_owned(), ..Default::default() };
    let refusal = refused(stub.delete_stream(request).await);
    assert_eq!(refusal.summary(), (Code::FailedPrecondition, "ResourceInUseException", None));
    delete(&mut stub, "orders").await;
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dots_are_names_like_others_and_the_directory_holds_numbers_only() {
    let machine = Machine::start(2).await;
    let mut stub = machine.connect().await;
    for name in [".", "..", "...", "-rf", "CON"] {
        create(&mut stub, name, 1).await;
        put_one(&mut stub, name, name).await;
    }
    let machine = machine.restart().await;
    let mut stub = machine.connect().await;
    for name in [".", "..", "...", "-rf", "CON"] {
        let records = read_shard(&mut stub, name, 0).await;
        assert_eq!(records.len(), 1, "{name}");
        assert_eq!(records[0].data, name);
    }
    let files = machine.disk.files();
    let segments: Vec<_> =
        files.iter().filter_map(|(path, _)| path.strip_prefix("/data/shards").ok()).collect();
    assert_eq!(segments.len(), 5);
    for path in segments {
        let path = path.to_str().unwrap();
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let parts: Vec<_> = path.strip_suffix(".seg").unwrap().split('/').collect();
        assert!(parts.len() == 3 && parts.iter().all(|part| is_number(part)), "{path}");
    }
    delete(&mut stub, "..").await;
    assert_eq!(count(&mut stub, ".", 1).await, 1);
    machine.stop().await;
}
