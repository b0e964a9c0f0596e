//! The client port's first look at a request: which door it is for.
//!
//! gRPC is known by its content type; everything else is told what is served here, in words that
//! somebody who has pointed a browser or an AWS SDK at this port can act on.

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
pub struct Dispatch<G> {
    grpc: G,
}

impl<G> Dispatch<G> {
    /// A dispatcher in front of the gRPC service.
    pub fn new(grpc: G) -> Self {
        Self { grpc }
    }
}

impl<G, B> hyper::service::Service<Request<B>> for Dispatch<G>
where
    G: tower_service::Service<Request<B>, Response = Response<Body>> + Clone,
{
    type Response = Response<Body>;
    type Error = G::Error;
    type Future = Either<Oneshot<G, Request<B>>, Ready<Result<Response<Body>, G::Error>>>;

    fn call(&self, request: Request<B>) -> Self::Future {
        match refusal(&request) {
            None => Either::Left(self.grpc.clone().oneshot(request)),
            Some(reply) => Either::Right(ready(Ok(reply))),
        }
    }
}

/// The answer to a request that no door takes.
fn refusal<B>(request: &Request<B>) -> Option<Response<Body>> {
    let content_type = request.headers().get(CONTENT_TYPE);
    let is_grpc = content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if !is_grpc {
        return Some(explain(
            StatusCode::NOT_FOUND,
            "this port serves gRPC: anabranch.v1.Streams, health and reflection; /metrics, \
             /healthz and /readyz are on the admin port",
        ));
    }
    // gRPC's status is a trailer, which HTTP/1.1 clients do not read: any answer but an HTTP
    // error would look like success without a reply.
    (request.version() != Version::HTTP_2).then(|| {
        explain(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "gRPC needs HTTP/2; connect with HTTP/2 prior knowledge (h2c)",
        )
    })
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
        let grpc = service_fn(async |_: Request<()>| {
            Ok::<_, Infallible>(Response::new(Body::new(Full::new(Bytes::from("grpc")))))
        });
        let request = Request::post("/anabranch.v1.Streams/ListStreams")
            .version(version)
            .header(CONTENT_TYPE, content_type)
            .body(())
            .unwrap();
        let reply = Dispatch::new(grpc).call(request).await.unwrap();
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
    async fn anything_else_is_told_what_is_served_here() {
        let (status, text) = ask("application/json", Version::HTTP_11).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        let message: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(message["message"].as_str().unwrap().contains("gRPC"));
    }
}
