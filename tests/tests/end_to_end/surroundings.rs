//! A data directory, a port or a machine that is not as it should be.
//!
//! Each start that is refused exits with 1 and names what to do, and changes nothing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anabranch_proto::v1::ShardIteratorType as Type;
use tempfile::TempDir;
use tonic::Code;

use super::process::{Finished, Server, program, program_under, serve};
use super::rpc::*;
use anabranch_tests::support::Random;

/// A directory with the data of a server inside.
pub(super) fn directory() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    (directory, data)
}

/// A start that has to be refused.
#[track_caller]
fn refused_start(data: &Path, arguments: &[&str]) -> Finished {
    match Server::try_start(program(), data, arguments) {
        Ok(_) => panic!("it started"),
        Err(finished) => finished.expect(1),
    }
}

/// Every file below a directory, with its bytes.
pub(super) fn files(below: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// The segments of a shard, in order.
pub(super) fn segments(data: &Path, shard: u32) -> Vec<PathBuf> {
    let dir = data.join("shards/1").join(shard.to_string());
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Fills a new directory: `orders` has 2 shards, of which the first has several segments.
/// Returns how many records each shard has.
pub(super) async fn fill(data: &Path) -> [usize; 2] {
    let server = Server::start(data);
    let mut stub = connect(server.address()).await;
    create(&mut stub, "orders", 2).await;
    for batch in 0..40 {
        let records = (0..20).map(|index| {
            let mut entry = entry("key", format!("{batch} {index} {}", "x".repeat(2000)));
            let hash_key = if index == 0 { u128::MAX } else { 0 };
            entry.explicit_hash_key = Some(hash_key.to_string());
            entry
        });
        stub.put_records(put_request("orders", records.collect())).await.unwrap();
    }
    drop(stub);
    server.stop();
    assert!(segments(data, 0).len() > 1, "{:?}", segments(data, 0));
    [760, 40]
}

/// Reads a shard over its damage: what is there, and the refusals met.
pub(super) async fn read_over_damage(stub: &mut Stub, shard: u32) -> (Vec<u64>, Vec<Refusal>) {
    let mut next = iterator(stub, "orders", shard, Type::TrimHorizon).await;
    let (mut numbers, mut damage) = (Vec::new(), Vec::new());
    loop {
        match stub.get_records(get(&next)).await {
            Ok(page) => {
                let page = page.into_inner();
                if page.records.is_empty() && page.millis_behind_latest == 0 {
                    return (numbers, damage);
                }
                numbers.extend(page.records.iter().map(|record| record.sequence_number));
                next = page.next_shard_iterator;
            }
            Err(status) => {
                let refusal = Refusal::of(&status);
                assert_eq!(
                    (refusal.code, refusal.reason.as_str()),
                    (Code::DataLoss, "DataLossException")
                );
                assert!(refusal.values["file"].starts_with("shards/1/"), "{refusal:?}");
                assert!(refusal.values.contains_key("offset"), "{refusal:?}");
                next.clone_from(&refusal.values["next_shard_iterator"]);
                damage.push(refusal);
                assert!(damage.len() < 100, "reading gets on");
            }
        }
    }
}

/// That what was read and what was reported lost are together what was put.
pub(super) fn check_complete(numbers: &[u64], damage: &[Refusal], put: usize) {
    let lost: Vec<u64> = damage
        .iter()
        .flat_map(|refusal| {
            let value = |name: &str| refusal.values[name].parse::<u64>().unwrap();
            value("first_lost")..value("next_readable")
        })
        .collect();
    let mut all = [numbers, &lost].concat();
    all.sort_unstable();
    assert_eq!(all, (1..=put as u64).collect::<Vec<_>>(), "{damage:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_one_directory_is_refused_and_the_first_goes_on() {
    let (_directory, data) = directory();
    let first = Server::start(&data);
    let log = data.with_extension("log");
    let first_log = fs::read_to_string(&log).unwrap();
    refused_start(&data, &[]).says(&["in use by another process", "stop it first"]);
    fs::write(&log, first_log).unwrap();
    let mut stub = connect(first.address()).await;
    create(&mut stub, "orders", 1).await;
    put_one(&mut stub, "orders", "data").await;
}

#[test]
fn a_port_in_use_is_refused_by_its_flag_before_the_directory_is_touched() {
    let (_directory, data) = directory();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--admin-listen"] {
        let port = taken.local_addr().unwrap().port().to_string();
        refused_start(&data, &[flag, &address]).says(&["in use", flag, &port]);
        assert!(!data.exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_of_a_newer_format_are_not_opened_and_not_changed() {
    let (_directory, data) = directory();
    fill(&data).await;
    let path = segments(&data, 1)[0].clone();
    // Both copies of the header say version 2, and are right in everything else.
    let mut bytes = fs::read(&path).unwrap();
    for offset in [0, 4096] {
        bytes[offset + 8..offset + 12].copy_from_slice(&2u32.to_le_bytes());
        bytes[offset + 12..offset + 16].fill(0);
        let crc = crc32fast::hash(&bytes[offset..offset + 512]);
        bytes[offset + 12..offset + 16].copy_from_slice(&crc.to_le_bytes());
    }
    fs::write(&path, &bytes).unwrap();
    let server = Server::start(&data);
    let mut stub = connect(server.address()).await;
    // That shard is closed to everybody and the log says why; the rest is served.
    let mut second = entry("key", "data");
    second.explicit_hash_key = Some(u128::MAX.to_string());
    refused(stub.put_records(put_request("orders", vec![second])).await);
    let token = iterator(&mut stub, "orders", 1, Type::TrimHorizon).await;
    refused(stub.get_records(get(&token)).await);
    assert_eq!(read_shard(&mut stub, "orders", 0).await.len(), 760);
    assert!(server.log().contains("version 2"), "{}", server.log());
    server.stop();
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_directory_that_cannot_be_written_is_refused_with_its_path() {
    // Root may write anywhere, so permissions prove nothing here. A file in the place of the
    // directory and a file system without room for files are refused to everybody.
    let (directory, _) = directory();
    let file = directory.path().join("file");
    fs::write(&file, "mine").unwrap();
    let refused = refused_start(&file, &[]);
    refused.says(&[file.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    let below = file.join("data");
    let log_beside = directory.path().join("proc");
    let mut command = program();
    let output = serve(&mut command, Path::new("/proc/anabranch-data"), &[])
        .stderr(File::create(&log_beside).unwrap())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = fs::read_to_string(&log_beside).unwrap();
    assert!(said.contains("/proc/anabranch-data"), "{said}");
    assert!(!below.exists());
}

#[test]
fn a_crash_at_any_moment_of_the_very_first_start_leaves_a_directory_that_starts() {
    let mut random = Random(42);
    for round in 0..10 {
        let (directory, data) = directory();
        let mut command = program();
        let arguments = ["--stream", "orders:3"];
        let mut child = serve(&mut command, &data, &arguments)
            .stderr(File::create(directory.path().join("first.log")).unwrap())
            .spawn()
            .unwrap();
        // The kill comes by the clock because that is what it is about: any moment. The first
        // rounds go by what is on the disk, so that the interesting ones are among them.
        let marks = ["LOCK", "shards", "catalog.redb.new", "catalog.redb"];
        if let Some(mark) = marks.get(round) {
            while !data.join(mark).exists() && child.try_wait().unwrap().is_none() {
                if data.join("catalog.redb").exists() {
                    break;
                }
            }
        } else {
            std::thread::sleep(Duration::from_micros(random.below(40_000)));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let server = Server::start_with(program(), &data, &arguments);
        let listed = server.run(&["--output", "json", "stream", "shards", "orders"]).expect(0);
        assert_eq!(listed.json().as_array().unwrap().len(), 3, "round {round}");
        server.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_damaged_catalog_is_refused_with_the_repair_and_nothing_is_changed() {
    let (_directory, data) = directory();
    fill(&data).await;
    let catalog = data.join("catalog.redb");
    let good = fs::read(&catalog).unwrap();
    let damages: [(&str, Option<Vec<u8>>); 5] = [
        ("missing", None),
        ("empty", Some(Vec::new())),
        ("cut", Some(good[..good.len() / 2].to_vec())),
        ("zeros", Some(vec![0; good.len()])),
        ("noise", {
            let mut random = Random(7);
            Some(good.iter().map(|_| random.next() as u8).collect())
        }),
    ];
    for (what, bytes) in damages {
        match &bytes {
            None => fs::remove_file(&catalog).unwrap(),
            Some(bytes) => fs::write(&catalog, bytes).unwrap(),
        }
        let before = files(&data);
        let refused = refused_start(&data, &[]);
        assert!(refused.error.contains("anabranch repair"), "{what}: {}", refused.error);
        assert!(refused.error.contains("--rebuild-catalog"), "{what}: {}", refused.error);
        assert_eq!(files(&data), before, "{what}");
    }
    fs::write(&catalog, good).unwrap();
    let server = Server::start(&data);
    let mut stub = connect(server.address()).await;
    assert_eq!(count(&mut stub, "orders", 2).await, 800);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_last_segment_is_an_explicit_error_and_the_rest_is_served() {
    let (_directory, data) = directory();
    let put = fill(&data).await;
    fs::remove_file(segments(&data, 0).last().unwrap()).unwrap();
    let server = Server::start(&data);
    let mut stub = connect(server.address()).await;
    let (numbers, damage) = read_over_damage(&mut stub, 0).await;
    assert!(!numbers.is_empty());
    assert_eq!(damage.len(), 1, "{damage:?}");
    check_complete(&numbers, &damage, put[0]);
    assert_eq!(read_shard(&mut stub, "orders", 1).await.len(), put[1]);
    assert!(server.log().to_lowercase().contains("damage"), "{}", server.log());
    // No number is used twice, whatever was lost.
    let mut entry = entry("key", "new");
    entry.explicit_hash_key = Some("0".to_owned());
    let answer = stub.put_records(put_request("orders", vec![entry])).await.unwrap().into_inner();
    assert!(answer.records[0].sequence_number > put[0] as u64, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_segment_is_an_explicit_error_and_the_rest_is_served() {
    for is_first in [true, false] {
        let (_directory, data) = directory();
        let put = fill(&data).await;
        let all = segments(&data, 0);
        let path = if is_first { &all[0] } else { all.last().unwrap() };
        flip(path, 8192 + 2000);
        let server = Server::start(&data);
        let mut stub = connect(server.address()).await;
        let (numbers, damage) = read_over_damage(&mut stub, 0).await;
        assert_eq!(damage.len(), 1, "{damage:?}");
        check_complete(&numbers, &damage, put[0]);
        assert_eq!(read_shard(&mut stub, "orders", 1).await.len(), put[1]);
        // A subscription ends with the same facts, and goes on behind the damage.
        register(&mut stub, "orders", "app").await;
        let request = subscribe_request("orders", "app", 0, Type::TrimHorizon);
        let mut events = stub.subscribe_to_shard(request).await.unwrap().into_inner();
        let ended = loop {
            match events.message().await {
                Ok(event) => assert!(event.is_some(), "an end without an error"),
                Err(status) => break Refusal::of(&status),
            }
        };
        assert_eq!(ended.code, Code::DataLoss);
        for name in ["first_lost", "next_readable", "file", "offset"] {
            assert_eq!(ended.values[name], damage[0].values[name]);
        }
        // `tail` prints the rest, says what is lost, and tells scripts by its code.
        let tail = ["tail", "orders", "--from", "trim-horizon", "--until-tip", "-f", "%s\\n"];
        let tail = server.run(&tail).expect(3).says(&["lost", "reading goes on"]);
        assert_eq!(tail.text().lines().count(), numbers.len() + put[1]);
    }
}

/// Changes a byte.
pub(super) fn flip(path: &Path, offset: u64) {
    let mut file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(&[byte[0] ^ 0x10]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_truncated_under_a_running_server_is_an_error_and_no_crash() {
    for read_mode in ["mmap", "pread"] {
        let (_directory, data) = directory();
        let put = fill(&data).await;
        let server = Server::start_with(program(), &data, &["--read-mode", read_mode]);
        let mut stub = connect(server.address()).await;
        // Once everything was read and once nothing was: maps that stand, maps to be made.
        if read_mode == "mmap" {
            assert_eq!(count(&mut stub, "orders", 2).await, 800);
        }
        let path = segments(&data, 0)[0].clone();
        File::options().write(true).open(&path).unwrap().set_len(20_000).unwrap();
        let (numbers, damage) = read_over_damage(&mut stub, 0).await;
        assert!(!damage.is_empty(), "{read_mode}");
        check_complete(&numbers, &damage, put[0]);
        assert!(numbers.ends_with(&[put[0] as u64]), "what stands behind it is served");
        assert_eq!(read_shard(&mut stub, "orders", 1).await.len(), put[1]);
        put_one(&mut stub, "orders", "puts go on").await;
        server.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn few_file_descriptors_are_enough_for_many_shards() {
    const SHARDS: u32 = 200;
    let (_directory, data) = directory();
    let server = Server::start_with(program_under("-n 64"), &data, &[]);
    assert!(server.log().contains("open files is low"), "{}", server.log());
    let mut stub = connect(server.address()).await;
    create(&mut stub, "orders", SHARDS).await;
    // More shards than there are descriptors: files are let go for others, and nothing fails.
    let mut acknowledged = 0;
    for batch in 0..4 {
        let records = (0..500).map(|index| entry(&format!("{batch} {index}"), "data"));
        let request = put_request("orders", records.collect());
        let answer = stub.put_records(request).await.unwrap().into_inner();
        for record in &answer.records {
            assert!(record.error_code.is_empty(), "{record:?}");
            assert!(record.sequence_number > 0, "{record:?}");
        }
        acknowledged += answer.records.len();
    }
    drop(stub);
    server.stop();
    let server = Server::start(&data);
    let mut stub = connect(server.address()).await;
    assert_eq!(count(&mut stub, "orders", SHARDS).await, acknowledged);
    put_one(&mut stub, "orders", "no shard is halted").await;
    // To read them needs no more than a budget of descriptors.
    server.stop();
    let server = Server::start_with(program_under("-n 400"), &data, &[]);
    let mut stub = connect(server.address()).await;
    assert_eq!(count(&mut stub, "orders", SHARDS).await, acknowledged + 1);
}

/// A build without the feature `mutants` cannot be told to make mistakes: nothing of them is in
/// it. With the feature the names are there, so that looking for them means something.
#[test]
fn the_program_can_make_mistakes_on_purpose_only_if_it_was_built_to() {
    let program = fs::read(program().get_program()).unwrap();
    for word in ["ANABRANCH_MUTANT", "unclean-tail", "KeepUncleanTail"] {
        let is_there = program.windows(word.len()).any(|bytes| bytes == word.as_bytes());
        assert_eq!(is_there, cfg!(feature = "mutants"), "{word}");
    }
}
