//! Messages out of a request's body.
//!
//! ```text
//! FLAG (1) LENGTH (4, big endian) MESSAGE     any number of them, cut into DATA frames anywhere
//! ```
//!
//! A message that lies within one DATA frame is a slice of it; one that does not is put
//! together. A length is checked before anything is reserved for it, and what is reserved
//! grows with what arrives. What has arrived counts for the memory of all requests ([`Share`]), and
//! what was handed out does until the caller lets go of it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body as _;
use tonic::body::Body;

use crate::ops::{Kind, OpError, Result, Share};

/// Bytes of a message at most. A batch has up to 10 MiB of keys and data.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Bytes reserved at once for a message that comes in several frames.
const RESERVED_BYTES_MAX: usize = 1 << 20;
/// Bytes in front of a message.
pub(super) const PREFIX_BYTES: usize = 5;

/// Reads messages from a body.
pub(super) struct MessageReader {
    body: Body,
    /// What has arrived and is not read yet.
    chunk: Bytes,
    prefix: [u8; PREFIX_BYTES],
    prefix_len: usize,
    /// Bytes of the message whose prefix is read.
    message_len: Option<usize>,
    /// The beginning of a message that did not lie in one frame.
    partial: BytesMut,
    /// Bytes of messages that were handed out and are still held.
    handed_out: usize,
    share: Share,
}

impl MessageReader {
    /// Reads from `body`; what is read is held in `share`.
    pub(super) fn new(body: Body, share: Share) -> Self {
        MessageReader {
            body,
            chunk: Bytes::new(),
            prefix: [0; PREFIX_BYTES],
            prefix_len: 0,
            message_len: None,
            partial: BytesMut::new(),
            handed_out: 0,
            share,
        }
    }

    /// The next message; `None` at the end of the body. Nothing is lost if the caller stops
    /// waiting and asks again.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        loop {
            match self.take() {
                Ok(Some(message)) => {
                    self.handed_out += message.len();
                    return Poll::Ready(Some(Ok(message)));
                }
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            if let Err(error) = self.share.set(self.held_bytes()) {
                return Poll::Ready(Some(Err(error)));
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                // Trailers of a request say nothing to us.
                Some(Ok(frame)) => {
                    self.chunk = frame.into_data().unwrap_or_default();
                    if let Err(error) = self.share.set(self.held_bytes()) {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                Some(Err(status)) => {
                    // The client has gone, so nobody reads this.
                    let why = format!("the request broke off: {}", status.message());
                    return Poll::Ready(Some(Err(OpError::new(Kind::InvalidArgument, why))));
                }
                None if self.prefix_len == 0 => return Poll::Ready(None),
                None => {
                    let why = "the request ends within a message";
                    return Poll::Ready(Some(Err(OpError::new(Kind::InvalidArgument, why))));
                }
            }
        }
    }

    /// The caller has no message any more.
    pub(super) fn let_go(&mut self) {
        self.handed_out = 0;
        // Fewer bytes than before are never refused.
        let _ = self.share.set(self.held_bytes());
    }

    /// The only message of a unary call, and the memory that it holds.
    pub(super) async fn only(mut self) -> Result<(Bytes, Share)> {
        let first = std::future::poll_fn(|cx| self.poll_next(cx)).await;
        let none = || OpError::new(Kind::InvalidArgument, "the request has no message");
        let message = first.unwrap_or_else(|| Err(none()))?;
        // The message is ours now, so what the reader holds is counted from its end on.
        let sibling = self.share.sibling();
        let mut share = std::mem::replace(&mut self.share, sibling);
        share.set(message.len())?;
        self.handed_out = 0;
        match std::future::poll_fn(|cx| self.poll_next(cx)).await {
            None => Ok((message, share)),
            Some(Err(error)) => Err(error),
            Some(Ok(_)) => {
                let why = "the request has more than one message";
                Err(OpError::new(Kind::InvalidArgument, why))
            }
        }
    }

    /// What has arrived, and what is reserved for the rest of a message: so one that finds no
    /// memory is mostly refused before more of it has come than its beginning.
    fn held_bytes(&self) -> usize {
        let reserved = self.message_len.map_or(0, |len| len.min(RESERVED_BYTES_MAX));
        reserved.max(self.partial.len()) + self.chunk.len() + self.handed_out
    }

    /// A message, if what has arrived completes one.
    fn take(&mut self) -> Result<Option<Bytes>> {
        let len = match self.message_len {
            Some(len) => len,
            None => match self.take_prefix()? {
                Some(len) => *self.message_len.insert(len),
                None => return Ok(None),
            },
        };
        let message = if self.partial.is_empty() && self.chunk.len() >= len {
            self.chunk.split_to(len)
        } else {
            if self.partial.is_empty() {
                self.partial.reserve(len.min(RESERVED_BYTES_MAX));
            }
            let missing = len - self.partial.len();
            let taken = self.chunk.split_to(missing.min(self.chunk.len()));
            self.partial.extend_from_slice(&taken);
            if self.partial.len() < len {
                return Ok(None);
            }
            self.partial.split().freeze()
        };
        self.message_len = None;
        self.prefix_len = 0;
        Ok(Some(message))
    }

    /// The length of the next message, if its prefix has arrived.
    fn take_prefix(&mut self) -> Result<Option<usize>> {
        let taken = (PREFIX_BYTES - self.prefix_len).min(self.chunk.len());
        self.chunk.copy_to_slice(&mut self.prefix[self.prefix_len..][..taken]);
        self.prefix_len += taken;
        if self.prefix_len < PREFIX_BYTES {
            return Ok(None);
        }
        let [flag, length @ ..] = self.prefix;
        match flag {
            0 => {}
            1 => {
                let why = "compressed messages are not understood; send them uncompressed";
                return Err(OpError::new(Kind::Unknown, why));
            }
            _ => {
                let why = format!("the message has flag {flag}, known are 0 and 1");
                return Err(OpError::new(Kind::InvalidArgument, why));
            }
        }
        let len = u32::from_be_bytes(length) as usize;
        if len > MESSAGE_BYTES_MAX {
            let max = MESSAGE_BYTES_MAX;
            let why = format!("the message has {len} bytes, at most {max} are accepted");
            return Err(OpError::new(Kind::InvalidArgument, why)
                .with("value", len.to_string())
                .with("max", max.to_string()));
        }
        Ok(Some(len))
    }
}

/// Whether a content type is one that we speak.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(http::header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next());
    matches!(essence.map(str::trim), Some("application/grpc" | "application/grpc+proto"))
}

