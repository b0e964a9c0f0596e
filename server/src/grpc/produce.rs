//! Produce: puts in, acknowledgements out, both as fast as they come.
//!
//! ```text
//!  body --> gathered --> staged together --> in flight (oldest first) --> acks --> body
//!              |                |              at most 32,768 records and 16 MiB
//!              |                +-- one whose shard has no room waits, and all behind it
//!              +-- what is there, up to 64 KiB
//! ```
//!
//! The whole is one state machine that the response's body polls: there is no task to leak, no
//! channel, and dropping the body drops everything. While too much is in flight, or the client
//! does not read its acknowledgements, the request's body is not read, so that HTTP/2's flow
//! control makes the client wait.
//!
//! What has arrived is staged as one batch: a shard is locked once for it and has one ticket for
//! it, so that records that come one by one cost little more than records that come together.
//! Nothing waits for a batch to fill. Batches are staged one after the other, so records of one
//! shard keep their order over the call; each put is acknowledged by itself, in the order of the
//! requests.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anabranch_engine::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, FRAME_PAYLOAD_BYTES_MAX};
use anabranch_engine::{Stream as EngineStream, StreamSettings};
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http::Response;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::Status;
use tonic::body::Body;

use super::reply::{self, Frames, YIELD_BYTES, append_message};
use super::request::MessageReader;
use super::status::status;
use super::unary;
use crate::metrics::{Call, Operation};
use crate::ops::batch::Batch;
use crate::ops::put::{Outcome, Part, Staged, Tables};
use crate::ops::{Caller, Kind, OpError, Ops, Result, StreamFields};
use crate::wire::write;

/// Records that may be unacknowledged in one call, plus one batch. It bounds what the bytes below
/// do not where records are short: a dozen bytes for each record under way, and up to 20 for its
/// acknowledgement, so that a call needs less than 1 MiB for them. It is 30 ms of a million records
/// a second.
const IN_FLIGHT_RECORDS_MAX: usize = 32 << 10;
/// Bytes of keys and data that may be unacknowledged in one call, plus one batch.
const IN_FLIGHT_BYTES_MAX: usize = 16 << 20;

/// Bytes of requests that are staged together, plus one request. A put of as many has no need of
/// company: what staging costs beside its records is a thousandth of what they do. It is few
/// enough for what was read to be in a cache still.
const GATHERED_BYTES_MAX: usize = 64 << 10;

// A record that is encoded has 18 bytes more than in its request, where it has two at least; and
// all of a batch may go to one shard, in one frame.
const _: () = assert!(
    GATHERED_BYTES_MAX / 2 * (2 + 18) + BATCH_BYTES_MAX + BATCH_RECORDS_MAX * 64
        <= FRAME_PAYLOAD_BYTES_MAX
);

/// Serves a call.
pub(super) fn call(ops: Arc<Ops>, caller: Caller, body: Body) -> Response<Body> {
    let produce = Produce {
        call: ops.metrics().call(Operation::Produce),
        shutdown: Box::pin(ops.shutdown().clone().cancelled_owned()),
        reader: MessageReader::new(body, ops.request_share()),
        ops,
        caller,
        stream: None,
        intake: Intake::Open,
        gathered: Vec::new(),
        gathered_bytes: 0,
        batch: Batch::default(),
        tables: Tables::default(),
        waiting: None,
        in_flight: VecDeque::new(),
        in_flight_records: 0,
        in_flight_bytes: 0,
        put_records: VecDeque::new(),
        outcome: Outcome::default(),
        acks: BytesMut::new(),
        is_over: false,
    };
    reply::streaming(produce)
}

