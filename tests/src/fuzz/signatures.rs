//! Signatures: any headers and query may come with a request. None but the true one is taken, and a
//! request that was signed is not taken for another.

use std::sync::OnceLock;

use anabranch_server::aws::date;
use anabranch_server::aws::sigv4::{Authorization, SignedRequest, SigningKeys};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const TIME: &str = "20150830T123600Z";

/// A request: a line each for method, path and query, then headers until an empty line, then what
/// stands for the hash of the body.
struct Sent {
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
    body_sha256: [u8; 32],
}

impl Sent {
    fn read(data: &[u8]) -> Option<Sent> {
        let mut lines = data.split(|byte| *byte == b'\n');
        let mut text = || std::str::from_utf8(lines.next()?).ok();
        let (method, path, query) = (text()?.parse().ok()?, text()?, text()?);
        let mut headers = HeaderMap::new();
        for line in lines.by_ref().take_while(|line| !line.is_empty()) {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = HeaderName::from_bytes(&line[..colon]).ok()?;
            let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
            headers.try_append(name, value).ok()?;
        }
        let mut body_sha256 = [0; 32];
        let rest = lines.next().unwrap_or_default();
        let len = rest.len().min(32);
        body_sha256[..len].copy_from_slice(&rest[..len]);
        let (path, query) = (path.to_owned(), query.to_owned());
        Some(Sent { method, path, query, headers, body_sha256 })
    }

    fn is_verified(&self) -> bool {
        static KEYS: OnceLock<SigningKeys> = OnceLock::new();
        let Ok(authorization) = Authorization::parse(&self.headers, &self.query) else {
            return false;
        };
        let request = SignedRequest {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
            authority: None,
            body_sha256: self.body_sha256,
        };
        let now_ms = date::parse_basic(TIME).expect("it is a time");
        let secret_of = |key: &str| (key == "AKIDEXAMPLE").then_some(SECRET);
        let keys = KEYS.get_or_init(SigningKeys::default);
        let verified = authorization.verify(&request, "service", now_ms, secret_of, keys);
        if let Err(error) = &verified {
            let text = error.to_string();
            assert!(!text.is_empty() && text.len() < 16 << 10 && !text.contains(SECRET));
        }
        verified.is_ok()
    }

    /// What the published signature below is of.
    fn is_published(&self) -> bool {
        let is = |name: &str, value: &str| {
            let mut values = self.headers.get_all(name).iter();
            values.next().is_some_and(|first| first.as_bytes() == value.as_bytes())
                && values.next().is_none()
        };
        // Empty segments and dots mean nothing in a path, and two dots take one away.
        let depth = self.path.split('/').fold(0_usize, |depth, segment| match segment {
            "" | "." => depth,
            ".." => depth.saturating_sub(1),
            _ => depth + 1,
        });
        self.method == Method::GET
            && depth == 0
            && self.query.bytes().all(|byte| byte == b'&')
            && self.body_sha256 == EMPTY_SHA256
            && is("host", "example.amazonaws.com")
            && is("x-amz-date", TIME)
    }
}

/// The SHA-256 of nothing.
const EMPTY_SHA256: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// "get-vanilla" of the published test suite.
const PUBLISHED: &str = "GET\n/\n\nhost: example.amazonaws.com\nx-amz-date: 20150830T123600Z\n\
    authorization: AWS4-HMAC-SHA256 \
    Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
    SignedHeaders=host;x-amz-date, \
    Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31\n\n";

/// Any bytes as a request.
pub fn run(data: &[u8]) {
    let Some(sent) = Sent::read(data) else { return };
    // Nobody but the author of the published one knows the secret here.
    assert!(!sent.is_verified() || sent.is_published(), "{}", data.escape_ascii());
}

/// The true one, and a presigned one with everything but its signature.
pub fn seeds() -> Vec<Vec<u8>> {
    let published = [PUBLISHED.as_bytes(), &EMPTY_SHA256].concat();
    assert!(Sent::read(&published).is_some_and(|sent| sent.is_verified()));
    let presigned = "GET\n/a%20b\nX-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F\
        20150830%2Fus-east-1%2Fservice%2Faws4_request&X-Amz-Date=20150830T123600Z&\
        X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=00\nhost: a\n\n";
    let made_up = "POST\n/\n\nhost: a\ndate: Sun, 30 Aug 2015 12:36:00 GMT\n\
        authorization: AWS4-HMAC-SHA256 Credential=a/b/c/d/e,SignedHeaders=host,Signature=f\n\n";
    vec![published, presigned.as_bytes().to_vec(), made_up.as_bytes().to_vec()]
}
