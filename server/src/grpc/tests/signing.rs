//! Tokens, on a server with credentials.

use super::*;
use crate::credentials::tests::{ROOT, of_text};

fn with_token<T>(message: T, token: &str) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("authorization", token.parse().unwrap());
    request
}

#[tokio::test]
async fn only_the_right_token_lets_in() {
    let fixture = Fixture::with_credentials(of_text(ROOT));
    let mut client = client(&fixture).await;
    let list = v1::ListStreamsRequest::default;
    let status = client.list_streams(list()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(reason(&status), "UnrecognizedClientException");
    for wrong in ["Bearer AKROOT:0123456789abcdefROOU", "Bearer X:0123456789abcdefROOT"] {
        let status = client.list_streams(with_token(list(), wrong)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        assert_eq!(reason(&status), "UnrecognizedClientException");
        assert!(!status.message().contains("0123"));
    }
    let right = "Bearer AKROOT:0123456789abcdefROOT";
    client.list_streams(with_token(list(), right)).await.unwrap();
    // Streams of messages are no other way in.
    let produced = client.produce(stream::iter([produce_request("orders", 0..1)])).await;
    assert_eq!(produced.unwrap_err().code(), Code::Unauthenticated);
    let subscribed = client.subscribe_to_shard(v1::SubscribeToShardRequest::default()).await;
    assert_eq!(subscribed.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn health_is_for_everybody_and_reflection_is_not() {
    let fixture = Fixture::with_credentials(of_text(ROOT));
    let routes = routes(fixture.ops.clone()).await;
    let check = request("/grpc.health.v1.Health/Check", framed(&[]));
    let answer = send(&routes, check).await.into_body().collect().await.unwrap();
    assert_eq!(answer.trailers().unwrap()["grpc-status"], "0");
    let reflect = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let status = status_of(send(&routes, request(reflect, framed(&[]))).await).await;
    assert_eq!(status.code(), Code::Unauthenticated);
}
