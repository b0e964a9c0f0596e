//! The commands as they are typed and piped: exit codes, what is said, and what is on the disk
//! afterwards.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::process::{Finished, Running, Server, program, run, run_alone};
use super::rpc::*;

/// A server with the stream `lines` of one shard.
fn lines() -> (TempDir, PathBuf, Server) {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let server = Server::start_with(program(), &data, &["--stream", "lines:1"]);
    (directory, data, server)
}

fn put(server: &Server, arguments: &[&str], input: &[u8]) -> Finished {
    run(server.command(&[&["put", "lines"], arguments].concat()), input)
}

/// Keys and data of all records, in order.
async fn records(server: &Server) -> Vec<(String, Vec<u8>)> {
    let mut stub = connect(server.address()).await;
    let records = read_shard(&mut stub, "lines", 0).await;
    records.into_iter().map(|record| (record.partition_key, record.data.to_vec())).collect()
}

async fn data(server: &Server) -> Vec<Vec<u8>> {
    records(server).await.into_iter().map(|(_, data)| data).collect()
}

/// An address where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_over_1_mib_ends_a_put_after_what_stands_before_it() {
    let (_directory, _, server) = lines();
    let mut input = b"one\ntwo\n".to_vec();
    input.extend(vec![b'x'; (1 << 20) + 1]);
    input.extend(b"\nfour\n");
    put(&server, &[], &input).expect(1).says(&[
        "line 3",
        "1048578",
        "at most 1048576",
        "2 records are acknowledged",
    ]);
    assert_eq!(data(&server).await, [b"one", b"two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_is_a_record_byte_for_byte_and_comes_back_so() {
    let (_directory, _, server) = lines();
    let input = b"plain\ncrlf\r\n\n\0nul\0\nnot utf-8 \xff\xfe\n\r\n\xef\xbb\xbfbom\nno newline";
    put(&server, &[], input).expect(0);
    let expected: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    assert_eq!(data(&server).await, expected);
    let keys: Vec<_> = records(&server).await.into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["1", "2", "3", "4", "5", "6", "7", "8"], "the line number is the key");
    let tail = ["tail", "lines", "--from", "trim-horizon", "--until-tip"];
    let tail = server.run(&tail).expect(0);
    assert_eq!(tail.output, [input.as_slice(), b"\n"].concat());
    let again = ["tail", "lines", "--from", "trim-horizon", "--until-tip", "--push", "app"];
    assert_eq!(server.run(&again).expect(0).output, tail.output);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_input_at_all_puts_nothing() {
    let (_directory, _, server) = lines();
    put(&server, &[], b"").expect(0);
    assert_eq!(data(&server).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_key_field_or_column_ends_a_put_after_what_stands_before_it() {
    let (_directory, _, server) = lines();
    let json = b"{\"id\":7,\"a\":1}\n{\"id\":\"x\"}\n{\"other\":3}\n{\"id\":4}\n";
    put(&server, &["--key-field", "id"], json).expect(1).says(&[
        "line 3 has no key",
        "\"id\"",
        "2 records are acknowledged",
    ]);
    put(&server, &["--key-field", "id"], b"no json\n").expect(1).says(&["line 1", "JSON"]);
    put(&server, &["--key-column", "2"], b"a,b\nonly\n").expect(1).says(&[
        "line 2 has no key",
        "column 2",
        "1 records are acknowledged",
    ]);
    let expected = [("7", &json[..14]), ("x", b"{\"id\":\"x\"}"), ("b", b"a,b")];
    let expected = expected.map(|(key, data)| (key.to_owned(), data.to_vec()));
    assert_eq!(records(&server).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_midway_says_what_is_acknowledged_and_that_stands() {
    let (_directory, _, server) = lines();
    let mut putting = Running::start(server.command(&["--output", "json", "put", "lines"]));
    putting.write(b"one\ntwo\nthree\n");
    let mut stub = connect(server.address()).await;
    until_there(&mut stub, "lines", 0, 3).await;
    putting.signal(Signal::INT);
    let finished = putting.wait().expect(1).says(&["interrupted", "3 records are acknowledged"]);
    assert_eq!(finished.json()["records"], 3);
    assert_eq!(data(&server).await, [&b"one"[..], b"two", b"three"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_restart_midway_is_survived_and_records_that_may_stand_twice_are_told() {
    let (directory, data_dir, server) = lines();
    let address = server.address();
    let all: Vec<String> = (0..200_000).map(|line| format!("line {line} of many")).collect();
    let file = directory.path().join("lines.txt");
    std::fs::write(&file, all.join("\n")).unwrap();
    let file = file.to_str().unwrap();
    let putting = Running::start(server.command(&["--output", "json", "put", "lines", file]));
    let mut stub = connect(address).await;
    until_there(&mut stub, "lines", 0, 5_000).await;
    server.kill();
    let server = Server::start_at(&data_dir, address);
    let finished = putting.finish().expect(0);
    let told = finished.json()["records_maybe_twice"].as_u64().unwrap();
    assert_eq!(finished.json()["records"], 200_000);
    assert_eq!(told > 0, finished.error.contains("may stand twice"), "{}", finished.error);
    // Every line is there, in order but for the repetition of what had no answer.
    let read = data(&server).await;
    let twice = read.len() - all.len();
    assert!(twice as u64 <= told, "{twice} stand twice, {told} were told");
    let mut distinct = read.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let mut expected: Vec<_> = all.iter().map(|line| line.clone().into_bytes()).collect();
    expected.sort_unstable();
    assert!(distinct == expected, "{} lines of {}", distinct.len(), expected.len());
}

#[test]
fn a_server_that_does_not_come_back_ends_a_put_with_what_is_acknowledged() {
    let (_directory, _, server) = lines();
    let mut putting = Running::start(server.command(&["put", "lines", "--no-retry"]));
    putting.write(b"one\n");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut stub = connect(server.address()).await;
        until_there(&mut stub, "lines", 0, 1).await;
    });
    // Stopped, it takes no more and answers nothing; then it is gone.
    server.signal(Signal::STOP);
    putting.write(b"two\nthree\n");
    server.kill();
    let finished = putting.finish();
    finished.expect(4).says(&["records are acknowledged"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_tail_that_leaves_ends_it_quietly() {
    let (_directory, _, server) = lines();
    let input = (0..50_000).map(|line| line.to_string()).collect::<Vec<_>>().join("\n");
    put(&server, &[], input.as_bytes()).expect(0);
    for more in [&["--until-tip"][..], &[]] {
        let mut command =
            server.command(&[&["tail", "lines", "--from", "trim-horizon"], more].concat());
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // This is `| head -n 1`.
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert_eq!(first, "0\n");
        let mut error = String::new();
        child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        assert_eq!((child.wait().unwrap().code(), error.as_str()), (Some(0), ""));
    }
}

#[test]
fn no_server_is_exit_code_4_and_names_the_command_that_starts_one() {
    let server = nobody();
    for command in [
        &["put", "lines", "/dev/null"][..],
        &["tail", "lines"],
        &["stream", "list"],
        &["stream", "create", "a"],
        &["stream", "describe", "a"],
        &["stream", "shards", "a"],
        &["stream", "retention", "a", "48h"],
        &["stream", "split", "a", "0"],
        &["stream", "merge", "a", "0", "1"],
        &["stream", "scale", "a", "2"],
        &["stream", "mode", "a", "on-demand"],
        &["stream", "quotas", "a", "aws"],
        &["stream", "tags", "a"],
        &["stream", "advise", "a"],
        &["stream", "delete", "a", "--yes"],
    ] {
        run_alone(&[&["--server", &server], command].concat()).expect(4).says(&[
            &server,
            "anabranch serve",
            "--server",
        ]);
    }
}

#[test]
fn a_server_that_goes_away_ends_tail_with_exit_code_4() {
    let (_directory, _, server) = lines();
    put(&server, &[], b"one\n").expect(0);
    let tails = [&[][..], &["--push", "app"]].map(|push| {
        let mut child = server
            .command(&[&["tail", "lines", "--from", "trim-horizon"], push].concat())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert_eq!(first, "one\n", "what has come is printed at once");
        child
    });
    server.kill();
    // Both look for the server for as long as a restart may take.
    for mut child in tails {
        let mut error = String::new();
        child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(4), "{error}");
        assert!(error.contains("error:"), "{error}");
    }
}

#[test]
fn what_was_typed_wrong_is_exit_code_2() {
    let (_directory, _, server) = lines();
    for wrong in [
        &["nonsense"][..],
        &["put"],
        &["put", "lines", "--key", "a", "--key-field", "b"],
        &["put", "lines", "--rate", "0"],
        &["tail", "lines", "--from", "soon"],
        &["tail", "lines", "--from", "17"],
        &["tail", "lines", "--grep", "("],
        &["tail", "lines", "-f", "%x"],
        &["stream", "retention", "lines", "90m"],
        &["stream", "delete", "lines"],
        &["stream", "size", "--in-kib-s", "-1", "--out-kib-s", "1"],
        &["--output", "xml", "stream", "list"],
        &["--server", "not a url", "stream", "list"],
        &["serve", "--durability", "maybe"],
        &["serve", "--listen", "0.0.0.0:0"],
        &["serve", "--config", "/nowhere/a.toml"],
    ] {
        let finished = server.run(wrong).expect(2);
        assert!(!finished.error.is_empty(), "{wrong:?}");
    }
}

#[test]
fn what_cannot_be_done_is_exit_code_1_and_names_the_fix() {
    let (_directory, _, server) = lines();
    for (command, words) in [
        (&["put", "missing", "/dev/null"][..], "anabranch stream create missing"),
        (&["tail", "missing"], "anabranch stream create missing"),
        (&["stream", "describe", "missing"], "anabranch stream create missing"),
        (&["stream", "create", "lines"], "anabranch stream describe lines"),
        (&["stream", "create", "zero", "--shards", "0"], "allowed are 1 to 10000"),
        (&["put", "lines", "/nowhere/at/all"], "/nowhere/at/all"),
        (&["put", "lines", "/tmp"], "is a directory"),
        (&["tail", "lines", "--shard", "9"], "no shard 9"),
    ] {
        server.run(command).expect(1).says(&[words]);
    }
}

#[test]
fn a_misspelt_setting_is_refused_with_the_nearest_one() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("anabranch.toml");
    std::fs::write(&config, "durabilty = \"os\"\n").unwrap();
    run_alone(&["serve", "--config", config.to_str().unwrap()])
        .expect(2)
        .says(&["durabilty", "durability"]);
}

#[test]
fn the_json_of_every_command_has_the_keys_that_programs_rely_on() {
    let (directory, _, server) = lines();
    let json = |arguments: &[&str]| {
        server.run(&[&["--output", "json"], arguments].concat()).expect(0).json()
    };
    let created = json(&["stream", "create", "orders", "--shards", "2"]);
    assert_eq!(keys(&created), ["shard_count", "stream_name"]);
    let list = json(&["stream", "list"]);
    let names: Vec<_> =
        list.as_array().unwrap().iter().map(|stream| stream["stream_name"].as_str()).collect();
    assert_eq!(names, [Some("lines"), Some("orders")]);
    assert_eq!(
        keys(&list[0]),
        [
            "stream_arn",
            "stream_creation_timestamp_ms",
            "stream_mode",
            "stream_name",
            "stream_status"
        ]
    );
    let described = json(&["stream", "describe", "orders"]);
    for key in ["stream_name", "stream_arn", "stream_status", "retention_period_hours"] {
        assert!(described.get(key).is_some(), "{key}: {described}");
    }
    assert_eq!(described["open_shard_count"], 2);
    let shards = json(&["stream", "shards", "orders"]);
    assert_eq!(shards.as_array().unwrap().len(), 2);
    assert_eq!(
        keys(&shards[0]),
        [
            "adjacent_parent_shard_id",
            "child_shard_ids",
            "closing_timestamp_ms",
            "creation_timestamp_ms",
            "hash_key_range",
            "is_open",
            "load",
            "parent_shard_id",
            "sequence_number_range",
            "shard_id"
        ]
    );
    let kept = json(&["stream", "retention", "orders", "48h"]);
    assert_eq!(kept["retention_period_hours"], 48);
    let file = directory.path().join("one.txt");
    std::fs::write(&file, "one\ntwo\n").unwrap();
    let put = json(&["put", "orders", file.to_str().unwrap(), "--key", "k"]);
    assert_eq!(
        keys(&put),
        [
            "acknowledged_ms_p50",
            "acknowledged_ms_p99",
            "bytes",
            "records",
            "records_maybe_twice",
            "records_per_second",
            "records_put_again",
            "seconds",
            "stream_name"
        ]
    );
    assert_eq!((&put["records"], &put["bytes"]), (&2.into(), &6.into()));
    let tail = ["tail", "orders", "--from", "trim-horizon", "--until-tip", "--output", "ndjson"];
    let tail = server.run(&tail).expect(0);
    let first: Value = serde_json::from_str(tail.text().lines().next().unwrap()).unwrap();
    assert_eq!(
        keys(&first),
        [
            "arrival_time",
            "arrival_time_ms",
            "data",
            "partition_key",
            "sequence_number",
            "shard_id",
            "stream"
        ]
    );
    assert_eq!(keys(&json(&["stream", "delete", "orders", "--yes"])), ["stream_name"]);
}

#[test]
fn stream_size_answers_without_a_server() {
    for (in_kib, out_kib, shards) in
        [("0", "0", "1"), ("1024", "2048", "1"), ("1025", "0", "2"), ("3000", "9000", "5")]
    {
        let size = ["stream", "size", "--in-kib-s", in_kib, "--out-kib-s", out_kib];
        assert_eq!(run_alone(&size).expect(0).text().trim(), shards);
        let json = run_alone(&[&["--output", "json"][..], &size].concat()).expect(0).json();
        assert_eq!(json["shard_count"].to_string(), shards);
    }
}

#[test]
fn config_show_says_where_each_value_comes_from() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("anabranch.toml");
    std::fs::write(&config, "region = \"eu-west-1\"\nlog_level = \"debug\"\n").unwrap();
    let mut command = program();
    command
        .args(["--output", "json", "config", "show", "--durability", "os", "--config"])
        .arg(&config)
        .env("ANABRANCH_LOG_LEVEL", "warn");
    let shown = run(command, b"").expect(0).json();
    let text = shown.to_string();
    for (name, value, origin) in [
        ("durability", "os", "flag"),
        ("log_level", "warn", "environment"),
        ("region", "eu-west-1", "file"),
        ("listen", "127.0.0.1:4567", "default"),
    ] {
        let setting = shown
            .as_array()
            .and_then(|settings| settings.iter().find(|setting| setting["name"] == name).cloned());
        let setting = setting.unwrap_or_else(|| panic!("{name} in {text}"));
        assert_eq!((&setting["value"], &setting["origin"]), (&value.into(), &origin.into()));
    }
}

#[test]
fn the_version_names_the_commit_and_the_format() {
    let text = run_alone(&["--version"]).expect(0).text();
    assert!(text.starts_with("anabranch "), "{text}");
    assert!(text.contains("commit") && text.contains("format version 2"), "{text}");
    for shell in ["bash", "zsh", "fish"] {
        assert!(run_alone(&["completions", shell]).expect(0).text().contains("anabranch"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_stops_in_5_seconds_with_everything_acknowledged_in_place() {
    let (_directory, data_dir, server) = lines();
    let address = server.address();
    let producers: Vec<_> = (0..3)
        .map(|producer| {
            tokio::spawn(async move {
                let mut stub = connect(address).await;
                let mut acknowledged = Vec::new();
                for batch in 0.. {
                    let records: Vec<_> = (0..20)
                        .map(|index| entry("key", format!("{producer} {batch} {index}")))
                        .collect();
                    let data: Vec<_> = records.iter().map(|record| record.data.clone()).collect();
                    let Ok(answer) = stub.put_records(put_request("lines", records)).await else {
                        break;
                    };
                    let answer = answer.into_inner();
                    acknowledged.extend(
                        answer
                            .records
                            .iter()
                            .zip(data)
                            .filter(|(result, _)| result.error_code.is_empty())
                            .map(|(result, data)| (result.sequence_number, data)),
                    );
                }
                acknowledged
            })
        })
        .collect();
    let mut stub = connect(address).await;
    // A subscription and a long poll are open as well.
    register(&mut stub, "lines", "app").await;
    let latest = anabranch_proto::v1::ShardIteratorType::Latest;
    let events = stub.subscribe_to_shard(subscribe_request("lines", "app", 0, latest)).await;
    until_there(&mut stub, "lines", 0, 500).await;
    let took = tokio::task::spawn_blocking(move || server.stop()).await.unwrap();
    assert!(took < Duration::from_secs(5), "{took:?}");
    drop(events);
    let server = Server::start(&data_dir);
    assert!(server.log().contains("clean=true"), "{}", server.log());
    let mut stub = connect(server.address()).await;
    let there: std::collections::HashMap<_, _> = read_shard(&mut stub, "lines", 0)
        .await
        .into_iter()
        .map(|record| (record.sequence_number, record.data))
        .collect();
    for producer in producers {
        for (number, data) in producer.await.unwrap() {
            assert_eq!(there.get(&number), Some(&data), "{number}");
        }
    }
}

#[test]
fn the_ready_line_is_the_first_and_only_line_on_standard_output() {
    let (_directory, data_dir, server) = lines();
    // The harness reads it; both ports are real and answer.
    assert!(server.address().port() != 0 && server.admin().port() != 0);
    let metrics = std::net::TcpStream::connect(server.admin()).unwrap();
    let text = http_get(metrics, "/readyz");
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    // The words for people come after the line for programs.
    server.stop();
    let log = std::fs::read_to_string(data_dir.with_extension("log")).unwrap();
    for words in ["clients", "data", "durability", "tail lines --from trim-horizon"] {
        assert!(log.contains(words), "{words}: {log}");
    }
}

fn http_get(mut socket: std::net::TcpStream, path: &str) -> String {
    use std::io::Write;
    write!(socket, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn verify_of_a_stopped_directory_finds_nothing_and_of_a_damaged_one_exits_with_3() {
    let (_directory, data_dir, server) = lines();
    put(&server, &[], b"one\ntwo\n").expect(0);
    server.stop();
    let dir = data_dir.to_str().unwrap();
    run_alone(&["verify", dir]).expect(0);
    let segment = data_dir.join("shards/1/0/00000000000000000001.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[8192 + 90] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    run_alone(&["verify", dir]).expect(3);
    run_alone(&["verify", "/nowhere/at/all"]).expect(1).says(&["/nowhere/at/all"]);
}
