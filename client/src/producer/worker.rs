//! The task behind a producer: forms batches, sends them, and matches the answers.
//!
//! It owns all state, so nothing is locked. A record moves
//!
//! ```text
//!   inbox -> waiting -> in_flight -> resolved
//!              ^           |  |
//!              |  call lost|  |throttled
//!              +-----------+  v
//!              +---------- put_off
//! ```
//!
//! Answers come in the order of the requests, so the front of `in_flight` is always the batch
//! that an answer is about.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use anabranch_proto::v1::{ProduceRequest, ProduceResponse, PutRecordsRequestEntry};
use futures_util::{Stream, StreamExt, TryFutureExt};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::ledger::{Entry, Ledger};
use super::{Counters, Placed, Settings};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::retry::{Backoff, Retry};

/// What a producer asks of its worker.
#[derive(Debug)]
pub(super) enum Command {
    Put {
        entry: PutRecordsRequestEntry,
        charge: usize,
        sender: oneshot::Sender<Result<Placed>>,
    },
    PutBatch {
        entries: Vec<PutRecordsRequestEntry>,
        charge: usize,
        sender: oneshot::Sender<Vec<Result<Placed>>>,
    },
    Flush(oneshot::Sender<()>),
}

/// Commands taken in one go before the worker looks at answers again.
const COMMANDS_AT_ONCE: usize = 256;

/// A `Produce` call that is open.
struct Call {
    /// Holds as many as may be in flight, so sending never waits.
    requests: mpsc::Sender<ProduceRequest>,
    answers: Pin<Box<dyn Stream<Item = Result<ProduceResponse, Status>> + Send>>,
    is_named: bool,
}

/// Records that were throttled, until they are due.
struct PutOff {
    due: Instant,
    entries: Vec<Entry>,
}

pub(super) struct Worker {
    client: Client,
    stream_name: String,
    settings: Settings,
    inbox: mpsc::UnboundedReceiver<Command>,
    is_closing: bool,
    ledger: Ledger,
    waiting: VecDeque<Entry>,
    waiting_bytes: usize,
    /// Since when the oldest waiting record lingers.
    waiting_since: Option<Instant>,
    in_flight: VecDeque<Vec<Entry>>,
    put_off: Vec<PutOff>,
    call: Option<Call>,
    /// After a lost call: when the next one may be made.
    call_due: Option<Instant>,
    /// Of calls. Records have their own count of attempts and share `jitter`.
    retry: Retry,
    jitter: Backoff,
}

/// What woke the worker.
enum Event {
    Commands(usize),
    Answer(Option<Result<ProduceResponse, Status>>),
    Time,
}

impl Worker {
    pub(super) fn new(
        client: Client,
        stream_name: String,
        settings: Settings,
        inbox: mpsc::UnboundedReceiver<Command>,
        room: Arc<Semaphore>,
        counters: Arc<Counters>,
    ) -> Self {
        Worker {
            client,
            stream_name,
            settings,
            inbox,
            is_closing: false,
            ledger: Ledger::new(room, counters),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            waiting_since: None,
            in_flight: VecDeque::new(),
            put_off: Vec::new(),
            call: None,
            call_due: None,
            retry: Retry::new(settings.retry),
            jitter: Backoff::new(settings.retry),
        }
    }

