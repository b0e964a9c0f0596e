//! A shard: one log, and the staging buffer that turns many puts into one commit. How a commit
//! goes, and what a failed one does, stands in [`committing`].
//!
//! `append` numbers, stamps and encodes records into the staging buffer under a short lock and
//! hands back a ticket, which resolves when a sync covers them. While one batch is being
//! committed the next one fills. The shard's writer lives in the staging area and is moved out
//! of it by whoever commits or keeps house; the lock itself spans no I/O.
//!
//! What a shard may be told to refuse, and why, is one field: halted after a failed write or
//! sync, deleted with its stream, shutting down, or suspended until the catalog can be written.
//! Readers go on in every case but deletion.

mod closing;
mod committing;

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{Notify, watch};

pub(crate) use self::closing::Drained;
use self::committing::is_final;
use crate::catalog::{ShardClosed, ShardMark};
use crate::commit::Shared;
use crate::error::{Error, Result};
use crate::hash_key::HashKeyRange;
use crate::ids::{ShardId, StreamId, StreamName};
use crate::limits::{FRAME_PAYLOAD_BYTES_MAX, STAGING_SHARD_BYTES, STAGING_TOTAL_BYTES};
use crate::log::LogView;
use crate::log::cursor::LogCursor;
use crate::log::frame::FRAME_HEADER_BYTES;
use crate::log::header::ShardIdentity;
use crate::log::recover::Recovered;
use crate::log::writer::{LogWriter, Place};
use crate::reader::Cursor;
use crate::record::RecordView;
use crate::sequence::SequenceNumber;
use crate::stats::add;
use crate::ticket::{AppendTicket, Appended, Outcome};

/// Room behind the records for what a commit adds: alignment, an empty header, zeros to the border
/// of a page.
const PADDING_BYTES: usize = FRAME_HEADER_BYTES + 2 * 4096;

/// One shard of a stream.
pub struct Shard {
    stream_name: StreamName,
    stream: StreamId,
    id: ShardId,
    range: HashKeyRange,
    parents: [Option<ShardId>; 2],
    created_ms: u64,
    first_sequence: SequenceNumber,
    identity: Arc<Mutex<ShardIdentity>>,
    shared: Arc<Shared>,
    view: Arc<LogView>,
    staging: Mutex<Staging>,
    /// Woken whenever the writer is put back.
    writer_back: Condvar,
    closed: OnceLock<ShardClosed>,
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
    /// The shard was split or merged: what is durable is all that it will ever hold.
    pub closed: bool,
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
    /// For everyone whose records are staged.
    outcome: Option<Outcome>,
    /// The next record's number.
    next: SequenceNumber,
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
        closed: Option<ShardClosed>,
        recovered: Recovered,
    ) -> Shard {
        let progress = Progress {
            durable: recovered.tip,
            deleted: false,
            halted: false,
            closed: closed.is_some(),
        };
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
            created_ms: known.shard_created_ms,
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
                outcome: None,
                next: recovered.next,
                writer: Some(writer),
                is_queued: false,
                refusal: closed.map(|_| Error::ShardClosed { shard: known.shard }),
                place,
                unmarked_bytes: 0,
                recorded: None,
                last_commit: Duration::ZERO,
                oldest_arrival_ms: None,
            }),
            writer_back: Condvar::new(),
            closed: closed.map_or_else(OnceLock::new, OnceLock::from),
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

    /// When it was made, milliseconds since 1970. A child's second is above its parents'.
    pub fn created_ms(&self) -> u64 {
        self.created_ms
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

    /// Changes whenever `durable` moves, and when the shard is halted, closed or deleted.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Stages records, which keep their order and stay together. No I/O.
    ///
    /// [`Error::Busy`], [`Error::ShardClosing`]: wait for [`Shard::room`] and try again.
    /// [`Error::ShardClosed`]: the records belong to other shards of the stream now.
    /// [`Error::OutOfRange`]: no record, or more bytes than one frame holds.
    pub fn append<'a, I>(self: &Arc<Self>, records: I) -> Result<AppendTicket>
    where
        I: Iterator<Item = RecordView<'a>> + Clone,
    {
        let (ticket, is_due) = self.stage(records, || ())?;
        if is_due {
            self.shared.enqueue(self.clone());
        }
        Ok(ticket)
    }

    /// The same for a thread that waits: blocks until the records are durable. Unless the shard is
    /// being committed, the calling thread does it, which saves waking another one twice.
    ///
    /// # Errors
    ///
    /// Those of [`Shard::append`], and why the commit failed.
    pub fn put<'a, I>(self: &Arc<Self>, records: I) -> Result<Appended>
    where
        I: Iterator<Item = RecordView<'a>> + Clone,
    {
        // Counted before the shard can be told to stop, so that stopping waits for it.
        let (ticket, is_due) = self.stage(records, || self.shared.begin_commit())?;
        if is_due {
            self.commit_staged();
            self.shared.end_commit();
        }
        ticket.wait()
    }

    /// Stages records. True: the shard is to be committed, and only the caller knows; `due` was
    /// told so before anyone else could look at the shard.
    fn stage<'a, I>(&self, records: I, due: impl FnOnce()) -> Result<(AppendTicket, bool)>
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
            staging.buffer = self.shared.buffers.take();
            staging.buffer.resize(FRAME_HEADER_BYTES, 0);
            staging.base = staging.next;
            staging.count = 0;
            staging.first_arrival_ms = arrival_ms;
        }
        staging.last_arrival_ms = arrival_ms;
        // Its commit pads it, which should not make it grow once more.
        staging.buffer.reserve(bytes + PADDING_BYTES);
        let first = staging.next;
        for record in records {
            record.encode(staging.next, arrival_ms, &mut staging.buffer);
            staging.next = staging.next.next();
        }
        staging.count += count;
        let outcome = staging.outcome.get_or_insert_with(Outcome::new);
        let ticket = outcome.ticket(first, u64::from(count), arrival_ms);
        let is_due = !staging.is_queued && staging.writer.is_some();
        staging.is_queued |= is_due;
        if is_due {
            due();
        }
        drop(guard);

        add(&self.shared.counters.puts, 1);
        add(&self.shared.counters.records, u64::from(count));
        add(&self.shared.counters.bytes, bytes as u64);
        Ok((ticket, is_due))
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
                match &staging.refusal {
                    Some(Error::ShardClosing { .. }) => None,
                    Some(_) => return,
                    None => Some(staging.staged_bytes()),
                }
            };
            if staged.is_some_and(|staged| self.fits(staged, bytes)) {
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

    // ---- for the engine ------------------------------------------------------------------

    /// Refuses new records; what is staged is still committed.
    pub(crate) fn stop(&self) {
        {
            let mut staging = self.staging.lock();
            let is_closing = |known: &Error| matches!(known, Error::ShardClosing { .. });
            staging.refusal.take_if(|known| is_passing(known) || is_closing(known));
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
        let _ = self.with_writer(|writer| {
            writer.close_file();
            Ok(())
        });
    }
}

/// Whether a refusal ends by itself: the engine waits for the catalog to take a change.
fn is_passing(refusal: &Error) -> bool {
    matches!(refusal, Error::DiskFull | Error::StreamInDoubt { .. })
}
