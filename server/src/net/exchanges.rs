//! The exchanges of a connection: a request, and its reply to the last byte.
//!
//! What a connection does between two exchanges is the beginning of the next request, and nothing
//! that an exchange does is: only so can a header that trickles be told from a subscription that
//! has nothing to send.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};

/// How many exchanges a connection has had, and how many it has now.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    begun: AtomicUsize,
    under_way: AtomicUsize,
}

impl Exchanges {
    /// A request is there.
    pub(super) fn begin(this: &Arc<Self>) -> Exchange {
        this.begun.fetch_add(1, Ordering::Relaxed);
        this.under_way.fetch_add(1, Ordering::Relaxed);
        Exchange { of: Arc::clone(this) }
    }

    /// How many have begun.
    pub(super) fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }

    /// Whether one has not ended.
    pub(super) fn are_under_way(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) > 0
    }
}

/// One exchange; dropped, it has ended.
#[derive(Debug)]
pub(super) struct Exchange {
    of: Arc<Exchanges>,
}

impl Exchange {
    /// The same body, which ends the exchange when it is dropped.
    pub(super) fn lasts_as_long_as<B>(self, body: B) -> ReplyBody<B> {
        ReplyBody { body, _exchange: self }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.of.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of a reply, with its exchange.
#[derive(Debug)]
pub(super) struct ReplyBody<B> {
    body: B,
    _exchange: Exchange,
}

impl<B: Body + Unpin> Body for ReplyBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Full;

    use super::*;

    #[test]
    fn an_exchange_lasts_until_its_reply_is_dropped() {
        let exchanges = Arc::new(Exchanges::default());
        let first = Exchanges::begin(&exchanges);
        let second = Exchanges::begin(&exchanges);
        drop(first);
        let reply = second.lasts_as_long_as(Full::new(Bytes::from_static(b"reply")));
        assert_eq!((exchanges.begun(), exchanges.are_under_way()), (2, true));
        assert_eq!(reply.size_hint().exact(), Some(5));
        drop(reply);
        assert_eq!((exchanges.begun(), exchanges.are_under_way()), (2, false));
    }
}
