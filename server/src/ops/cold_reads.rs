//! Reads that may wait for the disk, on a few threads of their own.
//!
//! Not on the runtime's pool for what blocks: that starts a thread whenever none is idle at that
//! very moment. A thousand readers that began together left thirty threads behind, of which each
//! kept what its allocator had gathered; with them a subscriber cost twice what it held. These
//! threads are as many as make one disk busy, and there are never more.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use anabranch_engine::error::{Error, Result};
use anabranch_engine::{Cursor, Page, ReadLimit};
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Reads that may wait for the disk at the same time.
const THREADS: usize = 4;

/// The threads, which end when this is dropped and the last read is done.
#[derive(Clone, Debug)]
pub(crate) struct ColdReads {
    /// At most one read of each subscription and of each call waits here: what bounds those
    /// bounds this.
    waiting: Sender<Read>,
}

/// One read, and who waits for it.
struct Read {
    cursor: Cursor,
    limit: ReadLimit,
    done: oneshot::Sender<Done>,
}

/// The cursor where it stands then and what it gave, or the panic that it ended with.
type Done = std::thread::Result<(Cursor, Result<Page>)>;

impl ColdReads {
    /// Starts the threads.
    pub(crate) fn new() -> ColdReads {
        let (waiting, reads) = channel();
        let reads = Arc::new(Mutex::new(reads));
        for number in 0..THREADS {
            let reads = Arc::clone(&reads);
            std::thread::Builder::new()
                .name(format!("cold-read-{number}"))
                .spawn(move || serve(&reads))
                .expect("the system has threads left");
        }
        ColdReads { waiting }
    }

    /// Reads a page: at once where it is in memory, and on those threads where it may not be.
    pub(crate) async fn read(&self, cursor: &mut Cursor, limit: ReadLimit) -> Result<Page> {
        if !cursor.is_cold(limit) {
            return cursor.read(limit);
        }
        let (done, outcome) = oneshot::channel();
        let read = Read { cursor: cursor.clone(), limit, done };
        // The threads outlive us; should they ever not, a call fails and nothing else.
        self.waiting.send(read).map_err(|_| Error::ShuttingDown)?;
        match outcome.await.map_err(|_| Error::ShuttingDown)? {
            Ok((moved, page)) => {
                *cursor = moved;
                page
            }
            // It belongs to the call, as if it had been read where it stands.
            Err(panic) => resume_unwind(panic),
        }
    }
}

fn serve(reads: &Mutex<Receiver<Read>>) {
    loop {
        // One thread waits for a read, the others for their turn to.
        let next = reads.lock().recv();
        let Ok(Read { mut cursor, limit, done }) = next else { return };
        // Of a subscriber that has gone nothing is read.
        if !done.is_closed() {
            let read = AssertUnwindSafe(|| {
                let page = cursor.read(limit);
                (cursor, page)
            });
            let _ = done.send(catch_unwind(read));
        }
    }
}
