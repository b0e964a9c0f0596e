//! A small server in memory for tests: it keeps records, hands them out, and fails on demand.
//!
//! Shards are lists, tokens are plain text (`stream/shard/index of the next record`), and the
//! failures that a test orders are in [`Orders`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use anabranch_proto::v1::streams_server::{Streams, StreamsServer};
use anabranch_proto::v1::{self, ShardIteratorType as Type};
use futures_util::{Stream, StreamExt};
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt};

use crate::client::Client;

/// What is to go wrong next.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    /// Records to throttle.
    pub(crate) throttle_records: usize,
    /// Produce requests that are carried out and get no answer: the call ends instead.
    pub(crate) lose_answers: usize,
    /// GetRecords calls to refuse as expired.
    pub(crate) expire_iterators: usize,
    /// Subscriptions that end by themselves after their first event.
    pub(crate) short_subscriptions: usize,
    /// Subscriptions to refuse as in use.
    pub(crate) refuse_subscriptions: usize,
    /// Pages hold no more records than this.
    pub(crate) page_records: Option<usize>,
    /// Sequence numbers of damage: first lost and next readable, of every shard.
    pub(crate) damage: Option<(u64, u64)>,
    /// While set, Produce requests wait, and the answers with them.
    pub(crate) hold: bool,
    /// The shards that were open at any time that is asked for, by index.
    pub(crate) open_at: Vec<usize>,
}

/// A shard: open until it is split or merged, and there until it expires.
#[derive(Debug, Default)]
struct FakeShard {
    records: Vec<v1::Record>,
    /// Indexes.
    parents: Vec<usize>,
    is_closed: bool,
    is_expired: bool,
}

#[derive(Debug, Default)]
struct State {
    streams: BTreeMap<String, Vec<FakeShard>>,
    consumers: BTreeSet<(String, String)>,
    retention: HashMap<String, u32>,
    orders: Orders,
    batches: Vec<usize>,
}

