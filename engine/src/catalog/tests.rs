//! The catalog on a disk that works.

use std::time::Instant;

use super::*;
use crate::clock::Jump;
use crate::entropy::SystemEntropy;
use crate::fs::{ReadMode, RealFs};
use crate::hash_key::HashKeyRange;
use crate::sequence::SequenceNumber;
use crate::settings::{
    Commitment, CommitmentStatus, Distribution, QuotaProfile, ShardMetrics, StreamMode, Tags,
};

pub(super) fn stream(id: u64, name: &str, shard_count: u32) -> StreamEntry {
    let shards = HashKeyRange::tile(shard_count).zip(0..).map(|(range, index)| ShardEntry {
        id: ShardId(index),
        range,
        parents: [None, None],
        created_ms: 1000 + id,
        first_sequence: SequenceNumber::FIRST,
        closed: None,
        is_removing: false,
    });
    StreamEntry {
        id: StreamId(id),
        name: name.parse().unwrap(),
        created_ms: 1000 + id,
        retention_hours: 24,
        is_deleting: false,
        settings: StreamSettings::default(),
        shards: shards.collect(),
        consumers: Vec::new(),
    }
}

pub(super) fn consumer(name: &str) -> ConsumerEntry {
    let tags = Tags::from([("team".to_owned(), name.to_owned())]);
    ConsumerEntry { name: name.parse().unwrap(), created_ms: 5, tags, policy: None }
}

/// Settings that are nowhere the default.
pub(super) fn settings() -> StreamSettings {
    StreamSettings {
        mode: StreamMode::OnDemand,
        warm_throughput_mib_s: 100,
        max_record_kib: 10_240,
        distribution: Distribution::Auto,
        quotas: Some(QuotaProfile::Aws),
        monitoring: ShardMetrics::ALL,
        tags: Tags::from([("a".to_owned(), String::new()), ("b".to_owned(), "c".to_owned())]),
        policy: Some("{}".to_owned()),
    }
}

pub(super) fn account() -> AccountSettings {
    let (status, started_ms) = (CommitmentStatus::Enabled, Some(8));
    AccountSettings { commitment: Commitment { status, started_ms, ..Commitment::default() } }
}

pub(super) fn mark(next: u64, trim_horizon: u64) -> ShardMark {
    ShardMark {
        segment_base: SequenceNumber(1),
        offset: 4096 + next * 100,
        next_sequence: SequenceNumber(next),
        newest_arrival_ms: 1000 + next,
        trim_horizon: SequenceNumber(trim_horizon),
    }
}

fn timeline(now_ms: u64) -> TimelineState {
    let jump = Jump { forward_ms: now_ms / 2, held_ms: 1 };
    TimelineState { now_ms, jumps: vec![jump] }
}

