//! The frozen bytes, and garbage in their place.

use super::*;
use crate::settings::{
    AccountSettings, Commitment, CommitmentStatus, Distribution, QuotaProfile, ShardMetric,
    StreamMode,
};

/// Says only whether it could decode a value.
type Decodes = fn(&[u8]) -> bool;

const CONSUMER_OF_VERSION_1: &[u8] = &[1, 12, 0, 0, 0, 0, 0, 0, 0];

fn stream_of_version_1() -> Vec<u8> {
    [&[1, 1, 48, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6][..], b"orders"].concat()
}

fn tags() -> Tags {
    let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    Tags::from([tag("a", ""), tag("stage", "test"), tag("ä", "ö")])
}

/// One value of each kind, its frozen bytes and its decoder.
fn examples() -> Vec<(Vec<u8>, Decodes)> {
    let closed = ShardEntry {
        id: ShardId(3),
        range: HashKeyRange { start: HashKey(7), end: HashKey(u128::MAX) },
        parents: [Some(ShardId(1)), Some(ShardId(2))],
        created_ms: 5,
        first_sequence: SequenceNumber(6),
        closed: Some(ShardClosed { at_ms: 8, last_sequence: SequenceNumber(9) }),
        is_removing: false,
    };
    let removing = ShardEntry { is_removing: true, ..closed.clone() };
    let open = ShardEntry { parents: [None, None], closed: None, ..closed.clone() };
    assert_eq!(decode_shard(ShardId(3), &encode_shard(&closed)), Ok(closed.clone()));
    assert_eq!(decode_shard(ShardId(3), &encode_shard(&open)), Ok(open.clone()));
    assert_eq!(decode_shard(ShardId(3), &encode_shard(&removing)), Ok(removing.clone()));
    let stream = StreamValue {
        name: "orders".parse().unwrap(),
        created_ms: 1 << 40,
        retention_hours: 48,
        is_deleting: true,
        settings: StreamSettings {
            mode: StreamMode::OnDemand,
            warm_throughput_mib_s: 7,
            max_record_kib: 2048,
            distribution: Distribution::Auto,
            quotas: Some(QuotaProfile::Aws),
            monitoring: [ShardMetric::IncomingBytes, ShardMetric::IteratorAgeMilliseconds]
                .into_iter()
                .collect(),
            tags: tags(),
            policy: Some("{}".to_owned()),
        },
    };
    assert_eq!(decode_stream(&encode_stream(&stream)), Ok(stream.clone()));
    let plain = StreamValue { settings: StreamSettings::default(), ..stream.clone() };
    assert_eq!(decode_stream(&encode_stream(&plain)), Ok(plain.clone()));
    let timeline = TimelineState { now_ms: 77, jumps: vec![Jump { forward_ms: 1, held_ms: 2 }] };
    assert_eq!(decode_timeline(&encode_timeline(&timeline)), Ok(timeline.clone()));
    let mark = ShardMark {
        segment_base: SequenceNumber(1),
        offset: 2,
        next_sequence: SequenceNumber(3),
        newest_arrival_ms: 4,
        trim_horizon: SequenceNumber(5),
    };
    assert_eq!(decode_mark(&encode_mark(&mark)), Ok(mark));
    let consumer = ConsumerEntry {
        name: "reader".parse().unwrap(),
        created_ms: 12,
        tags: tags(),
        policy: Some(String::new()),
    };
    let name = || -> ConsumerName { "reader".parse().unwrap() };
    assert_eq!(decode_consumer(name(), &encode_consumer(&consumer)), Ok(consumer.clone()));
    let commitment = Commitment {
        status: CommitmentStatus::EnabledUntilEarliestAllowedEnd,
        started_ms: Some(1 << 40),
        ended_ms: None,
        earliest_end_ms: Some(3),
    };
    let account = AccountSettings { commitment };
    assert_eq!(decode_account(&encode_account(&account)), Ok(account));
    let run = Run { clean: true, unsynced: false };
    vec![
        (encode_shard(&closed), |v| decode_shard(ShardId(3), v).is_ok()),
        (encode_shard(&removing), |v| decode_shard(ShardId(3), v).is_ok()),
        (encode_shard(&open), |v| decode_shard(ShardId(3), v).is_ok()),
        (encode_stream(&stream), |v| decode_stream(v).is_ok()),
        (encode_stream(&plain), |v| decode_stream(v).is_ok()),
        (stream_of_version_1(), |v| decode_stream(v).is_ok()),
        (encode_timeline(&timeline), |v| decode_timeline(v).is_ok()),
        (encode_mark(&mark), |v| decode_mark(v).is_ok()),
        (encode_consumer(&consumer), |v| decode_consumer("reader".parse().unwrap(), v).is_ok()),
        (CONSUMER_OF_VERSION_1.to_vec(), |v| decode_consumer("reader".parse().unwrap(), v).is_ok()),
        (encode_account(&account), |v| decode_account(v).is_ok()),
        (encode_run(run), |v| decode_run(v).is_ok()),
        (encode_iterator_key(&[7; 32]), |v| decode_iterator_key(v).is_ok()),
        (encode_next_stream_id(9), |v| decode_next_stream_id(v).is_ok()),
        (encode_format(FORMAT), |v| decode_format(v).is_ok()),
    ]
}

