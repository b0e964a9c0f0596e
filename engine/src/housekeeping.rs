//! What happens beside the data path: recording durable ends, background syncs, retention,
//! removing deleted streams, letting idle shards rest.
//!
//! One thread calls [`Housekeeper::step`], which does whatever is due by the monotonic clock
//! and never sleeps; a simulated run calls it when its seed says so.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::error::Result;
use crate::ids::StreamId;
use crate::log::writer::Durability;
use crate::mutant::Mutant;
use crate::removal::{remove_shard, remove_tree};
use crate::retention;
use crate::sequence::SequenceNumber;
use crate::shard::Shard;
use crate::shards::Shards;
use crate::state::State;
use crate::stream::{Changer, Stream};

/// How often the thread looks whether something is due. Durable ends are recorded no more
/// often than this, so that the catalog's syncs stay few beside those of the data path.
const PERIOD: Duration = Duration::from_millis(200);
/// Durability `os`: a power cut loses about this much.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// Retention is counted in hours; this bounds how late a record goes.
const RETENTION_EVERY: Duration = Duration::from_secs(10);
/// The timeline and all marks are recorded at least this often.
const RECORD_EVERY: Duration = Duration::from_secs(60);
/// A shard without a commit for this long gives its file and buffer back.
const IDLE_AFTER: Duration = Duration::from_secs(30);

/// When each duty was last done.
#[derive(Clone, Copy, Debug)]
struct Done {
    sync: Duration,
    retention: Duration,
    record: Duration,
}

/// The duties and their times.
pub(crate) struct Housekeeper {
    done: Mutex<Done>,
    is_stopping: Mutex<bool>,
    stopped: Condvar,
}

impl Housekeeper {
    pub(crate) fn new(monotonic: Duration) -> Housekeeper {
        let done = Done { sync: monotonic, retention: monotonic, record: monotonic };
        Housekeeper {
            done: Mutex::new(done),
            is_stopping: Mutex::new(false),
            stopped: Condvar::new(),
        }
    }

    /// The life of the housekeeping thread: until the engine stops.
    pub(crate) fn run(&self, state: &State) {
        loop {
            let mut is_stopping = self.is_stopping.lock();
            if !*is_stopping {
                self.stopped.wait_for(&mut is_stopping, PERIOD);
            }
            if *is_stopping {
                return;
            }
            drop(is_stopping);
            self.step(state);
        }
    }

    /// Ends the thread at its next look.
    pub(crate) fn stop(&self) {
        *self.is_stopping.lock() = true;
        self.stopped.notify_all();
    }

    /// Makes the thread look at once.
    pub(crate) fn wake(&self) {
        self.stopped.notify_all();
    }

    /// Does whatever is due.
    pub(crate) fn step(&self, state: &State) {
        let monotonic = state.shared.clock.monotonic();
        let is_due = |last: &mut Duration, every: Duration| {
            let due = monotonic.saturating_sub(*last) >= every;
            if due {
                *last = monotonic;
            }
            due
        };
        let (sync, retention, record) = {
            let mut done = self.done.lock();
            let sync = is_due(&mut done.sync, SYNC_EVERY);
            let retention = is_due(&mut done.retention, RETENTION_EVERY);
            (sync, retention, is_due(&mut done.record, RECORD_EVERY))
        };
        if sync && state.shared.host.durability == Durability::Os {
            sync_all(state);
        }
        state.settle();
        reap_deleted(state, retention);
        reap_expired(state, retention);
        if retention {
            retain(state);
            rest_idle(state, monotonic);
            state.reserve.renew();
        }
        let are_marks_due = state.shared.are_marks_due.swap(false, Ordering::Relaxed);
        if record || are_marks_due {
            // What is due for one shard is cheap for all that moved: it is one transaction.
            let streams = state.all_streams();
            if let Err(error) = state.record_marks(&streams, false) {
                tracing::warn!(%error, "durable ends could not be recorded; recovery scans more");
            }
        }
    }
}

fn sync_all(state: &State) {
    for stream in state.all_streams() {
        for shard in &stream.shards() {
            if let Some(Err(error)) = shard.with_writer(|writer| writer.sync()) {
                tracing::error!(stream = %stream.name(), shard = %shard.id(), %error, "sync failed");
            }
        }
    }
}

/// Raises horizons, records them, and only then drops what lies below.
fn retain(state: &State) {
    let now_ms = state.shared.now_ms();
    let streams = state.all_streams();
    let mut risen = Vec::new();
    for stream in &streams {
        let retention_ms = u64::from(stream.retention_hours()) * 3_600_000;
        let elapsed_now_ms = match Mutant::WallClock.is_on() {
            true => state.shared.clock.wall_ms(),
            false => state.shared.timeline.lock().elapsed_now(retention_ms),
        };
        let shards = stream.shards();
        expire(state, stream, &shards, elapsed_now_ms.saturating_sub(retention_ms));
        for shard in &shards {
            retention::seal_old(shard, retention_ms, now_ms);
            match retention::risen_horizon(shard, retention_ms, elapsed_now_ms) {
                Ok(Some(horizon)) => risen.push((stream.id(), shard.clone(), horizon)),
                Ok(None) => {}
                Err(error) => {
                    let (stream, shard) = (stream.name(), shard.id());
                    tracing::warn!(%stream, %shard, %error, "retention could not read the shard");
                }
            }
        }
    }
    if !risen.is_empty() {
        raise_horizons(state, &risen);
    }
    for shard in streams.iter().flat_map(|stream| stream.shards().to_vec()) {
        if let Err(error) = retention::drop_segments(&state.shared, &shard) {
            tracing::warn!(shard = %shard.id(), %error, "old segments could not be dropped");
        }
    }
}

