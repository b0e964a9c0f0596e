//! Requests that others have signed: Amazon's published examples, and botocore.

use serde_json::Value;

use super::*;

#[test]
fn the_published_examples_verify() {
    // "get-vanilla" of the test suite of Signature Version 4.
    let mut sent = Sent::new(
        &[
            ("host", "example.amazonaws.com"),
            ("x-amz-date", "20150830T123600Z"),
            (
                "authorization",
                "AWS4-HMAC-SHA256 \
                 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders=host;x-amz-date, \
                 Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
        ],
        b"",
    );
    sent.method = Method::GET;
    let time_ms = date::parse_basic("20150830T123600Z").unwrap();
    assert_eq!(sent.verify_for("service", time_ms), Ok(()));

    // The worked example of the documentation.
    let mut sent = Sent::new(
        &[
            ("host", "iam.amazonaws.com"),
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("x-amz-date", "20150830T123600Z"),
            (
                "authorization",
                "AWS4-HMAC-SHA256 \
                 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
                 SignedHeaders=content-type;host;x-amz-date, \
                 Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
            ),
        ],
        b"",
    );
    sent.method = Method::GET;
    sent.query = "Action=ListUsers&Version=2010-05-08".to_owned();
    assert_eq!(sent.verify_for("iam", time_ms), Ok(()));
}

struct Botocore {
    now_ms: u64,
    requests: Vec<(String, Sent)>,
}

fn botocore() -> Botocore {
    let file: Value = serde_json::from_str(include_str!("botocore.json")).unwrap();
    assert_eq!((&file["access_key"], &file["secret"]), (&ACCESS_KEY.into(), &SECRET.into()));
    let requests = file["requests"].as_array().unwrap().iter();
    let requests = requests.map(|request| {
        let text = |name: &str| request[name].as_str().unwrap();
        let digits = text("body_hex").as_bytes().chunks(2);
        let body =
            digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
        let mut sent = Sent::new(&[], &body.collect::<Vec<u8>>());
        sent.method = text("method").parse().unwrap();
        text("path").clone_into(&mut sent.path);
        text("query").clone_into(&mut sent.query);
        for header in request["headers"].as_array().unwrap() {
            sent.add(header[0].as_str().unwrap(), header[1].as_str().unwrap());
        }
        (text("name").to_owned(), sent)
    });
    Botocore { now_ms: file["now_ms"].as_u64().unwrap(), requests: requests.collect() }
}

#[test]
fn what_botocore_signs_verifies_and_another_body_does_not() {
    let Botocore { now_ms, requests } = botocore();
    assert!(requests.len() >= 50);
    for (name, mut sent) in requests {
        assert_eq!(sent.verify(now_ms), Ok(()), "{name}");
        sent.body.push(b' ');
        assert!(matches!(sent.verify(now_ms), Err(AuthError::InvalidSignature(_))), "{name}");
    }
}

#[test]
fn what_is_presigned_holds_for_as_long_as_it_says() {
    let Botocore { now_ms, requests } = botocore();
    let mut presigned = 0;
    for (name, sent) in requests {
        let Some((_, rest)) = sent.query.split_once("X-Amz-Expires=") else { continue };
        let seconds: u64 = rest.split('&').next().unwrap().parse().unwrap();
        assert_eq!(sent.verify(now_ms + seconds * 1000), Ok(()), "{name}");
        let Err(AuthError::InvalidSignature(why)) = sent.verify(now_ms + seconds * 1000 + 1) else {
            panic!("{name}");
        };
        assert!(why.starts_with("Signature expired: "), "{name}: {why}");
        presigned += 1;
    }
    assert!(presigned >= 9);
}
