//! Iterators, pages, long polls.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_five_iterator_types_start_where_they_say() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let ops = &fixture.ops;
    let empty_latest = fixture.iterator("orders", ShardIteratorType::Latest);
    fixture.put("orders", 3).await;
    fixture.clock.advance(Duration::from_secs(10));
    let later_ms = fixture.engine.now_ms();
    fixture.put("orders", 2).await;

    let read = async |iterator: &str| {
        let page = ops.get_records(get(iterator)).await.unwrap();
        (page.page.next.0 - page.page.records as u64, page.page.records)
    };
    assert_eq!(read(&empty_latest).await, (1, 5));
    let plain = |start| fixture.iterator("orders", start);
    assert_eq!(read(&plain(ShardIteratorType::TrimHorizon)).await, (1, 5));
    assert_eq!(read(&plain(ShardIteratorType::Latest)).await, (6, 0));
    let latest = iterator_request("orders", ShardIteratorType::Latest);
    // The tip: all five lie below it.
    assert_eq!(ops.get_shard_iterator(latest).unwrap().sequence_number, Some(6));
    let positioned = |start, number, timestamp_ms| {
        let request = v1::GetShardIteratorRequest {
            starting_sequence_number: number,
            timestamp_ms,
            ..iterator_request("orders", start)
        };
        ops.get_shard_iterator(request).map(|iterator| iterator.shard_iterator)
    };
    let at = |number| positioned(ShardIteratorType::AtSequenceNumber, Some(number), None);
    let after = |number| positioned(ShardIteratorType::AfterSequenceNumber, Some(number), None);
    let at_time = |ms| positioned(ShardIteratorType::AtTimestamp, None, Some(ms));
    assert_eq!(read(&at(3).unwrap()).await, (3, 3));
    assert_eq!(read(&at(0).unwrap()).await, (1, 5));
    assert_eq!(read(&after(3).unwrap()).await, (4, 2));
    assert_eq!(read(&after(0).unwrap()).await, (1, 5));
    assert_eq!(read(&after(5).unwrap()).await, (6, 0));
    assert_eq!(read(&at_time(later_ms).unwrap()).await, (4, 2));
    assert_eq!(read(&at_time(0).unwrap()).await, (1, 5));

    assert_eq!(field(at(7)), "starting_sequence_number");
    assert_eq!(field(after(6)), "starting_sequence_number");
    assert_eq!(field(after(u64::MAX)), "starting_sequence_number");
    assert_eq!(field(at_time(later_ms + 1)), "timestamp_ms");
    let wrong = |start, number, ms| field(positioned(start, number, ms));
    let (latest, by_time) = (ShardIteratorType::Latest, ShardIteratorType::AtTimestamp);
    assert_eq!(wrong(latest, Some(1), None), "starting_sequence_number");
    assert_eq!(wrong(latest, None, Some(1)), "timestamp_ms");
    assert_eq!(wrong(by_time, None, None), "timestamp_ms");
    let by_number = ShardIteratorType::AtSequenceNumber;
    assert_eq!(wrong(by_number, None, None), "starting_sequence_number");
    let either_or = "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and \
                     StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no \
                     StartingSequenceNumber. Request specified ";
    assert_eq!(
        message(positioned(latest, Some(1), None)),
        format!("{either_or}LATEST and also a StartingSequenceNumber.")
    );
    assert_eq!(
        message(positioned(ShardIteratorType::AfterSequenceNumber, None, None)),
        format!("{either_or}AFTER_SEQUENCE_NUMBER and no StartingSequenceNumber.")
    );
    assert_eq!(
        message(positioned(by_time, None, None)),
        "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current \
         request has no timestamp parameter."
    );
    assert_eq!(
        message(at_time(later_ms + 1)),
        format!(
            "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. \
             timestampInMillis: {}, currentTimestampInMillis: {later_ms}",
            later_ms + 1
        )
    );
    assert_eq!(wrong(by_time, Some(1), Some(1)), "starting_sequence_number");
    assert!(message(at(7)).starts_with(
        "StartingSequenceNumber 7 used in GetShardIterator on shard shardId-000000000000 in \
         stream orders under account 000000000000 is invalid"
    ));
    let unspecified = ShardIteratorType::Unspecified;
    assert_eq!(wrong(unspecified, None, None), "shard_iterator_type");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_iterator_of_a_deleted_incarnation_finds_nothing() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let iterator = fixture.iterator("orders", ShardIteratorType::TrimHorizon);
    fixture.delete("orders").await;
    assert_eq!(kind(fixture.ops.get_records(get(&iterator)).await), Kind::ResourceNotFound);
    fixture.create("orders", 1).await;
    assert_eq!(kind(fixture.ops.get_records(get(&iterator)).await), Kind::ResourceNotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_keep_to_the_limits_of_their_request() {
    let fixture = Fixture::with_stream("orders", 1).await;
    fixture.put("orders", 10).await;
    let iterator = fixture.iterator("orders", ShardIteratorType::TrimHorizon);
    let request = v1::GetRecordsRequest { limit: Some(4), ..get(&iterator) };
    let page = fixture.ops.get_records(request).await.unwrap();
    assert_eq!(page.page.records, 4);
    let request = v1::GetRecordsRequest { max_bytes: Some(1), ..get(&page.next_shard_iterator) };
    let page = fixture.ops.get_records(request).await.unwrap();
    assert_eq!((page.page.records, page.page.next.0), (1, 6));
    for (request, named) in [
        (v1::GetRecordsRequest { limit: Some(0), ..get(&iterator) }, "limit"),
        (v1::GetRecordsRequest { limit: Some(10_001), ..get(&iterator) }, "limit"),
        (v1::GetRecordsRequest { max_bytes: Some(0), ..get(&iterator) }, "max_bytes"),
        (v1::GetRecordsRequest { max_bytes: Some((10 << 20) + 1), ..get(&iterator) }, "max_bytes"),
        (v1::GetRecordsRequest { wait_ms: Some(30_001), ..get(&iterator) }, "wait_ms"),
    ] {
        assert_eq!(field(fixture.ops.get_records(request).await), named);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_iterator_says_in_words_how_old_it_is() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let iterator = fixture.iterator("orders", ShardIteratorType::TrimHorizon);
    fixture.clock.advance(Duration::from_secs(301));
    let expired = fixture.ops.get_records(get(&iterator)).await;
    assert_eq!(kind(expired.as_ref().map_err(Clone::clone)), Kind::ExpiredIterator);
    assert_eq!(
        message(expired),
        "Iterator expired. The iterator was created at time Tue Nov 14 22:13:20 UTC 2023 while \
         right now it is Tue Nov 14 22:18:21 UTC 2023 which is further in the future than the \
         tolerated delay of 300000 milliseconds."
    );
    assert_eq!(message(fixture.ops.get_records(get("AAAA")).await), "Invalid ShardIterator.");
}

/// A long poll at the tip, and whether it still waits after `meanwhile`.
async fn long_poll<F: Future<Output = ()>>(
    fixture: &Fixture,
    meanwhile: F,
) -> Result<get_records::RecordsPage> {
    let iterator = fixture.iterator("orders", ShardIteratorType::Latest);
    let request = v1::GetRecordsRequest { wait_ms: Some(30_000), ..get(&iterator) };
    let poll = fixture.ops.get_records(request);
    tokio::pin!(poll);
    tokio::select! {
        biased;
        _ = &mut poll => panic!("there is nothing to read yet"),
        () = std::future::ready(()) => {}
    }
    meanwhile.await;
    poll.await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_ends_with_a_record_with_the_stream_and_with_the_server() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let put = async { drop(fixture.put("orders", 1).await) };
    let page = long_poll(&fixture, put).await.unwrap();
    assert_eq!(page.page.records, 1);
    let ended = long_poll(&fixture, fixture.delete("orders")).await;
    assert_eq!(kind(ended), Kind::ResourceNotFound);
    fixture.create("orders", 1).await;
    let page = long_poll(&fixture, async { fixture.ops.begin_shutdown() }).await.unwrap();
    assert_eq!(page.page.records, 0);
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_without_news_ends_with_an_empty_page_in_time() {
    let fixture = Fixture::without_threads();
    fixture.create("orders", 1).await;
    let before = tokio::time::Instant::now();
    let page = long_poll(&fixture, async {}).await.unwrap();
    assert_eq!(page.page.records, 0);
    assert_eq!(before.elapsed(), Duration::from_secs(30));
}
