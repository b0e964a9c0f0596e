//! What is refused, and in which words.

use super::*;

const NOW_MS: u64 = 1_772_357_415_000;
const MISMATCH: &str = "The request signature we calculated does not match the signature you \
                        provided. Check your AWS Secret Access Key and signing method. Consult the \
                        service documentation for details.";

fn parsed(sent: &Sent) -> Result<(), AuthError> {
    sent.parse().map(|_| ())
}

fn refusal(sent: &Sent) -> (&'static str, String) {
    let error = sent.verify(NOW_MS).unwrap_err();
    (error.exception(), error.to_string())
}

/// A request whose signature is right for its changed header.
fn with_authorization(change: impl FnOnce(&str) -> String) -> Sent {
    let mut sent = signed(NOW_MS);
    let changed = change(sent.headers["authorization"].to_str().unwrap());
    sent.set("authorization", &changed);
    sent
}

#[test]
fn a_request_without_a_signature_is_told_so() {
    let mut sent = Sent::new(&[("host", "a"), ("x-amz-date", "20260301T093015Z")], b"");
    let missing = AuthError::MissingAuthenticationToken;
    assert_eq!(missing.to_string(), "Missing Authentication Token");
    assert_eq!(parsed(&sent), Err(missing));
    // What may be a secret is neither a signature nor shown.
    for value in ["", "Bearer KEY:SECRET", "basic a2V5OnNlY3JldA=="] {
        sent.set("authorization", value);
        assert_eq!(parsed(&sent), Err(AuthError::MissingAuthenticationToken), "{value}");
    }
}

#[test]
fn missing_pieces_are_listed_as_the_service_lists_them() {
    let mut sent = Sent::new(&[("host", "a"), ("authorization", "AWS4-HMAC-SHA256")], b"");
    let told = |sent: &Sent| {
        let error = parsed(sent).unwrap_err();
        assert_eq!(error.exception(), "IncompleteSignatureException");
        error.to_string()
    };
    assert_eq!(
        told(&sent),
        "Authorization header requires 'Credential' parameter. Authorization header requires \
         'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. \
         Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. \
         Authorization=AWS4-HMAC-SHA256"
    );
    sent.set("date", "a");
    sent.set("authorization", "AWS4-HMAC-SHA256 Signature=b,Credential=a");
    assert_eq!(
        told(&sent),
        "Authorization header requires 'SignedHeaders' parameter. \
         Authorization=AWS4-HMAC-SHA256 Signature=b,Credential=a"
    );
    let mut presigned = Sent::new(&[("host", "a")], b"");
    presigned.query = "X-Amz-Algorithm=&X-Amz-Date=a".to_owned();
    assert_eq!(
        told(&presigned),
        "AWS query-string parameters must include 'X-Amz-Algorithm'. AWS query-string parameters \
         must include 'X-Amz-Credential'. AWS query-string parameters must include \
         'X-Amz-Signature'. AWS query-string parameters must include 'X-Amz-SignedHeaders'. \
         Re-examine the query-string parameters."
    );
}

#[test]
fn a_made_up_signature_parses_and_does_not_verify() {
    let authorization = "X Credential=a SignedHeaders=b,,Signature=c";
    let mut sent =
        Sent::new(&[("host", "a"), ("x-amz-date", "a"), ("authorization", authorization)], b"");
    assert_eq!(parsed(&sent), Ok(()));
    assert_eq!(sent.parse().unwrap().access_key(), "a");
    assert_eq!(refusal(&sent).0, "IncompleteSignatureException");
    sent.headers.remove("authorization");
    sent.query = "X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-Signature=c&X-Amz-SignedHeaders=d\
                  &X-Amz-Date=e"
        .to_owned();
    assert_eq!(parsed(&sent), Ok(()));
    assert_eq!(refusal(&sent).0, "IncompleteSignatureException");
}

#[test]
fn two_signatures_are_one_too_many() {
    let mut sent = signed(NOW_MS);
    sent.query = "X-Amz-Algorithm=AWS4-HMAC-SHA256".to_owned();
    let both = "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP \
                header.";
    assert_eq!(refusal(&sent), ("InvalidSignatureException", both.to_owned()));
    let mut sent = signed(NOW_MS);
    let authorization = sent.headers["authorization"].clone();
    sent.headers.append("authorization", authorization);
    assert_eq!(refusal(&sent).1, "Found more than one 'Authorization' header.");
}

