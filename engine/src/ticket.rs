//! The receipt for staged records: it resolves when a sync covers them.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::error::{Error, Result};
use crate::sequence::SequenceNumber;

/// Where records were put.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    /// The first record's number.
    pub first: SequenceNumber,
    /// The last record's number.
    pub last: SequenceNumber,
}

/// Where the outcome of a ticket is told.
pub(crate) type Outcome = oneshot::Sender<Result<()>>;

/// Resolves once its records are durable, or have failed.
#[must_use = "records are durable only once the ticket has resolved"]
pub struct AppendTicket {
    first: SequenceNumber,
    count: u64,
    outcome: oneshot::Receiver<Result<()>>,
}

impl AppendTicket {
    /// A ticket for `count` records, at least one, and the end that resolves it.
    pub(crate) fn new(first: SequenceNumber, count: u64) -> (AppendTicket, Outcome) {
        let (sender, outcome) = oneshot::channel();
        (AppendTicket { first, count, outcome }, sender)
    }

    /// The number that the first record will have, if all goes well.
    pub fn first(&self) -> SequenceNumber {
        self.first
    }

    /// How many records the ticket is for.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Waits for the outcome. Not for async threads: await the ticket there.
    pub fn wait(self) -> Result<Appended> {
        let appended = self.appended();
        self.outcome.blocking_recv().unwrap_or(Err(Error::ShuttingDown)).map(|()| appended)
    }

    fn appended(&self) -> Appended {
        Appended { first: self.first, last: self.first.plus(self.count - 1) }
    }
}

impl Future for AppendTicket {
    type Output = Result<Appended>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let appended = self.appended();
        // A dropped sender: the engine went away with the batch still staged.
        Pin::new(&mut self.outcome)
            .poll(context)
            .map(|outcome| outcome.unwrap_or(Err(Error::ShuttingDown)).map(|()| appended))
    }
}
