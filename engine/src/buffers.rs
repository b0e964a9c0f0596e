//! Staging buffers that nobody fills, for whichever shard needs one next.
//!
//! A shard takes a buffer with its first record and its commit gives it back. So buffers that
//! have grown to what commits need go round among busy shards: a new one would be grown by
//! copying, and its pages zeroed by the kernel, as often as a shard pauses. The one given back
//! last is taken first, while a cache may hold it. What was not needed for a while is let go.

use parking_lot::Mutex;

use crate::limits::STAGING_KEPT_BYTES;

/// A stack of empty buffers.
#[derive(Default)]
pub(crate) struct Buffers {
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    buffers: Vec<Vec<u8>>,
    /// Their capacity.
    bytes: usize,
    /// How few there were since [`Buffers::rest`]: so many were not needed.
    count_min: usize,
}

impl Buffers {
    /// An empty buffer, of whatever capacity.
    pub(crate) fn take(&self) -> Vec<u8> {
        let mut idle = self.idle.lock();
        let buffer = idle.buffers.pop().unwrap_or_default();
        idle.bytes -= buffer.capacity();
        idle.count_min = idle.count_min.min(idle.buffers.len());
        buffer
    }

    /// Keeps a buffer for the next who needs one, unless enough are kept.
    pub(crate) fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut idle = self.idle.lock();
        if idle.bytes + buffer.capacity() <= STAGING_KEPT_BYTES {
            idle.bytes += buffer.capacity();
            idle.buffers.push(buffer);
        }
    }

    /// Lets go of what was not needed since the last time.
    pub(crate) fn rest(&self) {
        let mut idle = self.idle.lock();
        let idle = &mut *idle;
        // Those at the bottom have not moved.
        for buffer in idle.buffers.drain(..idle.count_min) {
            idle.bytes -= buffer.capacity();
        }
        idle.count_min = idle.buffers.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count_and_bytes(buffers: &Buffers) -> (usize, usize) {
        let idle = buffers.idle.lock();
        (idle.buffers.len(), idle.bytes)
    }

    #[test]
    fn the_buffer_given_back_last_is_taken_first_and_is_empty() {
        let buffers = Buffers::default();
        assert_eq!(buffers.take().capacity(), 0);
        buffers.give_back(vec![1; 10]);
        buffers.give_back(vec![2; 20]);
        let taken = buffers.take();
        assert!(taken.is_empty() && taken.capacity() >= 20);
        assert_eq!(count_and_bytes(&buffers).0, 1);
    }

    #[test]
    fn only_so_many_bytes_are_kept() {
        let buffers = Buffers::default();
        for _ in 0..3 {
            buffers.give_back(Vec::with_capacity(STAGING_KEPT_BYTES / 2));
        }
        assert_eq!(count_and_bytes(&buffers), (2, STAGING_KEPT_BYTES));
    }

    #[test]
    fn what_was_not_needed_for_a_while_is_let_go() {
        let buffers = Buffers::default();
        let give_three = || (0..3).for_each(|_| buffers.give_back(Vec::with_capacity(100)));
        give_three();
        // Nothing is known of a while that has not begun.
        buffers.rest();
        assert_eq!(count_and_bytes(&buffers), (3, 300));
        let one = buffers.take();
        buffers.give_back(one);
        buffers.rest();
        assert_eq!(count_and_bytes(&buffers), (1, 100));
        buffers.rest();
        assert_eq!(count_and_bytes(&buffers), (0, 0));
    }
}
