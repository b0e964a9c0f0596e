//! The server is killed in the middle of concurrent puts, again and again, and nothing that was
//! acknowledged is lost.
//!
//! Every record is its own proof: its data names producer, batch and place in the batch, and a
//! checksum of that. A producer notes for each batch whether it was acknowledged, where, and
//! otherwise that it is not known. After each restart the new records are read and compared:
//!
//! - an acknowledged record stands where it was said to stand, with the same bytes, once;
//! - a record without an answer stands once or not at all, and of its batch and shard either
//!   all records or none do (they were one append);
//! - numbers rise within a shard, and the batches of a producer keep their order.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anabranch_engine::hash_key::HashKey;
use anabranch_engine::record::PartitionKey;
use anabranch_proto::v1::{self, ShardIteratorType as Type};
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::process::Server;
use super::rpc::*;
use anabranch_tests::support::Random;

const SHARDS: u32 = 4;
const BATCH_RECORDS: u64 = 12;
/// Batches that a `Produce` call has in flight.
const PIPELINED: usize = 8;

/// How often the server is killed: 50 times, or as `ANABRANCH_KILLS` says.
fn kills() -> u64 {
    std::env::var("ANABRANCH_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(50)
}

/// Where a record of a batch has to be, if anybody was told.
#[derive(Clone, Debug)]
struct Sent {
    batch: u64,
    /// Shard and number of each record; `None` where there was no answer for it.
    placed: Vec<Option<(u32, u64)>>,
}

/// The batches of one producer in one life of the server.
type Ledger = Vec<Sent>;

/// The bytes of one record: who it is, a filling of its own length, and a checksum.
fn data(producer: u64, batch: u64, index: u64) -> Vec<u8> {
    let mut bytes = format!("{producer} {batch} {index} ").into_bytes();
    let mut random = Random(producer << 48 ^ batch << 8 ^ index);
    let filling = random.below(600);
    bytes.extend((0..filling).map(|_| random.next() as u8));
    let crc = crc32fast::hash(&bytes);
    bytes.extend(crc.to_be_bytes());
    bytes
}

/// Who a record is.
fn identity(data: &[u8]) -> (u64, u64, u64) {
    let mut numbers = data
        .splitn(4, |byte| *byte == b' ')
        .take(3)
        .map(|number| std::str::from_utf8(number).unwrap().parse().unwrap());
    let mut next = || numbers.next().unwrap();
    (next(), next(), next())
}

fn batch(producer: u64, batch: u64) -> Vec<v1::PutRecordsRequestEntry> {
    (0..BATCH_RECORDS)
        .map(|index| {
            entry(&format!("{}", batch * BATCH_RECORDS + index), data(producer, batch, index))
        })
        .collect()
}

fn unknown(batch: u64) -> Sent {
    Sent { batch, placed: vec![None; BATCH_RECORDS as usize] }
}

/// Counts acknowledged batches, so that the kill comes after some of them.
#[derive(Default)]
struct Progress {
    batches: AtomicU64,
    moved: Notify,
}

impl Progress {
    fn add(&self) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.moved.notify_one();
    }

    async fn reach(&self, count: u64) {
        while self.batches.load(Ordering::Relaxed) < count {
            self.moved.notified().await;
        }
    }
}

/// Puts batch after batch with unary calls until the server is gone.
async fn put_batches(
    address: SocketAddr,
    producer: u64,
    first: u64,
    progress: Arc<Progress>,
) -> Ledger {
    let mut stub = connect(address).await;
    let mut ledger = Ledger::new();
    for number in first.. {
        let answer = stub.put_records(put_request("s", batch(producer, number))).await;
        let mut sent = unknown(number);
        let Ok(answer) = answer else {
            ledger.push(sent);
            break;
        };
        for (place, result) in sent.placed.iter_mut().zip(answer.into_inner().records) {
            if result.error_code.is_empty() {
                let shard = result.shard_id.strip_prefix("shardId-").unwrap().parse().unwrap();
                *place = Some((shard, result.sequence_number));
            }
        }
        ledger.push(sent);
        progress.add();
    }
    ledger
}

/// Puts batches through one `Produce` call, several in flight, until the server is gone.
async fn produce_batches(
    address: SocketAddr,
    producer: u64,
    first: u64,
    progress: Arc<Progress>,
) -> Ledger {
    let mut stub = connect(address).await;
    let (requests, channel) = mpsc::unbounded_channel();
    let mut ledger = Ledger::new();
    let send = |ledger: &mut Ledger| {
        let number = first + ledger.len() as u64;
        ledger.push(unknown(number));
        let _ = requests.send(produce_request("s", batch(producer, number)));
    };
    for _ in 0..PIPELINED {
        send(&mut ledger);
    }
    let Ok(answers) = stub.produce(UnboundedReceiverStream::new(channel)).await else {
        return ledger;
    };
    let mut answers = answers.into_inner();
    let mut answered = 0;
    while let Ok(Some(answer)) = answers.message().await {
        let failed: Vec<u32> = answer.failures.iter().map(|failure| failure.index).collect();
        for (index, place) in ledger[answered].placed.iter_mut().enumerate() {
            if !failed.contains(&(index as u32)) {
                *place = Some((answer.shard_indexes[index], answer.sequence_numbers[index]));
            }
        }
        answered += 1;
        progress.add();
        send(&mut ledger);
    }
    ledger
}

