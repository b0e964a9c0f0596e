//! The tools for a directory that no server serves, as they are typed: dump, verify, repair.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::process::{Finished, Server, program, run, run_alone};

/// What a directory holds: three shards, and a few frames in each.
struct Stopped {
    _directory: TempDir,
    data: PathBuf,
}

impl Stopped {
    fn new() -> Stopped {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let arguments = ["--stream", "orders:3", "--stream", "..:1"];
        let server = Server::start_with(program(), &data, &arguments);
        for batch in 0..5 {
            for stream in ["orders", ".."] {
                let lines = (0..30).map(|line| format!("{stream} {batch} {line}\n"));
                let lines: String = lines.collect();
                run(server.command(&["put", stream]), lines.as_bytes()).expect(0);
            }
        }
        server.stop();
        Stopped { _directory: directory, data }
    }

    fn segment(&self, shard: u32) -> PathBuf {
        self.data.join(format!("shards/1/{shard}/00000000000000000001.seg"))
    }

    fn tool(&self, arguments: &[&str]) -> Finished {
        run_alone(&[arguments, &[self.data.to_str().unwrap()]].concat())
    }

    /// The findings of `verify`, which has to end with `code`.
    #[track_caller]
    fn verify(&self, code: i32) -> Vec<Value> {
        let report = self.tool(&["--output", "json", "verify"]).expect(code).json();
        report["findings"].as_array().unwrap().clone()
    }

    /// Every file, with its bytes.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut dirs = vec![self.data.clone()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else {
                    files.insert(path.clone(), fs::read(&path).unwrap());
                }
            }
        }
        files
    }

    /// The data of all records, sorted, as a server gives it; puts one more.
    fn serve(&self) -> Vec<String> {
        let server = Server::start(&self.data);
        let mut lines = Vec::new();
        for stream in ["orders", ".."] {
            let arguments = ["tail", stream, "--from", "trim-horizon", "--until-tip"];
            let format = ["-f", "%v\\n"];
            let read = server.run(&[&arguments[..], &format[..]].concat()).expect(0);
            lines.extend(read.text().lines().map(str::to_owned));
        }
        run(server.command(&["put", "orders"]), b"more\n").expect(0);
        server.stop();
        lines.sort();
        lines
    }
}

/// The parts of a segment of that type, as `dump` shows them.
fn dump(segment: &Path, of_type: &str) -> Vec<Value> {
    let arguments = ["--output", "json", "dump", "--records", segment.to_str().unwrap()];
    let items = run_alone(&arguments).expect(0).json();
    let items = items.as_array().unwrap().iter();
    items.filter(|item| item["type"] == of_type).cloned().collect()
}

