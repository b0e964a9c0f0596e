//! The receipt for staged records: it resolves when a sync covers them.
//!
//! All records that are staged together share one fate, that of their commit, so all their
//! tickets share one [`Fate`]: a ticket costs a count of references, and a task that waits for
//! many of them is woken once. Whoever is to tell it holds the [`Outcome`]; if that is dropped
//! untold, the engine went away with the records still staged.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, Result};
use crate::sequence::SequenceNumber;

/// Where records were put.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    /// The first record's number.
    pub first: SequenceNumber,
    /// The last record's number.
    pub last: SequenceNumber,
    /// When they arrived, milliseconds since 1970: what is appended together arrives together.
    pub arrival_ms: u64,
}

/// What became of the records that are staged together.
#[derive(Default)]
struct Fate {
    known: OnceLock<Result<()>>,
    /// Tasks to be woken; nobody looks at it once the fate is known.
    tasks: Mutex<Vec<Waker>>,
    /// For threads that wait, with the same lock.
    told: Condvar,
}

impl Fate {
    fn tell(&self, result: Result<()>) {
        // Whoever is late with other news is not heard: the first word counts.
        if self.known.set(result).is_ok() {
            let tasks = std::mem::take(&mut *self.tasks.lock());
            self.told.notify_all();
            tasks.into_iter().for_each(Waker::wake);
        }
    }

    /// `place` is where the asking ticket stands among the tasks, if it does.
    fn poll(&self, place: &mut Option<usize>, waker: &Waker) -> Poll<Result<()>> {
        if let Some(known) = self.known.get() {
            return Poll::Ready(known.clone());
        }
        let mut tasks = self.tasks.lock();
        // It may have been told before we had the lock, and then nobody would wake us.
        if let Some(known) = self.known.get() {
            return Poll::Ready(known.clone());
        }
        // A task that waits for several tickets asks for them one after the other. What is listed
        // is never taken back, since another ticket may count on it.
        let listed = [*place, tasks.len().checked_sub(1)].into_iter().flatten();
        let mut listed = listed.filter(|listed| tasks[*listed].will_wake(waker));
        *place = Some(listed.next().unwrap_or_else(|| {
            tasks.push(waker.clone());
            tasks.len() - 1
        }));
        Poll::Pending
    }

    fn wait(&self) -> Result<()> {
        let mut tasks = self.tasks.lock();
        loop {
            if let Some(known) = self.known.get() {
                return known.clone();
            }
            self.told.wait(&mut tasks);
        }
    }
}

/// Where the outcome of all tickets of a commit is told.
pub(crate) struct Outcome(Arc<Fate>);

impl Outcome {
    pub(crate) fn new() -> Outcome {
        Outcome(Arc::default())
    }

    /// A ticket for `count` more records, at least one, that all bear this stamp.
    pub(crate) fn ticket(
        &self,
        first: SequenceNumber,
        count: u64,
        arrival_ms: u64,
    ) -> AppendTicket {
        AppendTicket { first, count, arrival_ms, fate: Arc::clone(&self.0), place: None }
    }

    pub(crate) fn send(self, result: Result<()>) {
        self.0.tell(result);
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        self.0.tell(Err(Error::ShuttingDown));
    }
}

/// Resolves once its records are durable, or have failed.
#[must_use = "records are durable only once the ticket has resolved"]
pub struct AppendTicket {
    first: SequenceNumber,
    count: u64,
    arrival_ms: u64,
    fate: Arc<Fate>,
    /// Where its task is listed.
    place: Option<usize>,
}

impl AppendTicket {
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
        self.fate.wait().map(|()| self.appended())
    }

    fn appended(&self) -> Appended {
        let last = self.first.plus(self.count - 1);
        Appended { first: self.first, last, arrival_ms: self.arrival_ms }
    }
}

impl Future for AppendTicket {
    type Output = Result<Appended>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let appended = self.appended();
        let AppendTicket { fate, place, .. } = &mut *self;
        fate.poll(place, context.waker()).map(|known| known.map(|()| appended))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    /// A task that counts how often it is woken.
    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn poll(ticket: &mut AppendTicket, task: &Arc<Task>) -> Poll<Result<Appended>> {
        let waker = Waker::from(Arc::clone(task));
        Pin::new(ticket).poll(&mut Context::from_waker(&waker))
    }

    fn ticket(outcome: &Outcome, first: u64) -> AppendTicket {
        outcome.ticket(SequenceNumber(first), 2, 1_700)
    }

    #[test]
    fn tickets_of_one_commit_resolve_together_and_wake_each_task_once() {
        let outcome = Outcome::new();
        let (one, other) = (Arc::<Task>::default(), Arc::<Task>::default());
        let mut tickets: Vec<_> = (0..4).map(|index| ticket(&outcome, 1 + 2 * index)).collect();
        for (index, ticket) in tickets.iter_mut().enumerate() {
            let task = if index < 3 { &one } else { &other };
            // Asked again, a ticket keeps its place.
            assert!(poll(ticket, task).is_pending());
            assert!(poll(ticket, task).is_pending());
        }
        outcome.send(Ok(()));
        let woken = |task: &Task| task.0.load(Ordering::Relaxed);
        assert_eq!((woken(&one), woken(&other)), (1, 1));
        let last = tickets.pop().unwrap().wait().unwrap();
        assert_eq!((last.first, last.last), (SequenceNumber(7), SequenceNumber(8)));
        assert_eq!(last.arrival_ms, 1_700);
        for ticket in &mut tickets {
            assert!(matches!(poll(ticket, &one), Poll::Ready(Ok(_))));
        }
    }

    #[test]
    fn a_ticket_that_moves_to_another_task_wakes_that_one_and_leaves_those_that_stay() {
        let outcome = Outcome::new();
        let (before, after) = (Arc::<Task>::default(), Arc::<Task>::default());
        let (mut moved, mut stays) = (ticket(&outcome, 1), ticket(&outcome, 3));
        assert!(poll(&mut moved, &before).is_pending());
        assert!(poll(&mut stays, &before).is_pending());
        assert!(poll(&mut moved, &after).is_pending());
        outcome.send(Err(Error::DiskFull));
        assert_eq!(before.0.load(Ordering::Relaxed), 1);
        assert_eq!(after.0.load(Ordering::Relaxed), 1);
        assert!(matches!(moved.wait(), Err(Error::DiskFull)));
    }

    #[test]
    fn a_dropped_outcome_is_the_end_of_the_engine_also_for_a_thread_that_waits() {
        let outcome = Outcome::new();
        let (first, second) = (ticket(&outcome, 1), ticket(&outcome, 3));
        let waiting = std::thread::spawn(|| first.wait());
        drop(outcome);
        assert!(matches!(waiting.join().unwrap(), Err(Error::ShuttingDown)));
        assert!(matches!(second.wait(), Err(Error::ShuttingDown)));
    }
}
