//! The bytes on disk are the bytes on the wire: prost reads a page's ranges as either reply,
//! and writes the same bytes.

use anabranch_engine::record::{PartitionKey, RecordView};
use anabranch_engine::sequence::SequenceNumber;
use anabranch_engine::{ReadLimit, StreamSettings};
use anabranch_proto::v1::{GetRecordsResponse, SubscribeToShardEvent};
use prost::Message;

use anabranch_tests::support::{Random, World, name, records};

#[test]
fn prost_reads_and_writes_the_bytes_of_a_page() {
    let world = World::new(9);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    let shard = &stream.shards()[0];
    let mut random = Random(9);
    let keys = ["k", "ключ", "🔑", &"x".repeat(256)];
    for _ in 0..30 {
        let data: Vec<Vec<u8>> = (0..=random.below(40))
            .map(|_| {
                let len = [0, 1, 100, 127, 128, 20_000][random.below(6) as usize];
                (0..len).map(|_| random.next() as u8).collect()
            })
            .collect();
        let views = data.iter().enumerate().map(|(index, data)| {
            let key = PartitionKey::from_bytes(keys[index % keys.len()].as_bytes()).unwrap();
            RecordView::new(key, None, data).unwrap()
        });
        let ticket = shard.append(views).unwrap();
        while engine.commit_step() {}
        ticket.wait().unwrap();
    }
    let mut cursor = shard.cursor(SequenceNumber(0));
    let mut pages = 0;
    loop {
        let limit = ReadLimit {
            records: 1 + random.below(90) as usize,
            bytes: random.below(200_000) as usize,
        };
        let page = cursor.read(limit).unwrap();
        if page.records == 0 {
            break;
        }
        pages += 1;
        let bytes: Vec<u8> = page.ranges.iter().flat_map(|range| range.to_vec()).collect();
        let reply = GetRecordsResponse::decode(&bytes[..]).unwrap();
        let event = SubscribeToShardEvent::decode(&bytes[..]).unwrap();
        assert_eq!(reply.records, event.records);
        assert_eq!(reply.encode_to_vec(), bytes);
        assert_eq!(event.encode_to_vec(), bytes);
        let ours = records(&page);
        assert_eq!(reply.records.len(), ours.len());
        for (theirs, ours) in reply.records.iter().zip(ours) {
            assert_eq!(theirs.sequence_number, ours.sequence);
            assert_eq!(theirs.arrival_time_ms, ours.arrival_ms);
            assert_eq!(theirs.partition_key.as_bytes(), ours.key);
            assert_eq!(theirs.data[..], ours.data[..]);
        }
    }
    assert!(pages > 10, "{pages}");
}
