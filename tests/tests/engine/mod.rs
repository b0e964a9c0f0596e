//! The engine with its threads, over a real directory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anabranch_engine::clock::ManualClock;
use anabranch_engine::fs::{ReadMode, RealFs};
use anabranch_engine::record::{PartitionKey, RecordView};
use anabranch_engine::sequence::SequenceNumber;
use anabranch_engine::{
    Engine, EngineOptions, Environment, Error, ReadLimit, Shard, StreamSettings,
};
use tempfile::TempDir;

use anabranch_tests::support::{
    START_MS, Seeded, WHOLE, for_each, name, put, put_now, read_all, read_over_damage,
};

const MODES: [ReadMode; 2] = [ReadMode::Mmap, ReadMode::Pread];

struct Machine {
    dir: TempDir,
    clock: Arc<ManualClock>,
    read_mode: ReadMode,
    open_segments_max: usize,
}

impl Machine {
    fn new(read_mode: ReadMode) -> Machine {
        Machine {
            dir: tempfile::tempdir().unwrap(),
            clock: Arc::new(ManualClock::new(START_MS)),
            read_mode,
            open_segments_max: 256,
        }
    }

    fn open(&self) -> anabranch_engine::Result<Engine> {
        let options = EngineOptions {
            open_segments_max: self.open_segments_max,
            ..EngineOptions::new(self.dir.path())
        };
        let environment = Environment {
            fs: Arc::new(RealFs::new(self.read_mode)),
            clock: self.clock.clone(),
            entropy: Arc::new(Seeded::new(1)),
        };
        Engine::open(options, environment)
    }

    /// The segment files of the first stream's first shard, in order.
    fn segments(&self) -> Vec<PathBuf> {
        let dir = self.dir.path().join("shards/1/0");
        let Ok(entries) = std::fs::read_dir(dir) else {
            return Vec::new();
        };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }
}

