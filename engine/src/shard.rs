//! A shard: one log, and the staging buffer that turns many puts into one commit.
//!
//! `append` numbers, stamps and encodes records into the staging buffer under a short lock and
//! hands back a ticket, which resolves when a sync covers them. While one batch is being
//! committed the next one fills. The shard's writer lives in the staging area and is moved out
//! of it by whoever commits or keeps house; the lock itself spans no I/O.
//!
//! What a shard may be told to refuse, and why, is one field: halted after a failed write or
//! sync, deleted with its stream, shutting down, or suspended until the catalog can be written. Readers go on in every case but deletion.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::catalog::ShardMark;
use crate::commit::{Commit, Shared};
use crate::error::{Error, IoFailure, Result};
use crate::hash_key::HashKeyRange;
use crate::ids::{ShardId, StreamId, StreamName};
use crate::limits::{
    DURABLE_END_INTERVAL_BYTES, FRAME_PAYLOAD_BYTES_MAX, STAGING_KEPT_BYTES, STAGING_SHARD_BYTES,
    STAGING_TOTAL_BYTES,
};
use crate::log::LogView;
use crate::log::cursor::LogCursor;
use crate::log::frame::FRAME_HEADER_BYTES;
use crate::log::header::ShardIdentity;
use crate::log::recover::Recovered;
use crate::log::writer::{Batch, Committed, LogWriter, Place};
use crate::mutant::Mutant;
use crate::reader::Cursor;
use crate::record::RecordView;
use crate::sequence::SequenceNumber;
use crate::stats::add;
use crate::ticket::{AppendTicket, Outcome};

/// One shard of a stream.
pub struct Shard {
    stream_name: StreamName,
    stream: StreamId,
    id: ShardId,
    range: HashKeyRange,
    parents: [Option<ShardId>; 2],
    first_sequence: SequenceNumber,
    identity: Arc<Mutex<ShardIdentity>>,
    shared: Arc<Shared>,
    view: Arc<LogView>,
    staging: Mutex<Staging>,
    progress: watch::Sender<Progress>,
    /// Woken whenever an append is worth trying again.
    room: Notify,
}

/// Where a shard's readers may go. Announced whenever it changes; payloads never are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// The number behind the last visible record.
    pub durable: SequenceNumber,
    /// The stream is gone.
    pub deleted: bool,
    /// The log refuses writes until the server is restarted.
    pub halted: bool,
}

/// The two numbers that readers of a log go by: `trim_horizon <= durable`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Watermarks {
    /// The first number that is kept.
    pub trim_horizon: SequenceNumber,
    /// The number behind the last visible record.
    pub durable: SequenceNumber,
}

struct Staging {
    /// Room for a frame header, then encoded records. Empty while nothing is staged.
    buffer: Vec<u8>,
    base: SequenceNumber,
    count: u32,
    first_arrival_ms: u64,
    last_arrival_ms: u64,
    waiters: Vec<Outcome>,
    /// The next record's number.
    next: SequenceNumber,
    /// The other buffer, while it is not being committed.
    idle_buffer: Vec<u8>,
    /// `None` while someone else has it.
    writer: Option<Box<LogWriter>>,
    is_queued: bool,
    refusal: Option<Error>,
    /// The durable end as far as it is known.
    place: Option<Place>,
    /// Bytes that became durable since the end was last recorded.
    unmarked_bytes: u64,
    /// The mark that the catalog is known to hold.
    recorded: Option<ShardMark>,
    last_commit: Duration,
    /// When the record at the horizon arrived, if that is known.
    oldest_arrival_ms: Option<u64>,
}

impl Staging {
    fn staged_bytes(&self) -> usize {
        self.buffer.len().saturating_sub(FRAME_HEADER_BYTES)
    }
}

