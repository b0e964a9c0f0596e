//! A reader's way into a shard.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::log::cursor::{LogCursor, Page, ReadLimit};
use crate::sequence::SequenceNumber;
use crate::shard::Shard;

/// A reader's position in a shard. A clone stands at the same place and goes its own way.
#[derive(Clone)]
pub struct Cursor {
    shard: Arc<Shard>,
    log: LogCursor,
}

impl Cursor {
    pub(crate) fn new(shard: Arc<Shard>, from: SequenceNumber) -> Cursor {
        let log = LogCursor::new(shard.view().clone(), from);
        Cursor { shard, log }
    }

    /// Lets a page consist of so many ranges at most: a page that waits for a slow reader takes
    /// memory for each, and where every record was put alone it has as many as records.
    #[must_use]
    pub fn with_ranges_max(mut self, ranges_max: usize) -> Cursor {
        self.log.limit_ranges(ranges_max);
        self
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

#[cfg(test)]
mod tests {
    use crate::ReadLimit;
    use crate::sequence::SequenceNumber;
    use crate::tests::{World, name, put_now};

    #[test]
    fn a_page_has_no_more_ranges_than_it_is_let() {
        let engine = World::new(1).open().unwrap();
        let stream = engine.create_stream(&name("s"), 1).unwrap();
        let shard = &stream.shards()[0];
        for _ in 0..10 {
            put_now(&engine, shard, &[b"alone"]).unwrap();
        }
        let mut cursor = shard.cursor(SequenceNumber(0)).with_ranges_max(4);
        let mut read = || cursor.read(ReadLimit { records: 100, bytes: 1 << 20 }).unwrap();
        let pages = [read(), read(), read(), read()];
        assert_eq!(pages.each_ref().map(|page| page.ranges.len()), [4, 4, 2, 0]);
        assert_eq!(pages.each_ref().map(|page| page.records), [4, 4, 2, 0]);
    }
}