struct Produce {
    ops: Arc<Ops>,
    caller: Caller,
    call: Call,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
    reader: MessageReader,
    /// The stream that the first request named.
    stream: Option<Arc<EngineStream>>,
    intake: Intake,
    /// Requests that are read and not staged.
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
    /// Empty but while `gathered` is staged, as are `tables`: their memory is used again.
    batch: Batch<'static>,
    tables: Tables,
    /// A batch that waits for room; nothing is read meanwhile.
    waiting: Option<Pin<Box<dyn Future<Output = Result<Staged>> + Send>>>,
    /// The oldest in front.
    in_flight: VecDeque<Staged>,
    in_flight_records: usize,
    in_flight_bytes: usize,
    /// The records of each put that is waiting or in flight.
    put_records: VecDeque<u32>,
    /// Of the batch that is acknowledged.
    outcome: Outcome,
    /// Acknowledgements, framed and not sent yet.
    acks: BytesMut,
    /// The end was sent.
    is_over: bool,
}

enum Intake {
    /// Requests are read.
    Open,
    /// No more is read: the client has closed its side, or the call ends with an error.
    Closed(Option<OpError>),
}

impl Produce {
    /// Moves what is durable from the front of the queue to the acknowledgements.
    fn acknowledge(&mut self, cx: &mut Context<'_>) {
        while let Some(oldest) = self.in_flight.front_mut() {
            if oldest.poll_outcome(cx, &mut self.outcome).is_pending() {
                return;
            }
            let staged = self.in_flight.pop_front().expect("it was there a moment ago");
            self.in_flight_records -= staged.records();
            self.in_flight_bytes -= staged.bytes();
            let mut start = 0;
            for records in self.put_records.drain(..staged.puts()) {
                let end = start + records as usize;
                let put = self.outcome.part(start..end);
                if let Some(error) = ends_call(put) {
                    // What follows cannot be acknowledged before this, so it never will be.
                    self.intake = Intake::Closed(Some(error.clone()));
                    self.in_flight.clear();
                    self.waiting = None;
                    break;
                }
                append_message(&mut self.acks, |out| write::produce_response(put, out));
                start = end;
            }
            staged.recycle(&mut self.tables);
        }
    }

    /// Stages what has arrived, if anything has and there is room for it; says how many bytes it
    /// had.
    fn take_in(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        if let Some(waiting) = &mut self.waiting {
            return waiting.as_mut().poll(cx).map(|staged| {
                self.waiting = None;
                self.reader.let_go();
                match staged {
                    Ok(staged) => self.fly(staged),
                    Err(error) => self.intake = Intake::Closed(Some(error)),
                }
                0
            });
        }
        if let Intake::Closed(_) = self.intake {
            return Poll::Pending;
        }
        if self.shutdown.as_mut().poll(cx).is_ready() {
            self.intake = Intake::Closed(Some(OpError::shutting_down()));
            return Poll::Ready(0);
        }
        self.gather(cx);
        if self.gathered.is_empty() {
            // Where all is in flight the oldest batch wakes us.
            return match self.intake {
                Intake::Open => Poll::Pending,
                Intake::Closed(_) => Poll::Ready(0),
            };
        }
        let bytes = std::mem::take(&mut self.gathered_bytes);
        self.stage();
        Poll::Ready(bytes)
    }

