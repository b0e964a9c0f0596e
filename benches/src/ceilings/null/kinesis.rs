//! Doing nothing behind our own port, as an AWS SDK meets it: every body is read to its end, and
//! what is answered are constant bytes, as many as a real answer has.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anabranch_server::net::Port;
use anyhow::Result;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;

use super::super::load::{CALL_RECORDS, DATA_BYTES, Encoding, Value};

/// Records of an event: as many as ours has, where there are enough.
const EVENT_RECORDS: usize = 1000;

/// As long as the real service's.
const SEQUENCE_NUMBER: &str = "49680512284043238284679022296631596357655441565959585794";
const SHARD: &str = "shardId-000000000001";
const ITERATOR_CHARACTERS: usize = 224;

/// Bytes of a frame before its headers: two lengths and a checksum.
const PRELUDE_BYTES: usize = 12;
const CHECKSUM_BYTES: usize = 4;

pub(super) async fn serve() -> Result<()> {
    let port = Port::bind(SocketAddr::from(([127, 0, 0, 1], 0)), "nothing")?;
    super::tell(port.address())?;
    let replies = Arc::new(Replies::new());
    let _open = port.open(service_fn(move |request| {
        let replies = Arc::clone(&replies);
        async move { Ok::<_, Infallible>(answer(request, &replies).await) }
    }));
    std::future::pending().await
}

/// Answers by what is asked, and in which encoding: seven, which are soon looked through.
struct Replies(Vec<(&'static str, Encoding, Reply)>);

#[derive(Clone)]
struct Reply {
    content_type: &'static str,
    body: Bytes,
    /// Sent again and again, until nobody listens.
    is_endless: bool,
}

impl Replies {
    fn new() -> Replies {
        let mut replies = Vec::new();
        for encoding in [Encoding::Json, Encoding::Cbor] {
            let answers =
                [("PutRecords", put()), ("GetRecords", page()), ("GetShardIterator", iterator())];
            for (operation, value) in answers {
                let content_type = encoding.content_type();
                let body = encoding.write(&value).into();
                let reply = Reply { content_type, body, is_endless: false };
                replies.push((operation, encoding, reply));
            }
        }
        let events = Reply {
            content_type: "application/vnd.amazon.eventstream",
            body: event_frame(),
            is_endless: true,
        };
        replies.push(("SubscribeToShard", Encoding::Json, events));
        Replies(replies)
    }

    fn to(&self, request: &Request<Incoming>) -> Option<&Reply> {
        let header = |name: &str| request.headers().get(name)?.to_str().ok();
        let (_, operation) = header("x-amz-target")?.split_once('.')?;
        let asked = (operation, Encoding::of(header("content-type")?)?);
        let reply = self.0.iter().find(|reply| (reply.0, reply.1) == asked)?;
        Some(&reply.2)
    }
}

fn put() -> Value {
    let record = Value::Map(vec![
        ("SequenceNumber", Value::Text(SEQUENCE_NUMBER.to_owned())),
        ("ShardId", Value::Text(SHARD.to_owned())),
    ]);
    Value::Map(vec![
        ("FailedRecordCount", Value::Count(0)),
        ("Records", Value::List(vec![record; CALL_RECORDS])),
    ])
}

fn page() -> Value {
    Value::Map(vec![
        ("Records", records(CALL_RECORDS)),
        ("NextShardIterator", Value::Text("x".repeat(ITERATOR_CHARACTERS))),
        ("MillisBehindLatest", Value::Count(1)),
    ])
}

fn iterator() -> Value {
    Value::Map(vec![("ShardIterator", Value::Text("x".repeat(ITERATOR_CHARACTERS)))])
}

fn records(count: usize) -> Value {
    let record = Value::Map(vec![
        ("SequenceNumber", Value::Text(SEQUENCE_NUMBER.to_owned())),
        ("ApproximateArrivalTimestamp", Value::Time(1_700_000_000_000)),
        ("Data", Value::Bytes(vec![b'x'; DATA_BYTES])),
        ("PartitionKey", Value::Text("key-0001".to_owned())),
    ]);
    Value::List(vec![record; count])
}

/// A SubscribeToShardEvent as a frame of an event stream. Its checksums are nothing: the client
/// that it is for looks at none.
fn event_frame() -> Bytes {
    let payload = Encoding::Json.write(&Value::Map(vec![
        ("Records", records(EVENT_RECORDS)),
        ("ContinuationSequenceNumber", Value::Text(SEQUENCE_NUMBER.to_owned())),
        ("MillisBehindLatest", Value::Count(1)),
    ]));
    let mut headers = BytesMut::new();
    for (name, value) in [
        (":message-type", "event"),
        (":event-type", "SubscribeToShardEvent"),
        (":content-type", "application/json"),
    ] {
        headers.put_u8(name.len() as u8);
        headers.put_slice(name.as_bytes());
        // A string.
        headers.put_u8(7);
        headers.put_u16(value.len() as u16);
        headers.put_slice(value.as_bytes());
    }
    let length = PRELUDE_BYTES + headers.len() + payload.len() + CHECKSUM_BYTES;
    let mut frame = BytesMut::with_capacity(length);
    frame.put_u32(length as u32);
    frame.put_u32(headers.len() as u32);
    frame.put_u32(0);
    frame.put(headers);
    frame.put(&payload[..]);
    frame.put_u32(0);
    frame.freeze()
}

async fn answer(request: Request<Incoming>, replies: &Replies) -> Response<Answer> {
    let reply = replies.to(&request).cloned();
    let mut body = request.into_body();
    let mut is_whole = true;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if frame.is_err() {
            is_whole = false;
            break;
        }
    }
    let Some(reply) = reply.filter(|_| is_whole) else {
        let mut refused = Response::new(Answer { body: Bytes::new(), is_endless: false });
        *refused.status_mut() = StatusCode::BAD_REQUEST;
        return refused;
    };
    let content_type = HeaderValue::from_static(reply.content_type);
    let mut response = Response::new(Answer { body: reply.body, is_endless: reply.is_endless });
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// The body of an answer.
struct Answer {
    /// What is still to be sent.
    body: Bytes,
    is_endless: bool,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let body = if self.is_endless { self.body.clone() } else { std::mem::take(&mut self.body) };
        Poll::Ready((!body.is_empty()).then(|| Ok(Frame::data(body))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_endless {
            SizeHint::default()
        } else {
            SizeHint::with_exact(self.body.len() as u64)
        }
    }
}
