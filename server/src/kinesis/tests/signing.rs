//! Requests that are signed, on a server with credentials.

use super::*;
use crate::aws::sigv4::tests::{ACCESS_KEY, SECRET, sign};
use crate::credentials::tests::{ROOT, of_text};

fn fixture() -> Fixture {
    let text = ROOT.replace("AKROOT", ACCESS_KEY).replace("0123456789abcdefROOT", SECRET);
    Fixture::with_credentials(of_text(&text))
}

fn signed(fixture: &Fixture, operation: &str, body: &str) -> Request<Full<Bytes>> {
    let mut request = request(operation, "application/x-amz-json-1.1", body.to_owned());
    request.headers_mut().remove("authorization");
    sign(request.headers_mut(), body.as_bytes(), fixture.engine.now_ms());
    request
}

async fn told(fixture: &Fixture, request: Request<Full<Bytes>>) -> (u16, Json) {
    let (status, text) = text(send(fixture, request).await).await;
    (status, serde_json::from_str(&text).unwrap_or_default())
}

#[tokio::test]
async fn a_signed_request_is_carried_out_and_a_changed_one_is_not() {
    let fixture = fixture();
    let create = r#"{"StreamName": "orders", "ShardCount": 1}"#;
    assert_eq!(told(&fixture, signed(&fixture, "CreateStream", create)).await.0, 200);
    let (status, list) = told(&fixture, signed(&fixture, "ListStreams", "{}")).await;
    assert_eq!((status, &list["StreamNames"]), (200, &json!(["orders"])));
    let delete = r#"{"StreamName": "orders"}"#;
    let mut changed = signed(&fixture, "DescribeStream", delete);
    let target = "Kinesis_20131202.DeleteStream".parse().unwrap();
    changed.headers_mut().insert("x-amz-target", target);
    let (status, refusal) = told(&fixture, changed).await;
    assert_eq!((status, &refusal["__type"]), (400, &json!("InvalidSignatureException")));
    let mut changed = signed(&fixture, "DeleteStream", r#"{"StreamName": "others"}"#);
    *changed.body_mut() = Full::new(Bytes::from(delete));
    assert_eq!(told(&fixture, changed).await.1["__type"], "InvalidSignatureException");
    // It is still there.
    let (_, list) = told(&fixture, signed(&fixture, "ListStreams", "{}")).await;
    assert_eq!(list["StreamNames"], json!(["orders"]));
}

#[tokio::test]
async fn nobody_else_gets_in() {
    let fixture = fixture();
    let mut stranger = signed(&fixture, "ListStreams", "{}");
    let authorization = stranger.headers()["authorization"].to_str().unwrap();
    let authorization = authorization.replace(ACCESS_KEY, "AKSTRANGER").parse().unwrap();
    stranger.headers_mut().insert("authorization", authorization);
    let (status, reply) = told(&fixture, stranger).await;
    assert_eq!((status, &reply["__type"]), (400, &json!("UnrecognizedClientException")));
    // As they are sent where there are no credentials.
    let (status, reply) = ask(&fixture, "ListStreams", json!({})).await;
    assert_eq!((status, &reply["__type"]), (400, &json!("InvalidSignatureException")));
    let mut unsigned = signed(&fixture, "ListStreams", "{}");
    unsigned.headers_mut().remove("authorization");
    let (status, reply) = told(&fixture, unsigned).await;
    let told = json!({"__type": "MissingAuthenticationTokenException",
        "message": "Missing Authentication Token"});
    assert_eq!((status, reply), (400, told));
}