/// Records the horizons, and shows them once they are durable.
fn raise_horizons(state: &State, risen: &[(StreamId, Arc<Shard>, SequenceNumber)]) {
    let risen: Vec<_> = risen
        .iter()
        .filter_map(|(stream, shard, horizon)| {
            let mut mark = shard.mark()?;
            mark.trim_horizon = mark.trim_horizon.max(*horizon);
            Some((*stream, shard, mark))
        })
        .collect();
    let marks: Vec<_> =
        risen.iter().map(|(stream, shard, mark)| (*stream, shard.id(), *mark)).collect();
    let timeline = state.shared.timeline.lock().state();
    for (_, shard, mark) in risen.iter().filter(|_| Mutant::HorizonEarly.is_on()) {
        shard.view().raise_trim_horizon(mark.trim_horizon);
    }
    if let Err(error) = state.with_reserve(|| state.catalog.record(&marks, &timeline)) {
        tracing::warn!(%error, "trim horizons could not be recorded; nothing is dropped");
        return;
    }
    for (_, shard, mark) in risen {
        shard.recorded(mark);
        shard.view().raise_trim_horizon(mark.trim_horizon);
    }
}

/// Takes the closed shards out of the stream whose last record arrived before `cutoff_ms`.
fn expire(state: &State, stream: &Arc<Stream>, shards: &Shards, cutoff_ms: u64) {
    let is_expired = |shard: &&Arc<Shard>| {
        shard.closed().is_some_and(|closed| closed.at_ms < cutoff_ms) && !shard.is_writing()
    };
    let tombstones: Vec<_> =
        shards.iter().filter(is_expired).filter_map(|shard| shard.tombstone()).collect();
    if tombstones.is_empty() {
        return;
    }
    // While the shards are being changed, there is another time.
    let Ok(_updating) = stream.begin_update(Changer::Server) else { return };
    let expired: Vec<_> = tombstones.iter().map(|entry| entry.id).collect();
    for shard in expired.iter().filter(|_| Mutant::FilesFirst.is_on()) {
        let host = &state.shared.host;
        let _ = remove_shard(host.fs.as_ref(), &host.paths, stream.id(), *shard);
    }
    let record = || state.catalog.put_shards(stream.id(), &tombstones, &[], || ());
    if let Err(error) = state.with_reserve(record) {
        tracing::warn!(stream = %stream.name(), %error, "expired shards could not be removed");
        return;
    }
    stream.reshape(&[], |shards| shards.retain(|shard| !expired.contains(&shard.id())));
    // Whoever stands in one finds its end, and not that its files are gone.
    for shard in expired.iter().filter_map(|id| shards.get(*id)) {
        shard.view().raise_trim_horizon(shard.view().tip());
    }
    let mut streams = state.streams.lock();
    streams.expired.extend(expired.into_iter().map(|shard| (stream.id(), shard)));
}

/// Removes the files of shards that have expired, and their tombstones once the files are gone.
/// What could not be removed is tried again when `again`.
fn reap_expired(state: &State, again: bool) {
    if !again {
        return;
    }
    let expired = std::mem::take(&mut state.streams.lock().expired);
    let host = &state.shared.host;
    for (stream, shard) in expired {
        let removed = remove_shard(host.fs.as_ref(), &host.paths, stream, shard)
            .and_then(|()| state.with_reserve(|| state.catalog.forget_shards(stream, &[shard])));
        if let Err(error) = removed {
            tracing::warn!(%stream, %shard, %error, "files of an expired shard remain");
            state.streams.lock().expired.push((stream, shard));
        }
    }
}

fn rest_idle(state: &State, monotonic: Duration) {
    state.shared.buffers.rest();
    for stream in state.all_streams() {
        for shard in &stream.shards() {
            if shard.idle_for(monotonic) >= IDLE_AFTER {
                shard.rest();
            }
        }
    }
}

/// Removes the files of deleted streams, and their tombstones once the files are gone; `again`
/// also where that has failed before.
fn reap_deleted(state: &State, again: bool) {
    let deleting = {
        let mut streams = state.streams.lock();
        let mut deleting = std::mem::take(&mut streams.deleting);
        if again {
            deleting.append(&mut streams.remaining);
        }
        deleting
    };
    for stream in deleting {
        if let Err(error) = reap(state, &stream) {
            tracing::warn!(stream = %stream.name(), %error, "files of a deleted stream remain");
            state.streams.lock().remaining.push(stream);
        }
    }
}

fn reap(state: &State, stream: &Arc<Stream>) -> Result<()> {
    let host = &state.shared.host;
    if stream.shards().iter().any(|shard| shard.is_writing()) {
        // A commit under way may still make a file: it ends first.
        state.streams.lock().deleting.push(stream.clone());
        return Ok(());
    }
    remove_tree(host.fs.as_ref(), &host.paths, stream.id())?;
    // An open file keeps its space, which the catalog may need in order to forget the stream.
    stream.shards().iter().for_each(|shard| shard.close_files());
    state.with_reserve(|| state.catalog.forget_stream(stream.id()))
}