/// How long the caller waits, by its `grpc-timeout`: up to eight digits and a unit. A value
/// that is not one is left unheeded, as tonic does.
pub(super) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;
    use crate::ops::RequestMemory;

    fn reader(bytes: &[u8], frame_len: usize) -> MessageReader {
        reader_in(&RequestMemory::new(1 << 20), bytes, frame_len)
    }

    fn reader_in(memory: &Arc<RequestMemory>, bytes: &[u8], frame_len: usize) -> MessageReader {
        let chunks: Vec<_> = bytes.chunks(frame_len).map(Bytes::copy_from_slice).collect();
        let frames = chunks.into_iter().map(Frame::data).map(Ok::<_, Infallible>);
        MessageReader::new(Body::new(StreamBody::new(stream::iter(frames))), memory.share())
    }

    async fn all(mut reader: MessageReader) -> Result<Vec<Bytes>> {
        let mut messages = Vec::new();
        while let Some(message) = std::future::poll_fn(|cx| reader.poll_next(cx)).await {
            messages.push(message?);
            reader.let_go();
        }
        Ok(messages)
    }

    fn framed(messages: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for message in messages {
            out.push(0);
            out.extend_from_slice(&(message.len() as u32).to_be_bytes());
            out.extend_from_slice(message);
        }
        out
    }

    #[tokio::test]
    async fn messages_are_the_same_however_frames_cut_them() {
        let long = vec![7; 1000];
        let messages: [&[u8]; 4] = [b"", b"one", &long, b""];
        let bytes = framed(&messages);
        for frame_len in 1..=bytes.len() {
            let read = all(reader(&bytes, frame_len)).await.unwrap();
            assert_eq!(read, messages, "{frame_len}");
        }
    }

    #[tokio::test]
    async fn a_body_that_ends_within_a_message_is_refused() {
        let bytes = framed(&[b"one", b"two"]);
        for len in 1..bytes.len() {
            let whole = len == 8;
            let read = all(reader(&bytes[..len], 3)).await;
            assert_eq!(read.is_ok(), whole, "{len}");
        }
    }

    #[tokio::test]
    async fn too_long_or_compressed_messages_are_refused_by_their_prefix() {
        let refused = |bytes: &'static [u8]| async move {
            let error = all(reader(bytes, 16)).await.unwrap_err();
            error.kind
        };
        assert_eq!(refused(&[1, 0, 0, 0, 1, 0]).await, Kind::Unknown);
        assert_eq!(refused(&[2, 0, 0, 0, 1, 0]).await, Kind::InvalidArgument);
        assert_eq!(refused(&[0, 1, 0, 0, 1]).await, Kind::InvalidArgument);
        assert_eq!(refused(&[0, 255, 255, 255, 255]).await, Kind::InvalidArgument);
    }

    #[tokio::test]
    async fn a_unary_call_has_one_message() {
        for (messages, is_legal) in
            [(&[][..], false), (&[&b"one"[..]][..], true), (&[&b"one"[..], b""][..], false)]
        {
            let bytes = framed(messages);
            let only = reader(&bytes, 4).only().await;
            assert_eq!(only.is_ok(), is_legal, "{messages:?}");
        }
    }

    #[tokio::test]
    async fn requests_that_find_no_memory_are_refused_and_give_back_what_they_had() {
        const BYTES: usize = 100 << 10;
        let memory = RequestMemory::new(BYTES + BYTES / 2);
        let large = vec![7; BYTES];
        let bytes = framed(&[&large]);
        let only = || reader_in(&memory, &bytes, 1000).only();
        let first = only().await.unwrap();
        assert_eq!(only().await.unwrap_err().kind, Kind::Throttled);
        // Control requests are small, and are heard all the same.
        let small = framed(&[&[7; 1000]]);
        reader_in(&memory, &small, 1000).only().await.unwrap();
        drop(first);
        only().await.unwrap();
        // A call of many messages holds one at a time if it lets go of each.
        let many = framed(&[&large[..]; 9]);
        assert_eq!(all(reader_in(&memory, &many, 1000)).await.unwrap().len(), 9);
    }

    #[test]
    fn timeouts_are_read_in_every_unit_and_odd_ones_left_unheeded() {
        let parse = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", http::HeaderValue::from_static(text));
            timeout(&headers)
        };
        assert_eq!(parse("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(parse("2M"), Some(Duration::from_secs(120)));
        assert_eq!(parse("3S"), Some(Duration::from_secs(3)));
        assert_eq!(parse("4m"), Some(Duration::from_millis(4)));
        assert_eq!(parse("5u"), Some(Duration::from_micros(5)));
        assert_eq!(parse("6n"), Some(Duration::from_nanos(6)));
        for odd in ["", "S", "5", "+5S", "123456789S", "5x"] {
            assert_eq!(parse(odd), None, "{odd}");
        }
    }
}