#[test]
fn every_prefix_and_every_longer_value_is_an_error() {
    for (bytes, decodes) in examples() {
        assert!(decodes(&bytes));
        for end in 0..bytes.len() {
            assert!(!decodes(&bytes[..end]), "{end} of {bytes:?}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert!(!decodes(&longer), "{longer:?}");
    }
}

#[test]
fn every_flipped_bit_gives_an_error_or_a_value() {
    for (bytes, decodes) in examples() {
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _ = decodes(&flipped);
        }
    }
}

#[test]
fn a_newer_version_byte_is_told_from_damage() {
    assert_eq!(decode_mark(&[2, 0]), Err(Undecodable::Newer(2)));
    assert_eq!(decode_mark(&[0; 41]), Err(Undecodable::Damaged("a mark")));
    assert_eq!(decode_run(&[1, 2, 0]).ok(), None);
}

#[test]
fn values_of_version_1_are_read_with_default_settings() {
    let stream = decode_stream(&stream_of_version_1()).unwrap();
    assert_eq!((stream.name.as_str(), stream.created_ms), ("orders", 5));
    assert_eq!((stream.retention_hours, stream.is_deleting), (48, true));
    assert_eq!(stream.settings, StreamSettings::default());
    let consumer = decode_consumer("reader".parse().unwrap(), CONSUMER_OF_VERSION_1).unwrap();
    assert_eq!((consumer.created_ms, consumer.policy), (12, None));
    assert_eq!(consumer.tags, Tags::new());
    // A flag that it did not have yet, and versions that there are not.
    let mut policy = stream_of_version_1();
    policy[1] = STREAM_POLICY;
    assert_eq!(decode_stream(&policy), Err(Undecodable::Damaged("a stream")));
    for decode in [
        |v: &[u8]| decode_stream(v).err(),
        |v: &[u8]| decode_consumer("reader".parse().unwrap(), v).err(),
    ] {
        assert_eq!(decode(&[3, 0]), Some(Undecodable::Newer(3)));
        assert!(matches!(decode(&[0; 40]), Some(Undecodable::Damaged(_))));
    }
}

#[test]
fn settings_that_nobody_can_have_set_are_damage() {
    let settings = StreamSettings { tags: tags(), ..StreamSettings::default() };
    let name = "s".parse().unwrap();
    let (created_ms, retention_hours, is_deleting) = (1, 24, false);
    let stream = StreamValue { name, created_ms, retention_hours, is_deleting, settings };
    let value = encode_stream(&stream);
    assert_eq!(decode_stream(&value), Ok(stream));
    // Behind version, flags, retention, created and the name of one byte.
    let settings_start = 1 + 1 + 4 + 8 + 1 + 1;
    let damaged = |place: usize, byte: u8| {
        let mut value = value.clone();
        value[settings_start + place] = byte;
        decode_stream(&value)
    };
    // Mode, distribution, quotas, monitoring; KiB of a record; the first tag's key.
    for (place, byte) in [(0, 2), (1, 2), (2, 3), (3, 0x80), (9, 3), (10, 1), (15, b'z')] {
        let result = damaged(place, byte);
        assert_eq!(result, Err(Undecodable::Damaged("a stream")), "{place}");
    }
    // A set of tags is written in one way.
    assert!(damaged(15, b'b').is_ok());
    // A time whose flag is not set.
    let mut account = encode_account(&AccountSettings::default());
    account[3] = 1;
    assert!(decode_account(&account).is_err());
}

#[test]
fn keys_are_read_as_they_were_written_and_garbage_is_refused() {
    let stream = StreamId(0x0102_0304_0506_0708);
    assert_eq!(stream_key(stream), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(decode_stream_key(&stream_key(stream)), Ok(stream));
    let key = shard_key(stream, ShardId(0x0a0b));
    assert_eq!(key, [1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 10, 11]);
    assert_eq!(decode_shard_key(&key), Ok((stream, ShardId(0x0a0b))));
    let name: ConsumerName = "x".parse().unwrap();
    let key = consumer_key(stream, &name);
    assert_eq!(key, [1, 2, 3, 4, 5, 6, 7, 8, b'x']);
    assert_eq!(decode_consumer_key(&key), Ok((stream, name)));
    for length in 0..20 {
        let garbage = vec![0xff; length];
        assert_eq!(decode_stream_key(&garbage).is_ok(), length == 8);
        assert_eq!(decode_shard_key(&garbage).is_ok(), length == 12);
        assert!(decode_consumer_key(&garbage).is_err());
    }
}

#[test]
fn the_frozen_bytes_have_not_changed() {
    let mut all = Vec::new();
    for (bytes, _) in examples() {
        all.extend_from_slice(&u16::try_from(bytes.len()).unwrap().to_le_bytes());
        all.extend_from_slice(&bytes);
    }
    // A change here is a change of the format: FORMAT.md, a new version byte, a golden file.
    assert_eq!((all.len(), crc32fast::hash(&all)), (567, 3_060_059_701));
}
