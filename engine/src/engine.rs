//! The engine: a data directory, its streams, and the threads that serve them.
//!
//! [`Engine::open`] locks the directory, reads the catalog, recovers every log and starts
//! nothing; [`Engine::start`] adds the threads; [`Engine::shut_down`] drains them and records
//! that the stop was clean. A simulated run leaves the threads out and calls the steps itself.

mod changes;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use crate::catalog::{ShardEntry, StreamEntry};
use crate::commit::{COMMITTERS, Commit};
use crate::error::{Error, Result};
use crate::fs::Lock;
use crate::hash_key::HashKeyRange;
use crate::housekeeping::Housekeeper;
use crate::ids::{ShardId, StreamId, StreamName};
use crate::limits::{RETENTION_HOURS_DEFAULT, SHARDS_PER_STREAM_MAX};
use crate::mutant::Mutant;
use crate::open;
use crate::options::{EngineOptions, Environment, OpenReport};
use crate::reshard::{self, Step};
use crate::sequence::SequenceNumber;
use crate::settings::{StreamSettings, check_range, check_retention};
use crate::state::State;
use crate::stats::Stats;
use crate::stream::{Changer, Stream};

/// A data directory in use. Clones share it.
#[derive(Clone)]
pub struct Engine {
    handle: Arc<Handle>,
}

struct Handle {
    state: Arc<State>,
    housekeeper: Arc<Housekeeper>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    iterator_key: [u8; 32],
    report: OpenReport,
    /// Released when the last clone of the engine goes.
    _lock: Box<dyn Lock>,
}

impl Engine {
    /// Opens a data directory and recovers its logs. Starts no thread.
    pub fn open(options: EngineOptions, environment: Environment) -> Result<Engine> {
        let begun = environment.clock.monotonic();
        let opened = open::open(&options, &environment)?;
        let mut report = opened.report;
        report.took = environment.clock.monotonic().saturating_sub(begun);
        let monotonic = environment.clock.monotonic();
        let handle = Handle {
            state: Arc::new(opened.state),
            housekeeper: Arc::new(Housekeeper::new(monotonic)),
            threads: Mutex::default(),
            iterator_key: opened.iterator_key,
            report,
            _lock: opened.lock,
        };
        Ok(Engine { handle: Arc::new(handle) })
    }

    /// Starts the threads: committers and housekeeping.
    pub fn start(&self) {
        let mut threads = self.handle.threads.lock();
        assert!(threads.is_empty(), "an engine is started once");
        for number in 0..COMMITTERS {
            let shared = self.handle.state.shared.clone();
            threads.push(spawn(format!("commit-{number}"), move || shared.commit_loop()));
        }
        let (keeper, state) = (self.handle.housekeeper.clone(), self.handle.state.clone());
        threads.push(spawn("housekeeping".to_owned(), move || keeper.run(&state)));
    }

    /// Refuses new records, commits what is staged, and records that the stop was clean.
    /// Waits for the disk.
    pub fn shut_down(&self) -> Result<()> {
        let state = &self.handle.state;
        state.streams.lock().is_stopping = true;
        let streams = state.all_streams();
        let shards: Vec<_> = streams.iter().flat_map(|stream| stream.shards().to_vec()).collect();
        for shard in &shards {
            shard.stop();
        }
        state.shared.stop_committers();
        self.handle.housekeeper.stop();
        let threads = std::mem::take(&mut *self.handle.threads.lock());
        if threads.is_empty() {
            while state.shared.commit_step() {}
        }
        for thread in threads {
            thread.join().expect("a thread of the engine aborts the process rather than panic");
        }
        let mut is_clean = true;
        for shard in &shards {
            // What was staged, but not in the queue yet when the committers ended.
            shard.clone().commit();
            // A halted log is not at its recorded end: it is recovered at the next start.
            let synced = shard.with_writer(|writer| writer.sync());
            if let Some(Err(error)) = &synced {
                let (stream, shard) = (shard.stream_name(), shard.id());
                tracing::error!(%stream, %shard, %error, "the last sync failed");
            }
            is_clean &= matches!(synced, Some(Ok(())));
            // A clean start takes the recorded end for the end: it must be the one that is shown.
            let end = shard.mark().map_or(shard.first_sequence(), |mark| mark.next_sequence);
            is_clean &= end == shard.watermarks().durable;
        }
        state.record_marks(&streams, is_clean || Mutant::CleanAnyway.is_on())
    }

