//! When the next batch is due.
//!
//! With a rate, batches are due at fixed times, whatever became of those before: a server that
//! stands still for a second finds the batches of that second waiting, and each of them counts
//! from the time at which it was due. (Measured from when it was sent, a stall would count
//! once and hide the rest: "coordinated omission".) Without a rate a batch is due when there
//! is room for it, and latency is that of a full pipeline.
//!
//! The runtime's timer knows whole milliseconds, so a thread sleeps: it is late by some 60 us.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

/// Times at which one producer's batches are due.
pub(super) type Dues = mpsc::UnboundedReceiver<Instant>;

/// Batches per second, and when they begin and end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) batches_per_second: f64,
    pub(super) begin: Instant,
    pub(super) end: Instant,
}

impl Pace {
    /// When the batch of this index is due; none behind the end.
    fn due(&self, index: u64) -> Option<Instant> {
        let after = Duration::try_from_secs_f64(index as f64 / self.batches_per_second).ok()?;
        self.begin.checked_add(after).filter(|due| *due < self.end)
    }

    /// Starts the thread that deals the times out to `producers` in turn. It ends by itself,
    /// at the end, or once it is `stopped`.
    ///
    /// The queues have no bound of their own: a run is due so many batches and no more, and
    /// one that waits is 16 bytes.
    pub(super) fn start(
        self,
        producers: usize,
        stopped: Arc<AtomicBool>,
    ) -> std::io::Result<Vec<Dues>> {
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..producers).map(|_| mpsc::unbounded_channel()).unzip();
        let deal = move || {
            let dues = (0..).map_while(|index| self.due(index));
            for (due, sender) in dues.zip(senders.iter().cycle()) {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                // A producer that failed takes no more; the others do.
                let _ = sender.send(due);
            }
        };
        std::thread::Builder::new().name("bench-pace".to_owned()).spawn(deal)?;
        Ok(receivers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_due_evenly_whatever_becomes_of_them() {
        let begin = Instant::now();
        let pace = Pace { batches_per_second: 4.0, begin, end: begin + Duration::from_secs(1) };
        let dues: Vec<_> = (0..).map_while(|index| pace.due(index)).collect();
        let expected: Vec<_> = [0, 250, 500, 750].map(Duration::from_millis).into();
        assert_eq!(dues.iter().map(|due| *due - begin).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn every_producer_gets_its_share_and_then_the_end() {
        let begin = Instant::now();
        let end = begin + Duration::from_millis(2);
        let pace = Pace { batches_per_second: 5000.0, begin, end };
        let dues = pace.start(3, Arc::new(AtomicBool::new(false))).unwrap();
        let counts: Vec<_> = dues
            .into_iter()
            .map(|mut dues| std::iter::from_fn(|| dues.blocking_recv()).count())
            .collect();
        assert_eq!(counts, [4, 3, 3]);
    }
}
