//! The model against the public one, and requests against the model.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::kinesis::value::Value;

/// What `tests/compat/model_check.py` takes from the model of botocore.
const FACTS: &str = include_str!("facts.json");

/// Operations that we have and the API has not.
const OURS: [Operation; 3] =
    [Operation::DescribeShardLoad, Operation::Produce, Operation::SetQuotas];

fn compare(facts: &Json, name: &str, shape: &Shape, path: &str) {
    let fact = &facts["shapes"][name];
    let kind = fact["type"].as_str().unwrap();
    let bound = |key: &str| fact[key].as_i64();
    let size = |bound: &Option<usize>| bound.map(|bound| bound as i64);
    match shape {
        Shape::Structure(members) => {
            assert_eq!(kind, "structure", "{path}");
            compare_members(facts, name, members, path);
        }
        Shape::Text { min, max, pattern } => {
            assert_eq!(kind, "string", "{path}");
            assert_eq!((size(min), size(max)), (bound("min"), bound("max")), "{path}");
            assert!(fact["enum"].is_null(), "{path}");
            // There some are anchored, which a pattern of the whole always is.
            let plain = |pattern: &str| {
                let inner = pattern.strip_prefix("^(").and_then(|rest| rest.strip_suffix(")$"));
                inner.unwrap_or(pattern).to_owned()
            };
            let ours = pattern.map(|pattern| pattern.text().to_owned());
            assert_eq!(ours, fact["pattern"].as_str().map(plain), "{path}");
        }
        Shape::Enum(values) => {
            let mut values = values.to_vec();
            let mut theirs: Vec<_> = fact["enum"]
                .as_array()
                .unwrap()
                .iter()
                .map(|value| value.as_str().unwrap())
                .collect();
            values.sort_unstable();
            theirs.sort_unstable();
            assert_eq!(values, theirs, "{path}");
        }
        Shape::Integer { min, max } => {
            assert_eq!(kind, "integer", "{path}");
            assert_eq!((*min, *max), (bound("min"), bound("max")), "{path}");
        }
        Shape::Boolean => assert_eq!(kind, "boolean", "{path}"),
        Shape::Blob { max } => {
            assert_eq!((kind, bound("min")), ("blob", Some(0)), "{path}");
            assert_eq!(size(&Some(*max)), bound("max"), "{path}");
        }
        Shape::Timestamp => assert_eq!(kind, "timestamp", "{path}"),
        Shape::List { of, min, max } => {
            assert_eq!(kind, "list", "{path}");
            assert_eq!((size(&Some(*min)), size(&Some(*max))), (bound("min"), bound("max")));
            compare(facts, fact["member"].as_str().unwrap(), of, &format!("{path}[]"));
        }
        Shape::Map { key, value, min, max } => {
            assert_eq!(kind, "map", "{path}");
            assert_eq!((size(&Some(*min)), size(&Some(*max))), (bound("min"), bound("max")));
            compare(facts, fact["key"].as_str().unwrap(), key, &format!("{path}{{}}"));
            compare(facts, fact["value"].as_str().unwrap(), value, &format!("{path}{{}}="));
        }
    }
}

