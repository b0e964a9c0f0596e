//! Which call goes where, by its path.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anabranch_proto::FILE_DESCRIPTOR_SET;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::StdError;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, HealthService};
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;
use tower_service::Service;

use super::{produce, reply, request, subscribe, unary};
use crate::fingerprint::Fingerprint;
use crate::metrics::Operation;
use crate::ops::{Caller, Kind, OpError, Ops};

/// The name of the service, for health.
pub const STREAMS: &str = "anabranch.v1.Streams";

type Inner = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// The service of the whole door, to be plugged into an HTTP/2 connection.
#[derive(Clone)]
pub struct Routes {
    ops: Arc<Ops>,
    reporter: HealthReporter,
    health: Inner,
    reflection: Inner,
    reflection_alpha: Inner,
}

/// The service of the door to these operations. Health says SERVING from the start.
pub async fn routes(ops: Arc<Ops>) -> Routes {
    let reporter = HealthReporter::new();
    reporter.set_service_status(STREAMS, ServingStatus::Serving).await;
    let health = HealthService::from_health_reporter(reporter.clone());
    let health = tonic_health::pb::health_server::HealthServer::new(health);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let valid = "the descriptor sets are made by the compiler";
    Routes {
        ops,
        reporter,
        health: Inner::new(health),
        reflection: Inner::new(reflection().build_v1().expect(valid)),
        reflection_alpha: Inner::new(reflection().build_v1alpha().expect(valid)),
    }
}

impl Routes {
    /// What says whether the server is healthy: to be set to NOT_SERVING before it goes.
    pub fn health(&self) -> HealthReporter {
        self.reporter.clone()
    }

    async fn serve(self, request: Request<Body>) -> Response<Body> {
        if request.method() != http::Method::POST || !request::is_grpc(request.headers()) {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return response;
        }
        let path = request.uri().path();
        let (service, method) =
            path.strip_prefix('/').and_then(|path| path.split_once('/')).unwrap_or_default();
        // Health is asked by those who start and stop servers, and tells nothing else.
        let caller = match service {
            "grpc.health.v1.Health" => Caller::anonymous(),
            _ => {
                let shown = request.extensions().get::<Fingerprint>();
                match self.ops.credentials().of_connection(request.headers(), shown) {
                    Ok(credential) => Caller::from(credential),
                    Err(error) => {
                        let error = OpError::new(Kind::Unauthenticated, error.to_string());
                        return reply::refused(super::status::status(&error));
                    }
                }
            }
        };
        let inner = match service {
            STREAMS => {
                return match Operation::of_name(method) {
                    Some(operation) => self.call(operation, caller, request).await,
                    None => unknown(path),
                };
            }
            "grpc.health.v1.Health" => self.health,
            "grpc.reflection.v1.ServerReflection" => self.reflection,
            "grpc.reflection.v1alpha.ServerReflection" => self.reflection_alpha,
            _ => return unknown(path),
        };
        match inner.oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    async fn call(
        self,
        operation: Operation,
        caller: Caller,
        request: Request<Body>,
    ) -> Response<Body> {
        let timeout = request::timeout(request.headers());
        let body = request.into_body();
        match operation {
            Operation::Produce => produce::call(self.ops, caller, body),
            Operation::SubscribeToShard => subscribe::call(self.ops, &caller, body).await,
            operation => unary::call(self.ops, &caller, operation, body, timeout).await,
        }
    }
}

fn unknown(path: &str) -> Response<Body> {
    let error = OpError::new(Kind::Unknown, "no such method");
    // The path is the caller's, and may be anything.
    let method: String = path.chars().take(128).collect();
    let status: Status = super::status::status(&error.with("method", method));
    reply::refused(status)
}

impl<B> Service<Request<B>> for Routes
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
