//! SplitShard, MergeShards and UpdateShardCount, and what readers and producers see of them.

use anabranch_engine::limits::SHARDS_PER_STREAM_MAX;

use super::*;

pub(super) const HALF: &str = "170141183460469231731687303715884105728";
const MAX: &str = "340282366920938463463374607431768211455";

pub(super) fn split_request(shard: &str, at: &str) -> v1::SplitShardRequest {
    v1::SplitShardRequest {
        stream_name: "orders".to_owned(),
        shard_to_split: shard.to_owned(),
        new_starting_hash_key: at.to_owned(),
        ..Default::default()
    }
}

fn merge_request(shard: &str, adjacent: &str) -> v1::MergeShardsRequest {
    v1::MergeShardsRequest {
        stream_name: "orders".to_owned(),
        shard_to_merge: shard.to_owned(),
        adjacent_shard_to_merge: adjacent.to_owned(),
        ..Default::default()
    }
}

fn count_request(target: u32) -> v1::UpdateShardCountRequest {
    v1::UpdateShardCountRequest {
        stream_name: "orders".to_owned(),
        target_shard_count: target,
        ..Default::default()
    }
}

fn shards(fixture: &Fixture) -> Vec<v1::Shard> {
    let stream_name = "orders".to_owned();
    let request = v1::ListShardsRequest { stream_name, ..Default::default() };
    fixture.ops.list_shards(request).unwrap().shards
}

#[tokio::test]
async fn a_split_shard_is_read_to_its_end_which_names_its_children() {
    let fixture = Fixture::with_stream("orders", 1).await;
    fixture.put("orders", 10).await;
    let iterator = fixture.iterator("orders", ShardIteratorType::TrimHorizon);
    fixture.ops.split_shard(split_request("0", HALF)).await.unwrap();
    fixture.put("orders", 50).await;
    let page = fixture.ops.get_records(get(&iterator)).await.unwrap();
    assert_eq!((page.page.records, page.next_shard_iterator.as_str()), (10, ""));
    let children: Vec<_> = page.child_shards.iter().map(|child| &child.shard_id[..]).collect();
    assert_eq!(children, ["shardId-000000000001", "shardId-000000000002"]);
    assert!(page.child_shards.iter().all(|child| child.parent_shards == ["shardId-000000000000"]));
    let listed = shards(&fixture);
    let numbers = listed[0].sequence_number_range.as_ref().unwrap();
    assert_eq!(numbers.ending_sequence_number, Some(10));
    assert!(!listed[0].is_open && listed[1].is_open);
    assert_eq!(listed[1].parent_shard_id.as_deref(), Some("shardId-000000000000"));
    // An iterator at the end says so again, whoever asks.
    let at_end = v1::GetShardIteratorRequest {
        shard_iterator_type: ShardIteratorType::Latest.into(),
        ..iterator_request("orders", ShardIteratorType::Latest)
    };
    let at_end = fixture.ops.get_shard_iterator(at_end).unwrap().shard_iterator;
    let page = fixture.ops.get_records(get(&at_end)).await.unwrap();
    assert_eq!((page.page.records, page.child_shards.len()), (0, 2));
}

#[tokio::test]
async fn a_merged_shard_has_two_parents_and_a_long_poll_at_its_end_is_woken() {
    let fixture = Fixture::with_stream("orders", 2).await;
    let iterator = fixture.iterator("orders", ShardIteratorType::Latest);
    let poll = v1::GetRecordsRequest { wait_ms: Some(30_000), ..get(&iterator) };
    let (page, merged) = tokio::join!(
        fixture.ops.get_records(poll),
        fixture.ops.merge_shards(merge_request("1", "shardId-0")),
    );
    merged.unwrap();
    let page = page.unwrap();
    assert_eq!(page.next_shard_iterator, "");
    let child = &page.child_shards[0];
    assert_eq!(child.parent_shards, ["shardId-000000000001", "shardId-000000000000"]);
    let range = child.hash_key_range.as_ref().unwrap();
    assert_eq!((range.starting_hash_key.as_str(), range.ending_hash_key.as_str()), ("0", MAX));
}

#[tokio::test]
async fn a_subscription_ends_behind_the_event_that_names_the_children() {
    let fixture = Fixture::with_stream("orders", 1).await;
    fixture.register("orders", "reader").await;
    fixture.put("orders", 3).await;
    let request = subscribe("reader", ShardIteratorType::TrimHorizon);
    let mut subscription = fixture.ops.subscribe_to_shard(request).unwrap();
    let event = subscription.next().await.unwrap().unwrap();
    assert_eq!((event.page.records, event.child_shards.len()), (3, 0));
    fixture.ops.split_shard(split_request("0", HALF)).await.unwrap();
    let end = subscription.next().await.unwrap().unwrap();
    assert_eq!((end.page.records, end.continuation_sequence_number), (0, 0));
    assert_eq!(end.child_shards.len(), 2);
    assert!(subscription.next().await.is_none());
}

