//! The service behind `POST /`: from a request to the answer of an operation.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anabranch_proto::v1;
use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use tonic::body::Body;
use tonic::codegen::StdError;
use tower_service::Service;

use super::body::{self, BodyError};
use super::refusal::{ACCESS_DENIED, Refusal, SERIALIZATION, UNKNOWN_OPERATION};
use super::request::{self, Media, Target};
use super::translate::{FromMembers, IntoMembers};
use super::value::{Encoding, Members};
use super::{cross_origin, get_records, model, put_records, reply, subscribe};
use crate::aws::sigv4::AuthError;
use crate::metrics::Operation;
use crate::ops::{Caller, Kind, OpError, Ops};

/// The door.
#[derive(Clone)]
pub struct Door {
    ops: Arc<Ops>,
}

/// Why an operation did not do what it was asked for.
pub(super) enum Failure {
    /// The request is not one of its.
    Fault(model::Fault),
    /// It was refused.
    Refused(OpError),
}

impl From<model::Fault> for Failure {
    fn from(fault: model::Fault) -> Failure {
        Failure::Fault(fault)
    }
}

impl From<OpError> for Failure {
    fn from(error: OpError) -> Failure {
        Failure::Refused(error)
    }
}

impl Door {
    /// A door to these operations.
    pub fn new(ops: Arc<Ops>) -> Door {
        Door { ops }
    }

    async fn serve(self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let is_guarded = self.ops.credentials().exist();
        if !is_guarded && request::is_from_elsewhere(&parts.headers) {
            let why = "pages of other machines are not let in while nobody has to sign in";
            return markup(StatusCode::FORBIDDEN, ACCESS_DENIED, why);
        }
        if cross_origin::is_question(&parts.method, &parts.headers) {
            let encoding = Encoding::Json;
            let mut response = reply::done(encoding, Members::new());
            cross_origin::permit(&parts.headers, &mut response);
            return response;
        }
        let is_of_a_page = parts.headers.contains_key(http::header::ORIGIN);
        let mut response = self.answer(parts, body).await;
        if is_of_a_page {
            cross_origin::expose(&mut response);
        }
        response
    }

    async fn answer(self, parts: Parts, body: Body) -> Response<Body> {
        const NO_OPERATION: &str = "Unable to determine service/operation name to be authorized";
        if parts.method != Method::POST {
            return markup(StatusCode::FORBIDDEN, ACCESS_DENIED, NO_OPERATION);
        }
        let target = request::target(&parts.headers);
        let encoding = match request::media(&parts.headers) {
            Media::Encoded(encoding) => encoding,
            Media::Plain => Encoding::Json,
            Media::Other if http_body::Body::is_end_stream(&body) => {
                return nothing(target).into_response(Encoding::Cbor);
            }
            Media::Other if target == Target::Missing => {
                return markup(StatusCode::FORBIDDEN, ACCESS_DENIED, NO_OPERATION);
            }
            Media::Other => {
                let (status, name) = (StatusCode::NOT_FOUND, UNKNOWN_OPERATION);
                return Refusal::Markup { status, name, message: None }
                    .into_response(Encoding::Json);
            }
        };
        // The share lives until the request is answered, so its memory is counted until then.
        let mut share = self.ops.request_share();
        let bytes = match body::read(body, &mut share).await {
            Ok(bytes) => bytes,
            Err(error) => return unread(error).into_response(encoding),
        };
        let answered = match request::media(&parts.headers) {
            Media::Plain => Err(plain(&bytes)),
            _ => self.operate(&parts, target, encoding, bytes).await,
        };
        answered.unwrap_or_else(|refusal| refusal.into_response(encoding))
    }

    /// Carries out what a request of the API asks for.
    async fn operate(
        self,
        parts: &Parts,
        target: Target,
        encoding: Encoding,
        bytes: Bytes,
    ) -> Result<Response<Body>, Refusal> {
        if bytes.is_empty() {
            return Err(nothing(target));
        }
        // Whoever cannot be read is told that first.
        let or_unreadable = |refusal| match is_readable(encoding, &bytes) {
            true => refusal,
            false => Refusal::bare(SERIALIZATION),
        };
        let Target::Known(operation) = target else {
            return Err(or_unreadable(Refusal::bare(UNKNOWN_OPERATION)));
        };
        let caller = self.caller(parts, &bytes).map_err(or_unreadable)?;
        let call = self.ops.metrics().call(operation);
        match self.carry_out(&caller, operation, encoding, &bytes).await {
            Ok(response) => {
                // A subscription has only begun, and is counted at its end.
                if operation != Operation::SubscribeToShard {
                    call.ended();
                }
                Ok(response)
            }
            Err(failure) => {
                match &failure {
                    Failure::Refused(error) => call.refused(error.kind),
                    Failure::Fault(model::Fault::Validation(_)) => call.refused(Kind::Validation),
                    Failure::Fault(_) => call.refused(Kind::InvalidArgument),
                }
                Err(refusal(failure))
            }
        }
    }