#[test]
fn a_signature_holds_for_five_minutes_before_and_after() {
    let minutes = |minutes: u64| minutes * 60_000;
    for time_ms in [NOW_MS - minutes(5), NOW_MS, NOW_MS + minutes(5)] {
        assert_eq!(signed(time_ms).verify(NOW_MS), Ok(()));
    }
    assert_eq!(
        refusal(&signed(NOW_MS - minutes(6))),
        (
            "InvalidSignatureException",
            "Signature expired: 20260301T092415Z is now earlier than 20260301T092515Z \
             (20260301T093015Z - 5 min.)"
                .to_owned()
        )
    );
    assert_eq!(
        refusal(&signed(NOW_MS + minutes(6))).1,
        "Signature not yet current: 20260301T093615Z is still later than 20260301T093515Z \
         (20260301T093015Z + 5 min.)"
    );
    // Over midnight the scope is of the day of signing.
    let midnight = date::parse_basic("20260302T000000Z").unwrap();
    assert_eq!(signed(midnight - 1000).verify(midnight + 1000), Ok(()));
}

#[test]
fn the_date_header_will_do_where_it_is_signed() {
    let mut sent = Sent::new(&[("host", "a"), ("date", "Sun, 01 Mar 2026 09:30:15 GMT")], b"");
    sent.sign("date;host", NOW_MS);
    assert_eq!(sent.verify(NOW_MS), Ok(()));
    sent.sign("host", NOW_MS);
    assert_eq!(refusal(&sent).1, "'date' must be a 'SignedHeader' in the AWS Authorization.");
    sent.set("date", "yesterday");
    let (exception, text) = refusal(&sent);
    assert_eq!(exception, "IncompleteSignatureException");
    assert!(text.starts_with("Date must be in ISO-8601 'basic format'. Got 'yesterday'."));
}

#[test]
fn what_must_be_signed_is_asked_for() {
    let mut sent = signed(NOW_MS);
    sent.sign("content-type;x-amz-date;x-amz-target", NOW_MS);
    assert_eq!(
        refusal(&sent).1,
        "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
    );
    sent.sign("content-type;host;x-amz-date", NOW_MS);
    assert_eq!(
        refusal(&sent).1,
        "'x-amz-target' must be a 'SignedHeader' in the AWS Authorization."
    );
    for names in ["host;content-type;x-amz-date;x-amz-target", "Host;x-amz-date;x-amz-target"] {
        let sent = with_authorization(|text| {
            text.replace("content-type;host;x-amz-date;x-amz-target", names)
        });
        assert!(refusal(&sent).1.contains("'SignedHeaders'"), "{names}");
    }
    let mut sent = signed(NOW_MS);
    sent.add("x-amz-target", "Kinesis_20131202.DeleteStream");
    assert_eq!(refusal(&sent).1, "Found more than one 'x-amz-target' header.");
    // A header that is signed and not there.
    let mut sent = signed(NOW_MS);
    sent.headers.remove("content-type");
    assert_eq!(refusal(&sent).1, MISMATCH);
}

#[test]
fn the_host_may_be_the_authority() {
    let mut sent = signed(NOW_MS);
    sent.headers.remove("host");
    let authority = |authority| {
        let request = SignedRequest { authority, ..sent.request() };
        let authorization = sent.parse().unwrap();
        let keys = SigningKeys::default();
        authorization.verify(&request, "kinesis", NOW_MS, |_| Some(SECRET), &keys)
    };
    assert_eq!(authority(Some("127.0.0.1:4567")), Ok(()));
    assert_eq!(authority(Some("127.0.0.1:4568")), Err(AuthError::mismatch()));
    assert_eq!(authority(None), Err(AuthError::mismatch()));
}

#[test]
fn a_scope_is_refused_for_all_that_is_wrong_with_it() {
    let scope = "20260301/us-east-1/kinesis/aws4_request";
    let told = |other: &str| refusal(&with_authorization(|text| text.replace(scope, other)));
    assert_eq!(
        told("b/c!/d/e"),
        (
            "InvalidSignatureException",
            "Credential should be scoped to a valid region, not 'c!'. Credential should be scoped \
             to correct service: 'kinesis'. Credential should be scoped with a valid terminator: \
             'aws4_request', not 'e'. Date in Credential scope does not match YYYYMMDD from \
             ISO-8601 version of date from HTTP: 'b' != '20260301', from '20260301T093015Z'."
                .to_owned()
        )
    );
    for short in ["20260301/us-east-1/kinesis", "20260301/us-east-1/kinesis/aws4_request/x"] {
        let (exception, text) = told(short);
        assert_eq!(exception, "IncompleteSignatureException");
        assert_eq!(
            text,
            format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. \
                 keyid/date/region/service/term, got 'AKIDEXAMPLE/{short}'"
            )
        );
    }
    // Another region is another signature.
    assert_eq!(told("20260301/eu-west-1/kinesis/aws4_request").1, MISMATCH);
    let other = with_authorization(|text| text.replace("HMAC-SHA256", "HMAC-SHA25"));
    assert_eq!(
        refusal(&other),
        (
            "IncompleteSignatureException",
            "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA25' (only AWS4-HMAC-SHA256 for now). "
                .to_owned()
        )
    );
}