    /// Reads requests for as long as they are there and there is room for them.
    fn gather(&mut self, cx: &mut Context<'_>) {
        while self.gathered_bytes < GATHERED_BYTES_MAX && !self.is_full() {
            match self.reader.poll_next(cx) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(request))) => {
                    self.gathered_bytes += request.len();
                    self.gathered.push(request);
                }
                Poll::Ready(Some(Err(error))) => {
                    self.intake = Intake::Closed(Some(error));
                    return;
                }
                Poll::Ready(None) => {
                    self.intake = Intake::Closed(None);
                    return;
                }
            }
        }
    }

    fn is_full(&self) -> bool {
        // A request has a record at least.
        self.in_flight_records + self.gathered.len() >= IN_FLIGHT_RECORDS_MAX
            || self.in_flight_bytes + self.gathered_bytes >= IN_FLIGHT_BYTES_MAX
    }

    /// Stages what is gathered, up to the first request that is refused: that ends the call once
    /// those before it are acknowledged.
    fn stage(&mut self) {
        let mut gathered = std::mem::take(&mut self.gathered);
        let mut batch = std::mem::take(&mut self.batch).emptied();
        let mut settings = None;
        for request in &gathered {
            match self.read(request, &mut batch, &mut settings) {
                Ok(records) => self.put_records.push_back(records as u32),
                Err(error) => {
                    self.intake = Intake::Closed(Some(error));
                    break;
                }
            }
        }
        let puts = batch.puts();
        let stream = self.stream.as_ref().filter(|_| puts > 0);
        let staged = stream.map(|stream| self.ops.stage(stream, &batch, &mut self.tables));
        self.batch = batch.emptied();
        match staged {
            Some(staged) if staged.is_busy() => {
                gathered.truncate(puts);
                self.waiting = Some(Box::pin(find_room(staged, gathered)));
                return;
            }
            Some(staged) => self.fly(staged),
            None => {}
        }
        gathered.clear();
        self.gathered = gathered;
        self.reader.let_go();
    }

    /// Reads the put of a request; says how many records it has. `settings` are those of the stream
    /// for all that is staged together, once it is known.
    fn read<'a>(
        &mut self,
        request: &'a [u8],
        batch: &mut Batch<'a>,
        settings: &mut Option<Arc<StreamSettings>>,
    ) -> Result<usize> {
        let (head, draft) = unary::put(request, batch)?;
        let stream = self.named(head.stream)?;
        draft.check(settings.get_or_insert_with(|| stream.settings()))?;
        draft.finish()
    }

    fn fly(&mut self, staged: Staged) {
        self.in_flight_records += staged.records();
        self.in_flight_bytes += staged.bytes();
        self.in_flight.push_back(staged);
    }

    /// The first request names the stream of the call, and no other may name another.
    fn named(&mut self, fields: StreamFields<'_>) -> Result<&EngineStream> {
        if self.stream.is_none() {
            self.stream = Some(self.ops.produce_to(&self.caller, fields)?);
        }
        let stream = self.stream.as_ref().expect("it is named by now");
        if fields.is_empty() || fields == StreamFields::by_name(stream.name().as_str()) {
            return Ok(stream);
        }
        let name = fields.stream_name()?;
        if name == *stream.name() {
            return Ok(stream);
        }
        let why = format_args!("this call puts into {}", stream.name());
        Err(OpError::invalid_text("stream_name", name.as_str(), why))
    }
}

/// Waits for room for the records that found none. They are read once more, since what was
/// borrowed from the requests does not outlast the reading.
async fn find_room(mut staged: Staged, requests: Vec<Bytes>) -> Result<Staged> {
    let mut batch = Batch::default();
    for request in &requests {
        let (_, draft) = unary::put(request, &mut batch)?;
        draft.finish()?;
    }
    staged.find_room(&batch).await;
    Ok(staged)
}

/// Whether a put that failed as a whole ends its call: where the reason concerns every put that
/// may follow. A halted shard does not; its records are reported one by one.
fn ends_call(put: Part<'_>) -> Option<&OpError> {
    put.refusal().filter(|error| {
        matches!(error.kind, Kind::ResourceNotFound | Kind::ShuttingDown | Kind::DiskFull)
    })
}

impl Stream for Produce {
    type Item = Result<Frames, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        let mut taken_bytes = 0;
        loop {
            this.acknowledge(cx);
            if taken_bytes >= YIELD_BYTES {
                cx.waker().wake_by_ref();
                break;
            }
            // Acknowledgements that became ready meanwhile travel together, in one frame.
            match this.take_in(cx) {
                Poll::Ready(bytes) => taken_bytes += bytes,
                Poll::Pending => break,
            }
        }
        if !this.acks.is_empty() {
            return Poll::Ready(Some(Ok(Frames::one(this.acks.split().freeze()))));
        }
        match &mut this.intake {
            Intake::Closed(error) if this.in_flight.is_empty() && this.waiting.is_none() => {
                this.is_over = true;
                if let Some(error) = error {
                    this.call.refused(error.kind);
                    return Poll::Ready(Some(Err(status(error))));
                }
                this.call.ended();
                Poll::Ready(None)
            }
            _ => Poll::Pending,
        }
    }
}