    /// What opening found.
    pub fn report(&self) -> &OpenReport {
        &self.handle.report
    }

    /// The time that arrival stamps follow, milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.handle.state.shared.now_ms()
    }

    /// The engine's monotonic clock: time since some fixed moment, never falling. Rates are
    /// counted by it.
    pub fn monotonic(&self) -> Duration {
        self.handle.state.shared.monotonic()
    }

    /// The secret that shard iterators are sealed with. It outlives the process.
    pub fn iterator_key(&self) -> &[u8; 32] {
        &self.handle.iterator_key
    }

    /// Makes a stream whose shards tile the hash space evenly, and whose records are kept for 24
    /// hours. Waits for the disk.
    pub fn create_stream(
        &self,
        name: &StreamName,
        shard_count: u32,
        settings: StreamSettings,
    ) -> Result<Arc<Stream>> {
        self.create_stream_with_retention(name, shard_count, RETENTION_HOURS_DEFAULT, settings)
    }

    /// The same for a stream whose records are kept for so many hours from the start, 24 to 8,760.
    pub fn create_stream_with_retention(
        &self,
        name: &StreamName,
        shard_count: u32,
        retention_hours: u32,
        settings: StreamSettings,
    ) -> Result<Arc<Stream>> {
        let max = u64::from(SHARDS_PER_STREAM_MAX);
        check_range("shard_count", u64::from(shard_count), 1, max)?;
        check_retention(retention_hours)?;
        settings.check()?;
        let state = &self.handle.state;
        state.settle();
        let now_ms = state.shared.now_ms();
        let id = {
            let mut streams = state.streams.lock();
            if streams.is_stopping {
                return Err(Error::ShuttingDown);
            }
            if streams.begin_owed.is_some() {
                return Err(Error::DiskFull);
            }
            if streams.by_name.contains_key(name) || !streams.creating.insert(name.clone()) {
                return Err(Error::StreamExists { name: name.clone() });
            }
            let id = StreamId(streams.next_id);
            streams.next_id += 1;
            id
        };
        let shards = HashKeyRange::tile(shard_count).enumerate().map(|(index, range)| ShardEntry {
            id: ShardId(index as u32),
            range,
            parents: [None, None],
            created_ms: now_ms,
            first_sequence: SequenceNumber::FIRST,
            closed: None,
            is_removing: false,
        });
        let entry = StreamEntry {
            id,
            name: name.clone(),
            created_ms: now_ms,
            retention_hours,
            is_deleting: false,
            settings,
            shards: shards.collect(),
            consumers: Vec::new(),
        };
        let recorded = state.with_reserve(|| state.catalog.create_stream(&entry));
        let mut streams = state.streams.lock();
        streams.creating.remove(name);
        recorded?;
        let stream = Arc::new(open::new_stream(&state.shared, &state.cache, &entry));
        if streams.is_stopping {
            // Whoever stops the engine has not seen this one.
            stream.shards().iter().for_each(|shard| shard.stop());
        }
        streams.by_name.insert(name.clone(), stream.clone());
        Ok(stream)
    }

    /// Deletes a stream. Its name is free, and its readers and writers are told, when the call
    /// returns; its files go in the background. Waits for the disk.
    ///
    /// After an error the stream is there. If the catalog cannot be made to say so, it takes no
    /// records until it can: [`Error::StreamInDoubt`].
    pub fn delete_stream(&self, name: &StreamName) -> Result<()> {
        let state = &self.handle.state;
        let stream = self.stream(name)?;
        let marked = state.with_reserve(|| state.catalog.mark_deleting(stream.id()));
        if marked.is_ok() {
            stream.delete();
        }
        let is_in_doubt = marked.is_err() && state.catalog.is_in_doubt();
        let mut streams = state.streams.lock();
        // Another call may have been quicker, and the name may be taken again: that one has
        // deleted the stream, and even the tombstone may be gone by now.
        if !streams.by_name.get(name).is_some_and(|held| Arc::ptr_eq(held, &stream)) {
            return Err(Error::StreamNotFound { name: name.clone() });
        }
        if is_in_doubt {
            // A start would remove the stream, and with it whatever is acknowledged from now on.
            stream.suspend(&Error::StreamInDoubt { name: name.clone() });
            streams.suspended.push(stream.clone());
        }
        marked?;
        streams.by_name.remove(name);
        streams.deleting.push(stream);
        drop(streams);
        self.handle.housekeeper.wake();
        Ok(())
    }

    /// The stream of that name.
    pub fn stream(&self, name: &StreamName) -> Result<Arc<Stream>> {
        let streams = self.handle.state.streams.lock();
        let not_found = || Error::StreamNotFound { name: name.clone() };
        streams.by_name.get(name).cloned().ok_or_else(not_found)
    }

    /// At most `limit` streams by name, behind `after`.
    pub fn streams(&self, after: Option<&StreamName>, limit: usize) -> Vec<Arc<Stream>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let start = after.map_or(Unbounded, Excluded);
        let streams = self.handle.state.streams.lock();
        let range = streams.by_name.range::<StreamName, _>((start, Unbounded));
        range.take(limit).map(|(_, stream)| stream.clone()).collect()
    }

    /// Splits and merges shards, all steps or none. Puts wait for a moment; none is lost, made
    /// twice or refused. Waits for the disk.
    ///
    /// # Errors
    ///
    /// [`Error::StreamUpdating`] while another reshard is under way; one of the server's own is
    /// waited for, five seconds at most. [`Error::ShardClosed`] for a
    /// step that names no open shard, [`Error::SplitOutside`], [`Error::NotAdjacent`].
    /// [`Error::LimitExceeded`] over 10,000 open shards. A parent that takes no records cannot be
    /// closed: its error.
    pub fn reshard(&self, stream: &Arc<Stream>, steps: &[Step]) -> Result<()> {
        reshard::reshard(&self.handle.state, stream, steps, Changer::Caller)
    }

    /// The same where nobody asked for it: the stream is not UPDATING meanwhile, callers wait for
    /// it, and it gives way to everybody else at once.
    pub fn reshard_unasked(&self, stream: &Arc<Stream>, steps: &[Step]) -> Result<()> {
        reshard::reshard(&self.handle.state, stream, steps, Changer::Server)
    }

    /// What the engine has done, and how it stands.
    pub fn stats(&self) -> Stats {
        self.handle.state.stats()
    }

    /// One turn of a committer, for runs without threads. False: nothing is staged.
    pub fn commit_step(&self) -> bool {
        self.handle.state.shared.commit_step()
    }

    /// All of the housekeeping that is due, for runs without threads.
    pub fn housekeeping_step(&self) {
        self.handle.housekeeper.step(&self.handle.state);
    }
}

