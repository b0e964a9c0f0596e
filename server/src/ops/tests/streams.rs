//! Streams, their shards and their retention.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_made_listed_described_and_deleted() {
    let fixture = Fixture::new();
    let ops = &fixture.ops;
    for name in ["b", "..", "a", "c"] {
        fixture.create(name, 3).await;
    }
    let request = v1::ListStreamsRequest { limit: Some(3), ..Default::default() };
    let listed = ops.list_streams(request).unwrap();
    assert_eq!(listed.stream_names, ["..", "a", "b"]);
    assert!(listed.has_more_streams);
    assert_eq!(listed.stream_summaries.len(), 3);
    let next = |token: Option<String>| v1::ListStreamsRequest {
        // As the paginators of SDKs do.
        exclusive_start_stream_name: Some("..".to_owned()),
        next_token: token,
        ..Default::default()
    };
    let token = listed.next_token;
    let rest = ops.list_streams(next(token.clone())).unwrap();
    assert_eq!((rest.stream_names, rest.next_token), (vec!["c".to_owned()], None));
    assert_eq!(message(ops.list_streams(next(Some("AAAA".to_owned())))), "Invalid NextToken.");
    fixture.clock.advance(Duration::from_secs(301));
    assert_eq!(kind(ops.list_streams(next(token))), Kind::ExpiredNextToken);
    let request = v1::ListStreamsRequest {
        exclusive_start_stream_name: Some("b".to_owned()),
        ..Default::default()
    };
    let listed = ops.list_streams(request).unwrap();
    assert_eq!(listed.stream_names, ["c"]);
    assert!(!listed.has_more_streams);

    let taken = v1::CreateStreamRequest {
        stream_name: "a".to_owned(),
        shard_count: 1,
        ..Default::default()
    };
    assert_eq!(kind(ops.create_stream(taken).await), Kind::AlreadyExists);
    fixture.delete("a").await;
    let request =
        v1::DescribeStreamSummaryRequest { stream_name: "a".to_owned(), ..Default::default() };
    assert_eq!(kind(ops.describe_stream_summary(request)), Kind::ResourceNotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_counts_are_refused_by_their_field() {
    let fixture = Fixture::new();
    for (name, shard_count, named) in [
        ("", 1, "stream_name"),
        ("a/b", 1, "stream_name"),
        ("a", 10_001, "shard_count"),
        ("a", u32::MAX, "shard_count"),
    ] {
        let stream_name = name.to_owned();
        let request = v1::CreateStreamRequest { stream_name, shard_count, ..Default::default() };
        assert_eq!(field(fixture.ops.create_stream(request).await), named);
    }
    for limit in [0, 10_001] {
        let request = v1::ListStreamsRequest { limit: Some(limit), ..Default::default() };
        assert_eq!(field(fixture.ops.list_streams(request)), "limit");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_are_listed_page_by_page_until_the_stream_is_another() {
    let fixture = Fixture::with_stream("orders", 5).await;
    let ops = &fixture.ops;
    let request = v1::ListShardsRequest {
        stream_name: "orders".to_owned(),
        max_results: Some(2),
        ..Default::default()
    };
    let first = ops.list_shards(request).unwrap();
    assert_eq!(first.shards[1].shard_id, "shardId-000000000001");
    let token = first.next_token.unwrap();
    let next = |token: &str| v1::ListShardsRequest {
        next_token: Some(token.to_owned()),
        max_results: Some(2),
        ..Default::default()
    };
    let second = ops.list_shards(next(&token)).unwrap();
    assert_eq!(second.shards[0].shard_id, "shardId-000000000002");
    let third = ops.list_shards(next(&second.next_token.unwrap())).unwrap();
    assert_eq!(third.shards.len(), 1);
    assert_eq!(third.next_token, None);

    let name = "orders".to_owned();
    let both = v1::ListShardsRequest { stream_name: name.clone(), ..next(&token) };
    let told = message(ops.list_shards(both));
    assert_eq!(told, "NextToken and StreamName cannot be provided together.");
    let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/orders".to_owned();
    for superfluous in [
        v1::ListShardsRequest { stream_arn: arn, ..next(&token) },
        v1::ListShardsRequest { exclusive_start_shard_id: Some(name), ..next(&token) },
        v1::ListShardsRequest { stream_creation_timestamp_ms: Some(1), ..next(&token) },
        v1::ListShardsRequest { shard_filter: Some(v1::ShardFilter::default()), ..next(&token) },
    ] {
        assert!(message(ops.list_shards(superfluous)).contains("cannot be provided together."));
    }
    let neither = ops.list_shards(v1::ListShardsRequest::default());
    assert_eq!(message(neither), "Either NextToken or StreamName should be provided.");
    assert_eq!(message(ops.list_shards(next("forged"))), "Invalid NextToken.");
    // A token of another list is none of this one.
    let others = ops.list_streams(v1::ListStreamsRequest { limit: Some(1), ..Default::default() });
    assert_eq!(others.unwrap().next_token, None);
    fixture.delete("orders").await;
    fixture.create("orders", 5).await;
    assert_eq!(kind(ops.list_shards(next(&token))), Kind::ResourceNotFound);
    fixture.clock.advance(Duration::from_secs(301));
    assert_eq!(kind(ops.list_shards(next(&token))), Kind::ExpiredNextToken);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_its_creation_tells_a_stream_from_others_of_its_name() {
    let fixture = Fixture::new();
    fixture.clock.advance(Duration::from_millis(123));
    fixture.create("orders", 1).await;
    let created_ms = fixture.engine.now_ms();
    let shards = |ms| {
        fixture.ops.list_shards(v1::ListShardsRequest {
            stream_name: "orders".to_owned(),
            stream_creation_timestamp_ms: Some(ms),
            ..Default::default()
        })
    };
    let consumers = |ms, next_token| {
        fixture.ops.list_stream_consumers(v1::ListStreamConsumersRequest {
            stream_name: "orders".to_owned(),
            stream_creation_timestamp_ms: Some(ms),
            next_token,
            ..Default::default()
        })
    };
    // Some clients keep seconds only.
    for ms in [created_ms, created_ms - created_ms % 1000] {
        assert!(shards(ms).is_ok() && consumers(ms, None).is_ok());
    }
    for ms in [created_ms - 1, created_ms + 1, created_ms - created_ms % 1000 + 1000] {
        assert_eq!(kind(shards(ms)), Kind::ResourceNotFound);
        assert_eq!(kind(consumers(ms, None)), Kind::ResourceNotFound);
    }
    assert_eq!(
        message(consumers(created_ms, Some("AAAA".to_owned()))),
        "NextToken and StreamCreationTimestamp cannot be provided together."
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_are_filtered_and_a_filter_with_other_parameters_is_refused() {
    use v1::ShardFilterType as Type;
    let fixture = Fixture::with_stream("orders", 3).await;
    let list = |r#type: Type, shard_id: Option<&str>, timestamp_ms| {
        let shard_id = shard_id.map(str::to_owned);
        let listed = fixture.ops.list_shards(v1::ListShardsRequest {
            stream_name: "orders".to_owned(),
            shard_filter: Some(v1::ShardFilter { r#type: r#type.into(), shard_id, timestamp_ms }),
            ..Default::default()
        });
        listed.map(|listed| listed.shards.len())
    };
    let now_ms = fixture.engine.now_ms();
    assert_eq!(list(Type::AfterShardId, Some("0"), None).unwrap(), 2);
    assert_eq!(list(Type::AtTrimHorizon, None, None).unwrap(), 3);
    assert_eq!(list(Type::FromTrimHorizon, None, None).unwrap(), 3);
    assert_eq!(list(Type::AtLatest, None, None).unwrap(), 3);
    // Older than the horizon is the horizon.
    assert_eq!(list(Type::AtTimestamp, None, Some(now_ms - 1)).unwrap(), 3);
    assert_eq!(list(Type::FromTimestamp, None, Some(now_ms)).unwrap(), 3);

    assert_eq!(field(list(Type::Unspecified, None, None)), "shard_filter.type");
    assert_eq!(field(list(Type::AfterShardId, None, None)), "shard_filter.shard_id");
    assert_eq!(field(list(Type::AfterShardId, Some("x"), None)), "shard_filter.shard_id");
    assert_eq!(field(list(Type::AtLatest, Some("0"), None)), "shard_filter.shard_id");
    assert_eq!(field(list(Type::AtTimestamp, None, None)), "shard_filter.timestamp_ms");
    assert_eq!(field(list(Type::FromTimestamp, None, None)), "shard_filter.timestamp_ms");
    assert_eq!(field(list(Type::AtTrimHorizon, None, Some(1))), "shard_filter.timestamp_ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_any_time_a_filter_lists_shards_that_tile_the_hash_space() {
    use v1::ShardFilterType as Type;
    let fixture = Fixture::with_stream("orders", 1).await;
    let begun_ms = fixture.engine.now_ms();
    fixture.clock.advance(Duration::from_secs(10));
    let split = v1::SplitShardRequest {
        stream_name: "orders".to_owned(),
        shard_to_split: "0".to_owned(),
        new_starting_hash_key: "7000".to_owned(),
        ..Default::default()
    };
    fixture.ops.split_shard(split).await.unwrap();
    fixture.clock.advance(Duration::from_secs(10));
    let list = |r#type: Type, timestamp_ms| {
        let request = v1::ListShardsRequest {
            stream_name: "orders".to_owned(),
            shard_filter: Some(v1::ShardFilter {
                r#type: r#type.into(),
                timestamp_ms,
                ..Default::default()
            }),
            ..Default::default()
        };
        let listed = fixture.ops.list_shards(request).unwrap().shards;
        listed.into_iter().map(|shard| shard.shard_id[19..].to_owned()).collect::<Vec<_>>().concat()
    };
    for ms in (0..20_000).step_by(250) {
        let listed = list(Type::AtTimestamp, Some(begun_ms + ms));
        let expected = if ms <= 10_000 { "0" } else { "12" };
        assert_eq!(listed, expected, "{ms}");
        let from = if ms <= 10_000 { "012" } else { "12" };
        assert_eq!(list(Type::FromTimestamp, Some(begun_ms + ms)), from, "{ms}");
    }
    assert_eq!(list(Type::AtTrimHorizon, None), "0");
    assert_eq!(list(Type::AtLatest, None), "12");
    assert_eq!(list(Type::FromTrimHorizon, None), "012");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_goes_on_from_page_to_page() {
    let fixture = Fixture::with_stream("orders", 3).await;
    let request = v1::ListShardsRequest {
        stream_name: "orders".to_owned(),
        max_results: Some(2),
        shard_filter: Some(v1::ShardFilter {
            r#type: v1::ShardFilterType::AtLatest.into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let first = fixture.ops.list_shards(request).unwrap();
    let request =
        v1::ListShardsRequest { next_token: first.next_token, ..v1::ListShardsRequest::default() };
    let second = fixture.ops.list_shards(request).unwrap();
    assert_eq!(first.shards.len() + second.shards.len(), 3);
    assert!(second.shards[0].is_open && second.next_token.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_description_pages_its_shards_behind_the_one_that_is_named() {
    let fixture = Fixture::with_stream("orders", 4).await;
    let request = v1::DescribeStreamRequest {
        stream_name: "orders".to_owned(),
        limit: Some(2),
        exclusive_start_shard_id: Some("shardId-000000000000".to_owned()),
        ..Default::default()
    };
    let described = fixture.ops.describe_stream(request).unwrap();
    let stream = described.stream_description.unwrap();
    assert_eq!(stream.stream_arn, "arn:aws:kinesis:us-east-1:000000000000:stream/orders");
    assert_eq!(stream.retention_period_hours, 24);
    assert!(stream.has_more_shards);
    let ids: Vec<_> = stream.shards.iter().map(|shard| shard.shard_id.as_str()).collect();
    assert_eq!(ids, ["shardId-000000000001", "shardId-000000000002"]);
    let range = stream.shards[0].sequence_number_range.unwrap();
    assert_eq!(range.starting_sequence_number, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_moves_within_its_limits_and_in_the_named_direction() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let increase = async |hours| {
        let request = v1::IncreaseStreamRetentionPeriodRequest {
            stream_name: "orders".to_owned(),
            retention_period_hours: hours,
            ..Default::default()
        };
        fixture.ops.increase_stream_retention_period(request).await
    };
    let decrease = async |hours| {
        let request = v1::DecreaseStreamRetentionPeriodRequest {
            stream_name: "orders".to_owned(),
            retention_period_hours: hours,
            ..Default::default()
        };
        fixture.ops.decrease_stream_retention_period(request).await
    };
    assert!(increase(24).await.is_ok());
    assert!(increase(48).await.is_ok());
    assert_eq!(field(increase(47).await), "retention_period_hours");
    assert_eq!(field(increase(8761).await), "retention_period_hours");
    assert!(decrease(48).await.is_ok());
    assert_eq!(field(decrease(49).await), "retention_period_hours");
    assert_eq!(field(decrease(23).await), "retention_period_hours");
    assert!(decrease(24).await.is_ok());
}
