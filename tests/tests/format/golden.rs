//! Golden directories ([`anabranch_tests::golden`]): read as recorded, and written as before.
//!
//! `ANABRANCH_WRITE_GOLDEN=1` writes the one of the version at hand anew: only together with
//! `engine/FORMAT.md`.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anabranch_engine::catalog::Catalog;
use anabranch_engine::entropy::SystemEntropy;
use anabranch_engine::fs::{Fault, Fs};
use anabranch_engine::hash_key::HashKey;
use anabranch_engine::ids::ShardId;
use anabranch_engine::record::{PartitionKey, RecordView};
use anabranch_engine::reshard::Step;
use anabranch_engine::settings::{
    Commitment, CommitmentStatus, Distribution, QuotaProfile, ShardMetrics, StreamMode, Tags,
};
use anabranch_engine::{
    AccountSettings, Consumer, Engine, Error, FORMAT_VERSION, SEGMENT_FORMAT_VERSION,
    StreamSettings,
};

use anabranch_tests::golden::{PAGE_BYTES, SHARDS, STREAM, dir, line, records, unpack};
use anabranch_tests::support::{Random, World, name, put, put_now, read_over_damage};

/// The run that made the files: sealed and unsealed segments, a flagged gap, settings and a reshard.
fn run() -> World {
    let world = World::new(20_231_114);
    let engine = world.open().unwrap();
    let stream =
        engine.create_stream(&name(STREAM), SHARDS as u32, StreamSettings::default()).unwrap();
    let shards = stream.shards();
    let [left, right] = &shards[..] else { panic!("two shards") };
    let mut random = Random(7);
    let mut batch = |shard, records: u64, bytes: u64| {
        let data: Vec<Vec<u8>> = (0..records)
            .map(|_| vec![b'a' + random.below(26) as u8; random.below(bytes) as usize])
            .collect();
        let views: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        world.clock.advance(Duration::from_millis(1 + random.below(900)));
        put_now(&engine, shard, &views)
    };
    for _ in 0..6 {
        batch(left, 20, 100).unwrap();
        batch(right, 3, 700).unwrap();
    }
    // More than the first segment holds, on a full disk: its numbers are lost, and flagged.
    world.fs.inject(Fault::Full { free_bytes: 0 });
    let refused = put(right, &[&vec![0; 300 << 10]]).unwrap();
    while engine.commit_step() {}
    assert!(matches!(refused.wait(), Err(Error::DiskFull)));
    world.fs.clear_faults();
    batch(right, 5, 50).unwrap();
    // An hour and more seals the segments.
    world.clock.advance(Duration::from_secs(4000));
    engine.housekeeping_step();
    for _ in 0..3 {
        batch(left, 4, 300).unwrap();
    }
    configure(&engine);
    reshard(&engine);
    engine.shut_down().unwrap();
    drop((stream, engine));
    world.with(world.fs.kill())
}

/// A stream on which nothing is as it is by default, beside [`STREAM`].
const ON_DEMAND: &str = "on-demand";

/// What the run sets: on a stream that stood, on its consumer, on one that is made with settings
/// and holds a record without a key, and on the account.
fn configure(engine: &Engine) {
    let stream = engine.stream(&name(STREAM)).unwrap();
    engine.change_settings(&stream, |settings| *settings = golden_settings()).unwrap();
    let consumer = "audit".parse().unwrap();
    engine.register_consumer(&stream, &consumer, tags("team", "audit")).unwrap();
    let set_policy = |consumer: &mut Consumer| consumer.policy = Some("{}".to_owned());
    engine.change_consumer(&stream, &consumer, set_policy).unwrap();
    let on_demand = engine.create_stream(&name(ON_DEMAND), 1, on_demand_settings()).unwrap();
    let no_key = PartitionKey::from_bytes_or_none(b"").unwrap();
    let record = RecordView::new(no_key, None, b"unrouted").unwrap();
    let ticket = on_demand.shards()[0].append(std::iter::once(record)).unwrap();
    while engine.commit_step() {}
    ticket.wait().unwrap();
    engine.set_account(account()).unwrap();
}