impl Drop for Handle {
    /// An engine that is dropped without a stop still refuses what comes and ends its threads,
    /// before the lock on the directory goes.
    fn drop(&mut self) {
        for stream in self.state.all_streams() {
            stream.shards().iter().for_each(|shard| shard.stop());
        }
        self.state.shared.stop_committers();
        self.housekeeper.stop();
        for thread in std::mem::take(self.threads.get_mut()) {
            let _ = thread.join();
        }
    }
}

/// A named thread. A panic in it aborts the process: a log whose committer is gone would
/// otherwise accept records and never answer.
fn spawn(name: String, life: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    let body = move || {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(life));
        if outcome.is_err() {
            tracing::error!("a thread of the engine panicked; aborting the process");
            std::process::abort();
        }
    };
    std::thread::Builder::new().name(name).spawn(body).expect("the system has threads left")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{World, name, put};

    #[test]
    fn what_is_staged_while_the_committers_end_is_committed() {
        let engine = World::new(1).open().unwrap();
        let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
        engine.start();
        let committers: Vec<_> = engine.handle.threads.lock().drain(..COMMITTERS).collect();
        engine.handle.state.shared.stop_committers();
        for committer in committers {
            committer.join().unwrap();
        }
        let _ticket = put(&stream.shards()[0], &[b"late"]).unwrap();
        engine.shut_down().unwrap();
        assert_eq!(stream.shards()[0].watermarks().durable, SequenceNumber(2));
    }
}
