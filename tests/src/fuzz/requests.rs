//! Requests: our walker over the bytes of a put agrees with prost about every message, and no
//! request of any kind brings a decoder down.

use anabranch_proto::v1::{
    GetRecordsRequest, GetShardIteratorRequest, ProduceRequest, PutRecordRequest,
    PutRecordsRequest, PutRecordsRequestEntry, SubscribeToShardRequest,
};
use anabranch_server::wire::read::{Field, Fields, Malformed};
use prost::Message;

/// A `PutRecordsRequest` (or a `ProduceRequest`, which is written the same way).
pub fn put(data: &[u8]) {
    let theirs = PutRecordsRequest::decode(data);
    match (walk(data), theirs) {
        (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs),
        // The stated difference: a group is refused though it could be skipped.
        (Err(Malformed::Group), _) | (Err(_), Err(_)) => {}
        (ours, theirs) => panic!("{data:?}: {ours:?}, prost {theirs:?}"),
    }
    let produced = ProduceRequest::decode(data).map(|message| message.records.len());
    if let (Ok(ours), Ok(theirs)) = (walk(data), produced) {
        assert_eq!(ours.records.len(), theirs);
    }
}

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

/// The messages that generated code reads: the first byte says which.
pub fn any(data: &[u8]) {
    fn read<M: Message + Default + PartialEq>(bytes: &[u8]) {
        if let Ok(message) = M::decode(bytes) {
            let again = M::decode(&message.encode_to_vec()[..]);
            assert!(again.is_ok_and(|again| again == message), "what is read can be written");
        }
    }
    let Some((kind, bytes)) = data.split_first() else { return };
    match kind % 4 {
        0 => read::<PutRecordRequest>(bytes),
        1 => read::<GetRecordsRequest>(bytes),
        2 => read::<GetShardIteratorRequest>(bytes),
        _ => read::<SubscribeToShardRequest>(bytes),
    }
}

/// Puts of no, of one and of several records.
pub fn put_seeds() -> Vec<Vec<u8>> {
    let entry = |key: &str, hash_key: Option<&str>| PutRecordsRequestEntry {
        data: b"data".to_vec().into(),
        partition_key: key.to_owned(),
        explicit_hash_key: hash_key.map(str::to_owned),
    };
    let message = |records| PutRecordsRequest {
        stream_name: "orders".to_owned(),
        records,
        ..Default::default()
    };
    vec![
        message(vec![]).encode_to_vec(),
        message(vec![entry("key", None)]).encode_to_vec(),
        message(vec![entry("", Some("0")), entry("\u{e4}", Some("17")), entry("z", None)])
            .encode_to_vec(),
        // An unknown field, a number where a text goes, and a group.
        vec![0x7a, 1, 0, 0x08, 1, 0x13, 0x14],
    ]
}

/// One of each kind.
pub fn any_seeds() -> Vec<Vec<u8>> {
    let with = |kind: u8, message: Vec<u8>| [vec![kind], message].concat();
    let records = GetRecordsRequest {
        shard_iterator: "AAAA".to_owned(),
        limit: Some(7),
        ..GetRecordsRequest::default()
    };
    let iterator = GetShardIteratorRequest {
        stream_name: "orders".to_owned(),
        shard_id: "0".to_owned(),
        starting_sequence_number: Some(3),
        ..GetShardIteratorRequest::default()
    };
    let subscribe = SubscribeToShardRequest {
        stream_name: "orders".to_owned(),
        consumer_name: "app".to_owned(),
        ..SubscribeToShardRequest::default()
    };
    vec![
        with(0, PutRecordRequest::default().encode_to_vec()),
        with(1, records.encode_to_vec()),
        with(2, iterator.encode_to_vec()),
        with(3, subscribe.encode_to_vec()),
    ]
}
