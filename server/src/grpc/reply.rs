//! Replies as HTTP bodies: frames of bytes that already exist, then trailers.
//!
//! [`Frames`] is one message (or several short ones) as the chunks it consists of; a
//! [`ReplyBody`] hands them to the connection one by one and asks its source for the next
//! message only when the connection wants more. So a slow reader holds one message and no
//! queue, and of that message only where its records stand and one chunk: short ranges are
//! copied together when their chunk is asked for. A source that always has more gives way
//! after each MiB, so that one fast reader does not keep a thread to itself.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::Stream;
use futures_util::stream::empty;
use http::{HeaderMap, HeaderValue, Response};
use http_body::Frame;
use tonic::Status;
use tonic::body::Body;

use super::request::PREFIX_BYTES;

/// Bytes after which a source that is always ready gives way.
pub(super) const YIELD_BYTES: usize = 1 << 20;
/// A range of fewer bytes is copied to its neighbours: what a DATA frame of its own costs on
/// both ends is more than the copy. A shard that is put to one record at a time has many.
const SHORT_BYTES: usize = 8 << 10;
/// Bytes of a chunk of short ranges. It is what a subscriber that never reads holds, and still
/// many times what a DATA frame costs.
const CHUNK_BYTES_MAX: usize = 16 << 10;

/// The chunks of a reply, in order.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// A whole message; or the prefix of one with a few fields, which ranges follow.
    head: Bytes,
    rest: std::vec::IntoIter<Bytes>,
}

impl Frames {
    /// Bytes that are framed already.
    pub(super) fn one(framed: Bytes) -> Self {
        Frames { head: framed, rest: Vec::new().into_iter() }
    }

    /// A message that is written by `write`.
    pub(super) fn message(write: impl FnOnce(&mut BytesMut)) -> Self {
        let mut out = BytesMut::new();
        append_message(&mut out, write);
        Frames::one(out.freeze())
    }

    /// A message made of the fields that `write` writes and of a page's ranges. In this order:
    /// what follows a large chunk waits until that one is on its way, and is a chunk of its own.
    pub(super) fn page(ranges: Vec<Bytes>, write: impl FnOnce(&mut BytesMut)) -> Self {
        let mut head = BytesMut::new();
        append_message(&mut head, write);
        let fields = head.len() - PREFIX_BYTES;
        let bytes = fields + ranges.iter().map(Bytes::len).sum::<usize>();
        head[..PREFIX_BYTES].copy_from_slice(&prefix(bytes));
        Frames { head: head.freeze(), rest: ranges.into_iter() }
    }

    fn next(&mut self) -> Option<Bytes> {
        let head = std::mem::take(&mut self.head);
        let (mut count, mut bytes) = (0, head.len());
        for range in self.rest.as_slice() {
            if range.len() >= SHORT_BYTES || bytes + range.len() > CHUNK_BYTES_MAX {
                break;
            }
            bytes += range.len();
            count += 1;
        }
        // A short range between long ones is a chunk as it is, and so is a head without any.
        match (head.is_empty(), count) {
            (true, 0 | 1) => return self.rest.next(),
            (false, 0) => return Some(head),
            _ => {}
        }
        let mut chunk = BytesMut::with_capacity(bytes);
        chunk.put_slice(&head);
        for range in self.rest.by_ref().take(count) {
            chunk.put_slice(&range);
        }
        Some(chunk.freeze())
    }
}

/// Appends a message and its prefix.
pub(super) fn append_message(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_bytes(0, PREFIX_BYTES);
    write(out);
    let len = out.len() - start - PREFIX_BYTES;
    out[start..][..PREFIX_BYTES].copy_from_slice(&prefix(len));
}

/// What stands in front of an uncompressed message.
fn prefix(len: usize) -> [u8; PREFIX_BYTES] {
    let len = u32::try_from(len).expect("a page has at most 10 MiB, a record 1 MiB");
    let [a, b, c, d] = len.to_be_bytes();
    [0, a, b, c, d]
}

/// The response to a call that was refused before anything was sent.
pub(super) fn refused(status: Status) -> Response<Body> {
    status.into_http()
}

/// The response that consists of one message.
pub(super) fn unary(frames: Frames) -> Response<Body> {
    respond(ReplyBody { current: frames, source: Some(empty()), since_yield: 0 })
}

