//! The offline tools over a simulated disk: what they find is what is wrong, and what they mend
//! is served.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::fs::{Fault, SimFs};
use crate::tests::{World, name, put, put_now, read_all, read_from};
use crate::{Error, Shard, StreamSettings};

mod ends;
mod reshards;

const DATA: &str = "/data";

fn check(world: &World) -> VerifyReport {
    check_as(world, Mode::Offline)
}

fn check_as(world: &World, mode: Mode) -> VerifyReport {
    let fs: Arc<dyn Fs> = Arc::new(world.fs.clone());
    let mut last = Progress { bytes_done: 0, bytes_total: 0 };
    let report = verify(&fs, Path::new(DATA), mode, &mut |progress| {
        assert!(progress.bytes_done >= last.bytes_done);
        assert!(progress.bytes_done <= progress.bytes_total);
        last = progress;
    });
    report.unwrap()
}

fn damage(report: &VerifyReport) -> Vec<&Finding> {
    report.findings.iter().filter(|finding| finding.kind == FindingKind::Damage).collect()
}

/// Asserts that nothing is wrong but for what is on record as lost or kept.
fn assert_mended(world: &World) {
    for finding in check(world).findings {
        let is_kept = finding.file.starts_with("/data/lost+found");
        assert!(finding.found == "recorded as lost" || is_kept, "{finding:?}");
    }
}

fn mend(world: &World) -> RepairReport {
    let report = repair(&world.environment(), Path::new(DATA), true).unwrap();
    assert!(report.is_applied);
    assert_eq!(report.refused, []);
    report
}

/// The lost ranges of a plan.
fn gone(report: &RepairReport) -> Vec<(u64, u64)> {
    let range = |step: &RepairStep| Some((step.first_lost?.0, step.next_readable?.0));
    report.steps.iter().filter_map(range).collect()
}

fn image(fs: &SimFs) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs.files().into_iter();
    files.map(|(path, _)| (path.clone(), fs.read_file(&path).unwrap())).collect()
}

fn restore(fs: &SimFs, image: &BTreeMap<PathBuf, Vec<u8>>) {
    for (path, _) in fs.files() {
        if !image.contains_key(&path) {
            fs.remove(&path).unwrap();
        }
    }
    for (path, bytes) in image {
        fs.write_file(path, bytes);
    }
}

/// A directory with one shard of `frames` frames of one record each, cleanly stopped.
fn one_shard(seed: u64, frames: u64, data_bytes: usize) -> World {
    let world = World::new(seed);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    for number in 1..=frames {
        put_now(&engine, &stream.shards()[0], &[&vec![number as u8; data_bytes]]).unwrap();
    }
    engine.shut_down().unwrap();
    world
}

fn segments(world: &World) -> Vec<PathBuf> {
    let files = world.fs.files().into_iter().map(|(path, _)| path);
    files.filter(|path| path.starts_with("/data/shards")).collect()
}

