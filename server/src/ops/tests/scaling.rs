//! On-demand streams: the scaler at work on the manual clock.

use anabranch_engine::StreamSettings;
use anabranch_engine::ids::ShardId;
use anabranch_engine::settings::StreamMode;

use super::*;
use crate::traffic::scaling::Decision;

async fn put_spread(fixture: &Fixture, first: u128, step: u128) {
    for half in 0..2 {
        let keys: Vec<String> =
            (0..300).map(|index| (first + (index * 2 + half) * step).to_string()).collect();
        let mut batch = Batch::default();
        let mut draft = batch.begin();
        for key in &keys {
            draft.push("k", Some(key), b"data").unwrap();
        }
        draft.finish().unwrap();
        assert!(
            fixture
                .ops
                .put_records(&Caller::anonymous(), to("orders"), &batch)
                .await
                .unwrap()
                .failures
                .is_empty()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_shard_is_split_where_its_load_halves_and_merged_when_it_has_been_cold() {
    let fixture = Fixture::new();
    let settings = StreamSettings { mode: StreamMode::OnDemand, ..StreamSettings::default() };
    let name = "orders".parse().unwrap();
    let stream = fixture.engine.create_stream(&name, 4, settings).unwrap();
    let scaler = fixture.ops.scaler();
    // All of the load lies in the lowest thousandth of the second shard.
    let range = stream.shards()[1].hash_key_range();
    let width = (range.end.0 - range.start.0) / 1000;
    for _ in 0..5 {
        put_spread(&fixture, range.start.0, width / 600).await;
        fixture.clock.advance(Duration::from_secs(1));
        scaler.step(false);
        assert_eq!(stream.shards().open().len(), 4);
    }
    put_spread(&fixture, range.start.0, width / 600).await;
    fixture.clock.advance(Duration::from_secs(1));
    scaler.step(true);
    let shards = stream.shards();
    assert_eq!(shards.open().len(), 5);
    let children = shards.children(ShardId(1));
    let at = children[1].hash_key_range().start.0 - range.start.0;
    assert!((width * 4 / 10..width * 6 / 10).contains(&at), "{at} of {width}");
    let decided = scaler.decided(stream.id());
    assert_eq!(decided.len(), 1);
    assert_eq!(decided[0].at_ms, fixture.engine.now_ms());
    let reason = decided[0].decision.reason();
    assert!(reason.starts_with("shardId-000000000001 took 600 records/s"), "{reason}");

    let request =
        || v1::DescribeShardLoadRequest { stream_name: "orders".to_owned(), ..Default::default() };
    let shown = fixture.ops.describe_shard_load(request()).unwrap();
    let ids: Vec<_> = shown.shards.iter().map(|load| load.shard_id.as_str()).collect();
    assert_eq!(ids[0], "shardId-000000000000");
    assert_eq!(ids[3..], ["shardId-000000000004", "shardId-000000000005"]);
    assert_eq!(shown.decisions[0].reason, reason);
    assert!(shown.decisions[0].decision.starts_with("split shardId-000000000001 at "));
    // What is put now goes to the children, half of it to each.
    put_spread(&fixture, range.start.0, width / 600).await;
    fixture.clock.advance(Duration::from_secs(1));
    let shown = fixture.ops.describe_shard_load(request()).unwrap();
    for load in &shown.shards[3..] {
        assert!((4.0..6.0).contains(&load.incoming_records_per_second), "{load:?}");
        assert!(load.hottest_hash_key_share.unwrap() < 0.1, "{load:?}");
        assert!(load.halving_hash_key.is_some(), "{load:?}");
    }
    assert!(shown.shards[0].incoming_records_per_second < 0.01);

    // A quarter of an hour without traffic.
    for _ in 0..44 {
        fixture.clock.advance(Duration::from_secs(20));
        scaler.step(true);
        assert_eq!(stream.shards().open().len(), 5);
    }
    for _ in 0..6 {
        fixture.clock.advance(Duration::from_secs(20));
        scaler.step(true);
    }
    assert_eq!(stream.shards().open().len(), 4);
    let decided = scaler.decided(stream.id());
    assert!(matches!(decided[1].decision, Decision::Merge { .. }), "{decided:?}");
    for _ in 0..60 {
        fixture.clock.advance(Duration::from_secs(60));
        scaler.step(true);
    }
    assert_eq!(stream.shards().open().len(), 4);
    assert_eq!(scaler.decided(stream.id()), []);
    // A provisioned stream is its user's.
    fixture.create("other", 1).await;
    scaler.step(true);
    let other = fixture.engine.stream(&"other".parse().unwrap()).unwrap();
    assert_eq!(other.shards().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_distributes_by_itself_is_split_in_the_middle() {
    let fixture = Fixture::new();
    let settings = StreamSettings {
        mode: StreamMode::OnDemand,
        distribution: anabranch_engine::settings::Distribution::Auto,
        warm_throughput_mib_s: 6,
        ..StreamSettings::default()
    };
    let stream = fixture.engine.create_stream(&"orders".parse().unwrap(), 4, settings).unwrap();
    fixture.clock.advance(Duration::from_secs(10));
    fixture.ops.scaler().step(false);
    let shards = stream.shards();
    assert_eq!(shards.open().len(), 6);
    let children = shards.children(ShardId(0));
    let halves = children.iter().map(|child| child.hash_key_range());
    let widths: Vec<_> = halves.map(|half| half.end.0 - half.start.0).collect();
    assert_eq!(widths[0], widths[1]);
    let decided = fixture.ops.scaler().decided(stream.id());
    let reason = "4 shards are open and 6 are needed, because the warm throughput is 6 MiB/s";
    assert_eq!(decided[0].decision.reason(), reason);
}