    /// Who signed the request.
    fn caller(&self, parts: &Parts, body: &[u8]) -> Result<Caller, Refusal> {
        let credentials = self.ops.credentials();
        let signed = credentials.of_signature(parts, body, self.ops.now_ms());
        let told = |error: AuthError| Refusal::exception(error.exception(), error.to_string());
        Ok(signed.map_err(told)?.into())
    }

    async fn carry_out(
        &self,
        caller: &Caller,
        operation: Operation,
        encoding: Encoding,
        bytes: &Bytes,
    ) -> Result<Response<Body>, Failure> {
        let ops = &*self.ops;
        match operation {
            Operation::PutRecords => return put_records::call(ops, caller, encoding, bytes).await,
            Operation::GetRecords => return get_records::call(ops, caller, encoding, bytes).await,
            Operation::SubscribeToShard => {
                return subscribe::call(&self.ops, caller, encoding, bytes).await;
            }
            _ => {}
        }
        let members = model::read(operation, encoding, bytes)?;
        let reply = match operation {
            Operation::AddTagsToStream => {
                run::<v1::AddTagsToStreamRequest>(ops, caller, members).await?
            }
            Operation::CreateStream => run::<v1::CreateStreamRequest>(ops, caller, members).await?,
            Operation::DecreaseStreamRetentionPeriod => {
                run::<v1::DecreaseStreamRetentionPeriodRequest>(ops, caller, members).await?
            }
            Operation::DeleteResourcePolicy => {
                run::<v1::DeleteResourcePolicyRequest>(ops, caller, members).await?
            }
            Operation::DeleteStream => run::<v1::DeleteStreamRequest>(ops, caller, members).await?,
            Operation::DeregisterStreamConsumer => {
                run::<v1::DeregisterStreamConsumerRequest>(ops, caller, members).await?
            }
            Operation::DescribeAccountSettings => {
                run::<v1::DescribeAccountSettingsRequest>(ops, caller, members).await?
            }
            Operation::DescribeLimits => {
                run::<v1::DescribeLimitsRequest>(ops, caller, members).await?
            }
            Operation::DescribeStream => {
                run::<v1::DescribeStreamRequest>(ops, caller, members).await?
            }
            Operation::DescribeStreamConsumer => {
                run::<v1::DescribeStreamConsumerRequest>(ops, caller, members).await?
            }
            Operation::DescribeStreamSummary => {
                run::<v1::DescribeStreamSummaryRequest>(ops, caller, members).await?
            }
            Operation::DisableEnhancedMonitoring => {
                run::<v1::DisableEnhancedMonitoringRequest>(ops, caller, members).await?
            }
            Operation::EnableEnhancedMonitoring => {
                run::<v1::EnableEnhancedMonitoringRequest>(ops, caller, members).await?
            }
            Operation::GetResourcePolicy => {
                run::<v1::GetResourcePolicyRequest>(ops, caller, members).await?
            }
            Operation::GetShardIterator => {
                run::<v1::GetShardIteratorRequest>(ops, caller, members).await?
            }
            Operation::IncreaseStreamRetentionPeriod => {
                run::<v1::IncreaseStreamRetentionPeriodRequest>(ops, caller, members).await?
            }
            Operation::ListShards => run::<v1::ListShardsRequest>(ops, caller, members).await?,
            Operation::ListStreamConsumers => {
                run::<v1::ListStreamConsumersRequest>(ops, caller, members).await?
            }
            Operation::ListStreams => run::<v1::ListStreamsRequest>(ops, caller, members).await?,
            Operation::ListTagsForResource => {
                run::<v1::ListTagsForResourceRequest>(ops, caller, members).await?
            }
            Operation::ListTagsForStream => {
                run::<v1::ListTagsForStreamRequest>(ops, caller, members).await?
            }
            Operation::MergeShards => run::<v1::MergeShardsRequest>(ops, caller, members).await?,
            Operation::PutRecord => run::<v1::PutRecordRequest>(ops, caller, members).await?,
            Operation::PutResourcePolicy => {
                run::<v1::PutResourcePolicyRequest>(ops, caller, members).await?
            }
            Operation::RegisterStreamConsumer => {
                run::<v1::RegisterStreamConsumerRequest>(ops, caller, members).await?
            }
            Operation::RemoveTagsFromStream => {
                run::<v1::RemoveTagsFromStreamRequest>(ops, caller, members).await?
            }
            Operation::SplitShard => run::<v1::SplitShardRequest>(ops, caller, members).await?,
            Operation::StartStreamEncryption => {
                run::<v1::StartStreamEncryptionRequest>(ops, caller, members).await?
            }
            Operation::StopStreamEncryption => {
                run::<v1::StopStreamEncryptionRequest>(ops, caller, members).await?
            }
            Operation::TagResource => run::<v1::TagResourceRequest>(ops, caller, members).await?,
            Operation::UntagResource => {
                run::<v1::UntagResourceRequest>(ops, caller, members).await?
            }
            Operation::UpdateAccountSettings => {
                run::<v1::UpdateAccountSettingsRequest>(ops, caller, members).await?
            }
            Operation::UpdateMaxRecordSize => {
                run::<v1::UpdateMaxRecordSizeRequest>(ops, caller, members).await?
            }
            Operation::UpdateShardCount => {
                run::<v1::UpdateShardCountRequest>(ops, caller, members).await?
            }
            Operation::UpdateStreamMode => {
                run::<v1::UpdateStreamModeRequest>(ops, caller, members).await?
            }
            Operation::UpdateStreamRecordDistributionStrategy => {
                run::<v1::UpdateStreamRecordDistributionStrategyRequest>(ops, caller, members)
                    .await?
            }
            Operation::UpdateStreamWarmThroughput => {
                run::<v1::UpdateStreamWarmThroughputRequest>(ops, caller, members).await?
            }
            Operation::DescribeShardLoad
            | Operation::GetRecords
            | Operation::Produce
            | Operation::PutRecords
            | Operation::SetQuotas
            | Operation::SubscribeToShard => unreachable!("they are led elsewhere, or not let in"),
        };
        Ok(reply::done(encoding, reply))
    }
}

