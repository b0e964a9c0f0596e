//! Redis: a stream in memory, and an append-only file.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bytes::{Buf, Bytes, BytesMut};
use tokio::net::TcpStream;

use super::super::child::Child;
use super::super::load::{self, Outcome, Puts, Wire};

/// An installed redis-server.
#[derive(Clone, Debug)]
pub(super) struct Redis {
    program: PathBuf,
}

impl Redis {
    pub(super) fn find() -> Result<Redis> {
        let program = super::program("redis-server");
        let program =
            program.context("redis-server is missing; Debian: apt install redis-server")?;
        Ok(Redis { program })
    }

    /// Starts it with `appendfsync` as told, and puts: each record an XADD, pipelined.
    pub(super) async fn put(&self, dir: &Path, appendfsync: &str, puts: Puts) -> Result<Outcome> {
        let data = dir.join("redis");
        std::fs::create_dir(&data)?;
        let address = super::free_address()?;
        let port = address.port().to_string();
        let dir = data.to_str().context("a path that is not text")?;
        // No snapshots beside the append-only file, and no rewrites of it: neither is asked for.
        let settings = [
            ["--bind", "127.0.0.1"],
            ["--port", &port],
            ["--dir", dir],
            ["--appendonly", "yes"],
            ["--appendfsync", appendfsync],
            ["--save", ""],
            ["--auto-aof-rewrite-percentage", "0"],
        ];
        let child = Child::peer(&self.program, settings.as_flattened(), address, &data)?;
        let connection = TcpStream::connect(address).await?;
        load::pipeline(&child, connection, Commands::new(puts.batch), puts).await
    }
}

/// XADD commands; key and data are a field of an entry.
struct Commands {
    batches: Vec<Bytes>,
}

impl Commands {
    fn new(batch: usize) -> Commands {
        let command = |key: &str, data: &[u8]| {
            let mut bytes = b"*5\r\n".to_vec();
            for word in [b"XADD", load::STREAM.as_bytes(), b"*", key.as_bytes(), data] {
                bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
                bytes.extend_from_slice(word);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes
        };
        Commands { batches: super::encoded(batch, command) }
    }
}

impl Wire for Commands {
    fn batches(&self) -> &[Bytes] {
        &self.batches
    }

    /// An answer is the id of an entry: its length, and then it.
    fn acknowledged(&self, replies: &mut BytesMut) -> Result<usize> {
        let mut records = 0;
        while let Some(line) = super::line(replies) {
            if replies[0] != b'$' {
                bail!("redis: {}", String::from_utf8_lossy(&replies[..line]));
            }
            let Some(id) = super::line(&replies[line..]) else { break };
            replies.advance(line + id);
            records += 1;
        }
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_however_they_are_cut() {
        let commands = Commands::new(1);
        let mut replies = BytesMut::new();
        let mut records = 0;
        for byte in b"$15\r\n1700000000000-0\r\n$15\r\n1700000000000-1\r\n$15\r\n17" {
            replies.extend_from_slice(&[*byte]);
            records += commands.acknowledged(&mut replies).unwrap();
        }
        assert_eq!(records, 2);
        let mut replies = BytesMut::from(&b"-OOM no memory\r\n"[..]);
        assert!(commands.acknowledged(&mut replies).is_err());
    }
}