#[test]
fn an_unknown_access_key_is_told() {
    let other = with_authorization(|text| text.replace(ACCESS_KEY, "AKIDEXAMPLF"));
    let text = "The security token included in the request is invalid.".to_owned();
    assert_eq!(refusal(&other), ("UnrecognizedClientException", text));
}

#[test]
fn the_hash_of_the_body_is_never_believed() {
    for (claimed, named) in [
        ("UNSIGNED-PAYLOAD", "must be signed as a whole"),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "must be signed as a whole"),
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", "must be signed as a whole"),
        (&"0".repeat(64), "does not match what was computed"),
    ] {
        let mut sent = signed(NOW_MS);
        sent.set("x-amz-content-sha256", claimed);
        sent.sign("content-type;host;x-amz-content-sha256;x-amz-date;x-amz-target", NOW_MS);
        let (exception, text) = refusal(&sent);
        assert_eq!(exception, "InvalidSignatureException");
        assert!(text.contains(named), "{claimed}: {text}");
    }
}

#[test]
fn a_presigned_request_says_for_how_long() {
    let presigned = |expires: &str| {
        let mut sent = Sent::new(&[("host", "a")], b"");
        sent.method = Method::GET;
        sent.query = format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={ACCESS_KEY}%2F20260301%2Fus-east-1\
             %2Fkinesis%2Faws4_request&X-Amz-Date=20260301T093015Z{expires}\
             &X-Amz-SignedHeaders=host"
        );
        let scope = ["20260301", "us-east-1", "kinesis", "aws4_request"];
        let signature = sent.signature("host", "20260301T093015Z", scope, true);
        sent.query.extend(["&X-Amz-Signature=", &signature]);
        sent
    };
    let week_ms = 604_800_000;
    assert_eq!(presigned("&X-Amz-Expires=604800").verify(NOW_MS + week_ms), Ok(()));
    for expires in ["604801", "0", "-1", "+1", "1.5", "99999999999999999999", "x"] {
        let text = refusal(&presigned(&format!("&X-Amz-Expires={expires}"))).1;
        assert!(text.contains("from 1 to 604800"), "{expires}: {text}");
    }
    // Without it, it holds for as long as a signature in a header.
    assert_eq!(presigned("").verify(NOW_MS + 300_000), Ok(()));
    assert!(presigned("").verify(NOW_MS + 301_000).is_err());
    assert!(presigned("&X-Amz-Expires=60").verify(NOW_MS - 301_000).is_err());
    let text = refusal(&presigned("&X-Amz-Expires=1&X-Amz-Expires=9")).1;
    assert_eq!(text, "Found 'X-Amz-Expires' more than once in the query-string.");
}

#[test]
fn what_is_long_is_refused_and_not_shown_at_length() {
    let mut sent = signed(NOW_MS);
    sent.set("authorization", &format!("AWS4 {}", "x".repeat(5000)));
    assert!(refusal(&sent).1.len() < 200);
    sent.set("authorization", &format!("AWS4 {}", "x".repeat(3000)));
    assert!(refusal(&sent).1.len() < 1500);
    let mut sent = signed(NOW_MS);
    sent.query = "a".repeat(9000);
    assert!(refusal(&sent).1.contains("8192"));
    let names: Vec<String> = (0..65).map(|number| format!("a{number:02}")).collect();
    let many = with_authorization(|text| text.replace("content-type", &names.join(";")));
    assert!(refusal(&many).1.contains("64"));
}

#[test]
fn keys_are_kept_for_right_signatures_alone_and_not_without_bound() {
    let keys = SigningKeys::default();
    let verify = |sent: &Sent, now_ms| {
        let request = sent.request();
        let authorization = sent.parse().unwrap();
        authorization.verify(&request, "kinesis", now_ms, |_| Some(SECRET), &keys)
    };
    let mut wrong = signed(NOW_MS);
    wrong.body.clear();
    assert!(verify(&wrong, NOW_MS).is_err());
    assert_eq!(keys.len(), 0);
    for _ in 0..2 {
        assert_eq!(verify(&signed(NOW_MS), NOW_MS), Ok(()));
        assert_eq!(keys.len(), 1);
    }
    for day in 0..2000 {
        let now_ms = NOW_MS + day * 86_400_000;
        assert_eq!(verify(&signed(now_ms), now_ms), Ok(()));
        assert!(keys.len() <= 512);
    }
}