fn compare_members(facts: &Json, name: &str, members: &[Member], path: &str) {
    let fact = &facts["shapes"][name];
    let required: Vec<_> =
        fact["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let ours: BTreeMap<_, _> = members.iter().map(|member| (member.name, member)).collect();
    let theirs = fact["members"].as_object().unwrap();
    assert_eq!(ours.len(), members.len(), "{path}: a name is there twice");
    assert!(ours.keys().copied().eq(theirs.keys().map(String::as_str)), "{path}: {ours:?}");
    for (name, shape) in theirs {
        let path = format!("{path}.{name}");
        let member = ours[name.as_str()];
        assert_eq!(member.is_required, required.contains(&name.as_str()), "{path}");
        compare(facts, shape.as_str().unwrap(), member.shape, &path);
    }
}

#[test]
fn the_model_is_the_public_one() {
    let facts: Json = serde_json::from_str(FACTS).unwrap();
    let operations = facts["operations"].as_object().unwrap();
    assert_eq!(operations.len(), 40);
    for (name, shape) in operations {
        let members = Operation::of_name(name).and_then(input).expect(name);
        compare_members(&facts, shape.as_str().unwrap(), members, name);
    }
    for operation in Operation::ALL {
        let is_theirs = operations.contains_key(operation.name());
        assert_eq!(is_theirs, input(operation).is_some(), "{operation:?}");
        assert_eq!(is_theirs, !OURS.contains(&operation), "{operation:?}");
    }
}

fn read_json(operation: Operation, body: &Json) -> Result<Members, Fault> {
    read(operation, Encoding::Json, body.to_string().as_bytes())
}

fn serialization(operation: Operation, body: &Json) -> String {
    match read_json(operation, body) {
        Err(Fault::Serialization(text)) => text,
        other => panic!("{body}: {other:?}"),
    }
}

fn validation(operation: Operation, body: &Json) -> String {
    match read_json(operation, body) {
        Err(Fault::Validation(text)) => text,
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn members_come_typed_and_those_unknown_or_null_do_not() {
    let body = json!({
        "StreamName": "orders", "Future": {"a": [1, {"b": null}]}, "StreamARN": null,
        "Records": [
            {"Data": "aGk=", "PartitionKey": "k\u{e9}\"", "ExplicitHashKey": "0", "More": []},
            {"Data": ""},
        ],
        "DryRun": true,
    });
    let members = read_json(Operation::PutRecords, &body).unwrap();
    let first = Members::new()
        .with("Data", Bytes::from_static(b"hi"))
        .with("PartitionKey", "k\u{e9}\"")
        .with("ExplicitHashKey", "0");
    let second = Members::new().with("Data", Bytes::new());
    let mut expected: Vec<_> = Members::new()
        .with("StreamName", "orders")
        .with("Records", vec![first, second])
        .with("DryRun", true)
        .into_iter()
        .collect();
    let mut members: Vec<_> = members.into_iter().collect();
    let by_name = |a: &(std::borrow::Cow<'_, str>, Value), b: &(_, Value)| a.0.cmp(&b.0);
    expected.sort_by(by_name);
    members.sort_by(by_name);
    assert_eq!(members.len(), 3);
    assert_eq!(members[0], expected[0]);
    assert_eq!(members[2], expected[2]);
    let records = |members: &[(_, Value)]| match &members[1].1 {
        Value::List(records) => records.clone(),
        other => panic!("{other:?}"),
    };
    for (record, expected) in records(&members).iter().zip(records(&expected)) {
        let (record, expected) = (record.as_map().unwrap(), expected.into_map().unwrap());
        assert_eq!(record.len(), expected.len());
        assert!(expected.iter().all(|(name, value)| record.get(name) == Some(value)));
    }
}

#[test]
fn of_a_member_that_is_repeated_the_last_counts() {
    let body = br#"{"Limit": 5, "Limit": 7, "ExclusiveStartStreamName": "a", "ExclusiveStartStreamName": null}"#;
    let members = read(Operation::ListStreams, Encoding::Json, body).unwrap();
    assert_eq!((members.int("Limit"), members.len()), (Some(7), 1));
    let body = br#"{"StreamName": "a", "Tags": {"k": "1", "l": "2", "k": "3"}}"#;
    let members = read(Operation::AddTagsToStream, Encoding::Json, body).unwrap();
    let tags = Members::new().with("k", "3").with("l", "2");
    assert_eq!(members.map("Tags"), Some(&tags));
}

#[test]
fn times_are_milliseconds_whatever_they_come_as() {
    for (text, time_ms) in [
        ("1767225600.123", 1_767_225_600_123),
        ("1767225600", 1_767_225_600_000),
        ("1.767225600123E9", 1_767_225_600_123),
        ("0", 0),
        ("-1.5", -1500),
        ("1e300", i64::MAX),
    ] {
        let body = format!(r#"{{"StreamName": "a", "StreamCreationTimestamp": {text}}}"#);
        let members = read(Operation::ListShards, Encoding::Json, body.as_bytes()).unwrap();
        assert_eq!(members.time("StreamCreationTimestamp"), Some(time_ms), "{text}");
    }
}

#[test]
fn numbers_lose_their_fraction_and_end_at_32_bits() {
    for (text, number) in
        [("24.9", 24), ("-3.1", -4), ("1e30", 2_147_483_647), ("2147483648", 2_147_483_647)]
    {
        let body = format!(r#"{{"RetentionPeriodHours": {text}}}"#);
        let operation = Operation::IncreaseStreamRetentionPeriod;
        let members = read(operation, Encoding::Json, body.as_bytes()).unwrap();
        assert_eq!(members.int("RetentionPeriodHours"), Some(number), "{text}");
    }
}

#[test]
fn a_body_that_is_none_is_malformed() {
    for body in
        ["", " ", "hello", "null", "1", "\"a\"", "{", "{}x", "{\"Limit\": \"a\"", "{\"a\": [}"]
    {
        let read = read(Operation::ListStreams, Encoding::Json, body.as_bytes());
        assert_eq!(read, Err(Fault::Malformed), "{body}");
    }
    for body in [&b""[..], b"\xa1", b"\x01", b"\xf6", b"\xff", b"\xa0\xa0", b"\xa1\x01\x01"] {
        let read = read(Operation::ListStreams, Encoding::Cbor, body);
        assert_eq!(read, Err(Fault::Malformed), "{body:?}");
    }
    assert_eq!(read(Operation::ListStreams, Encoding::Cbor, b"\xa0"), Ok(Members::new()));
    assert_eq!(
        serialization(Operation::ListStreams, &json!([])),
        "Start of list found where not expected"
    );
}

/// As recorded from the service.
#[test]
fn wrong_types_are_told_in_the_services_words() {
    let number = "class com.amazon.coral.value.json.numbers.TruncatingBigNumber";
    let list = "Start of list found where not expected";
    let map = "Start of structure or map found where not expected.";
    let check = |operation, wrap: &dyn Fn(Json) -> Json, cases: &[(Json, String)]| {
        for (value, text) in cases {
            assert_eq!(serialization(operation, &wrap(value.clone())), *text, "{value}");
        }
    };
    let own = |value: Json, text: &str| (value, text.to_owned());
    check(
        Operation::PutRecords,
        &|value| json!({"StreamName": value}),
        &[
            own(json!(true), "class java.lang.Boolean can not be converted to an String"),
            own(json!(23), &format!("{number} can not be converted to an String")),
            own(json!(34.56), &format!("{number} can not be converted to an String")),
            own(json!([]), list),
            own(json!({}), map),
        ],
    );
    check(
        Operation::DescribeStream,
        &|value| json!({"Limit": value}),
        &[
            own(json!("23"), "class java.lang.String can not be converted to an Integer"),
            own(json!(true), "class java.lang.Boolean can not be converted to an Integer"),
            own(json!([]), list),
            own(json!({}), map),
        ],
    );
    check(
        Operation::PutRecords,
        &|value| json!({"Records": [{"Data": value}]}),
        &[
            own(json!(true), "class java.lang.Boolean can not be converted to a Blob"),
            own(json!(-2_147_483_648), &format!("{number} can not be converted to a Blob")),
            own(json!([]), list),
            own(json!({}), map),
            own(
                json!("23456"),
                "'23456' can not be converted to a Blob: Base64 encoded length is expected a \
                 multiple of 4 bytes but found: 5",
            ),
            own(
                json!("=+/="),
                "'=+/=' can not be converted to a Blob: Invalid Base64 character: '='",
            ),
            own(
                json!("+/+="),
                "'+/+=' can not be converted to a Blob: Invalid last non-pad Base64 character \
                 dectected",
            ),
        ],
    );
    check(
        Operation::PutRecords,
        &|value| json!({"Records": value}),
        &[
            own(json!("23"), "Expected list or null"),
            own(json!(34.56), "Expected list or null"),
            own(json!({}), map),
            own(json!([1]), "Expected null"),
            own(json!([[]]), list),
        ],
    );
    check(
        Operation::AddTagsToStream,
        &|value| json!({"Tags": value}),
        &[
            own(json!(true), "Expected map or null"),
            own(json!([]), list),
            own(json!({"a": true}), "class java.lang.Boolean can not be converted to an String"),
        ],
    );
    check(
        Operation::PutRecord,
        &|value| json!({"DryRun": value}),
        &[
            own(json!("23"), "'23' can not be converted to an Boolean"),
            own(json!(23), &format!("{number} can not be converted to an Boolean")),
        ],
    );
    check(
        Operation::GetShardIterator,
        &|value| json!({"Timestamp": value}),
        &[
            own(
                json!(true),
                "class java.lang.Boolean can not be converted to milliseconds since epoch",
            ),
            own(
                json!("1"),
                "class java.lang.String can not be converted to milliseconds since epoch",
            ),
        ],
    );
}

/// As recorded from the service, apart from what has since become optional.
#[test]
fn broken_constraints_are_told_in_the_services_words_and_order() {
    let at = |value: &str, path: &str, constraint: &str| {
        format!("Value {value} at '{path}' failed to satisfy constraint: Member must {constraint}")
    };
    let null = |path: &str| at("null", path, "not be null");
    let one = |text: String| format!("1 validation error detected: {text}");
    let many = |texts: &[String]| {
        format!("{} validation errors detected: {}", texts.len(), texts.join("; "))
    };
    let name = "satisfy regular expression pattern: [a-zA-Z0-9_.-]+";
    let at_least = |len: u32| format!("have length greater than or equal to {len}");
    let at_most = |len: u32| format!("have length less than or equal to {len}");

    assert_eq!(validation(Operation::PutRecords, &json!({})), one(null("records")));
    assert_eq!(
        validation(Operation::PutRecords, &json!({"StreamName": "", "Records": []})),
        many(&[
            at("'[]'", "records", &at_least(1)),
            at("''", "streamName", name),
            at("''", "streamName", &at_least(1)),
        ])
    );
    let long = "a".repeat(129);
    assert_eq!(
        validation(Operation::DescribeStreamSummary, &json!({"StreamName": long})),
        one(at(&format!("'{long}'"), "streamName", &at_most(128)))
    );
    let entry = json!({"PartitionKey": "", "ExplicitHashKey": "", "Data": null});
    let good = json!({"PartitionKey": "a", "Data": ""});
    assert_eq!(
        validation(Operation::PutRecords, &json!({"StreamName": "", "Records": [good, entry]})),
        many(&[
            at("''", "records.2.member.partitionKey", &at_least(1)),
            at(
                "''",
                "records.2.member.explicitHashKey",
                r"satisfy regular expression pattern: 0|([1-9]\d{0,38})"
            ),
            null("records.2.member.data"),
            at("''", "streamName", name),
            at("''", "streamName", &at_least(1)),
        ])
    );
    assert_eq!(
        validation(
            Operation::GetShardIterator,
            &json!({"StreamName": "", "ShardIteratorType": "", "ShardId": "", "StartingSequenceNumber": ""})
        ),
        many(&[
            at("''", "shardId", name),
            at("''", "shardId", &at_least(1)),
            at(
                "''",
                "shardIteratorType",
                "satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, \
                 AT_SEQUENCE_NUMBER, TRIM_HORIZON]"
            ),
            at(
                "''",
                "startingSequenceNumber",
                r"satisfy regular expression pattern: 0|([1-9]\d{0,128})"
            ),
            at("''", "streamName", name),
            at("''", "streamName", &at_least(1)),
        ])
    );
    assert_eq!(
        validation(Operation::GetRecords, &json!({"ShardIterator": "a", "Limit": 100_000})),
        one(at("'100000'", "limit", "have value less than or equal to 10000"))
    );
    assert_eq!(
        validation(Operation::GetRecords, &json!({"ShardIterator": "a", "Limit": 0})),
        one(at("'0'", "limit", "have value greater than or equal to 1"))
    );
    assert_eq!(
        validation(Operation::UpdateStreamMode, &json!({"StreamModeDetails": {}})),
        many(&[null("streamARN"), null("streamModeDetails.streamMode")])
    );
    let data = "A".repeat(13_981_020);
    let (max, too_large) = (10_485_760, 10_485_765);
    assert_eq!(
        validation(Operation::PutRecord, &json!({"Data": data})),
        one(at(
            &format!("'java.nio.HeapByteBuffer[pos=0 lim={too_large} cap={too_large}]'"),
            "data",
            &at_most(max)
        ))
    );
}

#[test]
fn what_lists_and_maps_hold_is_told_of_the_whole() {
    let long = "a".repeat(129);
    assert_eq!(
        validation(Operation::RemoveTagsFromStream, &json!({"TagKeys": ["a", long, "b"]})),
        format!(
            "1 validation error detected: Value '[a, {long}, b]' at 'tagKeys' failed to satisfy \
             constraint: Member must satisfy constraint: [Member must have length less than or \
             equal to 128, Member must have length greater than or equal to 1]"
        )
    );
    let text = validation(Operation::AddTagsToStream, &json!({"Tags": {"a": "b", "": "c"}}));
    assert!(text.contains("Value '{=c, a=b}' at 'tags'"), "{text}");
    assert!(text.contains("Map keys must satisfy constraint: [Member must have length"), "{text}");
    let text = validation(Operation::AddTagsToStream, &json!({"Tags": {"a": "b".repeat(257)}}));
    assert!(text.contains("Map value must satisfy constraint: [Member must have length"), "{text}");
    let text =
        validation(Operation::EnableEnhancedMonitoring, &json!({"ShardLevelMetrics": ["No"]}));
    assert!(text.contains("[Member must satisfy enum value set: [IncomingBytes,"), "{text}");
}

#[test]
fn no_more_than_ten_faults_are_told_and_no_more_than_is_needed_is_kept() {
    let entries = vec![json!({"PartitionKey": ""}); 600];
    let text = validation(Operation::PutRecords, &json!({"Records": entries}));
    assert!(text.starts_with("10 validation errors detected: "), "{text}");
    assert_eq!(text.matches("Value ").count(), 10);
    assert!(text.contains("Member must have length less than or equal to 500"), "{text}");
    let tags: serde_json::Map<_, _> = (0..10_000).map(|tag| (tag.to_string(), json!(""))).collect();
    let text = validation(Operation::AddTagsToStream, &json!({"Tags": tags}));
    assert!(text.contains("Member must have length less than or equal to 200"), "{text}");
    assert!(text.len() < 4096, "{}", text.len());
}

#[test]
fn both_encodings_say_the_same() {
    let time = Value::Time(1_767_225_600_123);
    let filter = Members::new().with("Type", "FROM_TIMESTAMP").with("Timestamp", time);
    let members = Members::new()
        .with("StreamName", "orders")
        .with("MaxResults", 25)
        .with("ShardFilter", filter);
    let value = Value::Map(members.clone());
    for encoding in [Encoding::Json, Encoding::Cbor] {
        let mut body = BytesMut::new();
        encoding.write(&value, &mut body);
        assert_eq!(read(Operation::ListShards, encoding, &body), Ok(members.clone()));
    }
}

proptest! {
    /// Any bytes are a request or a fault, and what is read can be written and read again.
    #[test]
    fn any_bytes_are_read(body in proptest::collection::vec(any::<u8>(), 0..200), index in 0..Operation::ALL.len()) {
        for encoding in [Encoding::Json, Encoding::Cbor] {
            let operation = Operation::ALL[index];
            if let Ok(members) = read(operation, encoding, &body) {
                let mut again = BytesMut::new();
                encoding.write(&Value::Map(members.clone()), &mut again);
                prop_assert_eq!(read(operation, encoding, &again), Ok(members));
            }
        }
    }
}
