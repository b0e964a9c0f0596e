//! The reader against a server that fails on demand.

use std::collections::BTreeMap;

use super::builder::LONG_POLLS_MAX;
use super::*;
use crate::client::Client;
use crate::error::Error;
use crate::fake::Fake;

async fn stream(shards: u32) -> (Arc<Fake>, Client) {
    let (fake, client) = Fake::start().await;
    client.create_stream("s", shards).await.unwrap();
    (fake, client)
}

fn fill(fake: &Fake, shard: usize, from: usize, count: usize) {
    for number in from..from + count {
        fake.append("s", shard, "k", number.to_string().as_bytes());
    }
}

/// The data of all records up to the end, by shard, and the damage on the way.
async fn read_all(mut reader: Reader) -> (BTreeMap<String, Vec<usize>>, Vec<DataLoss>) {
    let mut read: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut losses = Vec::new();
    while let Some(item) = reader.next().await {
        match item.unwrap() {
            Item::Batch(batch) => {
                let numbers = batch.records.iter().map(number_of);
                read.entry(batch.shard_id.to_string()).or_default().extend(numbers);
            }
            Item::Damage(damage) => losses.push(damage.loss),
            Item::End(_) => {}
        }
    }
    (read, losses)
}

/// A reader may be started by a task, which any runtime may move to another thread.
#[test]
fn a_task_can_start_a_reader() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let start = |builder: ReaderBuilder| is_send(async move { builder.start().await });
    let _ = start;
}

fn number_of(record: &v1::Record) -> usize {
    std::str::from_utf8(&record.data).unwrap().parse().unwrap()
}

async fn next_numbers(reader: &mut Reader) -> Vec<usize> {
    match reader.next().await.unwrap().unwrap() {
        Item::Batch(batch) => batch.records.iter().map(number_of).collect(),
        other => panic!("{other:?}"),
    }
}

const SHARD_0: &str = "shardId-000000000000";

