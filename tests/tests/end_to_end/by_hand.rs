//! What people do to the files of a data directory: every kind of file of `engine/FORMAT.md`
//! is changed, cut, removed or exchanged, in a copy of its own, and then a server is started.
//!
//! Whatever was done, the server starts (but for a catalog that cannot be believed, see
//! `surroundings`), `verify` and the log name the file, readers are told exactly what is lost,
//! all the rest is served, no number is used twice, and no file is removed.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::process::{Server, run_alone};
use super::rpc::*;
use super::surroundings::{
    check_complete, directory, files, fill, flip, read_over_damage, segments,
};

/// What is done to a directory, and what `verify` has to say.
struct Harm {
    name: &'static str,
    /// Its exit code: 3 where something is lost.
    verify: i32,
    /// What one of its findings names, if it has something to say.
    names: Option<&'static str>,
    work: fn(&Path),
}

const FIRST: &str = "00000000000000000001.seg";

const fn lost(name: &'static str, names: &'static str, work: fn(&Path)) -> Harm {
    Harm { name, verify: 3, names: Some(names), work }
}

const fn told(name: &'static str, names: &'static str, work: fn(&Path)) -> Harm {
    Harm { name, verify: 0, names: Some(names), work }
}

const fn harmless(name: &'static str, work: fn(&Path)) -> Harm {
    Harm { name, verify: 0, names: None, work }
}

/// In shard 0 of stream 1, which has several segments of which the last is not sealed.
const HARMS: &[Harm] = &[
    // A sealed segment.
    lost("a frame's payload", FIRST, |data| flip(&first(data), 8192 + 700)),
    lost("a frame's header", FIRST, |data| flip(&first(data), 8192 + 44)),
    told("one copy of the header", FIRST, |data| flip(&first(data), 4096 + 40)),
    lost("both copies of the header", FIRST, |data| {
        flip(&first(data), 40);
        flip(&first(data), 4096 + 40);
    }),
    told("the footer", FIRST, |data| flip(&first(data), len(&first(data)) - 40)),
    lost("a sealed segment emptied", FIRST, |data| cut(&first(data), 0)),
    lost("a sealed segment cut in a frame", FIRST, |data| cut(&first(data), 20_000)),
    told("a sealed segment cut in its footer", FIRST, |data| {
        cut(&first(data), len(&first(data)) - 1);
    }),
    lost("a sealed segment zeroed", FIRST, |data| {
        fs::write(first(data), vec![0; len(&first(data)) as usize]).unwrap();
    }),
    lost("the first segment removed", "shards/1/0", |data| fs::remove_file(first(data)).unwrap()),
    lost("a segment in the middle removed", "shards/1/0", |data| {
        fs::remove_file(&segments(data, 0)[1]).unwrap();
    }),
    lost("two segments exchanged", FIRST, |data| {
        let all = segments(data, 0);
        let aside = data.join("aside");
        fs::rename(&all[0], &aside).unwrap();
        fs::rename(&all[1], &all[0]).unwrap();
        fs::rename(&aside, &all[1]).unwrap();
    }),
    // The last segment.
    lost("the last segment's frame", "shards/1/0", |data| flip(&last(data), 8192 + 700)),
    told("one copy of the last header", "shards/1/0", |data| flip(&last(data), 40)),
    lost("the last segment emptied", "shards/1/0", |data| cut(&last(data), 0)),
    lost("the last segment cut in a frame", "shards/1/0", |data| cut(&last(data), 9_000)),
    told("the last segment cut where nothing stands", "shards/1/0", |data| {
        cut(&last(data), len(&last(data)) - 5_000);
    }),
    lost("the last segment removed", "shards/1/0", |data| fs::remove_file(last(data)).unwrap()),
    lost("two segments removed", "shards/1/0", |data| {
        let all = segments(data, 0);
        all[all.len() - 2..].iter().for_each(|path| fs::remove_file(path).unwrap());
    }),
    lost("a copy under another name", "shards/1/0", |data| {
        let copy = first(data).with_file_name("00000000000000000005.seg");
        fs::copy(first(data), copy).unwrap();
    }),
    lost("a shard's directory removed", "shards/1/0", |data| {
        fs::remove_dir_all(data.join("shards/1/0")).unwrap();
    }),
    // What stands beside them.
    told("a stranger in a shard", "notes", |data| {
        fs::write(data.join("shards/1/0/notes"), "mine").unwrap();
    }),
    told("a stranger among the streams", "notes", |data| {
        fs::write(data.join("shards/notes"), "mine").unwrap();
    }),
    told("a stream of no catalog", "shards/77", |data| {
        fs::create_dir_all(data.join("shards/77/0")).unwrap();
        fs::write(data.join("shards/77/0/notes"), "mine").unwrap();
    }),
    harmless("the lock removed", |data| fs::remove_file(data.join("LOCK")).unwrap()),
    harmless("a lock of noise", |data| fs::write(data.join("LOCK"), "noise").unwrap()),
    harmless("the reserve removed", |data| fs::remove_file(data.join("reserve")).unwrap()),
    harmless("the reserve cut", |data| cut(&data.join("reserve"), 5)),
    harmless("spare removed", |data| fs::remove_dir_all(data.join("spare")).unwrap()),
    harmless("noise in spare", |data| {
        fs::write(data.join("spare/00000000000000000007.seg"), "noise").unwrap();
    }),
    harmless("lost+found removed", |data| fs::remove_dir_all(data.join("lost+found")).unwrap()),
    harmless("a catalog that was never finished", |data| {
        fs::write(data.join("catalog.redb.new"), "noise").unwrap();
    }),
];

