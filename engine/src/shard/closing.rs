//! Closing a shard: the end of a parent in a split or merge.
//!
//! ```text
//!   open --begin_close--> closing --drain--> all that was staged is durable, the writer is held
//!     ^                                         |
//!     +------------ reopen (it failed) ---------+--finish_close--> closed
//! ```
//!
//! While it is closing a shard refuses records with [`Error::ShardClosing`], and whoever has some
//! waits; from the end on with [`Error::ShardClosed`], and they go to its children. In between the
//! catalog is told of both, so a put is acknowledged by the parent before its end, or by a child.

use std::sync::Arc;

use super::committing::is_final;
use super::{Shard, is_passing};
use crate::catalog::{ShardClosed, ShardEntry, ShardMark};
use crate::error::{Error, Result};
use crate::log::writer::LogWriter;
use crate::mutant::Mutant;
use crate::sequence::SequenceNumber;

/// A shard that is closing, with all of its records durable.
pub(crate) struct Drained {
    writer: Box<LogWriter>,
    /// The number behind its last record.
    pub(crate) end: SequenceNumber,
    /// A number that was handed out is below this.
    pub(crate) next: SequenceNumber,
    /// Its durable end, if it has a file.
    pub(crate) mark: Option<ShardMark>,
}

impl Shard {
    /// Where and when the shard was closed, once it was split or merged.
    pub fn closed(&self) -> Option<ShardClosed> {
        self.closed.get().copied()
    }

    /// The shard's entry once its last record has expired; `None`: it is open.
    pub(crate) fn tombstone(&self) -> Option<ShardEntry> {
        let closed = self.closed()?;
        Some(ShardEntry { closed: Some(closed), is_removing: true, ..self.entry() })
    }

    /// The shard's entry, as one that is open.
    pub(crate) fn entry(&self) -> ShardEntry {
        ShardEntry {
            id: self.id,
            range: self.range,
            parents: self.parents,
            created_ms: self.created_ms,
            first_sequence: self.first_sequence,
            closed: None,
            is_removing: false,
        }
    }

    /// Refuses records until [`Shard::reopen`] or [`Shard::finish_close`]. An error says why the
    /// shard takes none already.
    pub(crate) fn begin_close(&self) -> Result<()> {
        let mut staging = self.staging.lock();
        match &staging.refusal {
            Some(refusal) => Err(refusal.clone()),
            None => {
                staging.refusal = Some(Error::ShardClosing { shard: self.id });
                Ok(())
            }
        }
    }

    /// Commits what is staged, and takes the writer. Waits for the disk.
    pub(crate) fn drain(self: &Arc<Self>) -> Result<Drained> {
        let mut writer = self.take_idle_writer()?;
        if let Err(error) = writer.sync() {
            let told = self.put_error(&error);
            if is_final(&error) {
                self.halt(&error);
            }
            self.give_back(writer);
            return Err(told);
        }
        let mut staging = self.staging.lock();
        staging.place = writer.durable_place().or(staging.place);
        let next = staging.next;
        drop(staging);
        Ok(Drained { writer, end: self.view.tip(), next, mark: self.mark() })
    }

    /// Takes the writer once nothing is staged any more.
    fn take_idle_writer(self: &Arc<Self>) -> Result<Box<LogWriter>> {
        loop {
            // What is staged is committed by whoever comes first: a committer, or this thread.
            // Stopping the engine waits for it.
            if !Mutant::CloseUndrained.is_on() {
                self.shared.begin_commit();
                self.commit_staged();
                self.shared.end_commit();
            }
            let mut staging = self.staging.lock();
            match &staging.refusal {
                Some(Error::ShardClosing { .. }) => {}
                Some(refusal) => return Err(refusal.clone()),
                None => unreachable!("a shard that is closing goes on refusing records"),
            }
            if staging.writer.is_none() {
                // It comes back when its commit, or its housekeeping, is done.
                self.writer_back.wait(&mut staging);
            } else if staging.buffer.is_empty() || Mutant::CloseUndrained.is_on() {
                // A commit that has failed meanwhile was seen above.
                return Ok(staging.writer.take().expect("it was just seen"));
            }
        }
    }

    /// Takes records again, or refuses them for a cause that passes: the reshard has failed.
    pub(crate) fn reopen(self: &Arc<Self>, drained: Option<Drained>, cause: Option<Error>) {
        {
            let mut staging = self.staging.lock();
            if matches!(staging.refusal, Some(Error::ShardClosing { .. })) {
                staging.refusal = cause;
            }
        }
        if let Some(drained) = drained {
            self.give_back(drained.writer);
        }
        self.room.notify_waiters();
    }

    /// Ends the shard. The catalog says so already, and [`Shards`](crate::Shards) have its
    /// children. No I/O: [`Shard::seal`] comes when all that were closed with it were ended.
    pub(crate) fn finish_close(&self, closed: ShardClosed) {
        self.closed.set(closed).expect("a shard is closed once");
        {
            let mut staging = self.staging.lock();
            let is_closing = |known: &Error| {
                matches!(known, Error::ShardClosing { .. } | Error::ShuttingDown)
                    || is_passing(known)
            };
            if staging.refusal.as_ref().is_none_or(is_closing) {
                staging.refusal = Some(Error::ShardClosed { shard: self.id });
            }
        }
        self.room.notify_waiters();
        self.progress.send_modify(|progress| progress.closed = true);
    }

    /// Seals the last segment of a shard that was ended. Waits for the disk: the footer is for
    /// retention and for readers' speed, and nobody waits for it.
    pub(crate) fn seal(self: &Arc<Self>, mut drained: Drained) {
        if let Err(error) = drained.writer.seal() {
            let (stream, shard) = (&self.stream_name, self.id);
            tracing::warn!(%stream, %shard, %error, "a closed shard's segment was not sealed");
        }
        self.give_back(drained.writer);
    }
}
