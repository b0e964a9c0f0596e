//! A reader's way into a shard.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::log::cursor::{LogCursor, Page, ReadLimit};
use crate::sequence::SequenceNumber;
use crate::shard::Shard;

/// A reader's position in a shard.
pub struct Cursor {
    shard: Arc<Shard>,
    log: LogCursor,
}

impl Cursor {
    pub(crate) fn new(shard: Arc<Shard>, from: SequenceNumber) -> Cursor {
        let log = LogCursor::new(shard.view().clone(), from);
        Cursor { shard, log }
    }

    /// The number that is read next.
    pub fn position(&self) -> SequenceNumber {
        self.log.position()
    }

    /// Goes on at `to`.
    pub fn seek(&mut self, to: SequenceNumber) {
        self.log.seek(to);
    }

    /// Whether the next read may have to wait for the disk: run it off the async threads.
    pub fn is_cold(&self) -> bool {
        self.log.is_cold()
    }

    /// Reads on: at least one record if there is a visible one, an empty page at the tip.
    ///
    /// [`Error::Damage`]: the records from `first_lost` on cannot be read; `seek` to
    /// `next_readable` and go on. [`Error::StreamDeleted`]: the stream is gone.
    pub fn read(&mut self, limit: ReadLimit) -> Result<Page> {
        if self.shard.is_deleted() {
            return Err(Error::StreamDeleted { name: self.shard.stream_name().clone() });
        }
        let mut page = self.log.read(limit)?;
        if page.next < self.shard.view().tip() {
            let now_ms = self.shard.now_ms();
            page.millis_behind =
                page.last_arrival_ms.map_or(0, |arrival_ms| now_ms.saturating_sub(arrival_ms));
        }
        Ok(page)
    }
}
