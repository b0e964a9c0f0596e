use anabranch_proto::v1::{PutRecordsRequest, PutRecordsRequestEntry};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

use super::*;

/// Collects what the walker yields as the generated type, as a decoder would.
fn walk(bytes: &[u8]) -> Result<PutRecordsRequest, Malformed> {
    let mut message = PutRecordsRequest::default();
    for field in Fields::new(bytes) {
        match field? {
            Field::StreamName(name) => name.clone_into(&mut message.stream_name),
            Field::Entry(entry) => message.records.push(PutRecordsRequestEntry {
                data: entry.data.to_vec().into(),
                partition_key: entry.partition_key.to_owned(),
                explicit_hash_key: entry.explicit_hash_key.map(str::to_owned),
            }),
            Field::StreamArn(arn) => arn.clone_into(&mut message.stream_arn),
            Field::DryRun(is_set) => message.dry_run = is_set,
        }
    }
    Ok(message)
}

fn agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    match (walk(bytes), PutRecordsRequest::decode(bytes)) {
        (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs),
        // The intended difference: a group is refused though it could be skipped.
        (Err(Malformed::Group), _) | (Err(_), Err(_)) => {}
        (ours, theirs) => prop_assert!(false, "{:?}: {:?}, prost {:?}", bytes, ours, theirs),
    }
    Ok(())
}

fn message() -> impl Strategy<Value = PutRecordsRequest> {
    let entry = (vec(any::<u8>(), 0..300), ".{0,20}", proptest::option::of("[0-9]{0,40}"));
    let entry = entry.prop_map(|(data, partition_key, explicit_hash_key)| PutRecordsRequestEntry {
        data: data.into(),
        partition_key,
        explicit_hash_key,
    });
    (".{0,20}", vec(entry, 0..6), ".{0,20}", any::<bool>()).prop_map(
        |(stream_name, records, stream_arn, dry_run)| PutRecordsRequest {
            stream_name,
            records,
            stream_arn,
            dry_run,
        },
    )
}

/// Fields that only a newer or a careless encoder writes: unknown ones, repeated ones, known
/// ones of another type, overlong keys.
fn stray_field() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (1u32..40, any::<u64>()).prop_map(|(number, value)| {
            let mut out = Vec::new();
            prost::encoding::uint64::encode(number, &value, &mut out);
            out
        }),
        (1u32..40, vec(any::<u8>(), 0..20)).prop_map(|(number, value)| {
            let mut out = Vec::new();
            prost::encoding::bytes::encode(number, &value, &mut out);
            out
        }),
        (1u32..40, any::<u32>()).prop_map(|(number, value)| {
            let mut out = Vec::new();
            prost::encoding::fixed32::encode(number, &value, &mut out);
            out
        }),
        (1u32..40, any::<u64>()).prop_map(|(number, value)| {
            let mut out = Vec::new();
            prost::encoding::fixed64::encode(number, &value, &mut out);
            out
        }),
        Just(vec![0x8a, 0x80, 0x00, 0x01, b'x']),
        Just(vec![0x00, 0x00]),
        Just(vec![0x0f]),
        Just(vec![0xff; 11]),
    ]
}

proptest! {
    #[test]
    fn what_prost_encodes_the_walker_reads(message in message()) {
        prop_assert_eq!(walk(&message.encode_to_vec()), Ok(message));
    }

    #[test]
    fn any_bytes_are_accepted_or_refused_as_prost_does(bytes in vec(any::<u8>(), 0..64)) {
        agree(&bytes)?;
    }

    #[test]
    fn a_mutated_message_is_accepted_or_refused_as_prost_does(
        message in message(),
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = message.encode_to_vec();
        if !bytes.is_empty() {
            for (index, value) in flips {
                let index = index.index(bytes.len());
                bytes[index] = value;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
        }
        agree(&bytes)?;
    }

    #[test]
    fn stray_fields_are_skipped_or_refused_as_prost_does(
        message in message(),
        outer in vec(stray_field(), 0..3),
        inner in vec(stray_field(), 0..3),
    ) {
        let mut bytes = message.encode_to_vec();
        let entry: Vec<u8> = inner.concat();
        prost::encoding::bytes::encode(2, &entry, &mut bytes);
        bytes.extend(outer.concat());
        agree(&bytes)?;
        let mut in_front = outer.concat();
        in_front.extend(message.encode_to_vec());
        agree(&in_front)?;
    }
}

#[test]
fn every_prefix_of_a_message_is_accepted_or_refused_as_prost_does() {
    let message = PutRecordsRequest {
        stream_name: "orders".to_owned(),
        records: vec![PutRecordsRequestEntry {
            data: vec![7; 200].into(),
            partition_key: "ä".repeat(80),
            explicit_hash_key: Some("12".to_owned()),
        }],
        ..Default::default()
    };
    let bytes = message.encode_to_vec();
    for len in 0..=bytes.len() {
        agree(&bytes[..len]).unwrap();
    }
}

#[test]
fn malformed_bytes_are_named() {
    let cases: [(&[u8], Malformed); 9] = [
        (&[0x0a, 0x05, b'a'], Malformed::Truncated),
        (&[0x0a], Malformed::Truncated),
        (&[0x80], Malformed::Truncated),
        (&[0xff; 11], Malformed::Varint),
        (&[0x00, 0x01], Malformed::FieldNumber),
        (&[0x08, 0x01], Malformed::WireType),
        (&[0x0e], Malformed::WireType),
        (&[0x1b, 0x1c], Malformed::Group),
        (&[0x0a, 0x01, 0xff], Malformed::NotUtf8 { field: "stream_name" }),
    ];
    for (bytes, malformed) in cases {
        assert_eq!(walk(bytes), Err(malformed), "{bytes:?}");
    }
    assert_eq!(
        walk(&[0x12, 0x03, 0x12, 0x01, 0xff]),
        Err(Malformed::NotUtf8 { field: "partition_key" })
    );
}

#[test]
fn of_a_repeated_name_the_last_one_counts() {
    let walked = walk(b"\x0a\x01a\x12\x00\x0a\x01b").unwrap();
    assert_eq!(walked.stream_name, "b");
    assert_eq!(walked.records.len(), 1);
}