/// Carries out an operation whose request and reply are small.
async fn run<R>(ops: &Ops, caller: &Caller, members: Members) -> Result<Members, Failure>
where
    R: FromMembers<Reply: IntoMembers>,
{
    Ok(ops.call(caller, R::from_members(members)).await?.into_members())
}

fn refusal(failure: Failure) -> Refusal {
    match failure {
        Failure::Fault(fault) => fault.into(),
        Failure::Refused(error) => Refusal::from(&error),
    }
}

fn markup(status: StatusCode, name: &'static str, message: &'static str) -> Response<Body> {
    Refusal::Markup { status, name, message: Some(message) }.into_response(Encoding::Json)
}

/// What a request without a body is told.
fn nothing(target: Target) -> Refusal {
    match target {
        Target::Known(_) => Refusal::bare(SERIALIZATION),
        Target::Unknown | Target::Missing => Refusal::bare(UNKNOWN_OPERATION),
    }
}

/// What a request in plain JSON is told.
fn plain(bytes: &[u8]) -> Refusal {
    match is_readable(Encoding::Json, bytes) {
        true => Refusal::Wrapped { name: UNKNOWN_OPERATION, message_member: "message" },
        false => Refusal::Wrapped { name: SERIALIZATION, message_member: "Message" },
    }
}

/// Whether a body is a request of some kind: of an operation that has no members, all are skipped.
fn is_readable(encoding: Encoding, bytes: &[u8]) -> bool {
    model::read(Operation::DescribeLimits, encoding, bytes) != Err(model::Fault::Malformed)
}

/// Why there is no body to answer.
fn unread(error: BodyError) -> Refusal {
    match error {
        BodyError::TooLarge => Refusal::Exception {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            name: "RequestEntityTooLargeException",
            message: Some(format!("a request has at most {} bytes", body::BODY_BYTES_MAX)),
        },
        BodyError::TooSlow(slow) => Refusal::Exception {
            status: StatusCode::REQUEST_TIMEOUT,
            name: "RequestTimeoutException",
            message: Some(slow.to_string()),
        },
        BodyError::Refused(error) => Refusal::from(&error),
        BodyError::BrokenOff(why) => Refusal::exception(SERIALIZATION, why),
    }
}

impl<B> Service<Request<B>> for Door
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let serve = self.clone().serve(request.map(Body::new));
        Box::pin(async move { Ok(serve.await) })
    }
}