#[tokio::test]
async fn a_batch_that_meets_a_closed_shard_goes_to_its_children() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let keys: Vec<String> = (0..100).map(|index| format!("key-{index}")).collect();
    let mut batch = Batch::default();
    let mut draft = batch.begin();
    for key in &keys {
        draft.push(key, None, key.as_bytes()).unwrap();
    }
    draft.finish().unwrap();
    let stream = fixture.engine.stream(&"orders".parse().unwrap()).unwrap();
    let puts = &fixture.ops.puts;
    // The shard is closing when the batch comes, and closed when it looks for room.
    let blocked = {
        let shard = stream.shards()[0].clone();
        fixture.ops.split_shard(split_request("0", HALF)).await.unwrap();
        assert!(shard.closed().is_some());
        put::Staged::new(stream.clone(), &batch, puts, &mut put::Tables::default())
    };
    let outcome = blocked.await;
    assert!(outcome.failures.is_empty());
    let shards = stream.shards();
    for (key, shard) in keys.iter().zip(outcome.whole().shards()) {
        let key = anabranch_engine::record::PartitionKey::from_bytes(key.as_bytes()).unwrap();
        let route = shards.route(anabranch_engine::hash_key::HashKey::of(key));
        assert_eq!(shards[route].id(), shard);
    }
    assert!(outcome.whole().shards().any(|shard| shard.0 == 1));
    assert!(outcome.whole().shards().any(|shard| shard.0 == 2));
}

#[tokio::test]
async fn splits_and_merges_that_make_no_sense_are_refused() {
    let fixture = Fixture::with_stream("orders", 4).await;
    let split =
        |shard: &'static str, at: &'static str| fixture.ops.split_shard(split_request(shard, at));
    let quarter = "85070591730234615865843651857942052864";
    let refused = split("1", "85070591730234615865843651857942052865").await.unwrap_err();
    assert_eq!(refused.kind, Kind::InvalidArgument);
    assert_eq!(
        refused.message,
        format!(
            "NewStartingHashKey 85070591730234615865843651857942052865 used in SplitShard() on \
             shard shardId-000000000001 in stream orders under account 000000000000 is not both \
             greater than one plus the shard's StartingHashKey {quarter} and less than the \
             shard's EndingHashKey 170141183460469231731687303715884105727."
        )
    );
    for at in ["0", "170141183460469231731687303715884105727", MAX] {
        assert_eq!(kind(split("1", at).await), Kind::InvalidArgument, "{at}");
    }
    for at in ["", "-1", "01", "x", "340282366920938463463374607431768211456"] {
        assert_eq!(field(split("1", at).await), "new_starting_hash_key", "{at}");
    }
    assert_eq!(kind(split("9", HALF).await), Kind::ResourceNotFound);
    assert_eq!(kind(split("shard", HALF).await), Kind::InvalidArgument);

    let merge = |shard: &'static str, adjacent: &'static str| {
        fixture.ops.merge_shards(merge_request(shard, adjacent))
    };
    let refused = merge("0", "2").await.unwrap_err();
    assert_eq!(
        refused.message,
        "Shards shardId-000000000000 and shardId-000000000002 in stream orders under account \
         000000000000 are not an adjacent pair of shards eligible for merging"
    );
    assert_eq!(kind(merge("1", "1").await), Kind::InvalidArgument);
    assert_eq!(kind(merge("1", "9").await), Kind::ResourceNotFound);
    merge("0", "1").await.unwrap();
    let refused = merge("0", "4").await.unwrap_err();
    assert_eq!(
        refused.message,
        "Shard shardId-000000000000 in stream orders under account 000000000000 has already been \
         merged or split, and thus is not eligible for merging or splitting."
    );
    assert_eq!(kind(split("0", "77").await), Kind::InvalidArgument);
    let no_stream =
        v1::SplitShardRequest { stream_name: "missing".to_owned(), ..split_request("0", HALF) };
    assert_eq!(kind(fixture.ops.split_shard(no_stream).await), Kind::ResourceNotFound);
}

#[tokio::test]
async fn a_count_is_at_most_doubled_and_at_least_halved() {
    let fixture = Fixture::with_stream("orders", 3).await;
    let update = |target| fixture.ops.update_shard_count(count_request(target));
    assert_eq!(kind(update(0).await), Kind::InvalidArgument);
    assert_eq!(kind(update(SHARDS_PER_STREAM_MAX + 1).await), Kind::InvalidArgument);
    assert_eq!(kind(update(7).await), Kind::LimitExceeded);
    assert_eq!(kind(update(1).await), Kind::LimitExceeded);
    for (target, before) in [(3, 3), (6, 3), (5, 6), (3, 5), (2, 3), (1, 2)] {
        let reply = update(target).await.unwrap();
        assert_eq!((reply.current_shard_count, reply.target_shard_count), (before, target));
        let listed = shards(&fixture);
        let mut open: Vec<_> = listed
            .iter()
            .filter(|shard| shard.is_open)
            .map(|shard| shard.hash_key_range.clone().unwrap())
            .collect();
        open.sort_by_key(|range| range.starting_hash_key.parse::<u128>().unwrap());
        let tiles = anabranch_engine::hash_key::HashKeyRange::tile(target);
        assert_eq!(open, tiles.map(describe::hash_key_range).collect::<Vec<_>>());
        // Every shard but the first ones has a parent, which is closed.
        for shard in &listed[3..] {
            let parent = shard.parent_shard_id.as_ref().unwrap();
            let parent = listed.iter().find(|listed| listed.shard_id == *parent).unwrap();
            assert!(!parent.is_open);
        }
        fixture.put("orders", 20).await;
    }
}