/// The response that consists of what `source` gives; it ends with the first error.
pub(super) fn streaming<S>(source: S) -> Response<Body>
where
    S: Stream<Item = Result<Frames, Status>> + Send + Unpin + 'static,
{
    respond(ReplyBody { current: Frames::default(), source: Some(source), since_yield: 0 })
}

fn respond<S>(body: ReplyBody<S>) -> Response<Body>
where
    S: Stream<Item = Result<Frames, Status>> + Send + Unpin + 'static,
{
    let mut response = Response::new(Body::new(body));
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// A reply as a body.
struct ReplyBody<S> {
    current: Frames,
    /// Where further messages come from; `None` once the trailers are sent.
    source: Option<S>,
    since_yield: usize,
}

impl<S> http_body::Body for ReplyBody<S>
where
    S: Stream<Item = Result<Frames, Status>> + Unpin,
{
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        loop {
            if let Some(chunk) = this.current.next() {
                this.since_yield += chunk.len();
                return Poll::Ready(Some(Ok(Frame::data(chunk))));
            }
            let Some(source) = &mut this.source else {
                return Poll::Ready(None);
            };
            if this.since_yield >= YIELD_BYTES {
                this.since_yield = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let status = match ready!(Pin::new(source).poll_next(cx)) {
                Some(Ok(frames)) => {
                    this.current = frames;
                    continue;
                }
                Some(Err(status)) => status,
                None => Status::ok(""),
            };
            this.source = None;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers(&status)))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_none()
    }
}

fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        // Cannot happen with a message that is percent-encoded and details in base64.
        trailers.insert("grpc-status", HeaderValue::from_static("13"));
    }
    trailers
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::BodyExt;

    use super::*;

    fn ranges(lens: &[usize]) -> Vec<Bytes> {
        lens.iter().map(|len| vec![b'r'; *len].into()).collect()
    }

    #[tokio::test]
    async fn a_page_is_one_message_whether_it_is_copied_or_not() {
        for (lens, chunks) in [
            (&[][..], 1),
            (&[10, 20], 1),
            (&[100_000, 1, 2, 200_000], 4),
            (&[1, SHORT_BYTES, SHORT_BYTES - 1], 3),
            (&[1000; 100], 7),
        ] {
            let frames = || Frames::page(ranges(lens), |out| out.put_slice(b"head"));
            let mut counted = frames();
            let counted: Vec<_> = std::iter::from_fn(|| counted.next()).collect();
            assert_eq!(counted.len(), chunks);
            // What is copied is never much at once.
            let is_copied = |chunk: &&Bytes| !lens.contains(&chunk.len());
            assert!(counted.iter().filter(is_copied).all(|chunk| chunk.len() <= CHUNK_BYTES_MAX));
            let frames = frames();
            let body = unary(frames).into_body().collect().await.unwrap();
            let trailers = body.trailers().cloned().unwrap();
            assert_eq!(trailers["grpc-status"], "0");
            let bytes = body.to_bytes();
            let len = lens.iter().sum::<usize>() + 4;
            assert_eq!(bytes[..5], prefix(len));
            assert_eq!(bytes.len(), 5 + len);
            assert!(bytes[5..].starts_with(b"head"));
        }
    }

    #[tokio::test]
    async fn a_stream_ends_with_the_status_of_its_error() {
        let message = || Frames::message(|out| out.put_slice(b"x"));
        let source = [Ok(message()), Err(Status::data_loss("lost")), Ok(message())];
        let response = streaming(stream::iter(source));
        let body = response.into_body().collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap();
        assert_eq!(trailers["grpc-status"], "15");
        assert_eq!(trailers["grpc-message"], "lost");
        assert_eq!(body.to_bytes().len(), 6);
    }

    #[tokio::test]
    async fn a_source_that_is_always_ready_gives_way_after_a_mebibyte() {
        let chunk = Bytes::from(vec![0; YIELD_BYTES / 2]);
        let source = stream::repeat_with(move || Ok(Frames::one(chunk.clone())));
        let mut body = streaming(source).into_body();
        let mut frames = 0;
        let mut poll = |cx: &mut Context<'_>| {
            let poll = http_body::Body::poll_frame(Pin::new(&mut body), cx);
            Poll::Ready(poll.is_ready())
        };
        while std::future::poll_fn(&mut poll).await {
            frames += 1;
        }
        assert_eq!(frames, 2);
        // It has woken itself, so the next poll goes on.
        assert!(std::future::poll_fn(&mut poll).await);
    }
}
