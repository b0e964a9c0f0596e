//! Records as they stand on disk and on the wire: what our decoder takes, prost takes as the
//! same record.

use anabranch_engine::ids::ShardId;
use anabranch_engine::record::EncodedRecord;
use anabranch_proto::v1::{GetRecordsResponse, Record};
use prost::Message;

/// Any bytes.
pub fn run(data: &[u8]) {
    let mut rest = data;
    while let Some(ours) = EncodedRecord::decode(rest) {
        let (entry, behind) = rest.split_at(ours.entry_bytes);
        rest = behind;
        let Ok(message) = GetRecordsResponse::decode(entry) else {
            // Of a key that is not UTF-8 the engine knows nothing; it is refused at the door.
            assert!(std::str::from_utf8(ours.key).is_err(), "prost refuses {entry:?}");
            continue;
        };
        let [theirs] = &message.records[..] else { panic!("one entry is one record: {entry:?}") };
        assert_eq!(theirs.sequence_number, ours.sequence.0);
        assert_eq!(theirs.arrival_time_ms, ours.arrival_ms);
        assert_eq!(theirs.partition_key.as_bytes(), ours.key);
        assert_eq!(&theirs.data[..], ours.data);
    }
}

/// A few records as prost writes them.
pub fn seeds() -> Vec<Vec<u8>> {
    let record = |key: &str, data: &[u8]| Record {
        sequence_number: 7,
        arrival_time_ms: 1_700_000_000_000 + u64::from(ShardId(3).0),
        partition_key: key.to_owned(),
        data: data.to_vec().into(),
    };
    let encode = |records: Vec<Record>| {
        GetRecordsResponse { records, ..GetRecordsResponse::default() }.encode_to_vec()
    };
    vec![
        encode(vec![record("key", b"data")]),
        encode(vec![record("key", b""), record("\u{e4}", &[0; 200])]),
        encode(vec![record("", b"x")]),
    ]
}