#[derive(Debug)]
pub(crate) struct Fake {
    /// The methods of the service get no `Arc`, and some answers outlive their call.
    this: Weak<Fake>,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

fn refusal(code: Code, reason: &str, fields: &[(&str, String)]) -> Status {
    let fields: HashMap<String, String> =
        fields.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let details = ErrorDetails::with_error_info(reason, "anabranch", fields);
    Status::with_error_details(code, format!("{reason} by the fake"), details)
}

fn not_found() -> Status {
    refusal(Code::NotFound, "ResourceNotFoundException", &[])
}

impl Fake {
    /// Starts a server on a free port, and a client of it.
    pub(crate) async fn start() -> (Arc<Fake>, Client) {
        let fake = Arc::new_cyclic(|this| Fake {
            this: this.clone(),
            state: Mutex::default(),
            changed: watch::Sender::new(0),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = StreamsServer::from_arc(fake.clone()).max_decoding_message_size(16 << 20);
        let server = Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        let client = Client::connect(&url).await.unwrap();
        (fake, client)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn shared(&self) -> Arc<Fake> {
        self.this.upgrade().unwrap()
    }

    pub(crate) fn order(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut self.state().orders);
        self.changed.send_modify(|version| *version += 1);
    }

    /// The data of a shard's records.
    pub(crate) fn data(&self, stream: &str, shard: usize) -> Vec<String> {
        let state = self.state();
        let records = state.streams[stream][shard].records.iter();
        records.map(|record| String::from_utf8_lossy(&record.data).into_owned()).collect()
    }

    /// How many records each Produce request had.
    pub(crate) fn batches(&self) -> Vec<usize> {
        self.state().batches.clone()
    }

    /// Puts a record directly.
    pub(crate) fn append(&self, stream: &str, shard: usize, key: &str, data: &[u8]) {
        let mut state = self.state();
        let records = &mut state.streams.get_mut(stream).unwrap()[shard].records;
        let sequence_number = records.len() as u64 + 1;
        records.push(v1::Record {
            sequence_number,
            arrival_time_ms: 1_700_000_000_000 + sequence_number,
            partition_key: key.to_owned(),
            data: data.to_vec().into(),
        });
        drop(state);
        self.changed.send_modify(|version| *version += 1);
    }

    /// Closes shards and opens as many children of theirs.
    pub(crate) fn reshard(&self, stream: &str, parents: &[usize], children: usize) {
        let mut state = self.state();
        let shards = state.streams.get_mut(stream).unwrap();
        for parent in parents {
            shards[*parent].is_closed = true;
        }
        let child = || FakeShard { parents: parents.to_vec(), ..FakeShard::default() };
        shards.extend((0..children).map(|_| child()));
        drop(state);
        self.changed.send_modify(|version| *version += 1);
    }

    /// Forgets a closed shard, as a server does when its last record has expired.
    pub(crate) fn expire(&self, stream: &str, shard: usize) {
        self.state().streams.get_mut(stream).unwrap()[shard].is_expired = true;
        self.changed.send_modify(|version| *version += 1);
    }

    fn place(&self, stream: &str, entry: &v1::PutRecordsRequestEntry) -> (u64, u32) {
        let open: Vec<usize> = {
            let state = self.state();
            let shards = state.streams[stream].iter().enumerate();
            shards.filter(|(_, shard)| !shard.is_closed).map(|(index, _)| index).collect()
        };
        let shard = open[entry.partition_key.len() % open.len()];
        self.append(stream, shard, &entry.partition_key, &entry.data);
        let count = self.state().streams[stream][shard].records.len();
        (count as u64, shard as u32)
    }

    fn produce_one(&self, request: &v1::ProduceRequest, stream: &str) -> v1::ProduceResponse {
        let mut answer = v1::ProduceResponse::default();
        self.state().batches.push(request.records.len());
        for (index, entry) in request.records.iter().enumerate() {
            let is_throttled = {
                let orders = &mut self.state().orders;
                let is_throttled = orders.throttle_records > 0;
                orders.throttle_records = orders.throttle_records.saturating_sub(1);
                is_throttled
            };
            let (number, shard) = if is_throttled {
                answer.failures.push(v1::ProduceFailure {
                    index: index as u32,
                    error_code: "ProvisionedThroughputExceededException".to_owned(),
                    error_message: "slow down".to_owned(),
                    ..v1::ProduceFailure::default()
                });
                (0, 0)
            } else {
                self.place(stream, entry)
            };
            answer.sequence_numbers.push(number);
            answer.shard_indexes.push(shard);
        }
        answer
    }

    /// The index of the first record to read.
    fn start_of(
        &self,
        stream: &str,
        shard: usize,
        at: &v1::StartingPosition,
    ) -> Result<usize, Status> {
        let state = self.state();
        let records = &state.shard(stream, shard)?.records;
        let number = at.sequence_number.unwrap_or_default() as usize;
        Ok(match at.r#type() {
            Type::TrimHorizon => 0,
            Type::Latest => records.len(),
            Type::AtSequenceNumber => number.saturating_sub(1),
            Type::AfterSequenceNumber => number,
            Type::AtTimestamp => records
                .iter()
                .position(|record| Some(record.arrival_time_ms) >= at.timestamp_ms)
                .unwrap_or(records.len()),
            Type::Unspecified => return Err(Status::invalid_argument("type")),
        })
    }

    /// A page from an index: the records, the next index and how far behind that is.
    fn page(&self, stream: &str, shard: usize, from: usize, limit: usize) -> Result<Page, Status> {
        let state = self.state();
        let shard_index = shard;
        let shard = state.shard(stream, shard_index)?;
        let all = &shard.records;
        let limit = limit.min(state.orders.page_records.unwrap_or(limit));
        let mut end = (from + limit).min(all.len()).max(from);
        if let Some((first_lost, next_readable)) = state.orders.damage {
            let lost = first_lost as usize - 1..next_readable as usize - 1;
            if lost.contains(&from) {
                let next = format!("{stream}/{shard_index}/{}", lost.end);
                return Err(refusal(
                    Code::DataLoss,
                    "DataLossException",
                    &[
                        ("first_lost", first_lost.to_string()),
                        ("next_readable", next_readable.to_string()),
                        ("file", "1.seg".to_owned()),
                        ("offset", "4096".to_owned()),
                        ("next_shard_iterator", next),
                    ],
                ));
            }
            if from < lost.start {
                end = end.min(lost.start);
            }
        }
        let is_end = shard.is_closed && end >= all.len();
        Ok(Page {
            records: all[from.min(all.len())..end.min(all.len())].to_vec(),
            next: end,
            behind_ms: all.len().saturating_sub(end) as u64,
            children: is_end.then(|| state.children(stream, shard_index)),
        })
    }
}

struct Page {
    records: Vec<v1::Record>,
    next: usize,
    behind_ms: u64,
    /// At the end of a closed shard.
    children: Option<Vec<v1::ChildShard>>,
}

impl State {
    fn shard(&self, stream: &str, index: usize) -> Result<&FakeShard, Status> {
        let shards = self.streams.get(stream).ok_or_else(not_found)?;
        shards.get(index).filter(|shard| !shard.is_expired).ok_or_else(not_found)
    }

