//! HTTP/1.1 from the client's side with as little work as it takes: a request is bytes that were
//! made before, and of an answer nothing is looked at but its status and its length.
//!
//! A connection stays open and has one call at a time, as the connections of an SDK's pool do.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes that are read at a time, where an answer does not say how many it has.
const READ_BYTES: usize = 256 << 10;

/// Bytes of an answer's head, at most.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Bytes of a refusal that are told.
const TOLD_BYTES: usize = 400;

/// A connection that is kept open.
pub(super) struct Connection {
    stream: TcpStream,
    /// The answer under way, from its first byte on.
    received: BytesMut,
}

/// What the head of an answer says.
#[derive(PartialEq, Eq, Debug)]
struct Head {
    /// Bytes of it, the empty line behind it included.
    bytes: usize,
    status: u16,
    body: Length,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Length {
    Bytes(usize),
    Chunked,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Result<Connection> {
        let stream = TcpStream::connect(address).await.context("cannot connect to a server")?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, received: BytesMut::with_capacity(READ_BYTES) })
    }

    /// Sends a request, and waits for the body of its answer; only a 200 will do.
    pub(super) async fn call(&mut self, request: &[u8]) -> Result<&[u8]> {
        let head = self.begin(request).await?;
        let Length::Bytes(length) = head.body else { bail!("an answer in chunks") };
        let end = head.bytes + length;
        while self.received.len() < end {
            self.received.reserve(end - self.received.len());
            self.receive().await?;
        }
        let body = &self.received[head.bytes..end];
        ensure!(head.status == 200, "{}", refusal(head.status, body));
        Ok(body)
    }

    /// Sends a request whose answer has no end, or not soon.
    pub(super) async fn stream(mut self, request: &[u8]) -> Result<Chunks> {
        let head = self.begin(request).await?;
        if head.status != 200 || head.body != Length::Chunked {
            bail!("{}", refusal(head.status, &self.received[head.bytes..]));
        }
        self.received.advance(head.bytes);
        Ok(Chunks { connection: self, left: 0 })
    }

    async fn begin(&mut self, request: &[u8]) -> Result<Head> {
        self.received.clear();
        self.stream.write_all(request).await?;
        loop {
            if let Some(head) = head(&self.received)? {
                return Ok(head);
            }
            ensure!(self.received.len() < HEAD_BYTES_MAX, "an answer without an end of its head");
            self.received.reserve(READ_BYTES);
            self.receive().await?;
        }
    }

    async fn receive(&mut self) -> Result<()> {
        let bytes = self.stream.read_buf(&mut self.received).await?;
        ensure!(bytes > 0, "the connection was closed");
        Ok(())
    }
}

/// A body that comes in chunks.
pub(super) struct Chunks {
    connection: Connection,
    /// Bytes of the chunk under way that are still to come.
    left: usize,
}

impl Chunks {
    /// Waits for more of the body, and adds it to `body`; false at its end.
    pub(super) async fn read(&mut self, body: &mut BytesMut) -> Result<bool> {
        let before = body.len();
        loop {
            let has_ended = unchunk(&mut self.connection.received, &mut self.left, body)?;
            if has_ended || body.len() > before {
                return Ok(!has_ended);
            }
            self.connection.received.reserve(READ_BYTES);
            self.connection.receive().await?;
        }
    }
}

/// Moves what has come of a body from `received` to `body`; true at its end.
fn unchunk(received: &mut BytesMut, left: &mut usize, body: &mut BytesMut) -> Result<bool> {
    loop {
        let part = received.len().min(*left);
        body.extend_from_slice(&received[..part]);
        received.advance(part);
        *left -= part;
        // A size has 16 digits at most.
        let line = &received[..received.len().min(32)];
        let Some(end) = memmem::find(line, b"\r\n").filter(|_| *left == 0) else {
            return Ok(false);
        };
        // The empty line ends the chunk before.
        if end > 0 {
            let size = std::str::from_utf8(&line[..end])?;
            *left = usize::from_str_radix(size, 16).context("a chunk without a size")?;
            if *left == 0 {
                return Ok(true);
            }
        }
        received.advance(end + 2);
    }
}

/// The head, once it is there.
fn head(received: &[u8]) -> Result<Option<Head>> {
    let Some(end) = memmem::find(received, b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&received[..end]).context("a head that is not text")?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3));
    let status = status.and_then(|status| status.parse().ok()).context("no HTTP/1.1")?;
    let mut body = None;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            body = Some(Length::Bytes(value.trim().parse().context("a length")?));
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            body = Some(Length::Chunked);
        }
    }
    let body = body.context("an answer without a length")?;
    Ok(Some(Head { bytes: end + 4, status, body }))
}

fn refusal(status: u16, body: &[u8]) -> String {
    let told = &body[..body.len().min(TOLD_BYTES)];
    format!("HTTP {status}: {}", String::from_utf8_lossy(told))
}

/// A request with its head, ready to be sent.
pub(super) fn request(headers: &str, body: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(headers.len() + body.len() + 64);
    write_request(&mut bytes, headers, body);
    bytes.freeze()
}

/// The same, in a buffer that is used again.
pub(super) fn write_request(bytes: &mut BytesMut, headers: &str, body: &[u8]) {
    bytes.clear();
    bytes.extend_from_slice(b"POST / HTTP/1.1\r\n");
    bytes.extend_from_slice(headers.as_bytes());
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_complete() {
        let text = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 12\r\nx-amz-id-2: a:b\r\n\r\n{";
        let end = text.len() - 1;
        for cut in 0..end {
            assert_eq!(head(&text[..cut]).unwrap(), None);
        }
        let whole = Head { bytes: end, status: 400, body: Length::Bytes(12) };
        assert_eq!(head(text).unwrap(), Some(whole));
        let chunked = head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        assert_eq!(chunked.unwrap().body, Length::Chunked);
        assert!(head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn chunks_are_joined_however_they_are_cut() {
        let sent = b"3\r\nabc\r\n1A\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n";
        for piece in 1..sent.len() {
            let (mut received, mut body, mut left) = (BytesMut::new(), BytesMut::new(), 0);
            let mut has_ended = false;
            for bytes in sent.chunks(piece) {
                received.extend_from_slice(bytes);
                has_ended = has_ended || unchunk(&mut received, &mut left, &mut body).unwrap();
            }
            assert!(has_ended, "pieces of {piece}");
            assert_eq!(&body[..], b"abcabcdefghijklmnopqrstuvwxyz", "pieces of {piece}");
        }
        let mut nonsense = BytesMut::from(&b"xyz\r\n"[..]);
        assert!(unchunk(&mut nonsense, &mut 0, &mut BytesMut::new()).is_err());
    }
}