fn base_of(path: &Path) -> u64 {
    path.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

/// Numbers that can be read, and the number that the next record gets.
fn serve(world: &World) -> (Vec<u64>, u64) {
    let engine = world.open().unwrap();
    assert_eq!(engine.report().damage, []);
    let stream = engine.stream(&name("s")).unwrap();
    let shard = &stream.shards()[0];
    let read = read_all(shard).unwrap();
    assert!(read.iter().all(|(number, data)| data.iter().all(|&byte| byte == *number as u8)));
    let appended = put_now(&engine, shard, &[b""]).unwrap();
    let after = read_all(shard).unwrap();
    assert_eq!(after.last().unwrap().0, appended.first.0);
    assert_eq!(after.len(), read.len() + 1);
    engine.shut_down().unwrap();
    (read.into_iter().map(|(number, _)| number).collect(), appended.first.0)
}

#[test]
fn a_whole_directory_is_found_whole() {
    let world = one_shard(1, 20, 40_000);
    assert!(segments(&world).len() > 1);
    let report = check(&world);
    assert_eq!(report.findings, []);
    assert_eq!((report.streams, report.shards), (1, 1));
    assert_eq!((report.frames, report.records), (20, 20));
    assert_eq!(report.segments, segments(&world).len() as u64);
    assert!(gone(&mend(&world)).is_empty());
}

#[test]
fn a_crash_leaves_a_tail_and_no_damage() {
    for seed in 0..30 {
        let world = World::new(seed);
        let engine = world.open().unwrap();
        let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
        world.fs.crash_at(world.fs.ops() + 3 + seed);
        for _ in 0..40 {
            if put_now(&engine, &stream.shards()[0], &[&vec![1; 30_000], b"two"]).is_err() {
                break;
            }
        }
        drop((stream, engine));
        let world = World { fs: world.fs.crash(), ..world };
        let report = check(&world);
        assert_eq!(damage(&report), Vec::<&Finding>::new(), "seed {seed}");
    }
}

#[test]
fn every_flipped_bit_is_found() {
    let world = one_shard(2, 5, 300);
    let path = segments(&world).remove(0);
    let frame = |number: u64| 8192 + number * (80 + 330_u64).next_multiple_of(8);
    let end = {
        let fs: Arc<dyn Fs> = Arc::new(world.fs.clone());
        let mut end = 0;
        dump(&fs, &path, false, &mut |item| {
            if let DumpItem::Frame(frame) = item {
                end = frame.offset + frame.frame_bytes;
            }
            true
        })
        .unwrap();
        end
    };
    assert!(end > frame(4) && end < frame(6));
    let len = world.fs.read_file(&path).unwrap().len() as u64;
    // All bits of the frames; of the headers, whose own test takes all bits, every 61st.
    let in_headers = (0..8192 * 8).step_by(61);
    let in_frames = 8192 * 8..end * 8;
    for bit in in_headers.chain(in_frames) {
        let flip = Fault::FlipBit { path: path.clone(), offset: bit / 8, bit: (bit % 8) as u8 };
        world.fs.inject(flip.clone());
        let report = check(&world);
        let expected = if bit < 8192 * 8 { FindingKind::Harmless } else { FindingKind::Damage };
        let is_padding = report.findings.iter().any(|f| f.found.contains("between two frames"));
        assert!(report.count(expected) > 0 || is_padding, "bit {bit}: {:?}", report.findings);
        world.fs.inject(flip);
    }
    // Behind the last frame nothing has a meaning but the footer's place.
    for bit in (len - 64) * 8..len * 8 {
        let flip = Fault::FlipBit { path: path.clone(), offset: bit / 8, bit: (bit % 8) as u8 };
        world.fs.inject(flip.clone());
        assert_eq!(check(&world).count(FindingKind::Harmless), 1, "bit {bit}");
        world.fs.inject(flip);
    }
    assert_eq!(check(&world).findings, []);
}

#[test]
fn a_dry_run_changes_no_byte() {
    let world = one_shard(3, 60, 40_000);
    let paths = segments(&world);
    world.fs.inject(Fault::FlipBit { path: paths[0].clone(), offset: 9000, bit: 1 });
    world.fs.inject(Fault::FlipBit { path: paths[0].clone(), offset: 20, bit: 1 });
    world.fs.remove(&paths[1]).unwrap();
    let before = image(&world.fs);
    let plan = repair(&world.environment(), Path::new(DATA), false).unwrap();
    assert!(!plan.is_applied);
    assert!(plan.steps.len() >= 3, "{:?}", plan.steps);
    check(&world);
    assert_eq!(image(&world.fs), before);
    world.fs.write_file("/data/catalog.redb", b"no catalog");
    let before = image(&world.fs);
    let plan = rebuild_catalog(&world.environment(), Path::new(DATA), false).unwrap();
    assert!(!plan.is_applied);
    assert_eq!(plan.streams.len(), 1);
    let report = repair(&world.environment(), Path::new(DATA), true).unwrap();
    assert!(report.catalog_lost.is_some());
    assert_eq!(report.steps, []);
    assert_eq!(image(&world.fs), before);
}

#[test]
fn damaged_frames_are_recorded_as_lost_and_the_rest_is_served() {
    // Of each segment the first, a middle and the last frame, its header and its payload.
    let whole = one_shard(4, 30, 40_000);
    let before = image(&whole.fs);
    let fs: Arc<dyn Fs> = Arc::new(whole.fs.clone());
    let mut frames = Vec::new();
    for path in segments(&whole) {
        dump(&fs, &path, false, &mut |item| {
            if let DumpItem::Frame(frame) = item {
                frames.push((path.clone(), frame));
            }
            true
        })
        .unwrap();
    }
    assert_eq!(frames.len(), 30);
    for (path, frame) in &frames {
        for at in [5, 500] {
            restore(&whole.fs, &before);
            let offset = frame.offset + at;
            whole.fs.inject(Fault::FlipBit { path: path.clone(), offset, bit: 3 });
            let number = frame.first.0;
            let report = check(&whole);
            let found = damage(&report);
            assert_eq!(found.len(), 1, "{number} {found:?}");
            assert_eq!(found[0].first_lost, Some(frame.first));
            assert_eq!(found[0].next_readable, Some(frame.last.next()));
            assert_eq!(found[0].offset, Some(frame.offset));
            let done = mend(&whole);
            assert_eq!(gone(&done), [(number, number + 1)]);
            assert_mended(&whole);
            let kept = whole.fs.files();
            let kept = kept.iter().filter(|(path, _)| path.starts_with("/data/lost+found"));
            assert_eq!(kept.count(), 1);
            let again = mend(&whole);
            assert_eq!(again.steps, [], "repair is done once");
            let (read, next) = serve(&whole);
            assert_eq!(read, (1..=30).filter(|&n| n != number).collect::<Vec<_>>());
            assert_eq!(next, 31);
            assert_eq!(damage(&check(&whole)), Vec::<&Finding>::new());
        }
    }
}

#[test]
fn a_missing_segment_is_recorded_as_lost() {
    let whole = one_shard(5, 60, 40_000);
    let before = image(&whole.fs);
    let paths = segments(&whole);
    assert!(paths.len() >= 3);
    for (index, path) in paths.iter().enumerate() {
        restore(&whole.fs, &before);
        whole.fs.remove(path).unwrap();
        let first = base_of(path);
        let next = paths.get(index + 1).map_or(61, |path| base_of(path));
        assert_eq!(damage(&check(&whole)).len(), 1);
        assert_eq!(gone(&mend(&whole)), [(first, next)]);
        assert_mended(&whole);
        let (read, after) = serve(&whole);
        let rest: Vec<_> = (1..=60).filter(|number| !(first..next).contains(number)).collect();
        assert_eq!(read, rest);
        assert_eq!(after, 61);
        assert_eq!(damage(&check(&whole)), Vec::<&Finding>::new());
    }
}

#[test]
fn all_segments_missing_are_recorded_as_lost() {
    let world = one_shard(6, 60, 40_000);
    for path in segments(&world) {
        world.fs.remove(&path).unwrap();
    }
    assert_eq!(gone(&mend(&world)), [(1, 61)]);
    assert_mended(&world);
    assert_eq!(serve(&world), (vec![], 61));
}

#[test]
fn a_repair_that_loses_power_can_be_done_again() {
    let whole = one_shard(8, 60, 40_000);
    let paths = segments(&whole);
    let last = paths.last().unwrap();
    whole.fs.inject(Fault::FlipBit { path: paths[0].clone(), offset: 9000, bit: 1 });
    whole.fs.inject(Fault::FlipBit { path: paths[0].clone(), offset: 20, bit: 1 });
    whole.fs.remove(&paths[1]).unwrap();
    for offset in [0, 4096] {
        whole.fs.inject(Fault::FlipBit { path: last.clone(), offset, bit: 1 });
    }
    let before = image(&whole.fs);
    for op in 0.. {
        let world = World::new(op);
        restore(&world.fs, &before);
        world.fs.crash_at(world.fs.ops() + op);
        let is_done = repair(&world.environment(), Path::new(DATA), true).is_ok();
        let world = World { fs: world.fs.crash(), ..world };
        // The locks of the dead disk are gone; what it had begun is finished.
        mend(&world);
        assert_mended(&world);
        let (read, next) = serve(&world);
        let lost = base_of(&paths[1])..base_of(&paths[2]);
        let lost_too = base_of(last)..61;
        let rest = (2..=30).filter(|n| !lost.contains(n) && !lost_too.contains(n));
        assert_eq!(read, rest.collect::<Vec<_>>(), "op {op}");
        assert!(next >= 61);
        if is_done {
            assert!(op > 20);
            break;
        }
    }
}

#[test]
fn whatever_is_broken_is_mended_so_that_the_rest_is_served_without_an_error() {
    // Random damage of every kind, to directories that were stopped and to killed ones.
    let mut random = 1u64;
    let mut draw = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (random >> 33) % below
    };
    for seed in 0..600 {
        let world = World::new(seed);
        let engine = world.open().unwrap();
        let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
        for number in 1..=40 {
            let data = vec![number as u8; [0, 10, 5000, 60_000][draw(4) as usize]];
            put_now(&engine, &stream.shards()[0], &[&data, &data]).unwrap();
            if draw(10) == 0 {
                engine.housekeeping_step();
            }
        }
        if seed % 2 == 0 {
            engine.shut_down().unwrap();
        }
        drop((stream, engine));
        let world = World { fs: world.fs.kill(), ..world };
        let mut done = Vec::new();
        for _ in 0..=draw(3) {
            let paths = segments(&world);
            if paths.is_empty() {
                break;
            }
            let path = paths[draw(paths.len() as u64) as usize].clone();
            let len = world.fs.read_file(&path).unwrap().len() as u64;
            // A cut of a file whose end nobody recorded is no damage, and is left as it is.
            let kind = match draw(6) {
                1 if seed % 2 == 1 => 2,
                kind => kind,
            };
            let at = if kind == 5 { draw(9000) } else { draw(len.max(1)) };
            done.push((kind, path.clone(), at));
            match kind {
                0 => world.fs.remove(&path).unwrap(),
                1 => world.fs.truncate(&path, at),
                2 | 5 if len > 0 => {
                    world.fs.inject(Fault::FlipBit { path, offset: at.min(len - 1), bit: 2 });
                }
                _ => {
                    let mut bytes = world.fs.read_file(&path).unwrap();
                    let end = (at + draw(100_000)).min(len);
                    let noise = if kind == 3 { 0 } else { 0x5a };
                    bytes[at as usize..end as usize].fill(noise);
                    world.fs.write_file(&path, &bytes);
                }
            }
        }
        let plan = mend(&world);
        assert_mended_or_torn(&world, seed);
        let lost = gone(&plan);
        let engine = world.open().unwrap();
        assert_eq!(engine.report().damage, [], "seed {seed} {done:?} {lost:?}");
        let stream = engine.stream(&name("s")).unwrap();
        let shard = &stream.shards()[0];
        let read = read_all(shard).unwrap_or_else(|error| panic!("{seed} {done:?}: {error}"));
        for (number, data) in &read {
            assert!(data.iter().all(|&byte| u64::from(byte) == number.div_ceil(2)));
        }
        let numbers: Vec<_> = read.iter().map(|(number, _)| *number).collect();
        let is_lost =
            |number: u64| lost.iter().any(|&(first, next)| (first..next).contains(&number));
        let rest: Vec<_> = (1..=80).filter(|&number| !is_lost(number)).collect();
        // Without a clean stop, the damaged end of a log cannot be told from a torn one.
        assert!(rest.starts_with(&numbers), "seed {seed} {done:?} {lost:?} {numbers:?}");
        assert!(rest == numbers || seed % 2 == 1, "seed {seed} {done:?} {lost:?} {numbers:?}");
        let appended = put_now(&engine, shard, &[b""]).unwrap();
        assert!(appended.first.0 > numbers.last().copied().unwrap_or(0));
        assert!(lost.iter().all(|&(_, next)| appended.first.0 >= next));
        engine.shut_down().unwrap();
        drop((stream, engine));
        assert_eq!(damage(&check(&world)), Vec::<&Finding>::new(), "seed {seed} {done:?}");
    }
}

