//! A signed request of which a byte was changed is never verified.

use proptest::prelude::*;

use super::*;

const NOW_MS: u64 = 1_772_357_415_000;
const SIGNED_HEADERS: &str = "content-type;host;x-amz-date;x-amz-meta;x-amz-target";

fn any_request() -> impl Strategy<Value = Sent> {
    let path = "(/[a-zA-Z0-9_~%+-]{1,8}){1,3}";
    // Digits alone behind a percent sign: letters mean the same in either case.
    let query =
        "([a-z]([a-zA-Z0-9_~-]|%[2-7][0-9]){0,6}=([a-zA-Z0-9_~-]|%[2-7][0-9]){1,6}&){0,3}z=1";
    let value = "[a-zA-Z0-9/;=.-]( ?[a-zA-Z0-9/;=.-]){0,20}";
    let body = prop::collection::vec(any::<u8>(), 0..40);
    (path, query, value, body).prop_map(|(path, query, value, body)| {
        let mut sent = Sent::new(
            &[
                ("host", "127.0.0.1:4567"),
                ("content-type", "application/x-amz-json-1.1"),
                ("x-amz-target", "Kinesis_20131202.PutRecord"),
                ("x-amz-meta", &value),
                ("user-agent", "test"),
            ],
            &body,
        );
        sent.path = path;
        sent.query = query;
        sent.sign(SIGNED_HEADERS, NOW_MS);
        sent
    })
}

/// Another byte in place of the one at a place.
fn change(text: &str, place: prop::sample::Index, by: u8) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    let at = place.index(bytes.len());
    bytes[at] ^= by;
    String::from_utf8(bytes).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn one_changed_byte_anywhere_is_refused(
        sent in any_request(),
        part in 0..9_usize,
        place: prop::sample::Index,
        by in 1..=255_u8,
    ) {
        prop_assert_eq!(sent.verify(NOW_MS), Ok(()));
        let mut changed = sent.clone();
        let names = ["authorization", "host", "x-amz-date", "x-amz-meta", "x-amz-target", "content-type"];
        match part {
            0 => match change(&sent.path, place, by) {
                Some(path) => changed.path = path,
                None => return Ok(()),
            },
            1 => match change(&sent.query, place, by) {
                Some(query) => changed.query = query,
                None => return Ok(()),
            },
            2 if sent.body.is_empty() => changed.body.push(by),
            2 => changed.body[place.index(sent.body.len())] ^= by,
            part => {
                let name = names[part - 3];
                let mut bytes = sent.headers[name].as_bytes().to_vec();
                let at = place.index(bytes.len());
                bytes[at] ^= by;
                // What is no header does not arrive, and what is around a value is none of it.
                let Ok(value) = HeaderValue::from_bytes(bytes.trim_ascii()) else { return Ok(()) };
                changed.headers.insert(name, value);
            }
        }
        prop_assert!(changed.verify(NOW_MS).is_err(), "{:?} became {:?}", sent, changed);
    }

    #[test]
    fn a_header_or_parameter_that_was_added_is_refused(
        sent in any_request(),
        name in "[a-z][a-z0-9-]{0,8}",
    ) {
        let mut changed = sent.clone();
        changed.add(&format!("x-amz-{name}x"), "1");
        prop_assert!(changed.verify(NOW_MS).is_err());
        let mut changed = sent.clone();
        changed.query.extend(["&", &name]);
        prop_assert!(changed.verify(NOW_MS).is_err());
        let mut changed = sent.clone();
        changed.add("content-type", "text/plain");
        prop_assert!(changed.verify(NOW_MS).is_err());
    }

    #[test]
    fn any_header_is_parsed_or_refused(header in "\\PC{0,200}", query in "[ -~]{0,100}") {
        let mut sent = Sent::new(&[("host", "a"), ("x-amz-date", "20260301T093015Z")], b"");
        sent.add("authorization", &header);
        sent.query = query;
        prop_assert!(sent.verify(NOW_MS).is_err());
    }
}