fn change(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[offset] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_dump_shows_what_was_put_and_exits_with_3_where_something_is_damaged() {
    let stopped = Stopped::new();
    let segment = stopped.segment(1);
    let frames = dump(&segment, "frame");
    assert!(frames.len() > 1, "{frames:?}");
    let records = dump(&segment, "record");
    let count: u64 = frames.iter().map(|frame| frame["count"].as_u64().unwrap()).sum();
    assert_eq!(records.len() as u64, count);
    assert!(records.iter().all(|record| record["data"].as_str().unwrap().starts_with("orders ")));
    change(&segment, frames[0]["offset"].as_u64().unwrap() as usize + 85);
    let text = run_alone(&["dump", segment.to_str().unwrap()]).expect(3).text();
    assert!(text.contains("DAMAGED PAYLOAD"), "{text}");
}

#[test]
fn damage_is_reported_with_its_place_and_once_repaired_is_on_record_while_the_rest_is_served() {
    let stopped = Stopped::new();
    let all = stopped.serve();
    let segment = stopped.segment(1);
    let frames = dump(&segment, "frame");
    let frame = &frames[frames.len() / 2];
    let number = |name: &str| frame[name].as_u64().unwrap();
    let (offset, first, last) = (number("offset"), number("first"), number("last"));
    let records = dump(&segment, "record");
    let lost = records
        .iter()
        .filter(|record| (first..=last).contains(&record["sequence_number"].as_u64().unwrap()));
    let lost: Vec<&str> = lost.map(|record| record["data"].as_str().unwrap()).collect();
    change(&segment, offset as usize + 85);
    let damaged = fs::read(&segment).unwrap();

    let findings = stopped.verify(3);
    let [finding] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!(finding["kind"], "damage");
    assert_eq!(finding["file"], segment.to_str().unwrap());
    assert_eq!(finding["offset"], offset);
    assert_eq!(
        (&finding["first_lost"], &finding["next_readable"]),
        (&first.into(), &(last + 1).into())
    );

    // A plan changes nothing and says what would be gone.
    let before = stopped.files();
    for dry in [&["--output", "json", "repair"][..], &["--output", "json", "repair", "--dry-run"]] {
        let plan = stopped.tool(dry).expect(3).json();
        assert_eq!(plan["applied"], false);
        assert_eq!(plan["steps"][0]["offset"], offset);
        assert_eq!(plan["steps"][0]["first_lost"], first);
    }
    assert_eq!(stopped.files(), before);
    let text = stopped.tool(&["repair", "--apply"]).expect(0).text();
    assert!(text.contains(&format!("gone: sequence numbers {first} to {last}")), "{text}");
    let kept = stopped.data.join(format!("lost+found/1-1-1-{offset}.bin"));
    let kept = fs::read(kept).unwrap();
    assert!(kept.len() > 80 && damaged[offset as usize..].starts_with(&kept));

    let findings = stopped.verify(0);
    assert!(findings.iter().all(|finding| finding["kind"] == "note"), "{findings:?}");
    assert!(findings.iter().any(|finding| finding["first_lost"] == first), "{findings:?}");
    let text = stopped.tool(&["repair", "--apply"]).expect(0).text();
    assert!(text.contains("nothing to do"), "{text}");
    // Both lives of the server have put one record more.
    let served = stopped.serve();
    let rest = all.iter().map(String::as_str).chain(["more"]);
    let mut rest: Vec<&str> = rest.filter(|line| !lost.contains(line)).collect();
    rest.sort_unstable();
    assert_eq!(served, rest);
    stopped.verify(0);
}

#[test]
fn many_damages_at_once_are_each_reported_with_file_and_offset_and_repaired() {
    let stopped = Stopped::new();
    // A frame's header; both copies of a segment's header; a cut file; harmless: one copy.
    let frames = dump(&stopped.segment(0), "frame");
    let offset = frames[1]["offset"].as_u64().unwrap();
    change(&stopped.segment(0), offset as usize + 40);
    change(&stopped.segment(0), 4096 + 7);
    for copy in [0, 4096] {
        change(&stopped.segment(1), copy + 60);
    }
    let cut = dump(&stopped.segment(2), "frame")[1]["offset"].as_u64().unwrap() + 20;
    let file = fs::File::options().write(true).open(stopped.segment(2)).unwrap();
    file.set_len(cut).unwrap();
    let findings = stopped.verify(3);
    let damage = |shard: u32| {
        let mut found = findings.iter().filter(|found| found["kind"] == "damage");
        let path = stopped.segment(shard);
        let found = found.find(|found| found["file"] == path.to_str().unwrap());
        found.unwrap_or_else(|| panic!("shard {shard}: {findings:?}")).clone()
    };
    assert_eq!(damage(0)["offset"], offset);
    assert_eq!(damage(1)["offset"], 0);
    assert_eq!(damage(2)["offset"], cut - 20);
    assert!(findings.iter().any(|found| found["kind"] == "harmless" && found["offset"] == 4096));
    stopped.tool(&["repair", "--apply"]).expect(0);
    stopped.verify(0);
    assert!(stopped.data.join("lost+found/1-1-1.seg").exists());
    let served = stopped.serve();
    assert!(served.iter().filter(|line| line.starts_with("..")).count() == 150, "{served:?}");
    assert!(served.len() > 160);
}

#[test]
fn a_rebuilt_catalog_brings_the_streams_back_and_keeps_the_damaged_one() {
    let stopped = Stopped::new();
    let all = stopped.serve();
    let catalog = stopped.data.join("catalog.redb");
    let noise: Vec<u8> =
        (0..20_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::write(&catalog, &noise).unwrap();
    let findings = stopped.verify(3);
    assert_eq!(findings[0]["file"], catalog.to_str().unwrap());
    let refused = Server::try_start(program(), &stopped.data, &[]).err().unwrap();
    refused.expect(1).says(&["catalog.redb", "anabranch repair --rebuild-catalog"]);
    // Nothing else is repaired before, and a plan changes nothing.
    let before = stopped.files();
    let text = stopped.tool(&["repair", "--apply"]).expect(3).text();
    assert!(text.contains("--rebuild-catalog"), "{text}");
    let plan = stopped.tool(&["--output", "json", "repair", "--rebuild-catalog"]).expect(0).json();
    assert_eq!(plan["applied"], false);
    assert_eq!(plan["streams"].as_array().unwrap().len(), 2);
    assert_eq!(stopped.files(), before);
    stopped.tool(&["repair", "--rebuild-catalog", "--apply"]).expect(0);
    assert_eq!(fs::read(stopped.data.join("catalog.redb.damaged-1")).unwrap(), noise);
    stopped.verify(0);
    let mut expected = all;
    expected.push("more".to_owned());
    expected.sort();
    assert_eq!(stopped.serve(), expected);
    // A whole catalog is not replaced.
    stopped.tool(&["repair", "--rebuild-catalog", "--apply"]).expect(1);
}