fn assert_mended_or_torn(world: &World, seed: u64) {
    for finding in check(world).findings {
        assert_ne!(finding.kind, FindingKind::Damage, "seed {seed}: {finding:?}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_a_finding_and_no_step() {
    let world = one_shard(9, 60, 40_000);
    let paths = segments(&world);
    world.fs.inject(Fault::ReadFails { path: paths[1].clone() });
    let report = check(&world);
    assert_eq!(damage(&report).len(), 1, "{:?}", report.findings);
    let before = image(&world.fs);
    let plan = repair(&world.environment(), Path::new(DATA), true).unwrap();
    assert_eq!(plan.refused.len(), 1);
    assert_eq!(gone(&plan), []);
    let unread = |image: BTreeMap<PathBuf, Vec<u8>>| {
        image.into_iter().filter(|(path, _)| path.starts_with("/data/shards")).collect::<Vec<_>>()
    };
    assert_eq!(unread(image(&world.fs)), unread(before));
}

#[test]
fn beside_a_running_server_only_what_is_recorded_is_judged() {
    let world = World::new(10);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 2, StreamSettings::default()).unwrap();
    for number in 1..=30u8 {
        put_now(&engine, &stream.shards()[0], &[&vec![number; 40_000]]).unwrap();
    }
    let _staged = put(&stream.shards()[1], &[b"not written yet"]).unwrap();
    let fs: Arc<dyn Fs> = Arc::new(world.fs.clone());
    let refused = verify(&fs, Path::new(DATA), Mode::Offline, &mut |_| {});
    assert!(matches!(refused, Err(Error::Locked { .. })));
    let report = check_as(&world, Mode::Online);
    assert_eq!(report.findings, []);
    assert_eq!(report.records, 30);
    let path = segments(&world).remove(0);
    world.fs.inject(Fault::FlipBit { path, offset: 9000, bit: 0 });
    assert_eq!(damage(&check_as(&world, Mode::Online)).len(), 1);
    // It changed nothing, and is in nobody's way.
    put_now(&engine, &stream.shards()[0], &[b"more"]).unwrap();
}

#[test]
fn a_lost_catalog_is_rebuilt_from_the_segments() {
    let world = World::new(11);
    let engine = world.open().unwrap();
    let expected = |shards: &[Arc<Shard>]| {
        shards.iter().map(|shard| (shard.id(), shard.hash_key_range())).collect::<Vec<_>>()
    };
    let mut before = BTreeMap::new();
    for (text, shards) in [("a", 4), ("b", 1), ("..", 3)] {
        let stream = engine.create_stream(&name(text), shards, StreamSettings::default()).unwrap();
        // The last shard of each never takes a record, unless it is the only one.
        for (index, shard) in stream.shards().iter().enumerate() {
            if index == 0 || index + 1 < shards as usize {
                for _ in 0..20 {
                    put_now(&engine, shard, &[&vec![1; 30_000], b""]).unwrap();
                }
            }
        }
        let records: Vec<_> =
            stream.shards().iter().map(|shard| read_all(shard).unwrap()).collect();
        before.insert(text, (expected(&stream.shards()), records));
    }
    engine.create_stream(&name("unused"), 1, StreamSettings::default()).unwrap();
    engine.shut_down().unwrap();
    drop(engine);

    let environment = world.environment();
    let whole = rebuild_catalog(&environment, Path::new(DATA), true);
    assert!(matches!(whole, Err(Error::Catalog { .. })), "a whole catalog is kept");
    world.fs.write_file("/data/catalog.redb", &[7; 10_000]);
    world.fs.write_file("/data/lost+found/77-0/0/00000000000000000001.seg", b"");
    assert!(matches!(world.open(), Err(Error::CatalogLost { .. })));
    let report = rebuild_catalog(&environment, Path::new(DATA), true).unwrap();
    assert!(report.is_applied);
    assert_eq!(report.streams.len(), 3);
    assert!(world.fs.read_file("/data/catalog.redb.damaged-1").is_some());
    assert_eq!(damage(&check(&world)), Vec::<&Finding>::new());

    let engine = world.open().unwrap();
    assert_eq!(engine.report().damage, []);
    for (text, (shards, records)) in before {
        let stream = engine.stream(&name(text)).unwrap();
        assert_eq!(expected(&stream.shards()), shards);
        for (shard, records) in stream.shards().iter().zip(records) {
            assert_eq!(read_all(shard).unwrap(), records);
            let next = put_now(&engine, shard, &[b"more"]).unwrap().first;
            assert!(records.last().is_none_or(|(last, _)| *last < next.0));
            assert_eq!(read_from(shard, next.0).unwrap().len(), 1);
        }
    }
    let id = engine.create_stream(&name("new"), 1, StreamSettings::default()).unwrap().id();
    assert_eq!(id, StreamId(78));
}

#[test]
fn of_two_streams_of_a_name_the_newer_keeps_it() {
    let world = World::new(12);
    let engine = world.open().unwrap();
    for data in [b"old", b"new"] {
        let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
        put_now(&engine, &stream.shards()[0], &[data]).unwrap();
        if data == b"old" {
            engine.delete_stream(&name("s")).unwrap();
        }
    }
    drop(engine);
    world.fs.remove(Path::new("/data/catalog.redb")).unwrap();
    let report = rebuild_catalog(&world.environment(), Path::new(DATA), true).unwrap();
    assert_eq!(report.moved, [PathBuf::from("/data/shards/1")]);
    let engine = world.open().unwrap();
    let stream = engine.stream(&name("s")).unwrap();
    assert_eq!(read_all(&stream.shards()[0]).unwrap(), [(1, b"new".to_vec())]);
    assert!(world.fs.files().iter().any(|(path, _)| path.starts_with("/data/lost+found/1-0")));
}

#[test]
fn a_dump_shows_every_part_of_a_segment() {
    let world = one_shard(13, 30, 40_000);
    let fs: Arc<dyn Fs> = Arc::new(world.fs.clone());
    let path = segments(&world).remove(0);
    world.fs.inject(Fault::FlipBit { path: path.clone(), offset: 8200, bit: 0 });
    let mut seen = Vec::new();
    dump(&fs, &path, true, &mut |item| {
        seen.push(match item {
            DumpItem::Header(header) => format!("header {}", header.base),
            DumpItem::Frame(frame) => format!("frame {}", frame.first),
            DumpItem::Record(record) => format!("record {}", record.sequence),
            DumpItem::NoFrame { offset, bytes, .. } => format!("none {offset} {}", bytes.len()),
            DumpItem::Footer(footer) => format!("footer {}", footer.index.len()),
        });
        true
    })
    .unwrap();
    assert_eq!(seen[..4], ["header 1", "none 8192 16", "frame 2", "record 2"]);
    assert!(seen.last().unwrap().starts_with("footer"), "{seen:?}");
    let mut count = 0;
    dump(&fs, &path, true, &mut |_| {
        count += 1;
        count < 2
    })
    .unwrap();
    assert_eq!(count, 2);
}

#[test]
fn another_directory_is_refused_and_left_alone() {
    let world = World::new(14);
    world.fs.write_file("/data/letter.txt", b"dear");
    let before = image(&world.fs);
    let fs: Arc<dyn Fs> = Arc::new(world.fs.clone());
    assert!(verify(&fs, Path::new(DATA), Mode::Offline, &mut |_| {}).is_err());
    assert!(repair(&world.environment(), Path::new(DATA), true).is_err());
    assert!(rebuild_catalog(&world.environment(), Path::new(DATA), true).is_err());
    assert_eq!(image(&world.fs), before);
}

#[test]
fn what_the_disk_cannot_read_is_shown_and_not_mended() {
    let world = one_shard(3, 30, 3000);
    let (path, _) = world.segments().pop().unwrap();
    let before = image(&world.fs);
    world.fs.inject(Fault::RangeFails { path: path.clone(), offset: 50_000, bytes: 600 });
    assert_eq!(damage(&check(&world)).len(), 1);
    let report = repair(&world.environment(), Path::new(DATA), true).unwrap();
    assert_eq!(report.refused.len(), 1, "{report:?}");
    assert_eq!(world.fs.read_file(&path).as_ref(), before.get(&path));
}