impl Shard {
    pub(crate) fn new(
        shared: Arc<Shared>,
        view: Arc<LogView>,
        identity: ShardIdentity,
        recovered: Recovered,
    ) -> Shard {
        let progress = Progress { durable: recovered.tip, deleted: false, halted: false };
        let identity = Arc::new(Mutex::new(identity));
        let last_arrival_ms = recovered.tail.last_arrival_ms;
        let mut writer = Box::new(LogWriter::new(
            shared.host.clone(),
            view.clone(),
            identity.clone(),
            recovered.tail,
        ));
        let place = writer.durable_place();
        writer.close_file();
        let known = identity.lock().clone();
        Shard {
            stream_name: known.stream_name,
            stream: known.stream,
            id: known.shard,
            range: known.range,
            parents: known.parents,
            first_sequence: known.first_sequence,
            identity,
            shared,
            view,
            staging: Mutex::new(Staging {
                buffer: Vec::new(),
                base: recovered.next,
                count: 0,
                first_arrival_ms: 0,
                last_arrival_ms,
                waiters: Vec::new(),
                next: recovered.next,
                idle_buffer: Vec::new(),
                writer: Some(writer),
                is_queued: false,
                refusal: None,
                place,
                unmarked_bytes: 0,
                recorded: None,
                last_commit: Duration::ZERO,
                oldest_arrival_ms: None,
            }),
            progress: watch::Sender::new(progress),
            room: Notify::new(),
        }
    }

    /// The shard's id.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// Its part of the hash space.
    pub fn hash_key_range(&self) -> HashKeyRange {
        self.range
    }

    /// The shards it came from.
    pub fn parents(&self) -> [Option<ShardId>; 2] {
        self.parents
    }

    /// The number of its first record, put or not.
    pub fn first_sequence(&self) -> SequenceNumber {
        self.first_sequence
    }

    /// The numbers that its readers go by.
    pub fn watermarks(&self) -> Watermarks {
        let trim_horizon = self.view.trim_horizon();
        Watermarks { trim_horizon, durable: self.view.tip() }
    }

    /// Changes whenever `durable` moves, and when the shard is halted or deleted.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Stages records, which keep their order and stay together. No I/O.
    ///
    /// [`Error::Busy`]: wait for [`Shard::room`] and try again. [`Error::OutOfRange`]: no
    /// record, or more bytes than one frame holds.
    pub fn append<'a, I>(self: &Arc<Self>, records: I) -> Result<AppendTicket>
    where
        I: Iterator<Item = RecordView<'a>> + Clone,
    {
        let (mut bytes, mut count) = (0, 0u32);
        for record in records.clone() {
            bytes += record.encoded_len();
            count += 1;
        }
        if count == 0 || bytes > FRAME_PAYLOAD_BYTES_MAX {
            let max = FRAME_PAYLOAD_BYTES_MAX as u64;
            return Err(Error::OutOfRange {
                what: "bytes of a batch",
                value: bytes as u64,
                min: 1,
                max,
            });
        }
        let now_ms = self.shared.now_ms();
        let mut guard = self.staging.lock();
        let staging = &mut *guard;
        if let Some(refusal) = &staging.refusal {
            return Err(refusal.clone());
        }
        if !self.fits(staging.staged_bytes(), bytes) {
            add(&self.shared.counters.busy, 1);
            return Err(Error::Busy { shard: self.id });
        }
        self.shared.staged_bytes.fetch_add(bytes, Ordering::AcqRel);

        let arrival_ms = now_ms.max(staging.last_arrival_ms);
        if staging.buffer.is_empty() {
            std::mem::swap(&mut staging.buffer, &mut staging.idle_buffer);
            staging.buffer.resize(FRAME_HEADER_BYTES, 0);
            staging.base = staging.next;
            staging.count = 0;
            staging.first_arrival_ms = arrival_ms;
        }
        staging.last_arrival_ms = arrival_ms;
        staging.buffer.reserve(bytes);
        let first = staging.next;
        for record in records {
            record.encode(staging.next, arrival_ms, &mut staging.buffer);
            staging.next = staging.next.next();
        }
        staging.count += count;
        let (ticket, outcome) = AppendTicket::new(first, u64::from(count));
        staging.waiters.push(outcome);
        let is_due = !staging.is_queued && staging.writer.is_some();
        staging.is_queued |= is_due;
        drop(guard);

        if is_due {
            self.shared.enqueue(self.clone());
        }
        add(&self.shared.counters.puts, 1);
        add(&self.shared.counters.records, u64::from(count));
        add(&self.shared.counters.bytes, bytes as u64);
        Ok(ticket)
    }