/// What has been checked so far.
#[derive(Default)]
struct Checked {
    /// Per shard, the last number that was read.
    last: [u64; SHARDS as usize],
    records: u64,
    unanswered: u64,
    unanswered_there: u64,
}

impl Checked {
    /// Reads what is new and compares it with what the producers were told.
    async fn check(&mut self, address: SocketAddr, ledgers: &[(u64, Ledger)]) {
        let mut stub = connect(address).await;
        let mut found: HashMap<(u64, u64, u64), (u32, u64)> = HashMap::new();
        for shard in 0..SHARDS {
            let mut newest: HashMap<u64, (u64, u64)> = HashMap::new();
            for record in self.new_records(&mut stub, shard).await {
                let number = record.sequence_number;
                let last = &mut self.last[shard as usize];
                assert!(number > *last, "shard {shard}: {number} behind {last}");
                *last = number;
                let (producer, batch, index) = identity(&record.data);
                assert_eq!(record.data, data(producer, batch, index), "shard {shard} {number}");
                let expected_key = (batch * BATCH_RECORDS + index).to_string();
                assert_eq!(record.partition_key, expected_key);
                let before = found.insert((producer, batch, index), (shard, number));
                assert_eq!(before, None, "{producer} {batch} {index} stands twice");
                let order = newest.insert(producer, (batch, index));
                assert!(order < Some((batch, index)), "shard {shard}: {order:?} {batch} {index}");
                self.records += 1;
            }
        }
        for (producer, ledger) in ledgers {
            for sent in ledger {
                self.check_batch(*producer, sent, &mut found);
            }
        }
        assert!(found.is_empty(), "nobody sent {found:?}");
    }

    fn check_batch(
        &mut self,
        producer: u64,
        sent: &Sent,
        found: &mut HashMap<(u64, u64, u64), (u32, u64)>,
    ) {
        let mut unanswered = [[0u64; 2]; SHARDS as usize];
        for (index, told) in sent.placed.iter().enumerate() {
            let there = found.remove(&(producer, sent.batch, index as u64));
            match told {
                Some(told) => {
                    assert_eq!(there, Some(*told), "{producer} {} {index}", sent.batch);
                }
                None => {
                    self.unanswered += 1;
                    self.unanswered_there += u64::from(there.is_some());
                    if let Some((shard, _)) = there {
                        unanswered[shard as usize][1] += 1;
                    }
                    let shard = shard_of(sent.batch * BATCH_RECORDS + index as u64);
                    unanswered[shard as usize][0] += 1;
                }
            }
        }
        for (shard, [sent_there, stand_there]) in unanswered.into_iter().enumerate() {
            assert!(
                stand_there == 0 || stand_there == sent_there,
                "{producer} {}: {stand_there} of {sent_there} in shard {shard}",
                sent.batch
            );
        }
    }

    async fn new_records(&self, stub: &mut Stub, shard: u32) -> Vec<v1::Record> {
        let request = v1::GetShardIteratorRequest {
            starting_sequence_number: Some(self.last[shard as usize]),
            ..iterator_request("s", shard, Type::AfterSequenceNumber)
        };
        let mut next = stub.get_shard_iterator(request).await.unwrap().into_inner().shard_iterator;
        let mut records = Vec::new();
        loop {
            let page = stub.get_records(get(&next)).await.unwrap().into_inner();
            if page.records.is_empty() {
                return records;
            }
            records.extend(page.records);
            next = page.next_shard_iterator;
        }
    }
}

/// The shard of a key that is a number, as a server that tiles the hash space evenly has it.
fn shard_of(key: u64) -> u32 {
    let key = key.to_string();
    let key = PartitionKey::from_bytes(key.as_bytes()).unwrap();
    (HashKey::of(key).0 >> (128 - SHARDS.trailing_zeros())) as u32
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_acknowledged_before_a_kill_is_there_exactly_once_and_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let mut random = Random(0x006b_696c_6c73);
    let mut checked = Checked::default();
    let mut next_batch = [0u64; 4];
    let mut server = Server::start(&path);
    create(&mut connect(server.address()).await, "s", SHARDS).await;
    for _ in 0..kills() {
        let address = server.address();
        let progress = Arc::new(Progress::default());
        let producers: Vec<_> = next_batch
            .iter()
            .enumerate()
            .map(|(producer, first)| {
                let (producer, first, progress) = (producer as u64, *first, progress.clone());
                tokio::spawn(async move {
                    if producer % 2 == 0 {
                        produce_batches(address, producer, first, progress).await
                    } else {
                        put_batches(address, producer, first, progress).await
                    }
                })
            })
            .collect();
        // Some time after the first acknowledgements, and in the middle of the next ones.
        let patience = Duration::from_secs(60);
        let some = progress.reach(4 + random.below(40));
        tokio::time::timeout(patience, some).await.expect("puts get on");
        server.kill();
        let mut ledgers = Vec::new();
        for (producer, task) in producers.into_iter().enumerate() {
            let ledger = task.await.unwrap();
            next_batch[producer] += ledger.len() as u64;
            ledgers.push((producer as u64, ledger));
        }
        server = Server::start(&path);
        checked.check(server.address(), &ledgers).await;
    }
    println!(
        "{} kills, {} records, {} without an answer, of which {} stand",
        kills(),
        checked.records,
        checked.unanswered,
        checked.unanswered_there
    );
    // And all of it once more from the start.
    let all = count(&mut connect(server.address()).await, "s", SHARDS).await;
    assert_eq!(all as u64, checked.records);
    server.stop();
}
