//! What a committer does with a shard: it takes the writer and all that is staged, commits it as
//! one frame, tells readers and producers, and puts the writer back. A failure after which
//! nobody knows what the disk holds halts the log.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::{Shard, is_passing};
use crate::commit::Commit;
use crate::error::{Error, IoFailure, Result};
use crate::limits::DURABLE_END_INTERVAL_BYTES;
use crate::log::frame::FRAME_HEADER_BYTES;
use crate::log::writer::{Batch, Committed, LogWriter, Place};
use crate::mutant::Mutant;
use crate::sequence::SequenceNumber;
use crate::stats::add;

impl Shard {
    pub(super) fn commit_staged(self: &Arc<Self>) {
        let (mut writer, mut batch, mut tickets) = {
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
            (writer, batch, staging.outcome.take())
        };
        let staged = batch.buffer.len() - FRAME_HEADER_BYTES;
        self.shared.release_staged(staged);
        // The other buffer is empty now: producers that found this one full go on.
        self.room.notify_waiters();

        if Mutant::AcknowledgeEarly.is_on()
            && let Some(tickets) = tickets.take()
        {
            tickets.send(Ok(()));
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
        if let Some(tickets) = tickets {
            tickets.send(outcome);
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
        buffer: Vec<u8>,
        result: &Result<Committed>,
    ) {
        self.shared.buffers.give_back(buffer);
        let written_bytes = result.as_ref().map_or(0, |done| done.written_bytes);
        let is_unmarked = {
            let mut staging = self.staging.lock();
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
    pub(super) fn give_back(self: &Arc<Self>, writer: Box<LogWriter>) {
        let is_due = {
            let mut staging = self.staging.lock();
            staging.writer = Some(writer);
            let is_due = !staging.buffer.is_empty() && !staging.is_queued;
            staging.is_queued |= is_due;
            is_due
        };
        self.writer_back.notify_all();
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
                    self.shared.note_sync(sync_us, done.written_bytes);
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
    pub(super) fn put_error(&self, error: &Error) -> Error {
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
    pub(super) fn refuse(&self, refusal: Error) {
        let (tickets, staged) = {
            let mut staging = self.staging.lock();
            let staged = staging.staged_bytes();
            staging.buffer = Vec::new();
            // A log that halts while the engine stops, or while its shard is being closed, is
            // halted: its sync is not tried again.
            let is_ending =
                |known: &Error| matches!(known, Error::ShuttingDown | Error::ShardClosing { .. });
            if staging.refusal.as_ref().is_none_or(|known| is_ending(known) || is_passing(known)) {
                staging.refusal = Some(refusal.clone());
            }
            (staging.outcome.take(), staged)
        };
        if let Some(tickets) = tickets {
            tickets.send(Err(refusal));
        }
        self.shared.release_staged(staged);
        self.room.notify_waiters();
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

/// Whether a failure halts the log: a write, sync or rename whose effect is unknown. A failed
/// open or creation has changed nothing, and a full disk is no damage, unless it was the sync
/// that found it full.
pub(super) fn is_final(error: &Error) -> bool {
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