    /// Whether `bytes` more may be staged. A large batch may go beyond what stops the next one,
    /// so that small ones cannot keep it out; one frame holds it all in any case.
    fn fits(&self, staged: usize, bytes: usize) -> bool {
        let total = self.shared.staged_bytes.load(Ordering::Acquire);
        let shard_fits = staged == 0
            || (staged < STAGING_SHARD_BYTES && staged + bytes <= FRAME_PAYLOAD_BYTES_MAX);
        let total_fits = total == 0 || total + bytes <= STAGING_TOTAL_BYTES;
        shard_fits && total_fits
    }

    /// Resolves when an append of `bytes` encoded bytes is worth trying again, be it to learn
    /// that the shard refuses. Another producer may be quicker: then it is [`Error::Busy`] once
    /// more.
    pub async fn room(&self, bytes: usize) {
        loop {
            let mut here = pin!(self.room.notified());
            let mut anywhere = pin!(self.shared.room.notified());
            // Registered before looking, so that no wake-up falls between.
            here.as_mut().enable();
            anywhere.as_mut().enable();
            let staged = {
                let staging = self.staging.lock();
                if staging.refusal.is_some() {
                    return;
                }
                staging.staged_bytes()
            };
            if self.fits(staged, bytes) {
                return;
            }
            std::future::poll_fn(|context| {
                let woken = here.as_mut().poll(context).is_ready()
                    || anywhere.as_mut().poll(context).is_ready();
                if woken { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }

    /// A cursor at `from`, or at the trim horizon where `from` lies before it.
    pub fn cursor(self: &Arc<Self>, from: SequenceNumber) -> Cursor {
        Cursor::new(self.clone(), from)
    }

    /// The number of the first record that arrived at or after `timestamp_ms`, or that the
    /// next record will have. Reads the disk.
    pub fn sequence_at_time(&self, timestamp_ms: u64) -> Result<SequenceNumber> {
        LogCursor::new(self.view.clone(), self.view.trim_horizon()).seek_time(timestamp_ms)
    }

    // ---- for committers ------------------------------------------------------------------

    fn commit_staged(self: &Arc<Self>) {
        let (mut writer, mut batch, mut waiters) = {
            let mut staging = self.staging.lock();
            staging.is_queued = false;
            if staging.buffer.is_empty() {
                return;
            }
            // Whoever has the writer looks for staged records when giving it back.
            let Some(writer) = staging.writer.take() else { return };
            let batch = Batch {
                buffer: std::mem::take(&mut staging.buffer),
                base: staging.base,
                count: staging.count,
                first_arrival_ms: staging.first_arrival_ms,
                last_arrival_ms: staging.last_arrival_ms,
            };
            (writer, batch, std::mem::take(&mut staging.waiters))
        };
        let staged = batch.buffer.len() - FRAME_HEADER_BYTES;
        self.shared.release_staged(staged);
        // The other buffer is empty now: producers that found this one full go on.
        self.room.notify_waiters();

        if Mutant::AcknowledgeEarly.is_on() {
            waiters.drain(..).for_each(|waiter| drop(waiter.send(Ok(()))));
        }
        let was_open = writer.is_open();
        let result = writer.commit(&mut batch, self.shared.now_ms());
        let is_opened = !was_open && writer.is_open();
        let was_full = self.shared.is_disk_full.load(Ordering::Relaxed);
        self.count(&result, batch.count);
        match &result {
            // Producers try again: one line tells of the change.
            Err(error) if error.is_full() && was_full => {}
            Err(error) => {
                let (stream, shard) = (&self.stream_name, self.id);
                tracing::error!(%stream, %shard, %error, "commit failed");
            }
            Ok(_) if was_full => tracing::info!("there is space on the disk again"),
            Ok(_) => {}
        }
        let outcome = result.as_ref().map(|_| ()).map_err(|error| self.put_error(error));
        if let Ok(committed) = &result {
            self.announce(committed.next);
        }
        for waiter in waiters {
            // A producer that went away does not want to know.
            let _ = waiter.send(outcome.clone());
        }
        self.end_commit(writer, batch.buffer, &result);
        if is_opened {
            let this: Weak<Shard> = Arc::downgrade(self);
            self.shared.opened(this);
        }
    }

    fn end_commit(
        self: &Arc<Self>,
        writer: Box<LogWriter>,
        mut buffer: Vec<u8>,
        result: &Result<Committed>,
    ) {
        buffer.clear();
        let written_bytes = result.as_ref().map_or(0, |done| done.written_bytes);
        let is_unmarked = {
            let mut staging = self.staging.lock();
            // A busy shard needs as much again at once; an idle one gives a large buffer back.
            let is_busy = !staging.buffer.is_empty();
            if is_busy || buffer.capacity() <= STAGING_KEPT_BYTES {
                std::mem::swap(&mut staging.idle_buffer, &mut buffer);
            }
            staging.last_commit = self.shared.clock.monotonic();
            let segment = |place: Option<Place>| place.map(|place| place.segment_base);
            let segment_before = segment(staging.place);
            staging.place = writer.durable_place().or(staging.place);
            let before = staging.unmarked_bytes;
            staging.unmarked_bytes += written_bytes;
            // Only a mark tells of the last segment if its file is taken away as a whole.
            segment(staging.place) != segment_before
                || before < DURABLE_END_INTERVAL_BYTES
                    && staging.unmarked_bytes >= DURABLE_END_INTERVAL_BYTES
        };
        if is_unmarked {
            self.shared.are_marks_due.store(true, Ordering::Relaxed);
        }
        self.shared.note_durable(written_bytes);
        if let Err(error) = result
            && is_final(error)
        {
            self.halt(error);
        }
        self.give_back(writer);
    }

    /// Puts the writer back, and the shard into the queue if records have been staged.
    fn give_back(self: &Arc<Self>, writer: Box<LogWriter>) {
        let is_due = {
            let mut staging = self.staging.lock();
            staging.writer = Some(writer);
            let is_due = !staging.buffer.is_empty() && !staging.is_queued;
            staging.is_queued |= is_due;
            is_due
        };
        if is_due {
            self.shared.enqueue(self.clone());
        }
    }

    fn count(&self, result: &Result<Committed>, records: u32) {
        let counters = &self.shared.counters;
        match result {
            Ok(done) => {
                add(&counters.commits, 1);
                add(&counters.committed_bytes, done.written_bytes);
                counters.commit_records.note(u64::from(records));
                if let Some(sync_us) = done.sync_us {
                    counters.sync_us.note(sync_us);
                    self.shared.note_sync(sync_us);
                }
                self.shared.is_disk_full.store(false, Ordering::Relaxed);
            }
            Err(error) if error.is_full() => {
                add(&counters.refused_full, 1);
                self.shared.is_disk_full.store(true, Ordering::Relaxed);
            }
            Err(_) => {}
        }
    }

    fn announce(&self, durable: SequenceNumber) {
        self.progress.send_if_modified(|progress| {
            let moved = progress.durable < durable;
            progress.durable = progress.durable.max(durable);
            moved
        });
    }

    /// What a producer is told of a failed commit.
    fn put_error(&self, error: &Error) -> Error {
        match error {
            error if is_final(error) => self.halted(error),
            error if error.is_full() => Error::DiskFull,
            error => error.clone(),
        }
    }

    fn halted(&self, cause: &Error) -> Error {
        let cause = cause.to_string().into();
        Error::Halted { stream: self.stream, shard: self.id, cause }
    }

    /// Refuses writes from now on. Readers go on.
    pub(crate) fn halt(&self, cause: &Error) {
        add(&self.shared.counters.halted_logs, 1);
        self.refuse(self.halted(cause));
        self.progress.send_modify(|progress| progress.halted = true);
    }

    /// Refuses what is staged and whatever comes.
    fn refuse(&self, refusal: Error) {
        let (waiters, staged) = {
            let mut staging = self.staging.lock();
            let staged = staging.staged_bytes();
            staging.buffer = Vec::new();
            // A log that halts while the engine stops is halted: its sync is not tried again.
            let is_ending = |known: &Error| matches!(known, Error::ShuttingDown);
            if staging.refusal.as_ref().is_none_or(|known| is_ending(known) || is_passing(known)) {
                staging.refusal = Some(refusal.clone());
            }
            (std::mem::take(&mut staging.waiters), staged)
        };
        for waiter in waiters {
            let _ = waiter.send(Err(refusal.clone()));
        }
        self.shared.release_staged(staged);
        self.room.notify_waiters();
    }

    // ---- for the engine ------------------------------------------------------------------

    /// Refuses new records; what is staged is still committed.
    pub(crate) fn stop(&self) {
        {
            let mut staging = self.staging.lock();
            staging.refusal.take_if(|known| is_passing(known));
            staging.refusal.get_or_insert(Error::ShuttingDown);
        }
        self.room.notify_waiters();
    }

    /// Refuses new records for a cause that passes, until [`Shard::resume`]; what is staged is
    /// still committed.
    pub(crate) fn suspend(&self, cause: Error) {
        debug_assert!(is_passing(&cause), "only what passes can be taken back");
        self.staging.lock().refusal.get_or_insert(cause);
        self.room.notify_waiters();
    }

    /// The cause of [`Shard::suspend`] has passed.
    pub(crate) fn resume(&self) {
        self.staging.lock().refusal.take_if(|known| is_passing(known));
        self.room.notify_waiters();
    }

    /// The stream is gone: nothing staged is kept, and readers are told.
    pub(crate) fn delete(&self) {
        self.refuse(Error::StreamDeleted { name: self.stream_name.clone() });
        self.progress.send_modify(|progress| progress.deleted = true);
    }

    /// Closes the files of a deleted stream, whose names are gone. Only slices that a reader still
    /// holds keep them.
    pub(crate) fn close_files(&self) {
        if let Some(writer) = &mut self.staging.lock().writer {
            writer.abandon_file();
        }
        self.view.segments().iter().for_each(|segment| segment.close());
    }

    fn is_refusing(&self) -> bool {
        self.staging.lock().refusal.is_some()
    }

    /// Whether a commit or the housekeeping holds the writer.
    pub(crate) fn is_writing(&self) -> bool {
        self.staging.lock().writer.is_none()
    }

    /// The mark to record: where the log stands durably, if it has a file.
    pub(crate) fn mark(&self) -> Option<ShardMark> {
        let mut staging = self.staging.lock();
        staging.unmarked_bytes = 0;
        let place = staging.place?;
        Some(ShardMark {
            segment_base: place.segment_base,
            offset: place.offset,
            next_sequence: place.next,
            newest_arrival_ms: place.last_arrival_ms,
            trim_horizon: self.view.trim_horizon(),
        })
    }

    /// The mark, if it has moved since [`Shard::recorded`] was last told.
    pub(crate) fn moved_mark(&self) -> Option<ShardMark> {
        let mark = self.mark()?;
        (self.staging.lock().recorded != Some(mark)).then_some(mark)
    }

    /// The catalog holds this mark.
    pub(crate) fn recorded(&self, mark: ShardMark) {
        self.staging.lock().recorded = Some(mark);
    }

    pub(crate) fn set_retention_hours(&self, hours: u32) {
        self.identity.lock().retention_hours = hours;
    }

    pub(crate) fn stream_name(&self) -> &StreamName {
        &self.stream_name
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.progress.borrow().deleted
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.shared.now_ms()
    }

    pub(crate) fn view(&self) -> &Arc<LogView> {
        &self.view
    }

    /// When the record at the horizon arrived, if that is known.
    pub(crate) fn oldest_arrival_ms(&self) -> Option<u64> {
        self.staging.lock().oldest_arrival_ms
    }

    pub(crate) fn set_oldest_arrival_ms(&self, arrival_ms: Option<u64>) {
        self.staging.lock().oldest_arrival_ms = arrival_ms;
    }

    /// For how long nothing was committed.
    pub(crate) fn idle_for(&self, monotonic: Duration) -> Duration {
        monotonic.saturating_sub(self.staging.lock().last_commit)
    }

    /// Does something with the writer, unless it is away or the shard refuses writes. A failure
    /// that is final halts the log.
    pub(crate) fn with_writer<T>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut LogWriter) -> Result<T>,
    ) -> Option<Result<T>> {
        let mut writer = {
            let mut staging = self.staging.lock();
            if matches!(staging.refusal, Some(Error::Halted { .. } | Error::StreamDeleted { .. })) {
                return None;
            }
            staging.writer.take()?
        };
        let result = work(&mut writer);
        {
            let mut staging = self.staging.lock();
            staging.place = writer.durable_place().or(staging.place);
        }
        if let Err(error) = &result
            && is_final(error)
        {
            self.halt(error);
        }
        self.give_back(writer);
        Some(result)
    }

    /// Lets go of what an idle shard need not hold.
    pub(crate) fn rest(self: &Arc<Self>) {
        self.staging.lock().idle_buffer = Vec::new();
        let _ = self.with_writer(|writer| {
            writer.close_file();
            Ok(())
        });
    }
}

impl Commit for Shard {
    /// Commits what is staged, if the writer is there.
    fn commit(self: Arc<Self>) {
        self.commit_staged();
    }

    fn let_file_go(self: Arc<Self>) -> bool {
        let let_go = self.with_writer(|writer| {
            writer.sync()?;
            writer.close_file();
            Ok(())
        });
        // A shard that refuses writes keeps its file; it will not open another.
        let_go.is_some() || self.is_refusing()
    }
}

/// Whether a refusal ends by itself: the engine waits for the catalog to take a change.
fn is_passing(refusal: &Error) -> bool {
    matches!(refusal, Error::DiskFull | Error::StreamInDoubt { .. })
}

/// Whether a failure halts the log: a write, sync or rename whose effect is unknown. A failed
/// open or creation has changed nothing, and a full disk is no damage, unless it was the sync
/// that found it full.
fn is_final(error: &Error) -> bool {
    match error {
        Error::Io(IoFailure { operation: "sync", .. }) => true,
        Error::Io(IoFailure { operation: "write" | "zero" | "rename", .. }) => !error.is_full(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::error::IoContext;

    #[test]
    fn a_failed_sync_is_final_and_a_full_disk_is_not() {
        let failed = |operation, kind: io::ErrorKind| {
            let result: io::Result<()> = Err(kind.into());
            is_final(&result.at(operation, std::path::Path::new("/a"), None).unwrap_err())
        };
        assert!(failed("sync", io::ErrorKind::StorageFull));
        assert!(failed("sync", io::ErrorKind::Other));
        assert!(failed("write", io::ErrorKind::Other));
        assert!(!failed("write", io::ErrorKind::StorageFull));
        assert!(!failed("create", io::ErrorKind::Other));
    }
}