#[tokio::test]
async fn pull_and_push_give_every_record_of_every_shard_in_order() {
    let (fake, client) = stream(3).await;
    fake.order(|orders| orders.page_records = Some(7));
    for shard in 0..3 {
        fill(&fake, shard, 0, 20 * shard);
    }
    let from_start = || client.read("s").from(Position::TrimHorizon).until_tip(true);
    for builder in [from_start(), from_start().push("app")] {
        let (read, losses) = read_all(builder.start().await.unwrap()).await;
        assert!(losses.is_empty());
        assert_eq!(read.len(), 2, "an empty shard gives nothing");
        assert_eq!(read["shardId-000000000001"], (0..20).collect::<Vec<_>>());
        assert_eq!(read["shardId-000000000002"], (0..40).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn until_tip_ends_at_the_tip_as_it_was_at_the_start() {
    let (fake, client) = stream(1).await;
    fake.order(|orders| orders.page_records = Some(4));
    fill(&fake, 0, 0, 10);
    let from_start = || client.read("s").from(Position::TrimHorizon).until_tip(true);
    for (round, builder) in [from_start(), from_start().push("app")].into_iter().enumerate() {
        let reader = builder.start().await.unwrap();
        // The reader has read one page at most, and now the tip moves.
        fill(&fake, 0, 10 + round * 25, 25);
        let (read, _) = read_all(reader).await;
        assert_eq!(read[SHARD_0], (0..10 + round * 25).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn latest_gives_what_is_put_after_the_start() {
    let (fake, client) = stream(1).await;
    fill(&fake, 0, 0, 3);
    let mut reader = client.read("s").start().await.unwrap();
    fill(&fake, 0, 3, 1);
    assert_eq!(next_numbers(&mut reader).await, [3]);
}

#[tokio::test]
async fn a_position_is_a_number_or_a_time() {
    let (fake, client) = stream(1).await;
    fill(&fake, 0, 0, 5);
    for (position, first) in [
        (Position::AtSequenceNumber(3), 2),
        (Position::AfterSequenceNumber(3), 3),
        (Position::AtTimestamp(1_700_000_000_004), 3),
    ] {
        let builder = client.read("s").shard("0").from(position);
        let mut reader = builder.start().await.unwrap();
        assert_eq!(next_numbers(&mut reader).await[0], first, "{position:?}");
    }
    let all = client.read("s").from(Position::AtSequenceNumber(1)).start().await;
    assert!(matches!(all, Err(Error::InvalidArgument { .. })));
    let unknown = client.read("s").shard("7").start().await;
    assert!(matches!(unknown, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn an_expired_iterator_is_renewed_where_reading_was() {
    let (fake, client) = stream(1).await;
    fake.order(|orders| orders.page_records = Some(1));
    fill(&fake, 0, 0, 3);
    let builder = client.read("s").from(Position::TrimHorizon);
    let mut reader = builder.start().await.unwrap();
    for number in 0..3 {
        fake.order(|orders| orders.expire_iterators = 1);
        assert_eq!(next_numbers(&mut reader).await, [number]);
    }
}

#[tokio::test]
async fn damage_is_reported_and_reading_goes_on_behind_it() {
    let (fake, client) = stream(1).await;
    fake.order(|orders| orders.damage = Some((4, 7)));
    fill(&fake, 0, 0, 10);
    let from_start = || client.read("s").from(Position::TrimHorizon).until_tip(true);
    for builder in [from_start(), from_start().push("app")] {
        let (read, losses) = read_all(builder.start().await.unwrap()).await;
        assert_eq!(read[SHARD_0], [0, 1, 2, 6, 7, 8, 9]);
        assert_eq!(losses.len(), 1);
        assert_eq!((losses[0].first_lost, losses[0].next_readable), (4, 7));
        assert_eq!(losses[0].file, "1.seg");
    }
}

#[tokio::test]
async fn a_subscription_that_ends_is_made_again_behind_the_last_record() {
    let (fake, client) = stream(1).await;
    fake.order(|orders| {
        orders.page_records = Some(2);
        orders.short_subscriptions = 2;
    });
    fill(&fake, 0, 0, 9);
    let builder = client.read("s").from(Position::TrimHorizon).push("app");
    let (read, _) = read_all(builder.until_tip(true).start().await.unwrap()).await;
    assert_eq!(read[SHARD_0], (0..9).collect::<Vec<_>>());
}

/// More than a connection's window waits to be read while the readers make calls.
#[tokio::test]
async fn subscriptions_that_fill_their_window_hold_up_no_other_call() {
    let (fake, client) = stream(6).await;
    fake.order(|orders| orders.page_records = Some(1));
    for shard in 0..6 {
        for _ in 0..12 {
            fake.append("s", shard, "k", &vec![b'x'; 512 << 10]);
        }
    }
    let builder = client.read("s").from(Position::TrimHorizon).push("app");
    let mut reader = builder.until_tip(true).start().await.unwrap();
    let mut count = 0;
    while let Some(item) = reader.next().await {
        if let Item::Batch(batch) = item.unwrap() {
            count += batch.records.len();
        }
    }
    assert_eq!(count, 6 * 12);
}

#[tokio::test]
async fn a_subscription_refused_as_too_early_is_tried_again() {
    let (fake, client) = stream(1).await;
    fake.order(|orders| orders.refuse_subscriptions = 1);
    fill(&fake, 0, 0, 1);
    let builder = client.read("s").from(Position::TrimHorizon).push("app");
    let mut reader = builder.start().await.unwrap();
    assert_eq!(next_numbers(&mut reader).await, [0]);
}

#[tokio::test]
async fn a_deleted_stream_ends_its_readers_with_not_found() {
    let (fake, client) = stream(2).await;
    fill(&fake, 0, 0, 1);
    let builder = client.read("s").from(Position::TrimHorizon);
    let mut reader = builder.start().await.unwrap();
    assert_eq!(next_numbers(&mut reader).await, [0]);
    client.delete_stream("s", false).await.unwrap();
    let error = reader.next().await.unwrap().unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    assert!(reader.next().await.is_none());
}

#[tokio::test]
async fn many_shards_take_turns_and_all_are_read() {
    let shards = LONG_POLLS_MAX + 8;
    let (fake, client) = stream(shards as u32).await;
    for shard in 0..shards {
        fill(&fake, shard, 0, 3);
    }
    let builder = client.read("s").from(Position::TrimHorizon).until_tip(true);
    let (read, _) = read_all(builder.start().await.unwrap()).await;
    assert_eq!(read.len(), shards);
}

/// Puts numbers into shards that are split and merged on the way: 0 becomes 1 and 2, and 2 and 3
/// become 4.
fn resharded(fake: &Fake) {
    fill(fake, 0, 0, 10);
    fake.reshard("s", &[0], 2);
    fill(fake, 1, 10, 10);
    fill(fake, 2, 20, 10);
}

#[tokio::test]
async fn children_are_read_behind_their_parents_by_pull_and_by_push() {
    let (fake, client) = stream(1).await;
    fake.order(|orders| orders.page_records = Some(3));
    resharded(&fake);
    fake.reshard("s", &[1, 2], 1);
    fill(&fake, 3, 30, 10);
    let from_start = || client.read("s").from(Position::TrimHorizon).until_tip(true);
    for builder in [from_start(), from_start().push("app")] {
        let mut reader = builder.start().await.unwrap();
        let (mut read, mut ended) = (Vec::new(), Vec::new());
        while let Some(item) = reader.next().await {
            match item.unwrap() {
                Item::Batch(batch) => read.extend(batch.records.iter().map(number_of)),
                Item::End(end) => ended.push(end.shard_id.to_string()),
                Item::Damage(damage) => panic!("{damage:?}"),
            }
        }
        assert_eq!(read[..10], (0..10).collect::<Vec<_>>());
        assert_eq!(read[30..], (30..40).collect::<Vec<_>>());
        read.sort_unstable();
        assert_eq!(read, (0..40).collect::<Vec<_>>());
        assert_eq!(ended.len(), 3, "the open shard has a tip and no end: {ended:?}");
    }
}

/// Reads until these numbers have come, and counts the shards that end on the way.
async fn until(reader: &mut Reader, expected: &[usize]) -> usize {
    let (mut read, mut ended) = (Vec::new(), 0);
    while read.len() < expected.len() {
        match reader.next().await.unwrap().unwrap() {
            Item::Batch(batch) => read.extend(batch.records.iter().map(number_of)),
            Item::End(_) => ended += 1,
            Item::Damage(damage) => panic!("{damage:?}"),
        }
    }
    read.sort_unstable();
    assert_eq!(read, expected);
    ended
}

#[tokio::test]
async fn a_reader_at_the_tip_follows_what_is_split_and_merged_meanwhile() {
    for push in [None, Some("app")] {
        let (fake, client) = stream(1).await;
        let mut builder = client.read("s").from(Position::TrimHorizon);
        if let Some(consumer) = push {
            builder = builder.push(consumer);
        }
        let mut reader = builder.start().await.unwrap();
        fill(&fake, 0, 10, 1);
        assert_eq!(until(&mut reader, &[10]).await, 0);
        fake.reshard("s", &[0], 2);
        fill(&fake, 1, 20, 1);
        fill(&fake, 2, 21, 1);
        assert_eq!(until(&mut reader, &[20, 21]).await, 1);
        fake.reshard("s", &[1, 2], 1);
        fill(&fake, 3, 30, 1);
        assert_eq!(until(&mut reader, &[30]).await, 2);
    }
}

#[tokio::test]
async fn one_shard_ends_at_its_end_and_names_its_children() {
    let (fake, client) = stream(1).await;
    resharded(&fake);
    let from_start = || client.read("s").shard("0").from(Position::TrimHorizon);
    for builder in [from_start(), from_start().push("app")] {
        let mut reader = builder.start().await.unwrap();
        assert_eq!(next_numbers(&mut reader).await, (0..10).collect::<Vec<_>>());
        let Some(Ok(Item::End(end))) = reader.next().await else {
            panic!("the shard is closed");
        };
        let children: Vec<_> = end.children.iter().map(|child| &child.shard_id[18..]).collect();
        assert_eq!((&*end.shard_id, children), (SHARD_0, vec!["01", "02"]));
        assert!(reader.next().await.is_none());
    }
}

#[tokio::test]
async fn from_a_time_the_shards_that_were_open_then_come_first() {
    let (fake, client) = stream(1).await;
    resharded(&fake);
    // At the very millisecond of the split both generations were open.
    fake.order(|orders| orders.open_at = vec![0, 1, 2]);
    let builder = client.read("s").from(Position::AtTimestamp(1_700_000_000_008));
    let mut reader = builder.until_tip(true).start().await.unwrap();
    assert_eq!(next_numbers(&mut reader).await, [7, 8, 9]);
    let (read, _) = read_all(reader).await;
    assert_eq!(read["shardId-000000000001"], (10..20).collect::<Vec<_>>());
    assert_eq!(read["shardId-000000000002"], (20..30).collect::<Vec<_>>());
    // From the children on, what lies before them is left out.
    fake.order(|orders| orders.open_at = vec![1, 2]);
    let builder = client.read("s").from(Position::AtTimestamp(1_700_000_000_001));
    let (read, _) = read_all(builder.until_tip(true).start().await.unwrap()).await;
    assert!(!read.contains_key(SHARD_0) && read.len() == 2, "{read:?}");
}

#[tokio::test]
async fn shards_that_expire_before_they_are_read_do_not_end_the_reader() {
    let (fake, client) = stream(1).await;
    fake.order(|orders| orders.page_records = Some(5));
    resharded(&fake);
    let builder = client.read("s").from(Position::TrimHorizon);
    let mut reader = builder.start().await.unwrap();
    assert_eq!(next_numbers(&mut reader).await, (0..5).collect::<Vec<_>>());
    // The page in hand is the last of it; then it is gone, and one of its children with it.
    fake.reshard("s", &[1], 1);
    fill(&fake, 3, 30, 5);
    fake.expire("s", 0);
    fake.expire("s", 1);
    let mut numbers = Vec::new();
    while !numbers.contains(&34) || !numbers.contains(&29) {
        match reader.next().await.unwrap().unwrap() {
            Item::Batch(batch) => numbers.extend(batch.records.iter().map(number_of)),
            Item::End(_) => {}
            Item::Damage(damage) => panic!("{damage:?}"),
        }
    }
    numbers.retain(|number| *number >= 10);
    numbers.sort_unstable();
    assert_eq!(numbers, (20..35).collect::<Vec<_>>());
}
