//! The engine alone, in this process: no network and no server around it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anabranch_engine::fs::ReadMode;
use anabranch_engine::record::{PartitionKey, RecordView};
use anabranch_engine::sequence::SequenceNumber;
use anabranch_engine::{
    Cursor, Durability, Engine, EngineOptions, Environment, ReadLimit, Stream, StreamSettings,
};
use anyhow::{Result, ensure};

use super::load::DATA_BYTES;

/// Records of a batch.
const BATCH: usize = 100;

fn open(data: &Path, durability: Durability, shards: u32) -> Result<(Engine, Arc<Stream>)> {
    let options = EngineOptions { durability, ..EngineOptions::new(data) };
    let engine = Engine::open(options, Environment::system(ReadMode::Mmap))?;
    engine.start();
    let stream = engine.create_stream(&"load".parse()?, shards, StreamSettings::default())?;
    Ok((engine, stream))
}

/// What is put again and again.
fn record() -> Result<RecordView<'static>> {
    let key = PartitionKey::from_bytes(b"key-0001")?;
    Ok(RecordView::new(key, None, &[b'x'; DATA_BYTES])?)
}

/// `appenders` threads, each with a shard and one batch at a time, for which it waits until it is
/// durable: records per second.
pub(super) fn synced(data: &Path, appenders: u32, seconds: f64) -> Result<f64> {
    let (engine, stream) = open(data, Durability::Fsync, appenders)?;
    let record = record()?;
    let time = Duration::from_secs_f64(seconds);
    let shards = stream.shards();
    let batches = std::thread::scope(|scope| {
        let threads: Vec<_> = shards
            .iter()
            .map(|shard| {
                scope.spawn(move || {
                    let (begun, mut batches) = (Instant::now(), 0u64);
                    while begun.elapsed() < time {
                        shard.put(std::iter::repeat_n(record, BATCH))?;
                        batches += 1;
                    }
                    anyhow::Ok(batches)
                })
            })
            .collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, Result<u64>>| {
            thread.join().expect("it does not panic")
        };
        threads.into_iter().map(join).sum::<Result<u64>>()
    })?;
    engine.shut_down()?;
    Ok(batches as f64 * BATCH as f64 / seconds)
}

/// What the engine does where no sync is waited for, and what reading it back takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unsynced {
    /// Records per second appended, in segments that were used before.
    pub(super) appended: f64,
    /// Records per second walked, each payload's checksum included.
    pub(super) walked: f64,
    /// The same again from header to header and border to border, with nothing summed.
    pub(super) walked_borders: f64,
}

/// Records of a burst: 28.7 MB, less than one shard may have unsynced before a commit syncs in line.
const BURST: u64 = 28_000;

const BURSTS: u64 = 4;

/// Longer than the engine leaves bytes unsynced.
const SYNC_PAUSE: Duration = Duration::from_millis(1300);

/// One appender that has eight batches under way, in mode `os`, and then a walk of what it put.
/// It appends in bursts that wait for no sync, with pauses for the engine to sync them, into
/// segments that were filled once before.
pub(super) fn unsynced(data: &Path, records: u64) -> Result<Unsynced> {
    let (engine, stream) = open(data, Durability::Os, 1)?;
    put(&stream, records)?;
    let name = stream.name().clone();
    drop(stream);
    engine.delete_stream(&name)?;
    let stream = engine.create_stream(&name, 1, StreamSettings::default())?;
    let mut appending = Duration::ZERO;
    // The first one fills the small segments that a stream begins with.
    put(&stream, BURST)?;
    for _ in 0..BURSTS {
        std::thread::sleep(SYNC_PAUSE);
        let begun = Instant::now();
        put(&stream, BURST)?;
        appending += begun.elapsed();
    }
    let appended = (BURSTS * BURST) as f64 / appending.as_secs_f64();
    put(&stream, records - (BURSTS + 1) * BURST)?;

    let cursor = stream.shards()[0].cursor(SequenceNumber::FIRST);
    let walked = walk(cursor.clone(), ReadLimit { records: 10_000, bytes: 1 << 20 }, records)?;
    // No frame is as small as such a page: each is cut, and each border of each record looked at.
    let limit = ReadLimit { records: BATCH - 1, bytes: 1 << 20 };
    let walked_borders = walk(cursor.without_checksums(), limit, records)?;
    drop(stream);
    engine.shut_down()?;
    Ok(Unsynced { appended, walked, walked_borders })
}

/// Records per second from the cursor to the tip.
fn walk(mut cursor: Cursor, limit: ReadLimit, records: u64) -> Result<f64> {
    let (begun, mut read) = (Instant::now(), 0);
    loop {
        let page = cursor.read(limit)?;
        if page.records == 0 {
            break;
        }
        read += page.records as u64;
    }
    ensure!(read == records, "{read} of {records} records were read");
    Ok(records as f64 / begun.elapsed().as_secs_f64())
}

fn put(stream: &Stream, records: u64) -> Result<()> {
    let (shard, record) = (&stream.shards()[0], record()?);
    let mut under_way = std::collections::VecDeque::new();
    for _ in 0..records / BATCH as u64 {
        if under_way.len() == 8 {
            let oldest: anabranch_engine::AppendTicket =
                under_way.pop_front().expect("there are eight");
            oldest.wait()?;
        }
        under_way.push_back(shard.append(std::iter::repeat_n(record, BATCH))?);
    }
    under_way.into_iter().try_for_each(|ticket| Ok(ticket.wait().map(|_| ())?))
}
