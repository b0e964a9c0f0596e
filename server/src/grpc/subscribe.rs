//! SubscribeToShard: one message in, events out.

use std::sync::Arc;

use anabranch_proto::v1::SubscribeToShardRequest;
use futures_util::stream;
use http::Response;
use tonic::body::Body;

use super::reply::{self, Frames};
use super::request::MessageReader;
use super::status::status;
use super::unary::decode;
use crate::metrics::Operation;
use crate::ops::{Caller, Ops, Result};
use crate::push::Subscription;
use crate::wire::write;

/// Serves a subscription. The connection takes its events when it has room for them; if the
/// client vanishes, the body is dropped and the subscription with it.
pub(super) async fn call(ops: Arc<Ops>, caller: &Caller, body: Body) -> Response<Body> {
    let call = ops.metrics().call(Operation::SubscribeToShard);
    let reader = MessageReader::new(body, ops.request_share());
    let subscription = match subscribe(&ops, caller, reader).await {
        Ok(subscription) => subscription,
        Err(error) => {
            call.refused(error.kind);
            return reply::refused(status(&error));
        }
    };
    let events = stream::unfold((subscription, call), |(mut subscription, call)| async move {
        let frames = match subscription.next().await {
            Some(Ok(mut event)) => {
                let ranges = std::mem::take(&mut event.page.ranges);
                Ok(Frames::page(ranges, |out| write::subscribe_event_head(&event, out)))
            }
            Some(Err(error)) => {
                call.refused(error.kind);
                Err(status(&error))
            }
            None => {
                call.ended();
                return None;
            }
        };
        Some((frames, (subscription, call)))
    });
    reply::streaming(Box::pin(events))
}

async fn subscribe(ops: &Ops, caller: &Caller, reader: MessageReader) -> Result<Subscription> {
    let request: SubscribeToShardRequest = decode(reader.only().await?.0)?;
    ops.call(caller, request).await
}
