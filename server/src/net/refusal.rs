//! The last word to a peer that has to use TLS, in the protocol that it speaks.

/// Bytes by which the two protocols in plaintext differ.
pub(super) const PEEKED_BYTES: usize = 4;

/// How every HTTP/2 connection begins; no method of HTTP/1.1 does.
const HTTP2: &[u8] = b"PRI ";

const WORDS: &str = "this port needs TLS: connect to https:// and not to http://";

/// The reply to a peer whose first bytes these are.
pub(super) fn plaintext(first: &[u8]) -> Vec<u8> {
    if first == HTTP2 { go_away() } else { bad_request() }
}

/// As an AWS SDK understands it, and a person.
fn bad_request() -> Vec<u8> {
    let body = serde_json::json!({ "__type": "InvalidProtocol", "message": WORDS }).to_string();
    format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/x-amz-json-1.1\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Our settings, which are none, and a GOAWAY that says why (RFC 9113, sections 3.4, 6.8 and 7).
fn go_away() -> Vec<u8> {
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    const INADEQUATE_SECURITY: u32 = 0xc;
    let mut reason = 0_u32.to_be_bytes().to_vec();
    reason.extend_from_slice(&INADEQUATE_SECURITY.to_be_bytes());
    reason.extend_from_slice(WORDS.as_bytes());
    let mut out = Vec::new();
    for (kind, payload) in [(SETTINGS, &[][..]), (GOAWAY, &reason)] {
        let [_, length @ ..] = u32::try_from(payload.len()).expect("it is short").to_be_bytes();
        out.extend_from_slice(&length);
        out.extend_from_slice(&[kind, 0, 0, 0, 0, 0]);
        out.extend_from_slice(payload);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_in_the_peers_protocol() {
        let reply = String::from_utf8(plaintext(b"POST")).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert!(body["message"].as_str().unwrap().contains("https://"));

        let frames = plaintext(b"PRI ");
        assert_eq!(frames[..9], [0, 0, 0, 4, 0, 0, 0, 0, 0]);
        assert_eq!(frames[9..12], [0, 0, 8 + WORDS.len() as u8]);
        assert_eq!(frames[12], 7);
        assert!(frames.ends_with(WORDS.as_bytes()));
    }
}
