//! NATS: streams of JetStream, in files.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::child::Child;
use super::super::load::{self, Outcome, Puts, Wire};

/// Before it there is no sync before an acknowledgement.
const VERSION_MIN: (u32, u32) = (2, 12);

/// What is built where none is installed.
const MODULE: &str = "github.com/nats-io/nats-server/v2@v2.15.2";

/// Where acknowledgements go.
const INBOX: &str = "_INBOX.a";

/// An installed nats-server, new enough.
#[derive(Clone, Debug)]
pub(super) struct Nats {
    program: PathBuf,
}

impl Nats {
    /// What is installed, or in `cache`; else it is built there with Go.
    pub(super) fn find(cache: &Path) -> Result<Nats> {
        let built = cache.join("nats-server");
        for program in super::program("nats-server").into_iter().chain([built.clone()]) {
            if version(&program).is_some_and(|version| version >= VERSION_MIN) {
                return Ok(Nats { program });
            }
        }
        let advice = format!(
            "nats-server {}.{} or later is missing (Debian's has no sync_interval: always): put \
             one into PATH, from https://github.com/nats-io/nats-server/releases, or install Go, \
             with which it is built (go install {MODULE})",
            VERSION_MIN.0, VERSION_MIN.1
        );
        let go = super::program("go").context(advice.clone())?;
        eprintln!("ceilings: building {MODULE}");
        let cache = std::path::absolute(cache)?;
        // Go verifies what it downloads against its public log of checksums.
        let built_it = Command::new(go)
            .args(["install", MODULE])
            .env("GOBIN", &cache)
            .current_dir(&cache)
            .output()?;
        let said = String::from_utf8_lossy(&built_it.stderr);
        ensure!(built_it.status.success(), "{advice}; but go says: {said}");
        Ok(Nats { program: built })
    }

    /// Starts it with `sync_interval` as told, and puts, a batch into one of `streams` in turn:
    /// each record is published, and acknowledged by its stream.
    pub(super) async fn put(
        &self,
        dir: &Path,
        sync_interval: Option<&str>,
        streams: usize,
        puts: Puts,
    ) -> Result<Outcome> {
        let data = dir.join("nats");
        std::fs::create_dir(&data)?;
        let address = super::free_address()?;
        let sync = sync_interval.map_or(String::new(), |sync| format!("sync_interval: {sync}"));
        let settings = format!(
            "listen: \"{address}\"\njetstream {{\n  store_dir: \"{}\"\n  {sync}\n}}\n",
            data.display()
        );
        let file = dir.join("nats.conf");
        std::fs::write(&file, settings)?;
        let file = file.to_str().context("a path that is not text")?;
        let child = Child::peer(&self.program, ["--config", file], address, &data)?;
        let connection = connect(&child, streams).await?;
        load::pipeline(&child, connection, Messages::new(puts.batch, streams), puts).await
    }
}

fn version(program: &Path) -> Option<(u32, u32)> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (_, version) = text.trim().split_once('v')?;
    let mut numbers = version.trim_start_matches(|c: char| !c.is_ascii_digit()).split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// A connection that listens for acknowledgements, to a server that has its streams.
async fn connect(child: &Child, streams: usize) -> Result<TcpStream> {
    let mut connection = TcpStream::connect(child.address()).await?;
    let mut hello = format!(
        "CONNECT {{\"verbose\":false,\"pedantic\":false,\"lang\":\"rust\",\"version\":\"1\"}}\r\n\
         SUB {INBOX} 1\r\n"
    );
    for stream in 0..streams {
        let name = subject(stream);
        let settings = serde_json::json!({
            "name": name, "subjects": [name], "storage": "file", "retention": "limits",
            "num_replicas": 1, "discard": "old", "max_consumers": -1, "max_msgs": -1,
            "max_bytes": -1,
        })
        .to_string();
        let length = settings.len();
        let request = ["PUB $JS.API.STREAM.CREATE.", &name, " ", INBOX].concat();
        hello += &[&request, " ", &length.to_string(), "\r\n", &settings, "\r\n"].concat();
    }
    connection.write_all(hello.as_bytes()).await?;
    let (mut replies, mut made) = (BytesMut::new(), 0);
    while made < streams {
        ensure!(connection.read_buf(&mut replies).await? > 0, "nats closed the connection");
        made += acknowledged(&mut replies)?;
    }
    Ok(connection)
}

fn subject(stream: usize) -> String {
    format!("{}{stream}", load::STREAM)
}

/// PUB commands. The key stands before the data: as a part of the subject it would cost the
/// server an index of keys, which nobody asks for here.
struct Messages {
    batches: Vec<Bytes>,
}

impl Messages {
    fn new(batch: usize, streams: usize) -> Messages {
        let mut number = 0;
        let batches = super::encoded(batch, |key, data| {
            let subject = subject(number / batch % streams);
            number += 1;
            let mut bytes = format!("PUB {subject} {INBOX} {}\r\n", key.len() + data.len());
            bytes.push_str(key);
            [bytes.as_bytes(), data, b"\r\n"].concat()
        });
        Messages { batches }
    }
}

impl Wire for Messages {
    fn batches(&self) -> &[Bytes] {
        &self.batches
    }

    fn acknowledged(&self, replies: &mut BytesMut) -> Result<usize> {
        acknowledged(replies)
    }
}

/// Messages to the inbox: `MSG subject id length`, and as many bytes of JSON. A PING is left
/// alone: without an answer a server gives up after four minutes.
fn acknowledged(replies: &mut BytesMut) -> Result<usize> {
    let mut records = 0;
    while let Some(line) = super::line(replies) {
        if replies.starts_with(b"MSG ") {
            let words = std::str::from_utf8(&replies[..line - 2])?;
            let length = words.rsplit(' ').next().and_then(|length| length.parse::<usize>().ok());
            let end = line + length.context("nats: a message without a length")? + 2;
            if replies.len() < end {
                break;
            }
            let answer = &replies[line..end];
            if answer.windows(7).any(|window| window == b"\"error\"") {
                bail!("nats: {}", String::from_utf8_lossy(answer));
            }
            replies.advance(end);
            records += 1;
        } else {
            if replies.starts_with(b"-ERR") {
                bail!("nats: {}", String::from_utf8_lossy(&replies[..line]));
            }
            replies.advance(line);
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_however_they_are_cut() {
        let mut replies = BytesMut::new();
        let mut records = 0;
        let said =
            b"INFO {}\r\nMSG _INBOX.a 1 4\r\n{\r\n}\r\nPING\r\nMSG _INBOX.a 1 2\r\n{}\r\nMSG";
        for byte in said {
            replies.extend_from_slice(&[*byte]);
            records += acknowledged(&mut replies).unwrap();
        }
        assert_eq!(records, 2);
        let mut replies = BytesMut::from(&b"MSG _INBOX.a 1 12\r\n{\"error\":{}}\r\n"[..]);
        assert!(acknowledged(&mut replies).is_err());
    }
}
