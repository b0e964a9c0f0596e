//! Who waits for which record.
//!
//! Every record accepted has one [`Entry`], which is in exactly one place (waiting, in flight,
//! or put off) until [`Ledger::resolve`] takes it. The ledger then tells whoever waits, gives
//! the room back and ends the flushes that waited for it. A flush is a line drawn under what
//! was accepted before: the records between two lines form an epoch, and a flush is over when
//! no epoch up to its own has a record left.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anabranch_proto::v1::PutRecordsRequestEntry;
use tokio::sync::{Semaphore, oneshot};

use super::{Counters, Placed};
use crate::error::{Error, Result};

/// A record that has no outcome yet.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: PutRecordsRequestEntry,
    /// Attempts that failed for this record alone, as throttling does.
    pub(super) attempts: u32,
    /// Whether an earlier attempt may have put it after all.
    pub(super) may_stand: bool,
    waiter: Waiter,
    epoch: u64,
}

impl Entry {
    /// Bytes that count against a batch.
    pub(super) fn bytes(&self) -> usize {
        self.record.data.len() + self.record.partition_key.len()
    }
}

#[derive(Debug)]
enum Waiter {
    One { sender: oneshot::Sender<Result<Placed>>, charge: usize },
    Part { batch: u64, index: usize },
}

/// A `put_batch` that is not over.
#[derive(Debug)]
struct OpenBatch {
    outcomes: Vec<Result<Placed>>,
    left: usize,
    charge: usize,
    sender: oneshot::Sender<Vec<Result<Placed>>>,
}

#[derive(Debug, Default)]
struct Epoch {
    open: usize,
    flushes: Vec<oneshot::Sender<()>>,
}

#[derive(Debug)]
pub(super) struct Ledger {
    room: Arc<Semaphore>,
    counters: Arc<Counters>,
    batches: HashMap<u64, OpenBatch>,
    next_batch: u64,
    /// Never empty; the last one takes new records.
    epochs: VecDeque<Epoch>,
    first_epoch: u64,
}

impl Ledger {
    pub(super) fn new(room: Arc<Semaphore>, counters: Arc<Counters>) -> Self {
        Ledger {
            room,
            counters,
            batches: HashMap::new(),
            next_batch: 0,
            epochs: VecDeque::from([Epoch::default()]),
            first_epoch: 0,
        }
    }

    pub(super) fn accept_one(
        &mut self,
        record: PutRecordsRequestEntry,
        charge: usize,
        sender: oneshot::Sender<Result<Placed>>,
    ) -> Entry {
        self.accept(record, Waiter::One { sender, charge })
    }

    /// Gives the entries one by one, so that they need no list of their own.
    pub(super) fn accept_batch(
        &mut self,
        records: Vec<PutRecordsRequestEntry>,
        charge: usize,
        sender: oneshot::Sender<Vec<Result<Placed>>>,
        mut accepted: impl FnMut(Entry),
    ) {
        if records.is_empty() {
            self.room.add_permits(charge);
            // Whoever waits no longer needs no answer.
            let _ = sender.send(Vec::new());
            return;
        }
        let batch = self.next_batch;
        self.next_batch += 1;
        self.batches.insert(
            batch,
            OpenBatch {
                outcomes: vec![Err(Error::Closed); records.len()],
                left: records.len(),
                charge,
                sender,
            },
        );
        for (index, record) in records.into_iter().enumerate() {
            accepted(self.accept(record, Waiter::Part { batch, index }));
        }
    }

    fn accept(&mut self, record: PutRecordsRequestEntry, waiter: Waiter) -> Entry {
        let current = self.epochs.back_mut().expect("there is always an epoch");
        current.open += 1;
        Entry {
            record,
            attempts: 0,
            may_stand: false,
            waiter,
            epoch: self.first_epoch + self.epochs.len() as u64 - 1,
        }
    }

    /// Draws a line: `sender` hears of it when everything accepted so far has its outcome.
    pub(super) fn flush(&mut self, sender: oneshot::Sender<()>) {
        let current = self.epochs.back_mut().expect("there is always an epoch");
        current.flushes.push(sender);
        self.epochs.push_back(Epoch::default());
        self.end_epochs();
    }

    /// Whether somebody waits in a flush: then nothing lingers.
    pub(super) fn is_flushing(&self) -> bool {
        self.epochs.len() > 1
    }

    pub(super) fn put_again(&self, records: usize) {
        let counter = &self.counters.put_again;
        counter.fetch_add(records as u64, Ordering::Relaxed);
    }

    /// Records the outcome of a record.
    pub(super) fn resolve(&mut self, entry: Entry, outcome: Result<Placed>) {
        if outcome.is_ok() {
            self.counters.acknowledged.fetch_add(1, Ordering::Relaxed);
            if entry.may_stand {
                self.counters.may_stand_twice.fetch_add(1, Ordering::Relaxed);
            }
        } else {
            self.counters.failed.fetch_add(1, Ordering::Relaxed);
        }
        // A waiter that is gone has lost interest, which is its right.
        match entry.waiter {
            Waiter::One { sender, charge } => {
                self.room.add_permits(charge);
                let _ = sender.send(outcome);
            }
            Waiter::Part { batch, index } => self.resolve_part(batch, index, outcome),
        }
        let epoch = &mut self.epochs[(entry.epoch - self.first_epoch) as usize];
        epoch.open -= 1;
        if epoch.open == 0 {
            self.end_epochs();
        }
    }

    fn resolve_part(&mut self, batch: u64, index: usize, outcome: Result<Placed>) {
        let open =
            self.batches.get_mut(&batch).expect("a batch stays until its last record is resolved");
        open.outcomes[index] = outcome;
        open.left -= 1;
        if open.left == 0 {
            let over = self.batches.remove(&batch).expect("it was just there");
            self.room.add_permits(over.charge);
            let _ = over.sender.send(over.outcomes);
        }
    }

    fn end_epochs(&mut self) {
        while self.epochs.len() > 1 && self.epochs[0].open == 0 {
            let over = self.epochs.pop_front().expect("there are two");
            self.first_epoch += 1;
            for flush in over.flushes {
                let _ = flush.send(());
            }
        }
    }
}
