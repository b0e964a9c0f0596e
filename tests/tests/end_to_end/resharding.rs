//! Streams that change shape: the commands that do it, the picture, and readers that follow.

use std::collections::HashMap;
use std::time::Duration;

use anabranch_client::{Client, Item, Position, Reader, Record};
use serde_json::Value;
use tempfile::TempDir;

use super::process::{Finished, Server, program, run, run_alone};

/// A server with the stream `orders` of two shards.
fn orders() -> (TempDir, Server) {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let server = Server::start_with(program(), &data, &["--stream", "orders:2"]);
    (directory, server)
}

fn put(server: &Server, numbers: std::ops::Range<usize>) {
    let lines: Vec<String> = numbers.map(|number| number.to_string()).collect();
    run(server.command(&["put", "orders"]), lines.join("\n").as_bytes()).expect(0);
}

/// The lines that a command prints, as numbers, sorted.
fn numbers(finished: &Finished) -> Vec<usize> {
    let mut numbers: Vec<usize> =
        finished.text().lines().map(|line| line.parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

fn json(server: &Server, arguments: &[&str]) -> Value {
    server.run(&[&["--output", "json"], arguments].concat()).expect(0).json()
}

#[test]
fn everything_is_read_once_over_splits_merges_and_steps_of_scaling() {
    let (_directory, server) = orders();
    put(&server, 0..500);
    let split = json(&server, &["stream", "split", "orders", "0"]);
    assert_eq!(split["shard_id"], "shardId-000000000000");
    assert_eq!(split["new_starting_hash_key"], (1u128 << 126).to_string());
    assert_eq!(split["child_shards"][0]["shard_id"], "shardId-000000000002");
    assert_eq!(split["child_shards"][1]["parent_shard_id"], "shardId-000000000000");
    put(&server, 500..1000);
    let merged = json(&server, &["stream", "merge", "orders", "3", "1"]);
    let child = &merged["child_shards"][0];
    assert_eq!(child["parent_shard_id"], "shardId-000000000003");
    assert_eq!(child["adjacent_parent_shard_id"], "shardId-000000000001");
    put(&server, 1000..1500);
    let scaled = server.run(&["--output", "json", "stream", "scale", "orders", "7", "--steps"]);
    let scaled = scaled.expect(0).says(&["step 1 of 2: 4 shards", "step 2 of 2: 7 shards"]);
    assert_eq!(scaled.json()["steps"], serde_json::json!([4, 7]));
    put(&server, 1500..2000);
    for push in [&[][..], &["--push", "app"]] {
        let tail = ["tail", "orders", "--from", "trim-horizon", "--until-tip"];
        let tail = server.run(&[&tail, push].concat()).expect(0);
        assert_eq!(numbers(&tail), (0..2000).collect::<Vec<_>>());
    }
    // One shard ends where it ends, and says where it goes on.
    let one = ["tail", "orders", "--from", "trim-horizon", "--shard", "0"];
    let one = server.run(&one).expect(0).says(&[
        "shardId-000000000000 is closed and at its end",
        "shardId-000000000002 and shardId-000000000003",
    ]);
    assert!(numbers(&one).iter().all(|number| *number < 500), "{}", one.text());
    let described = json(&server, &["stream", "describe", "orders"]);
    assert_eq!(described["open_shard_count"], 7);
}

#[test]
fn what_cannot_be_reshaped_is_exit_code_1_and_names_the_way() {
    let (_directory, server) = orders();
    server.run(&["stream", "split", "orders", "0"]).expect(0);
    for (command, words) in [
        (&["split", "missing", "0"][..], "anabranch stream create missing"),
        (&["split", "orders", "9"], "anabranch stream shards orders"),
        (&["split", "orders", "0"], "it went on in shardId-000000000002"),
        (&["split", "orders", "1", "--at", "7"], "name a hash key above"),
        (&["merge", "orders", "2", "1"], "next to shardId-000000000002 is shardId-000000000003"),
        (&["merge", "orders", "0", "1"], "is closed"),
        (&["scale", "orders", "7"], "anabranch stream scale orders 7 --steps"),
        (&["scale", "orders", "1"], "anabranch stream scale orders 1 --steps"),
    ] {
        server.run(&[&["stream"], command].concat()).expect(1).says(&[words]);
    }
    for wrong in [&["scale", "orders", "0"][..], &["split", "orders", "1", "--at", "x"]] {
        server.run(&[&["stream"], wrong].concat()).expect(2);
    }
}

#[test]
fn the_picture_shows_the_lineage_and_fits_80_columns_where_it_is_piped() {
    let (_directory, server) = orders();
    server.run(&["stream", "split", "orders", "0"]).expect(0);
    server.run(&["stream", "merge", "orders", "3", "1"]).expect(0);
    let draw = |arguments: &[&str], locale: &str| {
        let mut command = server.command(&[&["stream", "shards", "orders"], arguments].concat());
        command.env("LC_ALL", locale);
        let drawn = run(command, b"").expect(0).text();
        assert!(drawn.lines().all(|line| line.chars().count() <= 80), "{drawn}");
        drawn
    };
    let plain = draw(&[], "C");
    assert!(plain.is_ascii() && plain.contains("--- 4 ---"), "{plain}");
    assert_eq!(draw(&["--ascii"], "C.UTF-8"), plain);
    let drawn = draw(&[], "C.UTF-8");
    assert!(drawn.contains("─ 4 ─") && drawn.contains("now └"), "{drawn}");
    let row = drawn.lines().find(|line| line.starts_with("shardId-000000000004")).unwrap();
    assert!(row.contains("OPEN") && row.contains("25.00-100.00 %") && row.contains("3 1"), "{row}");
    let shards = json(&server, &["stream", "shards", "orders"]);
    assert_eq!(shards[0]["child_shard_ids"].as_array().unwrap().len(), 2);
    assert_eq!((&shards[0]["is_open"], &shards[4]["is_open"]), (&false.into(), &true.into()));
    assert!(shards[3]["closing_timestamp_ms"].is_u64());
    // Too many to draw are summed up, unless all are wanted.
    server.run(&["stream", "create", "wide", "--shards", "100"]).expect(0);
    let brief = server.run(&["stream", "shards", "wide"]).expect(0).text();
    assert!(!brief.contains("shardId-") && brief.contains("100 of 1.000 to 1.000 %"), "{brief}");
    let all = server.run(&["stream", "shards", "wide", "--all"]).expect(0).text();
    assert!(all.contains("shardId-000000000099"), "{all}");
}

#[test]
fn tags_quotas_and_mode_are_set_and_described() {
    let (_directory, server) = orders();
    let tagged = json(&server, &["stream", "tags", "orders", "team=web", "tier=1"]);
    assert_eq!(tagged["tags"], serde_json::json!({ "team": "web", "tier": "1" }));
    let tagged = json(&server, &["stream", "tags", "orders", "--remove", "tier"]);
    assert_eq!(tagged["tags"], serde_json::json!({ "team": "web" }));
    assert_eq!(json(&server, &["stream", "quotas", "orders", "aws"])["quotas"], "aws");
    let described = json(&server, &["stream", "describe", "orders"]);
    assert_eq!((&described["quotas"], &described["has_own_quotas"]), (&"aws".into(), &true.into()));
    assert_eq!(described["tags"], serde_json::json!({ "team": "web" }));
    assert_eq!(json(&server, &["stream", "quotas", "orders", "default"])["quotas"], "open");
    json(&server, &["stream", "mode", "orders", "on-demand"]);
    let refused = server.run(&["stream", "scale", "orders", "4"]).expect(1);
    refused.says(&["anabranch stream mode orders provisioned"]);
    let create = ["stream", "create", "clicks", "--mode", "on-demand", "--tag", "team=web"];
    assert_eq!(json(&server, &create)["shard_count"], 4);
    let described = json(&server, &["stream", "describe", "clicks"]);
    assert_eq!(described["stream_mode"], "ON_DEMAND");
    let text = server.run(&["stream", "describe", "clicks"]).expect(0).text();
    for words in ["ON_DEMAND", "ACTIVE", "24 hours", "team=web", "open (the server's)"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    server.run(&["stream", "create", "a", "--mode", "on-demand", "--shards", "2"]).expect(2);
    server.run(&["stream", "tags", "orders", "a=b", "--remove", "a"]).expect(2);
}

#[test]
fn size_says_how_many_shards_and_which_limit_decides() {
    let size = |arguments: &[&str]| {
        run_alone(&[&["stream", "size", "--in-kib-s"], arguments].concat()).expect(0)
    };
    let by_records = size(&["500", "--records-s", "4500", "--consumers", "3"]);
    assert_eq!(by_records.text(), "5\n");
    by_records.says(&["4,500 records/s in decide"]);
    let by_reads = size(&["3000", "--out-kib-s", "0", "--consumers", "4"]);
    assert_eq!(by_reads.text(), "6\n");
    by_reads.says(&["12,000 KiB/s out by pull decide", "with them 3 would do"]);
    run_alone(&["stream", "size", "--in-kib-s", "1"]).expect(2);
}

#[test]
fn stream_tables_make_streams_once_and_leave_them_alone_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let config = directory.path().join("anabranch.toml");
    std::fs::write(
        &config,
        "quotas = \"open\"\n[[stream]]\nname = \"orders\"\nshards = 2\nretention_hours = 48\n\
         quotas = \"aws\"\ntags = { team = \"web\" }\n\n[[stream]]\nname = \"clicks\"\n\
         mode = \"on-demand\"\n",
    )
    .unwrap();
    let config = ["--config", config.to_str().unwrap()];
    let server = Server::start_with(program(), &data, &config);
    let described = json(&server, &["stream", "describe", "orders"]);
    assert_eq!(described["retention_period_hours"], 48);
    assert_eq!((&described["quotas"], &described["tags"]["team"]), (&"aws".into(), &"web".into()));
    assert_eq!(json(&server, &["stream", "describe", "clicks"])["open_shard_count"], 4);
    server.run(&["stream", "scale", "orders", "3"]).expect(0);
    server.stop();
    let server = Server::start_with(program(), &data, &config);
    assert_eq!(json(&server, &["stream", "describe", "orders"])["open_shard_count"], 3);
    assert!(server.log().contains("is there already and is left as it is"), "{}", server.log());
}

/// What a reader has been given, by key.
type Read = HashMap<String, Vec<usize>>;

/// Reads until so many records have come.
async fn follow(mut reader: Reader, total: usize) -> Read {
    let (mut read, mut count) = (Read::new(), 0);
    while count < total {
        match reader.next().await.expect("open shards do not end").unwrap() {
            Item::Batch(batch) => {
                count += batch.records.len();
                for record in batch.records {
                    let number = std::str::from_utf8(&record.data).unwrap().parse().unwrap();
                    read.entry(record.partition_key).or_default().push(number);
                }
            }
            Item::End(_) => {}
            Item::Damage(damage) => panic!("{damage:?}"),
        }
    }
    read
}

/// Splits or merges a random shard. What a choice cannot do is left out.
async fn reshard(client: &Client, random: &mut u64) {
    *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    let choice = (*random >> 33) as usize;
    let shards = client.list_shards("orders").await.unwrap();
    let mut open: Vec<_> = shards
        .into_iter()
        .filter(|shard| shard.is_open)
        .map(|shard| {
            let range = shard.hash_key_range.unwrap();
            let key = |text: &str| text.parse::<u128>().unwrap();
            (key(&range.starting_hash_key), key(&range.ending_hash_key), shard.shard_id)
        })
        .collect();
    open.sort_unstable();
    let at = choice / 2 % open.len();
    // Between two and a dozen shards.
    let merges = open.len() > 12 || (open.len() > 2 && choice.is_multiple_of(2));
    if merges && at + 1 < open.len() {
        client.merge_shards("orders", &open[at].2, &open[at + 1].2).await.unwrap();
    } else {
        let (first, last, id) = &open[at];
        let middle = first + (last - first) / 2;
        client.split_shard("orders", id, &middle.to_string()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_follow_fifty_reshards_under_load_once_and_in_order_per_key() {
    const KEYS: usize = 50;
    const ROUNDS: usize = 50;
    let (_directory, server) = orders();
    let client = Client::connect(&server.url()).await.unwrap();
    let total = KEYS * ROUNDS * 10;
    let pulled = client.read("orders").start().await.unwrap();
    let pushed = client.read("orders").from(Position::TrimHorizon).push("app");
    let pushed = pushed.start().await.unwrap();
    let readers = [pulled, pushed].map(|reader| tokio::spawn(follow(reader, total)));
    let producer = client.producer("orders").start();
    let (putting, reshaping) = tokio::sync::oneshot::channel::<()>();
    let puts = tokio::spawn(async move {
        let mut begun = Some(putting);
        for number in 0..ROUNDS * 10 {
            let mut tickets = Vec::new();
            for key in 0..KEYS {
                let record = Record::new(format!("key {key}"), number.to_string());
                tickets.push(producer.put(record).await.unwrap());
            }
            for ticket in tickets {
                ticket.await.unwrap();
            }
            begun.take();
        }
        producer.close().await.unwrap();
    });
    // The sender is dropped with the first acknowledgements.
    let _ = reshaping.await;
    let mut random = 7;
    for _ in 0..50 {
        reshard(&client, &mut random).await;
    }
    puts.await.unwrap();
    for reader in readers {
        let read = tokio::time::timeout(Duration::from_secs(60), reader).await;
        let read = read.expect("nothing is missing").unwrap();
        assert_eq!(read.len(), KEYS);
        for (key, numbers) in read {
            assert_eq!(numbers, (0..ROUNDS * 10).collect::<Vec<_>>(), "{key}");
        }
    }
}
