//! Doing nothing behind our own port: its settings, a body of bytes that were encoded before, and
//! not a message looked at.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use anabranch_server::net::Port;
use anyhow::Result;
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::service::service_fn;
use prost::Message;

/// Bytes of a message's prefix: a flag, and its length.
const PREFIX_BYTES: usize = 5;

/// Records of an event: as many as ours has by default, 1 MiB.
const EVENT_RECORDS: usize = 1000;

/// Records of a page, which is what the load asks ours for.
const PAGE_RECORDS: usize = super::super::load::PAGE_RECORDS;

pub(super) async fn serve() -> Result<()> {
    let port = Port::bind(SocketAddr::from(([127, 0, 0, 1], 0)), "nothing")?;
    super::tell(port.address())?;
    let replies = Arc::new(Replies::new());
    let _open = port.open(service_fn(move |request| {
        let replies = Arc::clone(&replies);
        async move { Ok::<_, Infallible>(answer(request, &replies)) }
    }));
    std::future::pending().await
}

/// What is answered, as it goes on the wire.
struct Replies {
    by_route: HashMap<&'static str, Reply>,
}

struct Reply {
    message: Bytes,
    when: When,
}

/// When a message is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// Once, when the request has come to its end.
    AtTheEnd,
    /// For each message of the request.
    ForEach,
    /// Again and again.
    Always,
}

impl Replies {
    fn new() -> Replies {
        let page = anabranch_proto::v1::GetRecordsResponse {
            records: super::records(PAGE_RECORDS),
            next_shard_iterator: "x".repeat(128),
            millis_behind_latest: 1,
            child_shards: Vec::new(),
        };
        let by_route = [
            ("PutRecord", prefixed(&super::put_answer()), When::AtTheEnd),
            ("PutRecords", prefixed(&super::put_records_answer(100)), When::AtTheEnd),
            ("Produce", prefixed(&super::produce_answer(100)), When::ForEach),
            ("GetRecords", prefixed(&page), When::AtTheEnd),
            ("SubscribeToShard", prefixed(&super::event(EVENT_RECORDS)), When::Always),
        ];
        let by_route = by_route.map(|(route, message, when)| (route, Reply { message, when }));
        Replies { by_route: by_route.into_iter().collect() }
    }
}

fn prefixed(message: &impl Message) -> Bytes {
    let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + message.encoded_len());
    bytes.put_u8(0);
    bytes.put_u32(message.encoded_len() as u32);
    message.encode(&mut bytes).expect("there is room");
    bytes.freeze()
}

fn answer(request: Request<Incoming>, replies: &Replies) -> Response<Answer> {
    let route = request.uri().path().rsplit('/').next().unwrap_or_default();
    let reply = replies.by_route.get(route);
    let body = Answer {
        message: reply.map(|reply| reply.message.clone()).unwrap_or_default(),
        when: reply.map_or(When::AtTheEnd, |reply| reply.when),
        request: Some(request.into_body()),
        borders: Borders::default(),
        has_ended: false,
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    if reply.is_none() {
        headers.insert("grpc-status", HeaderValue::from_static("12"));
    }
    response
}

/// Counts the messages of a request whose bytes pass by.
#[derive(Default)]
struct Borders {
    prefix: Vec<u8>,
    /// Bytes of the message under way that are still to come.
    left: usize,
}

impl Borders {
    /// Messages that end in `bytes`.
    fn pass(&mut self, mut bytes: &[u8]) -> usize {
        let mut ended = 0;
        while !bytes.is_empty() {
            if self.left > 0 {
                let part = self.left.min(bytes.len());
                bytes = &bytes[part..];
                self.left -= part;
                ended += usize::from(self.left == 0);
                continue;
            }
            let part = (PREFIX_BYTES - self.prefix.len()).min(bytes.len());
            self.prefix.extend_from_slice(&bytes[..part]);
            bytes = &bytes[part..];
            if let [_, a, b, c, d] = self.prefix[..] {
                self.left = u32::from_be_bytes([a, b, c, d]) as usize;
                self.prefix.clear();
                ended += usize::from(self.left == 0);
            }
        }
        ended
    }
}

/// The body of an answer, which reads the request's as it goes.
struct Answer {
    message: Bytes,
    when: When,
    /// `None` behind its end.
    request: Option<Incoming>,
    borders: Borders,
    has_ended: bool,
}

impl Answer {
    fn end(&mut self) -> Frame<Bytes> {
        self.has_ended = true;
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        Frame::trailers(trailers)
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        if self.when == When::Always {
            return Poll::Ready(Some(Ok(Frame::data(self.message.clone()))));
        }
        while let Some(request) = &mut self.request {
            let Some(frame) = ready!(Pin::new(request).poll_frame(context)?) else {
                self.request = None;
                if self.when == When::AtTheEnd {
                    return Poll::Ready(Some(Ok(Frame::data(self.message.clone()))));
                }
                break;
            };
            let ended = frame.data_ref().map_or(0, |bytes| self.borders.pass(bytes));
            if ended > 0 && self.when == When::ForEach {
                let reply = match ended {
                    1 => self.message.clone(),
                    _ => self.message.repeat(ended).into(),
                };
                return Poll::Ready(Some(Ok(Frame::data(reply))));
            }
        }
        Poll::Ready(Some(Ok(self.end())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_their_bytes_are_cut() {
        let messages: Vec<u8> = [3u8, 0, 300u16 as u8, 1]
            .iter()
            .flat_map(|&length| {
                let mut message = vec![0, 0, 0, 0, length];
                message.resize(PREFIX_BYTES + usize::from(length), 7);
                message
            })
            .collect();
        for piece in 1..messages.len() {
            let mut borders = Borders::default();
            let ended: usize = messages.chunks(piece).map(|bytes| borders.pass(bytes)).sum();
            assert_eq!(ended, 4, "pieces of {piece}");
        }
    }
}
