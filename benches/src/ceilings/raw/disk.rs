//! Writing and syncing files whose blocks were written before, as recycled segments' were.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

use super::super::load::Tally;

/// Bytes of a file: it is written again from its start when it is full.
const FILE_BYTES: u64 = 64 << 20;

/// What came of it.
#[derive(Clone, Debug)]
pub(in super::super) struct Written {
    /// Writes, each synced, per second.
    pub(in super::super) rate: f64,
    /// Nanoseconds of a write and its sync.
    pub(in super::super) latency: Histogram<u64>,
}

/// Writes `bytes` and syncs, again and again, in `threads` threads with a file each.
pub(in super::super) fn write_and_sync(
    dir: &Path,
    bytes: usize,
    threads: usize,
    seconds: f64,
) -> Result<Written> {
    let files: Vec<File> =
        (0..threads).map(|i| written_file(&dir.join(i.to_string()))).collect::<Result<_>>()?;
    let barrier = Barrier::new(threads);
    let parts: Vec<Result<Histogram<u64>>> = std::thread::scope(|scope| {
        let barrier = &barrier;
        let threads: Vec<_> = files
            .iter()
            .map(|file| {
                scope.spawn(move || {
                    barrier.wait();
                    repeat(file, bytes, Duration::from_secs_f64(seconds))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
    });
    let mut latency = Tally::new().latency;
    for part in parts {
        latency.add(part?).expect("all have the same bounds");
    }
    for thread in 0..threads {
        std::fs::remove_file(dir.join(thread.to_string()))?;
    }
    Ok(Written { rate: latency.len() as f64 / seconds, latency })
}

fn repeat(file: &File, bytes: usize, time: Duration) -> Result<Histogram<u64>> {
    let buffer = vec![b'x'; bytes];
    let mut latency = Tally::new().latency;
    let (begun, mut offset) = (Instant::now(), 0);
    while begun.elapsed() < time {
        let write_begun = Instant::now();
        file.write_all_at(&buffer, offset)?;
        file.sync_data()?;
        latency.saturating_record(write_begun.elapsed().as_nanos() as u64);
        offset += bytes as u64;
        if offset + bytes as u64 > FILE_BYTES {
            offset = 0;
        }
    }
    Ok(latency)
}

/// A file all of whose blocks have been written, and are in memory.
fn written_file(path: &Path) -> Result<File> {
    let file = OpenOptions::new().create_new(true).write(true).open(path);
    let file = file.with_context(|| format!("cannot make {}", path.display()))?;
    let zeros = vec![0; 1 << 20];
    for offset in (0..FILE_BYTES).step_by(zeros.len()) {
        file.write_all_at(&zeros, offset)?;
    }
    file.sync_all()?;
    Ok(file)
}
