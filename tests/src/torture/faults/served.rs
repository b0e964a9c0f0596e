//! A server as it is shipped, and a client of it that asks plain questions and tries nothing
//! again.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anabranch_client::retry::RetryPolicy;
use anabranch_client::{Client, Error, Position, v1};
use anyhow::{Context, Result, bail};
use tokio::runtime::Runtime;

use crate::checker::{Event, Seen, ShardChecker};
use crate::torture::PROGRAM;
use crate::torture::server::{Durability, Server};

/// Longer than anything takes that does not hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// The path of a link to this very executable under which it is the server: for programs that
/// start another one, and do not hand on the name that they call it by.
pub(super) fn link(scratch: &Path) -> Result<PathBuf> {
    let link = scratch.join(PROGRAM);
    if !link.exists() {
        std::os::unix::fs::symlink(std::env::current_exe()?, &link)?;
    }
    Ok(link)
}

/// A server that is ready, and a client.
pub(super) struct Served {
    server: Server,
    admin: SocketAddr,
    client: Client,
    runtime: Runtime,
}

/// What a put was told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Told {
    /// These numbers, of shard 0.
    Kept(Vec<u64>),
    /// A word, and why.
    Refused(String, String),
}

impl Served {
    /// Starts a server by a command that leads to it.
    pub(super) fn start(command: Command, data: &Path, log: &Path) -> Result<Served> {
        let mut server = Server::spawn_by(command, data, Durability::Fsync, log)?;
        let ready = server.ready_line()?;
        let runtime = Runtime::new()?;
        let client = Client::builder(&format!("http://{}", ready.listen));
        let client = client.retry(RetryPolicy::none()).build();
        let client = runtime.block_on(client).context("cannot connect to the server")?;
        Ok(Served { server, admin: ready.admin, client, runtime })
    }

    /// SIGKILL, and until it is gone.
    pub(super) fn kill(mut self) -> Result<()> {
        self.server.kill()?;
        self.server.wait()
    }

    /// SIGTERM, which it obeys with exit code 0.
    pub(super) fn stop(self) -> Result<()> {
        self.server.stop()
    }

    pub(super) fn create_stream(&self, stream: &str) -> Result<(), Error> {
        self.ask(self.client.create_stream(stream, 1))
    }

    pub(super) fn delete_stream(&self, stream: &str) -> Result<(), Error> {
        self.ask(self.client.delete_stream(stream, true))
    }

    /// Puts records into a stream of one shard.
    pub(super) fn put(&self, stream: &str, records: &[Vec<u8>]) -> Result<Told> {
        let entries = records.iter().map(|data| v1::PutRecordsRequestEntry {
            data: data.clone().into(),
            partition_key: "key".to_owned(),
            explicit_hash_key: None,
        });
        let request = v1::PutRecordsRequest {
            stream_name: stream.to_owned(),
            records: entries.collect(),
            ..Default::default()
        };
        let answer = async { self.client.stub().put_records(request).await };
        let results = match self.in_time(answer) {
            Ok(answer) => answer.into_inner().records,
            Err(status) => {
                let word = format!("{:?}", status.code());
                return Ok(Told::Refused(word, status.message().to_owned()));
            }
        };
        if let Some(failed) = results.iter().find(|result| !result.error_code.is_empty()) {
            if results.iter().any(|result| result.error_code.is_empty()) {
                bail!("some records of one shard are kept and some are not");
            }
            return Ok(Told::Refused(failed.error_code.clone(), failed.error_message.clone()));
        }
        Ok(Told::Kept(results.iter().map(|result| result.sequence_number).collect()))
    }

    /// Reads shard 0 of a stream from its horizon to its tip: the records, and where it ends.
    pub(super) fn read(&self, stream: &str) -> Result<(Vec<Seen>, u64), Error> {
        let read = async {
            let shard = "shardId-000000000000";
            let position = Position::TrimHorizon;
            let mut next = self.client.get_shard_iterator(stream, shard, position).await?;
            let mut records: Vec<Seen> = Vec::new();
            loop {
                let request = v1::GetRecordsRequest {
                    shard_iterator: next,
                    max_bytes: Some(10 << 20),
                    ..v1::GetRecordsRequest::default()
                };
                let page = self.client.get_records(request).await?;
                if page.records.is_empty() && page.millis_behind_latest == 0 {
                    let end = records.last().map_or(1, |last| last.number + 1);
                    return Ok((records, end));
                }
                records.extend(page.records.iter().map(seen));
                next = page.next_shard_iterator;
            }
        };
        self.ask(read)
    }

    /// A number of the metrics.
    pub(super) fn metric(&self, name: &str) -> Result<f64> {
        let text = self.page("/metrics")?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.with_context(|| format!("no metric {name}"))
    }

    /// What the admin port says.
    pub(super) fn page(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(self.admin)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }

    fn ask<T>(&self, question: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.in_time(question)
    }

    /// An answer that does not come is a failure of its own.
    fn in_time<T>(&self, question: impl Future<Output = T>) -> T {
        let answer = async { tokio::time::timeout(PATIENCE, question).await };
        self.runtime.block_on(answer).expect("an answer comes in a minute")
    }
}

/// A client of one stream: puts, and has what it is told and shown checked.
#[derive(Default)]
pub(super) struct Account {
    checker: ShardChecker,
    next_put: u64,
    /// Records acknowledged.
    pub(super) acknowledged: u64,
}

impl Account {
    /// Puts records, each of which nobody else puts.
    pub(super) fn put(
        &mut self,
        served: &Served,
        stream: &str,
        records: &[Vec<u8>],
    ) -> Result<Told> {
        let put = self.next_put;
        self.next_put += 1;
        let digests = records.iter().map(|data| digest(data)).collect();
        self.checker.see(&Event::Put { put, producer: 1, records: digests });
        let told = served.put(stream, records)?;
        match &told {
            Told::Kept(numbers) => {
                self.acknowledged += numbers.len() as u64;
                self.checker.see(&Event::Acknowledged { put, numbers: numbers.clone() });
            }
            // Nothing is kept for later where there was no room for it.
            Told::Refused(_, why) if why.contains("disk is full") => {
                self.checker.see(&Event::Refused { put });
            }
            // Whether it was kept is not known.
            Told::Refused(..) => {}
        }
        Ok(told)
    }

    /// Reads everything, and says what is not as it was promised.
    pub(super) fn look(&mut self, served: &Served, stream: &str) -> Result<Vec<String>> {
        let (records, next) = served.read(stream).with_context(|| format!("reading {stream}"))?;
        self.checker.see(&Event::Whole { records, next });
        Ok(self.checker.violations().iter().map(ToString::to_string).collect())
    }
}

fn seen(record: &v1::Record) -> Seen {
    Seen {
        number: record.sequence_number,
        digest: digest(&record.data),
        arrival_ms: record.arrival_time_ms,
    }
}

/// The first eight bytes of a record say which one it is; the rest is what it adds up to.
fn digest(data: &[u8]) -> u64 {
    let id = data.first_chunk().map_or(u64::MAX >> 32, |id| u64::from_le_bytes(*id));
    id << 32 | u64::from(crc32fast::hash(data))
}

/// A record of its own.
pub(super) fn record(id: u64, bytes: usize) -> Vec<u8> {
    let mut data = id.to_le_bytes().to_vec();
    data.resize(data.len() + bytes, id as u8);
    data
}
