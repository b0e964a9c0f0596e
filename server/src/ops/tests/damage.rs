//! What a reader is told of damage, and of a restart.

use super::*;

/// Changes one byte of the first record's data in the only segment below `data`.
fn damage_first_record(data: &Path) {
    let mut directory = data.join("shards");
    while directory.is_dir() {
        directory = std::fs::read_dir(&directory).unwrap().next().unwrap().unwrap().path();
    }
    let mut bytes = std::fs::read(&directory).unwrap();
    let at = bytes.windows(5).position(|window| window == b"key-0").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&directory, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_reported_with_its_place_and_reading_goes_on_behind_it() {
    let mut fixture = Fixture::with_stream("orders", 1).await;
    fixture.register("orders", "analytics").await;
    fixture.put("orders", 3).await;
    fixture.put("orders", 2).await;
    fixture.engine.shut_down().unwrap();
    damage_first_record(fixture.data.path());
    fixture.reopen();

    let iterator = fixture.iterator("orders", ShardIteratorType::TrimHorizon);
    let error = fixture.ops.get_records(get(&iterator)).await.unwrap_err();
    assert_eq!(error.kind, Kind::DataLoss);
    let value = |name| {
        let found = error.metadata.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| value.as_str()).unwrap()
    };
    assert_eq!((value("first_lost"), value("next_readable")), ("1", "4"));
    assert!(value("file").starts_with("shards/"), "{}", value("file"));
    let page = fixture.ops.get_records(get(value("next_shard_iterator"))).await.unwrap();
    assert_eq!((page.page.records, page.page.next.0), (2, 6));

    let request = subscribe("analytics", ShardIteratorType::TrimHorizon);
    let mut subscription = fixture.ops.subscribe_to_shard(request).unwrap();
    assert_eq!(kind(subscription.next().await.unwrap()), Kind::DataLoss);
    assert!(subscription.next().await.is_none());
    // Puts are not affected.
    assert_eq!(fixture.put("orders", 1).await.numbers, [6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_iterator_is_as_good_after_a_restart_as_before() {
    let mut fixture = Fixture::with_stream("orders", 1).await;
    fixture.put("orders", 2).await;
    let iterator = fixture.iterator("orders", ShardIteratorType::TrimHorizon);
    fixture.engine.shut_down().unwrap();
    fixture.reopen();
    let page = fixture.ops.get_records(get(&iterator)).await.unwrap();
    assert_eq!(page.page.records, 2);
    fixture.clock.advance(Duration::from_secs(301));
    assert_eq!(kind(fixture.ops.get_records(get(&iterator)).await), Kind::ExpiredIterator);
}