    /// Works until the producer is closed and everything has its outcome.
    pub(super) async fn run(mut self) {
        let mut commands = Vec::with_capacity(COMMANDS_AT_ONCE);
        loop {
            self.take_back_what_is_due();
            self.send_what_may_be_sent();
            if self.is_closing && self.is_idle() {
                return;
            }
            match self.next_event(&mut commands).await {
                Event::Commands(0) => self.is_closing = true,
                Event::Commands(_) => commands.drain(..).for_each(|command| self.take(command)),
                Event::Answer(Some(Ok(answer))) => self.take_answer(answer),
                Event::Answer(Some(Err(status))) => {
                    let error = self.client.error(status);
                    self.lose_call(error);
                }
                Event::Answer(None) => self.lose_call(Error::Unreachable {
                    server: self.client.server().clone(),
                    sent: true,
                    cause: "the server ended the call".to_owned(),
                }),
                Event::Time => {}
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty() && self.put_off.is_empty()
    }

    async fn next_event(&mut self, commands: &mut Vec<Command>) -> Event {
        let wake = self.wake_at();
        let timer = async {
            match wake {
                Some(wake) => tokio::time::sleep_until(wake).await,
                None => std::future::pending().await,
            }
        };
        let call = &mut self.call;
        let answer = async {
            match call {
                Some(call) => call.answers.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Answers first: they make room for what the commands bring.
            biased;
            answer = answer => Event::Answer(answer),
            count = self.inbox.recv_many(commands, COMMANDS_AT_ONCE), if !self.is_closing => {
                Event::Commands(count)
            }
            () = timer => Event::Time,
        }
    }

    /// When something becomes due by itself.
    fn wake_at(&self) -> Option<Instant> {
        let put_off = self.put_off.iter().map(|put_off| put_off.due).min();
        let has_slot = self.in_flight.len() < self.settings.in_flight_batches;
        let send = match self.call_due {
            Some(due) => Some(due),
            None => self.waiting_since.map(|since| since + self.settings.linger),
        };
        let send = send.filter(|_| has_slot && !self.waiting.is_empty());
        put_off.into_iter().chain(send).min()
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Put { entry, charge, sender } => {
                let entry = self.ledger.accept_one(entry, charge, sender);
                self.waiting_bytes += entry.bytes();
                self.waiting.push_back(entry);
            }
            Command::PutBatch { entries, charge, sender } => {
                let (waiting, bytes) = (&mut self.waiting, &mut self.waiting_bytes);
                self.ledger.accept_batch(entries, charge, sender, |entry| {
                    *bytes += entry.bytes();
                    waiting.push_back(entry);
                });
            }
            Command::Flush(sender) => self.ledger.flush(sender),
        }
        if !self.waiting.is_empty() {
            self.waiting_since.get_or_insert_with(Instant::now);
        }
    }

    // ---- out -------------------------------------------------------------------------------

    fn take_back_what_is_due(&mut self) {
        if self.put_off.is_empty() {
            return;
        }
        let now = Instant::now();
        let (due, later) =
            std::mem::take(&mut self.put_off).into_iter().partition(|put_off| put_off.due <= now);
        self.put_off = later;
        let due: Vec<PutOff> = due;
        for put_off in due.into_iter().rev() {
            self.wait_in_front(put_off.entries);
        }
    }

    fn wait_in_front(&mut self, entries: Vec<Entry>) {
        self.ledger.put_again(entries.len());
        for entry in entries.into_iter().rev() {
            self.waiting_bytes += entry.bytes();
            self.waiting.push_front(entry);
        }
        if !self.waiting.is_empty() {
            self.waiting_since.get_or_insert_with(Instant::now);
        }
    }

    fn send_what_may_be_sent(&mut self) {
        if self.call_due.is_some_and(|due| due > Instant::now()) {
            return;
        }
        self.call_due = None;
        while self.in_flight.len() < self.settings.in_flight_batches && self.is_batch_ready() {
            let batch = self.next_batch();
            if !self.send(batch) {
                return;
            }
        }
    }

    fn is_batch_ready(&self) -> bool {
        let Some(since) = self.waiting_since.filter(|_| !self.waiting.is_empty()) else {
            return false;
        };
        self.settings.linger.is_zero()
            || self.is_closing
            || self.ledger.is_flushing()
            || self.waiting.len() >= self.settings.batch_records
            || self.waiting_bytes >= self.settings.batch_bytes
            || since.elapsed() >= self.settings.linger
    }

    fn next_batch(&mut self) -> Vec<Entry> {
        let mut count = 0;
        let mut bytes = 0;
        for entry in self.waiting.iter().take(self.settings.batch_records) {
            if count > 0 && bytes + entry.bytes() > self.settings.batch_bytes {
                break;
            }
            bytes += entry.bytes();
            count += 1;
        }
        self.waiting_bytes -= bytes;
        let batch = self.waiting.drain(..count).collect();
        self.waiting_since = (!self.waiting.is_empty()).then(Instant::now);
        batch
    }

    /// Sends a batch. False if the call turns out to have ended: its answers will say why.
    fn send(&mut self, batch: Vec<Entry>) -> bool {
        let client = &self.client;
        let in_flight_batches = self.settings.in_flight_batches;
        let call = self.call.get_or_insert_with(|| Call::open(client, in_flight_batches));
        let request = ProduceRequest {
            stream_name: if call.is_named { String::new() } else { self.stream_name.clone() },
            records: batch.iter().map(|entry| entry.record.clone()).collect(),
            ..Default::default()
        };
        call.is_named = true;
        // The batch counts as in flight either way: an ended call gives it back.
        let is_sent = call.requests.try_send(request).is_ok();
        self.in_flight.push_back(batch);
        is_sent
    }

    // ---- back ------------------------------------------------------------------------------

    fn take_answer(&mut self, answer: ProduceResponse) {
        let Some(batch) = self.in_flight.pop_front() else {
            return self.lose_call(Error::Internal { message: "an answer to nothing".to_owned() });
        };
        let count = batch.len();
        if answer.sequence_numbers.len() != count || answer.shard_indexes.len() != count {
            self.in_flight.push_front(batch);
            return self.lose_call(Error::Internal {
                message: "an answer of another length than its request".to_owned(),
            });
        }
        self.retry.reset();
        let mut failures = answer.failures.into_iter().peekable();
        let mut again: Vec<Entry> = Vec::new();
        for (index, entry) in batch.into_iter().enumerate() {
            let sequence_number = answer.sequence_numbers[index];
            if sequence_number != 0 {
                let placed = Placed { shard_index: answer.shard_indexes[index], sequence_number };
                self.ledger.resolve(entry, Ok(placed));
                continue;
            }
            let failure = failures.next_if(|failure| failure.index as usize == index);
            let error = failure.map_or_else(
                || Error::Internal { message: "no reason given".to_owned() },
                |failure| Error::of_record(&failure.error_code, failure.error_message),
            );
            again.extend(self.fail_or_keep(entry, error));
        }
        if let Some(most_tried) = again.iter().map(|entry| entry.attempts).max() {
            let due = Instant::now() + self.jitter.draw(most_tried - 1);
            self.put_off.push(PutOff { due, entries: again });
        }
    }

    /// Gives the record back if it is to be put again, and else tells whoever waits.
    fn fail_or_keep(&mut self, mut entry: Entry, error: Error) -> Option<Entry> {
        let may_repeat = error.had_no_effect() || self.settings.retry_unknown;
        if error.is_retryable() && may_repeat && entry.attempts < self.settings.retry.attempts_max {
            entry.attempts += 1;
            entry.may_stand |= !error.had_no_effect();
            return Some(entry);
        }
        self.ledger.resolve(entry, Err(error));
        None
    }

    /// The call has ended: decides what becomes of what it left unanswered.
    fn lose_call(&mut self, error: Error) {
        self.call = None;
        let mut unanswered = std::mem::take(&mut self.in_flight);
        if unanswered.is_empty() && self.waiting.is_empty() {
            // It broke while nothing was under way, which concerns nobody.
            return;
        }
        if matches!(error, Error::InvalidArgument { .. }) {
            // The server stops at the malformed request, and the first unanswered one is it.
            // What came behind was not looked at.
            for entry in unanswered.pop_front().into_iter().flatten() {
                self.ledger.resolve(entry, Err(error.clone()));
            }
            return self.wait_in_front(unanswered.into_iter().flatten().collect());
        }
        let Some(delay) = self.retry.delay(&error) else {
            self.retry.reset();
            return self.give_up(unanswered, &error);
        };
        self.call_due = Some(Instant::now() + delay);
        if error.had_no_effect() || self.settings.retry_unknown {
            let may_stand = !error.had_no_effect();
            let mut entries: Vec<Entry> = unanswered.into_iter().flatten().collect();
            for entry in &mut entries {
                entry.may_stand |= may_stand;
            }
            self.wait_in_front(entries);
        } else {
            self.fail_unknown(unanswered, &error);
        }
    }

    /// Nothing that waits can be delivered: tells everybody. Later puts start afresh.
    fn give_up(&mut self, unanswered: VecDeque<Vec<Entry>>, error: &Error) {
        if error.had_no_effect() || !error.is_retryable() {
            for entry in unanswered.into_iter().flatten() {
                let outcome = outcome_of(&entry, error);
                self.ledger.resolve(entry, Err(outcome));
            }
        } else {
            self.fail_unknown(unanswered, error);
        }
        let put_off = std::mem::take(&mut self.put_off);
        let put_off = put_off.into_iter().flat_map(|put_off| put_off.entries);
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        self.waiting_since = None;
        for entry in put_off.chain(waiting) {
            let outcome = outcome_of(&entry, error);
            self.ledger.resolve(entry, Err(outcome));
        }
    }

    fn fail_unknown(&mut self, unanswered: VecDeque<Vec<Entry>>, error: &Error) {
        for entry in unanswered.into_iter().flatten() {
            let cause = Box::new(error.clone());
            self.ledger.resolve(entry, Err(Error::OutcomeUnknown { cause }));
        }
    }
}

/// The error of a record whose last attempt certainly had no effect: an earlier one may have.
fn outcome_of(entry: &Entry, error: &Error) -> Error {
    if entry.may_stand {
        let cause = Box::new(error.clone());
        Error::OutcomeUnknown { cause }
    } else {
        error.clone()
    }
}

impl Call {
    fn open(client: &Client, in_flight_batches: usize) -> Call {
        let (requests, receiver) = mpsc::channel(in_flight_batches);
        let mut stub = client.stub();
        let answers = async move {
            let answers = stub.produce(ReceiverStream::new(receiver)).await?;
            Ok(answers.into_inner())
        };
        Call { requests, answers: Box::pin(flatten(answers)), is_named: false }
    }
}

/// The answers of a call that is still being made. Requests travel meanwhile: a server may
/// look at the first one before it says yes.
fn flatten<S>(
    call: impl Future<Output = Result<S, Status>> + Send,
) -> impl Stream<Item = Result<ProduceResponse, Status>> + Send
where
    S: Stream<Item = Result<ProduceResponse, Status>> + Send,
{
    call.try_flatten_stream()
}