/// Puts until the shard takes it.
fn put_patiently(shard: &Arc<Shard>, key: &str, data: &[&[u8]]) -> anabranch_engine::AppendTicket {
    let key = PartitionKey::from_bytes(key.as_bytes()).unwrap();
    loop {
        let records = data.iter().map(|data| RecordView::new(key, None, data).unwrap());
        match shard.append(records) {
            Ok(ticket) => return ticket,
            Err(Error::Busy { .. }) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Reads `expected` records as they come, and returns key and data of each.
fn tail(shard: &Arc<Shard>, expected: usize) -> Vec<(String, Vec<u8>)> {
    let mut progress = shard.progress();
    let mut cursor = shard.cursor(SequenceNumber(0));
    let (mut read, mut last) = (Vec::new(), 0);
    while read.len() < expected {
        let durable = progress.borrow_and_update().durable;
        let page = cursor.read(ReadLimit { records: 500, bytes: 1 << 20 }).unwrap();
        assert!(page.next <= shard.watermarks().durable, "visible means durable");
        for_each(&page, |record| {
            assert_eq!(record.sequence.0, last + 1, "a total order without a gap");
            last = record.sequence.0;
            let key = std::str::from_utf8(record.key).unwrap().to_owned();
            read.push((key, record.data.to_vec()));
        });
        if page.records == 0 {
            assert!(page.next >= durable);
            std::thread::yield_now();
        }
    }
    read
}

#[test]
fn concurrent_producers_and_tailing_readers_agree_in_both_read_modes() {
    const PRODUCERS: u64 = 4;
    const BATCHES: u64 = 150;
    for read_mode in MODES {
        let machine = Machine::new(read_mode);
        let engine = machine.open().unwrap();
        engine.start();
        let stream = engine.create_stream(&name("s"), 3, StreamSettings::default()).unwrap();
        let shards = stream.shards();
        std::thread::scope(|scope| {
            for producer in 0..PRODUCERS {
                let stream = &stream;
                scope.spawn(move || {
                    let mut tickets = Vec::new();
                    for batch in 0..BATCHES {
                        let shard = &stream.shards()[(batch % 3) as usize];
                        let text = format!("{batch:06}");
                        let data = text.repeat(1 + (batch * 31 % 400) as usize);
                        let key = format!("p{producer}");
                        let views: [&[u8]; 2] = [data.as_bytes(), b""];
                        tickets.push(put_patiently(shard, &key, &views));
                    }
                    for ticket in tickets {
                        ticket.wait().unwrap();
                    }
                });
            }
            for shard in &shards {
                scope.spawn(move || {
                    let read = tail(shard, (PRODUCERS * BATCHES / 3 * 2) as usize);
                    let mut last: BTreeMap<String, String> = BTreeMap::new();
                    for (key, data) in read.into_iter().filter(|(_, data)| !data.is_empty()) {
                        let batch = String::from_utf8(data[..6].to_vec()).unwrap();
                        assert!(data.chunks(6).all(|chunk| chunk == batch.as_bytes()));
                        let before = last.insert(key, batch.clone());
                        assert!(before.is_none_or(|before| before < batch), "a producer's order");
                    }
                    assert_eq!(last.len(), PRODUCERS as usize);
                });
            }
        });
        engine.shut_down().unwrap();
        drop((stream, engine));
        assert!(machine.open().unwrap().report().clean);
    }
}

#[test]
fn slices_outlive_retention_and_recycling_unchanged() {
    for open_segments_max in [256, 1] {
        let machine = Machine { open_segments_max, ..Machine::new(ReadMode::Mmap) };
        let engine = machine.open().unwrap();
        let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
        let shard = &stream.shards()[0];
        let mut held = Vec::new();
        // Ten times 1 MiB at once: full-size segments after the first one, and those are used
        // again once retention has retired them.
        for round in 0..40u8 {
            let data = vec![round; 1_000_000];
            put_now(&engine, shard, &[&data[..]; 9]).unwrap();
            let first = shard.watermarks().durable.0 - 9;
            if round % 7 == 3 {
                let page = shard.cursor(SequenceNumber(first)).read(WHOLE).unwrap();
                held.push((round, page));
            }
            // Another reader: a small cache lets the file that is held go.
            shard.cursor(SequenceNumber(0)).read(ReadLimit { records: 1, bytes: 1 }).unwrap();
            if round % 14 == 13 {
                machine.clock.advance(Duration::from_secs(26 * 3600));
                engine.housekeeping_step();
                machine.clock.advance(Duration::from_secs(11));
                engine.housekeeping_step();
                // Not every file system overwrites in place: elsewhere none are used again.
                println!("{} files to be used again", engine.stats().spare_segments);
            }
            for (round, page) in &held {
                for_each(page, |record| {
                    assert!(record.data.iter().all(|byte| byte == round), "a held slice changed");
                });
            }
        }
        assert!(shard.watermarks().trim_horizon.0 > 100);
    }
}

#[test]
fn a_second_engine_on_the_directory_is_refused() {
    let machine = Machine::new(ReadMode::Mmap);
    let engine = machine.open().unwrap();
    assert!(matches!(machine.open(), Err(Error::Locked { .. })));
    drop(engine);
    machine.open().unwrap();
}

#[test]
fn a_stream_deleted_under_load_tells_everyone_and_leaves_no_file() {
    let machine = Machine::new(ReadMode::Mmap);
    let engine = machine.open().unwrap();
    engine.start();
    let stream = engine.create_stream(&name("s"), 2, StreamSettings::default()).unwrap();
    let is_told = AtomicBool::new(false);
    let shards = stream.shards();
    std::thread::scope(|scope| {
        for shard in &shards {
            let is_told = &is_told;
            scope.spawn(move || {
                loop {
                    match put(shard, &[&[1; 5000]]).map(|ticket| ticket.wait()) {
                        Ok(Ok(_)) | Err(Error::Busy { .. }) => {}
                        Ok(Err(error)) | Err(error) => {
                            assert!(matches!(error, Error::StreamDeleted { .. }), "{error}");
                            is_told.store(true, Ordering::Relaxed);
                            return;
                        }
                    }
                }
            });
            scope.spawn(move || {
                let mut cursor = shard.cursor(SequenceNumber(0));
                loop {
                    match cursor.read(ReadLimit { records: 100, bytes: 1 << 20 }) {
                        Ok(_) => std::thread::yield_now(),
                        Err(Error::StreamDeleted { .. }) => return,
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        while stream.shards().iter().any(|shard| shard.watermarks().durable.0 < 20) {
            std::thread::yield_now();
        }
        engine.delete_stream(&name("s")).unwrap();
        let again = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
        assert_eq!(read_all(&again.shards()[0], 0), []);
    });
    assert!(is_told.load(Ordering::Relaxed));
    engine.shut_down().unwrap();
    drop((stream, engine));
    let engine = machine.open().unwrap();
    assert!(!machine.dir.path().join("shards/1").exists());
    assert_eq!(engine.report().lost_and_found, Vec::<PathBuf>::new());
}

/// A stopped directory of several segments, opened again without threads.
fn several_segments(machine: &Machine) -> (Engine, Vec<PathBuf>) {
    let engine = machine.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    for round in 0..30u8 {
        put_now(&engine, &stream.shards()[0], &[&vec![round; 50_000]]).unwrap();
    }
    engine.shut_down().unwrap();
    drop((stream, engine));
    let segments = machine.segments();
    assert!(segments.len() >= 2, "{segments:?}");
    (machine.open().unwrap(), segments)
}

/// Every number is read or reported, and nothing wrong is read. Returns how many were read.
fn check_the_rest(shard: &Arc<Shard>) -> usize {
    let (read, damage) = read_over_damage(shard, 0);
    for number in 1..=30 {
        let is_read = read.iter().any(|read| read.sequence == number);
        let is_told = damage
            .iter()
            .any(|damage| (damage.first_lost.0..damage.next_readable.0).contains(&number));
        assert!(is_read != is_told, "{number}: {is_read}, {is_told}");
    }
    for record in &read {
        assert_eq!(record.data, vec![(record.sequence - 1) as u8; 50_000], "wrong bytes");
    }
    read.len()
}

#[test]
fn a_segment_cut_or_removed_under_a_running_engine_is_an_explicit_error() {
    for read_mode in MODES {
        for (is_first, is_removed) in [(true, true), (true, false), (false, true), (false, false)] {
            let machine = Machine::new(read_mode);
            let (engine, segments) = several_segments(&machine);
            let stream = engine.stream(&name("s")).unwrap();
            let shard = &stream.shards()[0];
            let file = if is_first { &segments[0] } else { segments.last().unwrap() };
            if is_removed {
                std::fs::remove_file(file).unwrap();
            } else {
                let cut = std::fs::OpenOptions::new().write(true).open(file).unwrap();
                cut.set_len(8192 + 60_000).unwrap();
            }
            let read = check_the_rest(shard);
            assert!(read < 30, "something is missing");
            // At the tip there is nothing to miss.
            let tip = shard.watermarks().durable;
            let page = shard.cursor(tip).read(WHOLE).unwrap();
            assert_eq!((page.records, page.next), (0, tip));
            match put_now(&engine, shard, &[&vec![30; 50_000]]) {
                Ok(appended) => assert_eq!(appended.first.0, 31),
                Err(Error::Io(failure)) => assert!(is_removed && !is_first, "{failure}"),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn a_clock_that_jumps_by_a_year_neither_deletes_early_nor_falls() {
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    let machine = Machine::new(ReadMode::Mmap);
    let engine = machine.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    let shard = &stream.shards()[0];
    put_now(&engine, shard, &[b"before"]).unwrap();
    let year_ms = YEAR.as_millis() as u64;
    for wall_ms in [START_MS + year_ms, START_MS - year_ms, 0, START_MS + 2 * year_ms] {
        machine.clock.set_wall_ms(wall_ms);
        for _ in 0..30 {
            put_now(&engine, shard, &[b"later"]).unwrap();
            machine.clock.advance(Duration::from_secs(60));
            engine.housekeeping_step();
        }
    }
    let check = |shard: &Arc<Shard>| {
        let (read, _) = read_over_damage(shard, 0);
        assert_eq!(read.len(), 121, "nothing goes in two hours");
        assert!(read.is_sorted_by(|a, b| a.arrival_ms <= b.arrival_ms), "time falls");
    };
    check(shard);
    engine.shut_down().unwrap();
    drop((stream, engine));
    for wall_ms in [START_MS - year_ms, START_MS + 3 * year_ms] {
        machine.clock.set_wall_ms(wall_ms);
        let engine = machine.open().unwrap();
        machine.clock.advance(Duration::from_secs(30));
        engine.housekeeping_step();
        check(&engine.stream(&name("s")).unwrap().shards()[0]);
        engine.shut_down().unwrap();
    }
}
