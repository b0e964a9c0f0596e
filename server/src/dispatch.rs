//! The client port's first look at a request: which door it is for.
//!
//! gRPC is known by its content type. Everything else is for the Kinesis API, which answers what it
//! does not know as the service does.

use std::convert::Infallible;
use std::future::{Ready, ready};

use bytes::Bytes;
use futures_util::future::Either;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::Full;
use tonic::body::Body;
use tower::ServiceExt;
use tower::util::Oneshot;

/// Sends each request to its door.
#[derive(Clone, Debug)]
pub struct Dispatch<G, K> {
    grpc: G,
    kinesis: K,
}

impl<G, K> Dispatch<G, K> {
    /// A dispatcher in front of the gRPC service and of the Kinesis API.
    pub fn new(grpc: G, kinesis: K) -> Self {
        Self { grpc, kinesis }
    }
}

impl<G, K, B> hyper::service::Service<Request<B>> for Dispatch<G, K>
where
    G: tower_service::Service<Request<B>, Response = Response<Body>, Error = Infallible> + Clone,
    K: tower_service::Service<Request<B>, Response = Response<Body>, Error = Infallible> + Clone,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<
        Either<Oneshot<G, Request<B>>, Oneshot<K, Request<B>>>,
        Ready<Result<Response<Body>, Infallible>>,
    >;

    fn call(&self, request: Request<B>) -> Self::Future {
        if !is_grpc(&request) {
            return Either::Left(Either::Right(self.kinesis.clone().oneshot(request)));
        }
        // gRPC's status is a trailer, which HTTP/1.1 clients do not read: any answer but an HTTP
        // error would look like success without a reply.
        if request.version() != Version::HTTP_2 {
            return Either::Right(ready(Ok(explain(
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "gRPC needs HTTP/2; connect with HTTP/2 prior knowledge (h2c)",
            ))));
        }
        Either::Left(Either::Left(self.grpc.clone().oneshot(request)))
    }
}

fn is_grpc<B>(request: &Request<B>) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE);
    content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

fn explain(status: StatusCode, message: &str) -> Response<Body> {
    let text = serde_json::json!({ "message": message }).to_string() + "\n";
    let mut reply = Response::new(Body::new(Full::new(Bytes::from(text))));
    *reply.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::BodyExt;
    use hyper::service::Service;
    use tower::service_fn;

    use super::*;

    async fn ask(content_type: &str, version: Version) -> (StatusCode, String) {
        let door = |name: &'static str| {
            service_fn(move |_: Request<()>| async move {
                Ok::<_, Infallible>(Response::new(Body::new(Full::new(Bytes::from(name)))))
            })
        };
        let request = Request::post("/")
            .version(version)
            .header(CONTENT_TYPE, content_type)
            .body(())
            .unwrap();
        let reply = Dispatch::new(door("grpc"), door("kinesis")).call(request).await.unwrap();
        let status = reply.status();
        let bytes = reply.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn grpc_goes_to_its_door_whatever_its_encoding() {
        for kind in ["application/grpc", "application/grpc+proto"] {
            let (status, text) = ask(kind, Version::HTTP_2).await;
            assert_eq!((status, text.as_str()), (StatusCode::OK, "grpc"));
        }
    }

    #[tokio::test]
    async fn grpc_over_http_1_is_told_to_use_http_2() {
        let (status, text) = ask("application/grpc", Version::HTTP_11).await;
        assert_eq!(status, StatusCode::HTTP_VERSION_NOT_SUPPORTED);
        assert!(text.contains("HTTP/2"), "{text}");
    }

    #[tokio::test]
    async fn anything_else_goes_to_the_kinesis_api_over_either_http() {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            for kind in ["application/x-amz-json-1.1", "application/x-amz-cbor-1.1", "text/html"] {
                let (status, text) = ask(kind, version).await;
                assert_eq!((status, text.as_str()), (StatusCode::OK, "kinesis"), "{kind}");
            }
        }
    }
}