/// A stream whose first shard was split, and one of its children merged with the other shard.
const RESHARDED: &str = "resharded";

fn reshard(engine: &Engine) {
    let stream = engine.create_stream(&name(RESHARDED), 2, StreamSettings::default()).unwrap();
    put_now(engine, &stream.shards()[0], &[b"parent"]).unwrap();
    let split = Step::Split { shard: ShardId(0), at: HashKey(1 << 126) };
    let merge = Step::Merge { shard: ShardId(3), adjacent: ShardId(1) };
    engine.reshard(&stream, &[split, merge]).unwrap();
    put_now(engine, &stream.shards()[4], &[b"grandchild"]).unwrap();
}

fn check_reshard(engine: &Engine) {
    let stream = engine.stream(&name(RESHARDED)).unwrap();
    let shards = stream.shards();
    assert_eq!(shards.open().map(|shard| shard.id().0).collect::<Vec<_>>(), [2, 4]);
    let lineage: Vec<_> = shards
        .iter()
        .map(|shard| {
            let closed = shard.closed().map(|closed| closed.last_sequence.0);
            (shard.parents().map(|parent| parent.map(|id| id.0)), shard.first_sequence().0, closed)
        })
        .collect();
    assert_eq!(
        lineage,
        [
            ([None, None], 1, Some(1)),
            ([None, None], 1, Some(0)),
            ([Some(0), None], 2, None),
            ([Some(0), None], 2, Some(1)),
            ([Some(3), Some(1)], 2, None),
        ]
    );
    let data = |index: usize| read_over_damage(&shards[index], 0).0;
    assert_eq!(&data(0)[0].data[..], b"parent");
    assert_eq!((&data(4)[0].data[..], data(4)[0].sequence), (&b"grandchild"[..], 2));
}

fn golden_settings() -> StreamSettings {
    StreamSettings {
        max_record_kib: 2048,
        quotas: Some(QuotaProfile::Open),
        monitoring: ShardMetrics::ALL,
        tags: tags("stage", "golden"),
        policy: Some("{\"Version\": \"2012-10-17\"}".to_owned()),
        ..StreamSettings::default()
    }
}

fn on_demand_settings() -> StreamSettings {
    StreamSettings {
        mode: StreamMode::OnDemand,
        warm_throughput_mib_s: 100,
        distribution: Distribution::Auto,
        quotas: Some(QuotaProfile::Aws),
        ..StreamSettings::default()
    }
}

fn account() -> AccountSettings {
    let commitment = Commitment {
        status: CommitmentStatus::Enabled,
        started_ms: Some(1_700_000_000_000),
        earliest_end_ms: Some(1_702_000_000_000),
        ..Commitment::default()
    };
    AccountSettings { commitment }
}

fn tags(key: &str, value: &str) -> Tags {
    Tags::from([(key.to_owned(), value.to_owned())])
}

/// What is set in a golden directory: nothing in those of version 1.
fn check_settings(engine: &Engine, version: u32) {
    let stream = engine.stream(&name(STREAM)).unwrap();
    if version == 1 {
        assert_eq!(*stream.settings(), StreamSettings::default());
        assert_eq!(engine.account(), AccountSettings::default());
        return;
    }
    assert_eq!(*stream.settings(), golden_settings());
    let consumer = stream.consumer(&"audit".parse().unwrap()).unwrap();
    assert_eq!((consumer.tags, consumer.policy), (tags("team", "audit"), Some("{}".to_owned())));
    let on_demand = engine.stream(&name(ON_DEMAND)).unwrap();
    assert_eq!(*on_demand.settings(), on_demand_settings());
    let (read, damage) = read_over_damage(&on_demand.shards()[0], 0);
    assert_eq!((read.len(), damage.len()), (1, 0));
    assert_eq!((&read[0].key[..], &read[0].data[..]), (&b""[..], &b"unrouted"[..]));
    assert_eq!(engine.account(), account());
}

/// The format version that the catalog of a directory is written in.
fn format(world: &World) -> u32 {
    let fs: Arc<dyn Fs> = Arc::new(world.fs.clone());
    let (_, contents) = Catalog::open(fs, Path::new("/data"), true, &SystemEntropy).unwrap();
    contents.format
}

