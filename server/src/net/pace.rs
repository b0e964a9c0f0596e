//! The pace that a sender of a request has to keep.
//!
//! A body that trickles holds memory and a connection for next to nothing. Only the time counts in
//! which we wait for the sender: when we are the slow ones, a body that lies in the kernel does not
//! age. It does not concern a `Produce` call, which is a conversation and not a request: it may be
//! silent for hours.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a sender may send nothing. A phone that changes cells is back within it.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// From when on the average counts.
const GRACE: Duration = Duration::from_secs(30);

/// Bytes per second below which nobody uploads: a modem of 1995 has three times as many.
const BYTES_PER_SECOND_MIN: u64 = 1024;

/// A body whose sender does not keep the pace.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error(
    "the request's body comes too slowly: {received} bytes in {} s of waiting; one that stops for \
     {} s, or comes with less than {BYTES_PER_SECOND_MIN} bytes/s after {} s, is not waited for",
    waited.as_secs(), SILENCE_MAX.as_secs(), GRACE.as_secs()
)]
pub struct TooSlow {
    /// Bytes that came.
    pub received: u64,
    /// How long they were waited for.
    pub waited: Duration,
}

/// How long a sender who has made us wait so long for so many bytes may be silent now.
fn patience(received: u64, waited: Duration) -> Duration {
    let per_byte = Duration::from_secs(1) / BYTES_PER_SECOND_MIN as u32;
    let earned = per_byte.saturating_mul(u32::try_from(received).unwrap_or(u32::MAX));
    GRACE.max(earned).saturating_sub(waited).min(SILENCE_MAX)
}

/// Watches the pace of one body.
#[derive(Debug, Default)]
pub struct Pace {
    received: u64,
    /// Time spent waiting, without the wait that goes on now.
    waited: Duration,
    waiting_since: Option<Instant>,
    /// Kept from one wait to the next. A body that is there at once needs none.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    /// So many bytes have come.
    pub fn arrived(&mut self, bytes: usize) {
        self.received = self.received.saturating_add(bytes as u64);
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
    }

    /// Nothing is there; ready when it has been too long.
    pub fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<TooSlow> {
        if self.waiting_since.is_none() {
            let now = Instant::now();
            self.waiting_since = Some(now);
            let deadline = now + patience(self.received, self.waited);
            match &mut self.alarm {
                Some(alarm) => alarm.as_mut().reset(deadline),
                None => self.alarm = Some(Box::pin(sleep_until(deadline))),
            }
        }
        let alarm = self.alarm.as_mut().expect("a wait sets it");
        ready!(alarm.as_mut().poll(context));
        let waiting = self.waiting_since.map_or(Duration::ZERO, |since| since.elapsed());
        Poll::Ready(TooSlow { received: self.received, waited: self.waited + waiting })
    }
}

/// A body that ends with [`TooSlow`] if its sender does not keep the pace.
///
/// Its errors are boxed; `error.downcast_ref::<TooSlow>()` tells ours from the body's own.
#[derive(Debug)]
pub struct PacedBody<B> {
    body: B,
    pace: Pace,
}

impl<B> PacedBody<B> {
    /// The same body, whose sender is watched from now on.
    pub fn new(body: B) -> Self {
        Self { body, pace: Pace::default() }
    }
}

impl<B> Body for PacedBody<B>
where
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin,
{
    type Data = B::Data;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, Self::Error>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                this.pace.arrived(frame.data_ref().map_or(0, Buf::remaining));
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(end) => Poll::Ready(end.map(|frame| frame.map_err(Into::into))),
            Poll::Pending => {
                this.pace.poll_late(context).map(|slow| Some(Err(Box::new(slow) as Self::Error)))
            }
        }
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
    use http_body_util::{BodyExt, Channel};
    use tokio::time::sleep;

    use super::*;

    type Sent = Channel<Bytes, std::convert::Infallible>;

    /// What comes of a body of which `chunks` are sent, each after such a pause.
    async fn received(chunks: Vec<(Duration, usize)>) -> Result<usize, TooSlow> {
        let (mut sender, body) = Sent::new(1);
        let body = PacedBody::new(body);
        let send = async move {
            for (pause, bytes) in chunks {
                sleep(pause).await;
                if sender.send_data(Bytes::from(vec![0; bytes])).await.is_err() {
                    return;
                }
            }
        };
        let ((), collected) = tokio::join!(send, body.collect());
        collected
            .map(|body| body.to_bytes().len())
            .map_err(|error| *error.downcast::<TooSlow>().unwrap())
    }

    #[test]
    fn patience_is_what_is_left_of_the_grace_or_was_earned() {
        let seconds = Duration::from_secs;
        assert_eq!(patience(0, seconds(0)), SILENCE_MAX);
        assert_eq!(patience(0, seconds(25)), seconds(5));
        assert_eq!(patience(0, seconds(31)), seconds(0));
        // A fast start is credit, but not for a longer silence.
        assert_eq!(patience(1 << 20, seconds(60)), SILENCE_MAX);
        assert!(patience(60 << 10, seconds(59)) <= seconds(1));
        assert_eq!(patience(u64::MAX, seconds(0)), SILENCE_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_keeps_the_pace_is_not_touched() {
        let pause = Duration::from_secs(9);
        assert_eq!(received(vec![(pause, 20 << 10); 100]).await, Ok(2000 << 10));
        assert_eq!(received(vec![]).await, Ok(0));
        assert_eq!(received(vec![(Duration::ZERO, 16 << 20)]).await, Ok(16 << 20));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_is_ended_after_the_silence() {
        let long = Duration::from_secs(3600);
        let slow = received(vec![(Duration::ZERO, 1 << 20), (long, 1)]).await.unwrap_err();
        assert_eq!((slow.received, slow.waited.as_secs()), (1 << 20, SILENCE_MAX.as_secs()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_is_ended_after_the_grace() {
        let slow = received(vec![(Duration::from_secs(1), 100); 1000]).await.unwrap_err();
        assert_eq!(slow.waited.as_secs(), GRACE.as_secs());
        // Whether what comes at the last moment counts is the runtime's choice.
        assert!([2900, 3000].contains(&slow.received), "{slow}");
        assert!(slow.to_string().contains("00 bytes in 30 s"), "{slow}");
    }

    /// While nobody asks for the body its sender is not to blame.
    #[tokio::test(start_paused = true)]
    async fn our_own_slowness_does_not_count() {
        let (mut sender, body) = Sent::new(1);
        let mut body = PacedBody::new(body);
        for _ in 0..100 {
            sender.send_data(Bytes::from_static(b"a")).await.unwrap();
            sleep(Duration::from_secs(60)).await;
            body.frame().await.unwrap().unwrap();
        }
        drop(sender);
        assert!(body.frame().await.is_none());
    }
}
