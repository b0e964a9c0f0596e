//! A reader's way into a shard.

use std::sync::Arc;

use crate::catalog::ShardClosed;
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

    /// Goes on with the pass that has left a bookmark at the position, if one has: what that one
    /// had verified of the frame there is not verified again.
    #[must_use]
    pub fn going_on(mut self) -> Cursor {
        self.log.go_on();
        self
    }

    /// Leaves a bookmark at the position, for one cursor that goes on. There are a few for each
    /// file, in memory; without one, that cursor begins a pass of its own.
    pub fn leave_bookmark(&self) {
        self.log.leave_bookmark();
    }

    /// For measuring what a walk costs without checksums. Nobody else may hand out what has not
    /// been verified.
    #[doc(hidden)]
    #[must_use]
    pub fn without_checksums(mut self) -> Cursor {
        self.log.skip_checksums();
        self
    }

    /// Whether the next read may have to wait for the disk: run it off the async threads. False
    /// in the newest segment, and where what it reads is known to be in memory.
    pub fn is_cold(&mut self, limit: ReadLimit) -> bool {
        self.log.is_cold(limit)
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
        // Whoever sees the end of a closed shard finds its children: they were there before it was.
        let is_end = |closed: ShardClosed| page.next > closed.last_sequence;
        page.is_end = self.shard.closed().is_some_and(is_end);
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use crate::error::Error;
    use crate::fs::{Fault, ReadMode};
    use crate::sequence::SequenceNumber;
    use crate::tests::{World, name, put, put_now};
    use crate::{
        Durability, Engine, EngineOptions, Environment, Page, ReadLimit, Shard, StreamSettings,
    };

    const WHOLE: ReadLimit = ReadLimit { records: 100, bytes: 1 << 20 };

    #[test]
    fn a_page_has_no_more_ranges_than_it_is_let() {
        let engine = World::new(1).open().unwrap();
        let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
        let shard = &stream.shards()[0];
        for _ in 0..10 {
            put_now(&engine, shard, &[b"alone"]).unwrap();
        }
        let mut cursor = shard.cursor(SequenceNumber(0)).with_ranges_max(4);
        let mut read = || cursor.read(WHOLE).unwrap();
        let pages = [read(), read(), read(), read()];
        assert_eq!(pages.each_ref().map(|page| page.ranges.len()), [4, 4, 2, 0]);
        assert_eq!(pages.each_ref().map(|page| page.records), [4, 4, 2, 0]);
    }

    /// A link of a chain of pages: so many records from a position on, and a bookmark.
    fn link(shard: &Arc<Shard>, from: u64, records: usize) -> Result<Page, Error> {
        let mut cursor = shard.cursor(SequenceNumber(from)).going_on();
        let page = cursor.read(ReadLimit { records, ..WHOLE })?;
        cursor.leave_bookmark();
        Ok(page)
    }

    /// A shard with one frame of fifty records, and a way to flip a bit of its payload.
    fn one_frame() -> (Engine, Arc<Shard>, impl Fn()) {
        let world = World::new(1);
        let engine = world.open().unwrap();
        let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
        let shard = stream.shards()[0].clone();
        put_now(&engine, &shard, &[&b"data"[..]; 50]).unwrap();
        let path = PathBuf::from("/data/shards/1/0/00000000000000000001.seg");
        let flip = move || {
            world.fs.inject(Fault::FlipBit { path: path.clone(), offset: 8192 + 80 + 30, bit: 3 });
        };
        (engine, shard, flip)
    }

    fn is_damage(read: &Result<Page, Error>) -> bool {
        matches!(read, Err(Error::Damage(_)))
    }

    #[test]
    fn a_chain_of_pages_is_one_pass_and_whoever_comes_second_begins_his_own() {
        let (_engine, shard, flip) = one_frame();
        assert_eq!(link(&shard, 1, 10).unwrap().records, 10);
        // What was verified is not verified again in this pass: the bytes to come are right.
        flip();
        let page = link(&shard, 11, 30).unwrap();
        assert_eq!((page.records, page.next), (30, SequenceNumber(41)));
        // The bookmark was taken, and one for another place is none.
        assert!(is_damage(&link(&shard, 11, 10)));
        assert!(is_damage(&link(&shard, 42, 1)));
        // Nor does a reader follow one who does not ask for it.
        assert!(is_damage(&shard.cursor(SequenceNumber(41)).read(WHOLE)));
        assert_eq!(link(&shard, 41, 100).unwrap().records, 10);
    }

    #[test]
    fn each_of_the_readers_of_a_place_goes_on_with_his_own_pass() {
        let (_engine, shard, flip) = one_frame();
        for _ in 0..3 {
            link(&shard, 1, 10).unwrap();
        }
        flip();
        let reads = [(); 4].map(|()| link(&shard, 11, 5));
        assert_eq!(reads.each_ref().map(is_damage), [false, false, false, true]);
    }

    #[test]
    fn the_oldest_bookmarks_give_way() {
        let (_engine, shard, flip) = one_frame();
        for records in 1..=40 {
            link(&shard, 1, records).unwrap();
        }
        flip();
        let kept = (2..=41).filter(|&from| !is_damage(&link(&shard, from, 1))).count();
        assert_eq!(kept, 32);
        assert!(is_damage(&link(&shard, 2, 1)));
    }

    #[test]
    fn what_is_not_known_to_be_in_memory_is_cold_but_for_the_newest_segment() {
        for mode in [ReadMode::Mmap, ReadMode::Pread] {
            let dir = tempfile::tempdir().unwrap();
            let options =
                EngineOptions { durability: Durability::Os, ..EngineOptions::new(dir.path()) };
            let engine = Engine::open(options, Environment::system(mode)).unwrap();
            let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
            let shard = &stream.shards()[0];
            // The segments have 256 KiB, 1 MiB and 4 MiB.
            for _ in 0..20 {
                let ticket = put(shard, &[&vec![7; 100_000]]).unwrap();
                while engine.commit_step() {}
                ticket.wait().unwrap();
            }
            let mut cursor = shard.cursor(SequenceNumber(0));
            let mut newest = shard.cursor(SequenceNumber(20));
            assert!(!newest.is_cold(WHOLE));
            // Its file is not open yet.
            assert!(cursor.is_cold(WHOLE));
            while cursor.read(WHOLE).unwrap().records > 0 {}
            assert!(!cursor.is_cold(WHOLE));
            // From here on the kernel knows, where it says so and there is something to ask.
            let mut again = shard.cursor(SequenceNumber(0));
            let is_told = cfg!(target_os = "linux") && mode == ReadMode::Mmap;
            for _ in 0..3 {
                assert_eq!(again.is_cold(WHOLE), !is_told);
                again.read(ReadLimit { records: 2, ..WHOLE }).unwrap();
            }
            drop((cursor, newest, again));
            engine.shut_down().unwrap();
        }
    }
}