    fn children(&self, stream: &str, index: usize) -> Vec<v1::ChildShard> {
        let shards = self.streams[stream].iter().enumerate();
        shards
            .filter(|(_, child)| child.parents.contains(&index))
            .map(|(child_index, child)| v1::ChildShard {
                shard_id: shard_id(child_index),
                parent_shards: child.parents.iter().copied().map(shard_id).collect(),
                hash_key_range: None,
            })
            .collect()
    }
}

fn shard_id(index: usize) -> String {
    format!("shardId-{index:012}")
}

fn shard_index(shard_id: &str) -> Result<usize, Status> {
    let digits = shard_id.strip_prefix("shardId-").unwrap_or(shard_id);
    digits.parse().map_err(|_| not_found())
}

type Reply<T> = Result<Response<T>, Status>;
type Events<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Streams for Fake {
    async fn create_stream(
        &self,
        request: Request<v1::CreateStreamRequest>,
    ) -> Reply<v1::CreateStreamResponse> {
        let request = request.into_inner();
        let mut state = self.state();
        if state.streams.contains_key(&request.stream_name) {
            return Err(refusal(Code::AlreadyExists, "ResourceInUseException", &[]));
        }
        let shards = (0..request.shard_count).map(|_| FakeShard::default()).collect();
        state.streams.insert(request.stream_name, shards);
        Ok(Response::new(v1::CreateStreamResponse::default()))
    }

    async fn delete_stream(
        &self,
        request: Request<v1::DeleteStreamRequest>,
    ) -> Reply<v1::DeleteStreamResponse> {
        let removed = self.state().streams.remove(&request.into_inner().stream_name);
        self.changed.send_modify(|version| *version += 1);
        removed.map(|_| Response::new(v1::DeleteStreamResponse::default())).ok_or_else(not_found)
    }

    async fn describe_stream_summary(
        &self,
        request: Request<v1::DescribeStreamSummaryRequest>,
    ) -> Reply<v1::DescribeStreamSummaryResponse> {
        let stream_name = request.into_inner().stream_name;
        let state = self.state();
        let shards = state.streams.get(&stream_name).ok_or_else(not_found)?;
        let retention = state.retention.get(&stream_name).copied();
        Ok(Response::new(v1::DescribeStreamSummaryResponse {
            stream_description_summary: Some(v1::StreamDescriptionSummary {
                open_shard_count: shards.iter().filter(|shard| !shard.is_closed).count() as u32,
                retention_period_hours: retention.unwrap_or(24),
                stream_status: v1::StreamStatus::Active.into(),
                stream_name,
                ..Default::default()
            }),
        }))
    }

    async fn list_streams(
        &self,
        _: Request<v1::ListStreamsRequest>,
    ) -> Reply<v1::ListStreamsResponse> {
        let state = self.state();
        let summary = |name: &String| v1::StreamSummary {
            stream_name: name.clone(),
            stream_status: v1::StreamStatus::Active.into(),
            ..Default::default()
        };
        Ok(Response::new(v1::ListStreamsResponse {
            stream_names: state.streams.keys().cloned().collect(),
            has_more_streams: false,
            stream_summaries: state.streams.keys().map(summary).collect(),
            next_token: None,
        }))
    }

    async fn list_shards(
        &self,
        request: Request<v1::ListShardsRequest>,
    ) -> Reply<v1::ListShardsResponse> {
        let request = request.into_inner();
        let state = self.state();
        let shards = state.streams.get(&request.stream_name).ok_or_else(not_found)?;
        let listed = shards.iter().enumerate().filter(|(_, shard)| !shard.is_expired);
        let listed = listed.filter(|(index, _)| {
            request.shard_filter.is_none() || state.orders.open_at.contains(index)
        });
        let shards = listed.map(|(index, shard)| v1::Shard {
            shard_id: shard_id(index),
            parent_shard_id: shard.parents.first().copied().map(shard_id),
            adjacent_parent_shard_id: shard.parents.get(1).copied().map(shard_id),
            sequence_number_range: Some(v1::SequenceNumberRange {
                starting_sequence_number: 0,
                ending_sequence_number: shard.is_closed.then_some(shard.records.len() as u64),
            }),
            is_open: !shard.is_closed,
            ..v1::Shard::default()
        });
        Ok(Response::new(v1::ListShardsResponse { shards: shards.collect(), next_token: None }))
    }

    async fn increase_stream_retention_period(
        &self,
        request: Request<v1::IncreaseStreamRetentionPeriodRequest>,
    ) -> Reply<v1::IncreaseStreamRetentionPeriodResponse> {
        let request = request.into_inner();
        let retention = &mut self.state().retention;
        retention.insert(request.stream_name, request.retention_period_hours);
        Ok(Response::new(v1::IncreaseStreamRetentionPeriodResponse::default()))
    }

    async fn put_record(
        &self,
        request: Request<v1::PutRecordRequest>,
    ) -> Reply<v1::PutRecordResponse> {
        let request = request.into_inner();
        let entry = v1::PutRecordsRequestEntry {
            data: request.data,
            partition_key: request.partition_key,
            explicit_hash_key: None,
        };
        let (sequence_number, shard) = self.place(&request.stream_name, &entry);
        Ok(Response::new(v1::PutRecordResponse {
            shard_id: format!("shardId-{shard:012}"),
            sequence_number,
            ..Default::default()
        }))
    }

    async fn produce(
        &self,
        request: Request<Streaming<v1::ProduceRequest>>,
    ) -> Reply<Events<v1::ProduceResponse>> {
        let fake = self.shared();
        let requests = request.into_inner();
        let answers = futures_util::stream::unfold(
            Some((fake, requests, String::new())),
            |open| async move {
                let (fake, mut requests, mut stream) = open?;
                let request = match requests.message().await {
                    Ok(request) => request?,
                    Err(status) => return Some((Err(status), None)),
                };
                let mut changed = fake.changed.subscribe();
                while fake.state().orders.hold {
                    changed.changed().await.ok()?;
                }
                if !request.stream_name.is_empty() {
                    stream.clone_from(&request.stream_name);
                }
                if !fake.state().streams.contains_key(&stream) {
                    return Some((Err(not_found()), None));
                }
                let answer = fake.produce_one(&request, &stream);
                let is_lost = {
                    let orders = &mut fake.state().orders;
                    let is_lost = orders.lose_answers > 0;
                    orders.lose_answers = orders.lose_answers.saturating_sub(1);
                    is_lost
                };
                if is_lost {
                    let status = refusal(Code::Unavailable, "ShuttingDownException", &[]);
                    return Some((Err(status), None));
                }
                Some((Ok(answer), Some((fake, requests, stream))))
            },
        );
        Ok(Response::new(answers.boxed()))
    }

    async fn get_shard_iterator(
        &self,
        request: Request<v1::GetShardIteratorRequest>,
    ) -> Reply<v1::GetShardIteratorResponse> {
        let request = request.into_inner();
        let at = v1::StartingPosition {
            r#type: request.shard_iterator_type,
            sequence_number: request.starting_sequence_number,
            timestamp_ms: request.timestamp_ms,
            kinesis_sequence_number: None,
        };
        let shard = shard_index(&request.shard_id)?;
        let from = self.start_of(&request.stream_name, shard, &at)?;
        Ok(Response::new(v1::GetShardIteratorResponse {
            shard_iterator: format!("{}/{shard}/{from}", request.stream_name),
            sequence_number: Some(from as u64 + 1),
        }))
    }

    async fn get_records(
        &self,
        request: Request<v1::GetRecordsRequest>,
    ) -> Reply<v1::GetRecordsResponse> {
        let request = request.into_inner();
        {
            let orders = &mut self.state().orders;
            if orders.expire_iterators > 0 {
                orders.expire_iterators -= 1;
                return Err(refusal(Code::InvalidArgument, "ExpiredIteratorException", &[]));
            }
        }
        let mut parts = request.shard_iterator.split('/');
        let stream = parts.next().unwrap_or_default();
        let shard: usize = parts.next().unwrap_or_default().parse().unwrap();
        let from: usize = parts.next().unwrap_or_default().parse().unwrap();
        let limit = request.limit.unwrap_or(10_000) as usize;
        let mut changed = self.changed.subscribe();
        let mut page = self.page(stream, shard, from, limit)?;
        while page.records.is_empty() && request.wait_ms.is_some() && page.children.is_none() {
            changed.changed().await.unwrap();
            page = self.page(stream, shard, from, limit)?;
        }
        let next = format!("{stream}/{shard}/{}", page.next);
        Ok(Response::new(v1::GetRecordsResponse {
            records: page.records,
            next_shard_iterator: if page.children.is_some() { String::new() } else { next },
            millis_behind_latest: page.behind_ms,
            child_shards: page.children.unwrap_or_default(),
        }))
    }

    async fn register_stream_consumer(
        &self,
        request: Request<v1::RegisterStreamConsumerRequest>,
    ) -> Reply<v1::RegisterStreamConsumerResponse> {
        let request = request.into_inner();
        let consumer = (request.stream_name, request.consumer_name);
        if self.state().consumers.insert(consumer) {
            Ok(Response::new(v1::RegisterStreamConsumerResponse::default()))
        } else {
            Err(refusal(Code::AlreadyExists, "ResourceInUseException", &[]))
        }
    }

    async fn subscribe_to_shard(
        &self,
        request: Request<v1::SubscribeToShardRequest>,
    ) -> Reply<Events<v1::SubscribeToShardEvent>> {
        let request = request.into_inner();
        let is_short = {
            let orders = &mut self.state().orders;
            if orders.refuse_subscriptions > 0 {
                orders.refuse_subscriptions -= 1;
                return Err(refusal(Code::FailedPrecondition, "ResourceInUseException", &[]));
            }
            let is_short = orders.short_subscriptions > 0;
            orders.short_subscriptions = orders.short_subscriptions.saturating_sub(1);
            is_short
        };
        let shard = shard_index(&request.shard_id)?;
        let at = request.starting_position.unwrap_or_default();
        let from = self.start_of(&request.stream_name, shard, &at)?;
        let events = futures_util::stream::unfold(
            Some((self.shared(), request.stream_name, from, true)),
            move |open| async move {
                let (fake, stream, from, is_first) = open?;
                if is_short && !is_first {
                    return None;
                }
                let mut changed = fake.changed.subscribe();
                loop {
                    let page = match fake.page(&stream, shard, from, 10_000) {
                        Ok(page) => page,
                        Err(status) => return Some((Err(status), None)),
                    };
                    if page.records.is_empty() && !is_first && page.children.is_none() {
                        changed.changed().await.ok()?;
                        continue;
                    }
                    let is_end = page.children.is_some();
                    let event = v1::SubscribeToShardEvent {
                        records: page.records,
                        continuation_sequence_number: if is_end { 0 } else { page.next as u64 },
                        millis_behind_latest: page.behind_ms,
                        child_shards: page.children.unwrap_or_default(),
                    };
                    let open = (!is_end).then_some((fake, stream, page.next, false));
                    return Some((Ok(event), open));
                }
            },
        );
        Ok(Response::new(events.boxed()))
    }
}
