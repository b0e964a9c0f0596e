//! `anabranch bench` against a real server: its figures have to agree with the server's own
//! contents, and it leaves nothing behind.

use rustix::process::Signal;
use serde_json::Value;

use super::process::{Running, Server, program};

fn server(streams: &[&str]) -> (tempfile::TempDir, Server) {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start_with(program(), &directory.path().join("data"), streams);
    (directory, server)
}

fn streams(server: &Server) -> Vec<Value> {
    let list = server.run(&["stream", "list", "--output", "json"]).expect(0).json();
    list.as_array().unwrap().clone()
}

#[test]
fn a_bench_puts_delivers_reads_back_and_leaves_nothing_behind() {
    let (directory, server) = server(&[]);
    let svg = directory.path().join("bench.svg");
    let arguments = "bench --output json --shards 3 --producers 2 --subscribers 2 --batch 10 \
                     --record-bytes 200 --rate 2000 --warm-up 0 --seconds 1 --durability-check";
    let mut arguments: Vec<&str> = arguments.split_whitespace().collect();
    arguments.extend(["--svg", svg.to_str().unwrap()]);
    let report = server.run(&arguments).expect(0).json();
    // A batch is due every 5 ms of one second, whatever the server does.
    assert_eq!(report["records_acknowledged"], 2000);
    assert_eq!(report["read_back"]["holds"], true);
    assert_eq!(report["read_back"]["records"], 2000);
    assert_eq!(report["shards"], 3);
    for part in ["put", "delivered"] {
        let at = |name: &str| report[part][name].as_f64().unwrap();
        assert!(at("ms_p50") > 0.0 && at("ms_p50") <= at("ms_p99"), "{report}");
        assert!(at("ms_p99") <= at("ms_max"), "{report}");
    }
    let picture = std::fs::read_to_string(&svg).unwrap();
    assert!(picture.starts_with("<svg") && picture.contains("percentile"), "{picture}");
    assert_eq!(streams(&server), [] as [Value; 0]);
}

#[test]
fn a_bench_in_a_stream_of_others_leaves_the_stream_and_removes_its_consumers() {
    let (_directory, server) = server(&["--stream", "orders:1"]);
    let arguments = "bench --stream orders --subscribers 1 --rate 100 --batch 1 --warm-up 0 \
                     --seconds 1 --durability-check";
    let done = server.run(&arguments.split_whitespace().collect::<Vec<_>>()).expect(0);
    let words = done.text();
    assert!(words.contains("all there: 100 acknowledged, 100 read, 0 missing"), "{words}");
    let describe = server.run(&["stream", "describe", "orders", "--output", "json"]);
    let describe = describe.expect(0).json();
    assert_eq!(describe["consumer_count"], 0, "{describe}");
}

#[test]
fn what_cannot_be_measured_is_told_before_anything_is_made() {
    let (_directory, server) = server(&[]);
    server.run(&["bench", "--stream", "nobodys"]).expect(1).says(&["stream create nobodys"]);
    server.run(&["bench", "--record-bytes", "39"]).expect(2).says(&["40"]);
    let large = ["bench", "--record-bytes", "1048576", "--batch", "500"];
    server.run(&large).expect(2).says(&["use a smaller --batch"]);
    assert_eq!(streams(&server), [] as [Value; 0]);
}

#[test]
fn an_interrupted_bench_says_what_it_has_and_cleans_up() {
    let (_directory, server) = server(&[]);
    let bench = Running::start(server.command(&["bench", "--seconds", "3600"]));
    while streams(&server).is_empty() {
        std::thread::yield_now();
    }
    bench.signal(Signal::INT);
    bench.wait().expect(1).says(&["interrupted"]);
    assert_eq!(streams(&server), [] as [Value; 0]);
}
