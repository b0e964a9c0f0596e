//! Signatures against those of others, and against everything that is not one.

mod changed;
mod oracle;
mod refused;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use sha2::{Digest, Sha256};

use super::{AuthError, Authorization, SignedRequest, SigningKeys, canonical, hex, keys};
use crate::aws::date;

/// The pair of Amazon's published examples.
pub(crate) const ACCESS_KEY: &str = "AKIDEXAMPLE";
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// A request that is held.
#[derive(Clone, Debug)]
struct Sent {
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Sent {
    fn new(headers: &[(&str, &str)], body: &[u8]) -> Sent {
        let mut sent = Sent {
            method: Method::POST,
            path: "/".to_owned(),
            query: String::new(),
            headers: HeaderMap::new(),
            body: body.to_vec(),
        };
        for (name, value) in headers {
            sent.add(name, value);
        }
        sent
    }

    fn add(&mut self, name: &str, value: &str) {
        let name: HeaderName = name.parse().unwrap();
        // As HTTP has it: white space around a value is none of it.
        let value = value.trim_matches([' ', '\t']);
        self.headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }

    fn set(&mut self, name: &'static str, value: &str) {
        self.headers.insert(name, HeaderValue::from_str(value).unwrap());
    }

    fn request(&self) -> SignedRequest<'_> {
        SignedRequest {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
            authority: None,
            body_sha256: Sha256::digest(&self.body).into(),
        }
    }

    fn parse(&self) -> Result<Authorization<'_>, AuthError> {
        Authorization::parse(&self.headers, &self.query)
    }

    /// Verified for a service at a time, with the pair above.
    fn verify_for(&self, service: &str, now_ms: u64) -> Result<(), AuthError> {
        let keys = SigningKeys::default();
        let request = self.request();
        let secret_of = |access_key: &str| (access_key == ACCESS_KEY).then_some(SECRET);
        self.parse()?.verify(&request, service, now_ms, secret_of, &keys)
    }

    fn verify(&self, now_ms: u64) -> Result<(), AuthError> {
        self.verify_for("kinesis", now_ms)
    }

    /// Signs it over these headers, as of a time. It need not be a signature that may be taken.
    fn sign(&mut self, signed_headers: &str, time_ms: u64) {
        let time = date::basic(time_ms);
        if signed_headers.split(';').any(|name| name == "x-amz-date") {
            self.set("x-amz-date", &time);
        }
        let scope = [&time[..8], "us-east-1", "kinesis", "aws4_request"];
        let signature = self.signature(signed_headers, &time, scope, false);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{}, SignedHeaders={signed_headers}, \
             Signature={signature}",
            scope.join("/")
        );
        self.set("authorization", &authorization);
    }

    fn signature(
        &self,
        signed_headers: &str,
        time: &str,
        scope: [&str; 4],
        is_presigned: bool,
    ) -> String {
        let request = self.request();
        let canonical =
            canonical::request(&request, signed_headers.split(';'), is_presigned).unwrap();
        let text = format!(
            "AWS4-HMAC-SHA256\n{time}\n{}\n{}",
            scope.join("/"),
            hex(&Sha256::digest(&canonical))
        );
        let key = SigningKeys::default().key("", SECRET, scope);
        hex(&keys::hmac(&key, text.as_bytes()))
    }
}

/// Signs a `POST /` with these headers and this body, with the pair above.
pub(crate) fn sign(headers: &mut HeaderMap, body: &[u8], time_ms: u64) {
    headers.insert("x-amz-date", HeaderValue::from_str(&date::basic(time_ms)).unwrap());
    let mut sent = Sent::new(&[], body);
    sent.headers = headers.clone();
    let mut names: Vec<_> = headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    sent.sign(&names.join(";"), time_ms);
    *headers = sent.headers;
}

/// A request of a client of the service, signed.
fn signed(time_ms: u64) -> Sent {
    let mut sent = Sent::new(
        &[
            ("host", "127.0.0.1:4567"),
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", "Kinesis_20131202.ListStreams"),
            ("user-agent", "test"),
        ],
        b"{}",
    );
    sent.sign("content-type;host;x-amz-date;x-amz-target", time_ms);
    sent
}
