//! GetRecords: the reply is written straight from the page's ranges.

use anabranch_proto::v1::GetRecordsRequest;
use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode};
use tonic::body::Body;

use super::door::Failure;
use super::translate::{FromMembers, child_shards};
use super::value::{Encoding, Members};
use super::{model, records, reply};
use crate::metrics::Operation;
use crate::ops::{Caller, Kind, OpError, Ops};
use crate::wire::records::MalformedRecord;

/// Serves a call.
pub(super) async fn call(
    ops: &Ops,
    caller: &Caller,
    encoding: Encoding,
    bytes: &Bytes,
) -> Result<Response<Body>, Failure> {
    let members = model::read(Operation::GetRecords, encoding, bytes)?;
    let read = ops.call(caller, GetRecordsRequest::from_members(members)).await?;
    let is_end = read.page.is_end;
    let rest = Members::new()
        .with("MillisBehindLatest", read.page.millis_behind)
        .with_some("NextShardIterator", (!is_end).then_some(read.next_shard_iterator))
        .with_some("ChildShards", is_end.then(|| child_shards(read.child_shards)));
    let mut out = BytesMut::new();
    records::put_page(encoding, &read.page, read.origin, &rest, &mut out).map_err(damaged)?;
    Ok(reply::with_body(StatusCode::OK, encoding.content_type(), out.freeze()))
}

/// The log's checksums hold for what it gives out, so a record that cannot be read is our mistake.
pub(super) fn damaged(error: MalformedRecord) -> OpError {
    OpError::new(Kind::InternalFailure, error.to_string())
}
