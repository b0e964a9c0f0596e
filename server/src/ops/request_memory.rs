//! Memory for what clients send: one bound for all calls of a server together.
//!
//! A call counts what it has read of its request, as it comes, until it is answered or, in a
//! `Produce` call, until the message is staged. Of what a client only announces a little is set
//! aside. When all is taken a call that wants more is refused at once, and its request is dropped:
//! a crowd of large batches costs some of them a second try, and not the process.
//!
//! A little is given to each call whatever the others hold, so that a server can always be asked
//! how it does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{Kind, OpError, Result};

/// Bytes that a call may hold whatever the others do: all but batches of records.
const ALWAYS_BYTES: usize = 64 << 10;

/// How long one who is refused is asked to wait: what he sends again takes from the others too.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// What requests may hold in memory, and what they do.
#[derive(Debug)]
pub(crate) struct RequestMemory {
    held: AtomicUsize,
    max: usize,
}

impl RequestMemory {
    /// Room for so many bytes.
    pub(crate) fn new(bytes_max: usize) -> Arc<RequestMemory> {
        Arc::new(RequestMemory { held: AtomicUsize::new(0), max: bytes_max })
    }

    /// A call's share, empty at first.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        Share { of: Arc::clone(self), bytes: 0 }
    }
}

/// What one call holds; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    of: Arc<RequestMemory>,
    bytes: usize,
}

impl Share {
    /// Another one of the same memory, empty at first.
    pub(crate) fn sibling(&self) -> Share {
        self.of.share()
    }

    /// The call holds so many bytes now. Fewer than before are always right.
    pub(crate) fn set(&mut self, bytes: usize) -> Result<()> {
        let RequestMemory { held, max } = &*self.of;
        if bytes <= self.bytes {
            held.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        } else {
            let more = bytes - self.bytes;
            let before = held.fetch_add(more, Ordering::Relaxed);
            if bytes > ALWAYS_BYTES && before + more > *max {
                held.fetch_sub(more, Ordering::Relaxed);
                let why = format!(
                    "requests in memory have {before} of {max} bytes; try again, or with fewer \
                     at the same time"
                );
                let mut error = OpError::new(Kind::Throttled, why).with("max", max.to_string());
                error.retry_after = Some(RETRY_AFTER);
                return Err(error);
            }
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_together_hold_what_there_is_and_each_of_them_a_little_more() {
        let memory = RequestMemory::new(10 * ALWAYS_BYTES);
        let held = || memory.held.load(Ordering::Relaxed);
        let (mut large, mut other) = (memory.share(), memory.share());
        large.set(9 * ALWAYS_BYTES).unwrap();
        assert_eq!(other.set(2 * ALWAYS_BYTES).unwrap_err().kind, Kind::Throttled);
        // What was refused is not held, and what was there before still is.
        assert_eq!(held(), 9 * ALWAYS_BYTES);
        large.set(10 * ALWAYS_BYTES).unwrap();
        other.set(ALWAYS_BYTES).unwrap();
        assert_eq!(held(), 11 * ALWAYS_BYTES);
        large.set(1).unwrap();
        other.set(2 * ALWAYS_BYTES).unwrap();
        drop((large, other));
        assert_eq!(held(), 0);
    }
}