fn first(data: &Path) -> PathBuf {
    segments(data, 0).remove(0)
}

fn last(data: &Path) -> PathBuf {
    segments(data, 0).pop().unwrap()
}

fn len(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

fn cut(path: &Path, len: u64) {
    File::options().write(true).open(path).unwrap().set_len(len).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// The segments there are, wherever they stand now.
fn all_segments(data: &Path) -> BTreeSet<PathBuf> {
    let all = files(data).into_keys().filter(|path| !path.starts_with(data.join("spare")));
    all.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_done_to_a_file_by_hand_is_told_and_the_rest_is_served() {
    let (directory, whole) = directory();
    let put = fill(&whole).await;
    assert!(segments(&whole, 0).len() >= 3);
    for (number, harm) in HARMS.iter().enumerate() {
        let data = directory.path().join(number.to_string());
        copy(&whole, &data);
        (harm.work)(&data);
        let before = all_segments(&data).len();
        let verify = ["--output", "json", "verify", data.to_str().unwrap()];
        let report = run_alone(&verify).expect(harm.verify).json();
        let findings = report["findings"].as_array().unwrap();
        let names = |text: &str| {
            findings.iter().any(|finding| finding["file"].as_str().unwrap().contains(text))
        };
        assert!(harm.names.is_none_or(names), "{}: {findings:?}", harm.name);

        let server = Server::start(&data);
        let mut stub = connect(server.address()).await;
        let (numbers, damage) = read_over_damage(&mut stub, 0).await;
        // A copy that is out of place takes nothing away, or what stands in its place.
        if harm.verify == 3 && harm.name != "a copy under another name" {
            assert!(!damage.is_empty(), "{}", harm.name);
            // The log and the reader name the file.
            let file = damage[0].values["file"].rsplit('/').next().unwrap().to_owned();
            let is_named = server.log().contains(&file) || names(&file);
            assert!(is_named, "{}: {}", harm.name, server.log());
        }
        if harm.verify == 0 {
            assert!(damage.is_empty(), "{}: {damage:?}", harm.name);
        }
        check_complete(&numbers, &damage, put[0]);
        assert_eq!(read_shard(&mut stub, "orders", 1).await.len(), put[1], "{}", harm.name);
        let mut entry = entry("key", "new");
        entry.explicit_hash_key = Some("0".to_owned());
        let answer = stub.put_records(put_request("orders", vec![entry])).await;
        let answer = answer.unwrap().into_inner();
        assert!(answer.records[0].sequence_number > put[0] as u64, "{}: {answer:?}", harm.name);
        drop(stub);
        server.stop();
        assert!(all_segments(&data).len() >= before, "{}: a segment is gone", harm.name);
        fs::remove_dir_all(&data).unwrap();
    }
}
