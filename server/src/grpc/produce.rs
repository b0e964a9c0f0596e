//! Produce: batches in, acknowledgements out, both as fast as they come.
//!
//! ```text
//!  body --> intake --> in flight (oldest first) --> acks --> body
//!             |          at most 64 batches and 16 MiB
//!             +-- a batch whose shard has no room waits here, and all behind it
//! ```
//!
//! The whole is one state machine that the response's body polls: there is no task to leak, no
//! channel, and dropping the body drops everything. While too much is in flight, or the client
//! does not read its acknowledgements, the request's body is not read, so that HTTP/2's flow
//! control makes the client wait.
//!
//! Batches are staged one after the other, so records of one shard keep their order over the
//! call, and are acknowledged in the order of the requests.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anabranch_engine::Stream as EngineStream;
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http::Response;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::Status;
use tonic::body::Body;

use super::reply::{self, Frames, YIELD_BYTES, append_message};
use super::request::MessageReader;
use super::status::status;
use super::unary::batch;
use crate::metrics::{Call, Operation};
use crate::ops::put::{Outcome, Staged};
use crate::ops::{Kind, OpError, Ops, Result};
use crate::wire::write;

/// Batches that may be unacknowledged in one call.
const IN_FLIGHT_MAX: usize = 64;
/// Bytes of keys and data that may be unacknowledged in one call, plus one batch.
const IN_FLIGHT_BYTES_MAX: usize = 16 << 20;

/// Serves a call.
pub(super) fn call(ops: Arc<Ops>, body: Body) -> Response<Body> {
    let produce = Produce {
        call: ops.metrics().call(Operation::Produce),
        shutdown: Box::pin(ops.shutdown().clone().cancelled_owned()),
        reader: MessageReader::new(body, ops.request_share()),
        ops,
        stream: None,
        intake: Intake::Open,
        in_flight: VecDeque::new(),
        in_flight_bytes: 0,
        acks: BytesMut::new(),
        is_over: false,
    };
    reply::streaming(produce)
}

struct Produce {
    ops: Arc<Ops>,
    call: Call,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
    reader: MessageReader,
    /// The stream that the first request named.
    stream: Option<Arc<EngineStream>>,
    intake: Intake,
    /// The oldest in front.
    in_flight: VecDeque<Staged>,
    in_flight_bytes: usize,
    /// Acknowledgements, framed and not sent yet.
    acks: BytesMut,
    /// The end was sent.
    is_over: bool,
}

enum Intake {
    /// Requests are read.
    Open,
    /// A batch waits for room; nothing is read meanwhile.
    Waiting(Pin<Box<dyn Future<Output = Result<Staged>> + Send>>),
    /// No more is read: the client has closed its side, or the call ends with an error.
    Closed(Option<OpError>),
}

impl Produce {
    /// Moves what is durable from the front of the queue to the acknowledgements.
    fn acknowledge(&mut self, cx: &mut Context<'_>) {
        while let Some(oldest) = self.in_flight.front_mut() {
            let Poll::Ready(outcome) = oldest.poll_outcome(cx) else {
                return;
            };
            self.in_flight_bytes -= oldest.bytes();
            self.in_flight.pop_front();
            if let Some(error) = ends_call(&outcome) {
                // What follows cannot be acknowledged before this, so it never will be.
                self.in_flight.clear();
                self.intake = Intake::Closed(Some(error.clone()));
                return;
            }
            append_message(&mut self.acks, |out| write::produce_response(&outcome, out));
        }
    }

    /// Takes a request in, if there is one and room for it; says how many bytes it had.
    fn take_in(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        match &mut self.intake {
            Intake::Closed(_) => Poll::Pending,
            Intake::Waiting(staged) => staged.as_mut().poll(cx).map(|staged| {
                self.intake = Intake::Open;
                match staged {
                    Ok(staged) => self.fly(staged),
                    Err(error) => self.intake = Intake::Closed(Some(error)),
                }
                0
            }),
            Intake::Open => {
                if self.shutdown.as_mut().poll(cx).is_ready() {
                    self.intake = Intake::Closed(Some(OpError::shutting_down()));
                    return Poll::Ready(0);
                }
                let is_full = self.in_flight.len() >= IN_FLIGHT_MAX
                    || self.in_flight_bytes >= IN_FLIGHT_BYTES_MAX;
                if is_full {
                    // The oldest batch wakes us.
                    return Poll::Pending;
                }
                self.reader.poll_next(cx).map(|request| {
                    let bytes = request
                        .as_ref()
                        .map_or(0, |request| request.as_ref().map_or(0, Bytes::len));
                    match request {
                        None => self.intake = Intake::Closed(None),
                        Some(request) => {
                            if let Err(error) = request.and_then(|request| self.stage(request)) {
                                self.intake = Intake::Closed(Some(error));
                            }
                        }
                    }
                    bytes
                })
            }
        }
    }

    fn stage(&mut self, request: Bytes) -> Result<()> {
        let (stream_name, batch) = batch(&request)?;
        let stream = self.named(stream_name)?;
        let mut staged = self.ops.stage(&stream, &batch);
        if staged.is_busy() {
            self.intake = Intake::Waiting(Box::pin(async move {
                let (_, batch) = super::unary::batch(&request)?;
                staged.find_room(&batch).await;
                Ok(staged)
            }));
        } else {
            self.fly(staged);
        }
        Ok(())
    }

    fn fly(&mut self, staged: Staged) {
        self.in_flight_bytes += staged.bytes();
        self.in_flight.push_back(staged);
    }

    /// The stream of the call: the first request names it, and no other may name another.
    fn named(&mut self, name: &str) -> Result<Arc<EngineStream>> {
        match &self.stream {
            None => {
                let stream = self.ops.stream(name)?;
                self.stream = Some(Arc::clone(&stream));
                Ok(stream)
            }
            Some(stream) if name.is_empty() || name == stream.name().as_str() => {
                Ok(Arc::clone(stream))
            }
            Some(stream) => {
                let why = format_args!("this call puts into {}", stream.name());
                Err(OpError::invalid_text("stream_name", name, why))
            }
        }
    }
}

/// Whether a batch that failed as a whole ends its call: where the reason concerns every batch
/// that may follow. A halted shard does not; its records are reported one by one.
fn ends_call(outcome: &Outcome) -> Option<&OpError> {
    outcome.refusal().filter(|error| {
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
            Intake::Closed(error) if this.in_flight.is_empty() => {
                this.is_over = true;
                if let Some(error) = error {
                    this.call.refused(error);
                    return Poll::Ready(Some(Err(status(error))));
                }
                this.call.ended();
                Poll::Ready(None)
            }
            _ => Poll::Pending,
        }
    }
}