/// A change, and what it does to a plain model of the catalog.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Begin,
    Create(StreamEntry),
    MarkDeleting(u64),
    Forget(u64),
    Retention(u64, u32),
    Settings(u64, StreamSettings),
    Account(AccountSettings),
    PutConsumer(u64, &'static str),
    RemoveConsumer(u64, &'static str),
    Record(u64, u32, ShardMark),
    Finish(u64),
}

impl Step {
    pub(super) fn take(&self, catalog: &Catalog) -> Result<()> {
        match self {
            Step::Begin => catalog.begin(true),
            Step::Create(stream) => catalog.create_stream(stream),
            Step::MarkDeleting(id) => catalog.mark_deleting(StreamId(*id)),
            Step::Forget(id) => catalog.forget_stream(StreamId(*id)),
            Step::Retention(id, hours) => catalog.set_retention(StreamId(*id), *hours, || ()),
            Step::Settings(id, settings) => catalog.set_settings(StreamId(*id), settings, || ()),
            Step::Account(account) => catalog.set_account(account, || ()),
            Step::PutConsumer(id, name) => {
                catalog.put_consumer(StreamId(*id), &consumer(name), || ())
            }
            Step::RemoveConsumer(id, name) => {
                catalog.remove_consumer(StreamId(*id), &name.parse().unwrap(), || ())
            }
            Step::Record(id, shard, mark) => catalog.record(
                &[(StreamId(*id), ShardId(*shard), *mark)],
                &timeline(mark.newest_arrival_ms),
            ),
            Step::Finish(now_ms) => catalog.finish(&[], &timeline(*now_ms)),
        }
    }

    pub(super) fn model(&self, contents: &mut Contents) {
        let find = |contents: &mut Contents, id: u64| {
            let place = contents.streams.iter().position(|stream| stream.id.0 == id);
            place.unwrap()
        };
        match self {
            Step::Begin => (contents.clean, contents.unsynced) = (false, true),
            Step::Create(stream) => {
                contents.streams.push(stream.clone());
                contents.next_stream_id = contents.next_stream_id.max(stream.id.0 + 1);
            }
            Step::MarkDeleting(id) => {
                let place = find(contents, *id);
                contents.streams[place].is_deleting = true;
            }
            Step::Forget(id) => {
                contents.streams.retain(|stream| stream.id.0 != *id);
                contents.marks.retain(|(stream, _), _| stream.0 != *id);
            }
            Step::Retention(id, hours) => {
                let place = find(contents, *id);
                contents.streams[place].retention_hours = *hours;
            }
            Step::Settings(id, settings) => {
                let place = find(contents, *id);
                contents.streams[place].settings = settings.clone();
            }
            Step::Account(account) => contents.account = *account,
            Step::PutConsumer(id, name) => {
                let place = find(contents, *id);
                contents.streams[place].consumers.push(consumer(name));
            }
            Step::RemoveConsumer(id, name) => {
                let place = find(contents, *id);
                let consumers = &mut contents.streams[place].consumers;
                consumers.retain(|consumer| consumer.name.as_str() != *name);
            }
            Step::Record(id, shard, mark) => {
                contents.timeline = timeline(mark.newest_arrival_ms);
                if contents.streams.iter().any(|stream| stream.id.0 == *id) {
                    contents.marks.insert((StreamId(*id), ShardId(*shard)), *mark);
                }
            }
            Step::Finish(now_ms) => {
                contents.timeline = timeline(*now_ms);
                contents.clean = true;
            }
        }
    }
}

/// A life: something of everything, ending in a clean stop.
pub(super) fn life() -> Vec<Step> {
    vec![
        Step::Begin,
        Step::Create(stream(1, "orders", 3)),
        Step::PutConsumer(1, "audit"),
        Step::PutConsumer(1, "billing"),
        Step::Record(1, 0, mark(10, 1)),
        Step::Create(stream(2, "..", 200)),
        Step::Record(2, 199, mark(7, 1)),
        Step::Retention(1, 48),
        Step::Settings(1, settings()),
        Step::Settings(2, settings()),
        Step::Account(account()),
        Step::MarkDeleting(2),
        Step::Create(stream(3, "..", 1)),
        Step::RemoveConsumer(1, "audit"),
        Step::Forget(2),
        Step::Record(2, 199, mark(8, 2)),
        Step::Record(1, 0, mark(20, 15)),
        Step::Finish(9_000),
    ]
}

fn real() -> (tempfile::TempDir, Arc<dyn Fs>) {
    let directory = tempfile::tempdir().unwrap();
    (directory, Arc::new(RealFs::new(ReadMode::Mmap)))
}

pub(super) fn open(fs: &Arc<dyn Fs>, data: &Path) -> (Catalog, Contents) {
    Catalog::open(Arc::clone(fs), data, true, &SystemEntropy).unwrap()
}

pub(super) fn make(fs: &Arc<dyn Fs>, data: &Path) -> (Catalog, Contents) {
    Catalog::open(Arc::clone(fs), data, false, &SystemEntropy).unwrap()
}

/// What the model says, step by step, and what a catalog says when it is opened again.
pub(super) fn live(fs: &Arc<dyn Fs>, data: &Path) -> Contents {
    let (mut catalog, mut model) = make(fs, data);
    assert_eq!(model, Contents::empty(model.iterator_key));
    assert_ne!(model.iterator_key, [0; 32]);
    for step in life() {
        step.take(&catalog).unwrap();
        step.model(&mut model);
        drop(catalog);
        let contents;
        (catalog, contents) = open(fs, data);
        assert_eq!(contents, model, "after {step:?}");
    }
    model
}

#[test]
fn what_was_stored_is_read_again_after_each_step() {
    let (directory, fs) = real();
    let last = live(&fs, directory.path());
    assert!(last.clean && last.unsynced);
    assert_eq!(last.next_stream_id, 4);
}

#[test]
fn marks_never_fall() {
    let (directory, fs) = real();
    let (catalog, _) = make(&fs, directory.path());
    catalog.create_stream(&stream(1, "orders", 1)).unwrap();
    let stored = || open(&fs, directory.path()).1.marks[&(StreamId(1), ShardId(0))];
    let record = |mark| {
        let marks = [(StreamId(1), ShardId(0), mark)];
        let (catalog, _) = open(&fs, directory.path());
        catalog.record(&marks, &TimelineState::default()).unwrap();
    };
    drop(catalog);
    record(mark(10, 5));
    record(mark(8, 3));
    assert_eq!(stored(), mark(10, 5));
    // The horizon may rise while the end stays: retention works on a quiet shard.
    record(mark(8, 9));
    assert_eq!(stored(), mark(10, 9));
    // The same number in a later segment is further on.
    let rolled = ShardMark { segment_base: SequenceNumber(10), offset: 0, ..mark(10, 9) };
    record(rolled);
    assert_eq!(stored(), rolled);
}

#[test]
fn a_missing_catalog_with_records_is_refused_and_nothing_is_made() {
    let (directory, fs) = real();
    let result = Catalog::open(Arc::clone(&fs), directory.path(), true, &SystemEntropy);
    assert!(matches!(result, Err(Error::CatalogLost { .. })));
    assert_eq!(fs.list(directory.path()).unwrap(), []);
}

#[test]
fn garbage_in_its_place_is_refused_and_left_alone() {
    for garbage in [vec![], vec![0; 8192], b"not a catalog".to_vec()] {
        let (directory, fs) = real();
        let path = directory.path().join(FILE_NAME);
        std::fs::write(&path, &garbage).unwrap();
        let result = Catalog::open(Arc::clone(&fs), directory.path(), true, &SystemEntropy);
        assert!(matches!(result, Err(Error::CatalogLost { .. })));
        let result = Catalog::open(Arc::clone(&fs), directory.path(), false, &SystemEntropy);
        assert!(matches!(result, Err(Error::Catalog { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), garbage);
    }
}

#[test]
fn a_newer_format_is_refused_with_its_version() {
    let (directory, fs) = real();
    let (catalog, _) = make(&fs, directory.path());
    let newer = |transaction: &WriteTransaction| {
        let mut meta = transaction.open_table(codec::META)?;
        meta.insert(codec::FORMAT_KEY, codec::encode_format(7).as_slice())?;
        meta.insert(codec::RUN_KEY, [99].as_slice())?;
        Ok(())
    };
    catalog.change(newer).unwrap();
    drop(catalog);
    let result = Catalog::open(fs, directory.path(), true, &SystemEntropy);
    let Err(Error::NewerFormat { found, known, .. }) = result else {
        panic!("a newer format was read");
    };
    assert_eq!((found, known), (7, codec::FORMAT));
}

/// Makes of a catalog one as version 1 has written it.
fn lower(catalog: &Catalog, contents: &Contents) {
    let lower = |transaction: &WriteTransaction| {
        let mut meta = transaction.open_table(codec::META)?;
        meta.insert(codec::FORMAT_KEY, codec::encode_format(1).as_slice())?;
        meta.remove(codec::ACCOUNT_KEY)?;
        let mut streams = transaction.open_table(codec::STREAMS)?;
        let mut consumers = transaction.open_table(codec::CONSUMERS)?;
        for stream in &contents.streams {
            let mut value = vec![1, u8::from(stream.is_deleting)];
            value.extend_from_slice(&stream.retention_hours.to_le_bytes());
            value.extend_from_slice(&stream.created_ms.to_le_bytes());
            value.push(stream.name.as_str().len() as u8);
            value.extend_from_slice(stream.name.as_str().as_bytes());
            streams.insert(codec::stream_key(stream.id).as_slice(), value.as_slice())?;
            for consumer in &stream.consumers {
                let value = [&[1][..], &consumer.created_ms.to_le_bytes()].concat();
                let key = codec::consumer_key(stream.id, &consumer.name);
                consumers.insert(key.as_slice(), value.as_slice())?;
            }
        }
        Ok(())
    };
    catalog.change(lower).unwrap();
}

#[test]
fn an_older_format_is_read_with_defaults_and_raised_when_a_run_begins() {
    let (directory, fs) = real();
    let mut contents = live(&fs, directory.path());
    let (catalog, _) = open(&fs, directory.path());
    lower(&catalog, &contents);
    drop(catalog);
    contents.format = 1;
    contents.account = AccountSettings::default();
    for stream in &mut contents.streams {
        stream.settings = StreamSettings::default();
        stream.consumers.iter_mut().for_each(|consumer| consumer.tags.clear());
    }
    // Reading alone changes nothing.
    for _ in 0..2 {
        assert_eq!(open(&fs, directory.path()).1, contents);
    }
    let (catalog, _) = open(&fs, directory.path());
    let begin = [Step::Begin, Step::Settings(1, settings()), Step::Account(account())];
    for step in begin {
        step.take(&catalog).unwrap();
        step.model(&mut contents);
    }
    drop(catalog);
    contents.format = codec::FORMAT;
    assert_eq!(open(&fs, directory.path()).1, contents);
}

#[test]
fn a_rebuilt_catalog_takes_the_place_of_the_damaged_one_which_is_kept() {
    let (directory, fs) = real();
    let contents = live(&fs, directory.path());
    let path = directory.path().join(FILE_NAME);
    for number in 1..3 {
        std::fs::write(&path, b"damaged").unwrap();
        Catalog::rebuild(Arc::clone(&fs), directory.path(), &contents).unwrap();
        assert_eq!(open(&fs, directory.path()).1, contents);
        let kept = directory.path().join(format!("catalog.redb.damaged-{number}"));
        assert_eq!(std::fs::read(kept).unwrap(), b"damaged");
    }
    std::fs::remove_file(&path).unwrap();
    Catalog::rebuild(Arc::clone(&fs), directory.path(), &contents).unwrap();
    assert_eq!(open(&fs, directory.path()).1, contents);
}

#[test]
fn a_change_to_a_stream_that_is_not_there_is_refused_and_harms_nothing() {
    let (directory, fs) = real();
    let (catalog, _) = make(&fs, directory.path());
    let absent = StreamId(5);
    assert!(catalog.set_retention(absent, 48, || ()).is_err());
    assert!(catalog.mark_deleting(absent).is_err());
    assert!(catalog.set_settings(absent, &settings(), || ()).is_err());
    assert!(catalog.put_consumer(absent, &consumer("audit"), || ()).is_err());
    catalog.forget_stream(absent).unwrap();
    catalog.create_stream(&stream(1, "orders", 1)).unwrap();
    drop(catalog);
    assert_eq!(open(&fs, directory.path()).1.streams, [stream(1, "orders", 1)]);
}

#[test]
fn the_secret_is_never_printed() {
    let contents = Contents::empty([0xAB; 32]);
    let text = format!("{contents:?}");
    assert!(!text.contains("iterator_key") && !text.contains("171"));
}

/// Ten thousand streams and as many shards of one stream, in one transaction each. Prints what
/// it took: `cargo test -p anabranch-engine ten_thousand -- --nocapture`.
#[test]
fn ten_thousand_streams_and_shards_are_opened() {
    let (directory, fs) = real();
    let mut contents = Contents::empty([1; 32]);
    contents.streams = (1..=10_000).map(|id| stream(id, &format!("stream-{id}"), 1)).collect();
    contents.next_stream_id = 10_001;
    Catalog::rebuild(Arc::clone(&fs), directory.path(), &contents).unwrap();
    let (catalog, _) = open(&fs, directory.path());
    let wide = stream(10_001, "wide", 10_000);
    let started = Instant::now();
    catalog.create_stream(&wide).unwrap();
    println!("creating 10,000 shards took {:?}", started.elapsed());
    let shards = (0..10_000).map(|shard| (wide.id, ShardId(shard), mark(u64::from(shard), 1)));
    let started = Instant::now();
    catalog.record(&shards.collect::<Vec<_>>(), &TimelineState::default()).unwrap();
    println!("recording 10,000 marks took {:?}", started.elapsed());
    drop(catalog);
    let started = Instant::now();
    let (_, found) = open(&fs, directory.path());
    println!("opening took {:?}", started.elapsed());
    assert_eq!(found.streams.len(), 10_001);
    assert_eq!(found.streams[10_000], wide);
    assert_eq!(found.marks.len(), 10_000);
}
