//! One producer of a bench: batches out as they become due, answers in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::ledger::Ledger;
use super::measure::{Measure, Window};
use super::pace::Dues;
use super::payload::Payload;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::producer::{BatchTicket, Placed, ProducerStats};

/// What one producer is to do.
#[derive(Debug)]
pub(super) struct Load {
    /// A connection of its own.
    pub(super) client: Client,
    pub(super) stream: String,
    pub(super) producer: u32,
    pub(super) payload: Payload,
    /// Records of a message.
    pub(super) batch: usize,
    /// Messages without an answer at most.
    pub(super) in_flight: usize,
    /// None: as fast as answers come.
    pub(super) dues: Option<Dues>,
    /// When the run began: stamps count from here.
    pub(super) begin: Instant,
    pub(super) window: Window,
    pub(super) stopped: Arc<AtomicBool>,
}

/// What one producer has done.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) acknowledgements: Measure,
    pub(super) ledger: Ledger,
    pub(super) stats: ProducerStats,
    /// Why it ended early.
    pub(super) error: Option<Error>,
}

struct Answer {
    first_number: u64,
    due: Instant,
    arrived: Instant,
    outcomes: Result<Vec<Result<Placed>>>,
}

impl Load {
    /// Puts until the window is over and every put has its outcome, or one has failed.
    pub(super) async fn run(mut self) -> Loaded {
        // Room for twice what may be in flight: it is the count of batches that binds.
        let bytes = 2 * (self.in_flight + 1) * self.batch * (self.payload.record_bytes() + 128);
        let producer = self
            .client
            .producer(&self.stream)
            .batch_records(self.batch)
            .batch_bytes(usize::MAX)
            .in_flight_batches(self.in_flight)
            .in_flight_bytes(bytes)
            .start();
        let mut loaded = Loaded {
            acknowledgements: Measure::new(self.window),
            ledger: Ledger::default(),
            stats: ProducerStats::default(),
            error: None,
        };
        let mut unanswered = FuturesUnordered::new();
        let mut number = 0;
        loop {
            let has_room = unanswered.len() < self.in_flight && loaded.error.is_none();
            tokio::select! {
                Some(answer) = unanswered.next() => loaded.count(answer),
                due = self.next_due(), if has_room => {
                    let Some(due) = due else { break };
                    let nanos = due.saturating_duration_since(self.begin).as_nanos() as u64;
                    let records = self.payload.batch(self.producer, number, self.batch, nanos);
                    match producer.put_batch(records).await {
                        Ok(ticket) => unanswered.push(answer(ticket, number, due)),
                        Err(error) => loaded.error = Some(error),
                    }
                    number += self.batch as u64;
                }
                else => break,
            }
        }
        while let Some(answer) = unanswered.next().await {
            loaded.count(answer);
        }
        loaded.stats = producer.stats();
        if let Err(error) = producer.close().await {
            loaded.error.get_or_insert(error);
        }
        loaded
    }

    /// When the next batch is due, once it is; none at the end.
    async fn next_due(&mut self) -> Option<Instant> {
        if self.stopped.load(Ordering::Relaxed) {
            return None;
        }
        match &mut self.dues {
            Some(dues) => dues.recv().await,
            None => Some(Instant::now()).filter(|now| *now < self.window.until),
        }
    }
}

async fn answer(ticket: BatchTicket, first_number: u64, due: Instant) -> Answer {
    let outcomes = ticket.await;
    Answer { first_number, due, arrived: Instant::now(), outcomes }
}

impl Loaded {
    fn count(&mut self, answer: Answer) {
        let outcomes = match answer.outcomes {
            Ok(outcomes) => outcomes,
            Err(error) => {
                self.error.get_or_insert(error);
                return;
            }
        };
        let mut acknowledged = 0;
        for (number, outcome) in (answer.first_number..).zip(outcomes) {
            match outcome {
                Ok(placed) => {
                    self.ledger.note(number, placed);
                    acknowledged += 1;
                }
                Err(error) => {
                    self.error.get_or_insert(error);
                }
            }
        }
        self.acknowledgements.note(answer.due, answer.arrived, acknowledged);
    }
}