fn pack(world: &World) -> (String, Vec<u8>) {
    let (mut manifest, mut pages) = (String::new(), Vec::new());
    for (path, len) in world.fs.files() {
        writeln!(manifest, "file {} {len}", path.display()).unwrap();
        let bytes = world.fs.read_file(&path).unwrap();
        for (number, page) in bytes.chunks(PAGE_BYTES).enumerate() {
            if page.iter().any(|&byte| byte != 0) {
                writeln!(manifest, "page {number} {}", page.len()).unwrap();
                pages.extend_from_slice(page);
            }
        }
    }
    (manifest, pages)
}

fn listing(world: &World) -> String {
    let engine = world.open().unwrap();
    assert!(engine.report().clean);
    assert_eq!(engine.report().damage, []);
    let stream = engine.stream(&name(STREAM)).unwrap();
    let mut listing = String::new();
    for shard in &stream.shards() {
        let (read, damage) = read_over_damage(shard, 0);
        assert_eq!(damage, []);
        for record in read {
            let shard = shard.id().to_string();
            listing += &line(&shard, record.sequence, record.arrival_ms, &record.data);
        }
    }
    listing
}

#[test]
fn the_golden_files_of_every_version_are_read_as_recorded() {
    if std::env::var_os("ANABRANCH_WRITE_GOLDEN").is_some() {
        let world = run();
        let (manifest, pages) = pack(&world);
        std::fs::create_dir_all(dir(FORMAT_VERSION)).unwrap();
        std::fs::write(dir(FORMAT_VERSION).join("manifest.txt"), manifest).unwrap();
        std::fs::write(dir(FORMAT_VERSION).join("pages.bin"), pages).unwrap();
        std::fs::write(dir(FORMAT_VERSION).join("records.txt"), listing(&world)).unwrap();
    }
    for version in 1..=FORMAT_VERSION {
        let world = World::new(1);
        for (path, bytes) in unpack(version) {
            world.fs.write_file(path, &bytes);
        }
        world.clock.advance(Duration::from_secs(5000));
        assert_eq!(format(&world), version);
        assert_eq!(listing(&world), records(version), "version {version}");
        // It is written on as any other, too.
        let engine = world.open().unwrap();
        check_settings(&engine, version);
        if version >= 2 {
            check_reshard(&engine);
        }
        let stream = engine.stream(&name(STREAM)).unwrap();
        put_now(&engine, &stream.shards()[1], &[b"more"]).unwrap();
        drop((stream, engine));
        assert_eq!(format(&world), FORMAT_VERSION, "a run raises it");
    }
}

#[test]
fn the_same_run_writes_the_bytes_of_the_golden_segments() {
    let world = run();
    let is_segment = |path: &Path| path.starts_with("/data/shards");
    let golden: Vec<_> =
        unpack(FORMAT_VERSION).into_iter().filter(|(path, _)| is_segment(path)).collect();
    assert_eq!(golden.len(), world.segments().len());
    for (path, bytes) in golden {
        let now = world.fs.read_file(&path).unwrap();
        assert!(now == bytes, "{}: the format is frozen", path.display());
    }
}

#[test]
fn a_segment_of_a_newer_format_is_refused_with_its_version() {
    let world = run();
    let (path, _) = world.segments()[0].clone();
    let mut bytes = world.fs.read_file(&path).unwrap();
    for copy in [0, 4096] {
        bytes[copy + 8] = 2;
    }
    world.fs.write_file(&path, &bytes);
    let engine = world.open().unwrap();
    let stream = engine.stream(&name(STREAM)).unwrap();
    let mut cursor = stream.shards()[0].cursor(anabranch_engine::sequence::SequenceNumber(1));
    let Err(Error::NewerFormat { found, known, .. }) = cursor.read(anabranch_tests::support::WHOLE)
    else {
        panic!("a newer segment was read")
    };
    assert_eq!((found, known), (2, SEGMENT_FORMAT_VERSION));
    assert_eq!(world.fs.read_file(&path), Some(bytes), "nothing was changed");
}
