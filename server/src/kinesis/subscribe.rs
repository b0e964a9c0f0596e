//! SubscribeToShard: one request in, an event stream out.
//!
//! The connection takes an event when it has room for it, and the next one is not made before; if
//! the client vanishes, the body is dropped and the subscription with it.

use std::convert::Infallible;

use anabranch_engine::sequence::SequenceNumber;
use anabranch_proto::v1::SubscribeToShardRequest;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use http::Response;
use http_body::Frame;
use http_body_util::StreamBody;
use tonic::body::Body;

use super::door::Failure;
use super::event_stream::{self, put_event, put_exception, put_initial_response};
use super::translate::{FromMembers, child_shards};
use super::value::{Encoding, Members};
use super::{get_records, model, records, reply};
use crate::metrics::{Call, Operation};
use crate::ops::{Caller, Kind, OpError, Ops};
use crate::push::{Event, Subscription};

/// Serves a subscription. What is refused before the stream begins is a refusal like any other.
pub(super) async fn call(
    ops: &Ops,
    caller: &Caller,
    encoding: Encoding,
    bytes: &Bytes,
) -> Result<Response<Body>, Failure> {
    let members = model::read(Operation::SubscribeToShard, encoding, bytes)?;
    let request = SubscribeToShardRequest::from_members(members);
    let subscription = ops.call(caller, request).await?;
    let call = ops.metrics().call(Operation::SubscribeToShard);
    let mut first = BytesMut::new();
    put_initial_response(encoding, &mut first);
    let first = stream::once(async move { first.freeze() });
    let frames = first.chain(frames(subscription, encoding, call));
    let body = StreamBody::new(frames.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes))));
    Ok(reply::streamed(event_stream::CONTENT_TYPE, Body::new(body)))
}

/// The events as frames, until one of them is the last.
fn frames(
    subscription: Subscription,
    encoding: Encoding,
    call: Call,
) -> impl Stream<Item = Bytes> + Send {
    stream::unfold((subscription, call), move |(mut subscription, call)| async move {
        let mut out = BytesMut::new();
        let Some(event) = subscription.next().await else {
            call.ended();
            return None;
        };
        let put = event.and_then(|event| put(encoding, &subscription, event, &mut out));
        if let Err(error) = put {
            call.refused(error.kind);
            out.clear();
            // A server that goes away ends the stream as its five minutes do: the client
            // subscribes again, and finds the next server.
            let exception = exception(error.kind)?;
            put_exception(encoding, exception, &error.message, &mut out);
        }
        Some((out.freeze(), (subscription, call)))
    })
}

fn put(
    encoding: Encoding,
    subscription: &Subscription,
    event: Event,
    out: &mut BytesMut,
) -> Result<(), OpError> {
    let Event { page, continuation_sequence_number, child_shards: children } = event;
    let origin = subscription.origin();
    // The end of a closed shard is known by the children and by a number that is missing.
    let rest = match page.is_end {
        true => Members::new().with("ChildShards", child_shards(children)),
        false => {
            let number = SequenceNumber(continuation_sequence_number);
            // Of a place between records nothing is known but the shard.
            let number = match page.last_arrival_ms {
                Some(arrival_ms) => origin.number(number, arrival_ms),
                None => origin.starting(number),
            };
            Members::new().with("ContinuationSequenceNumber", number.to_string())
        }
    };
    let rest = rest.with("MillisBehindLatest", page.millis_behind);
    put_event(encoding, "SubscribeToShardEvent", out, |out| {
        records::put_page(encoding, &page, origin, &rest, out).map_err(get_records::damaged)
    })
}

/// The exceptions that a stream may break off with; none says that it just ends.
fn exception(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::ShuttingDown => None,
        Kind::ResourceInUse | Kind::ResourceNotFound => Some(kind.told().exception),
        _ => Some(Kind::InternalFailure.told().exception),
    }
}
