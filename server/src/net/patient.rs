//! A connection whose peer is waited for, but not for ever.
//!
//! ```text
//! greeting -- the 24 bytes of the preface --> HTTP/2     its pings tell who is still there
//!     |
//!     +-- anything else --> HTTP/1.1:  headers   10 s from their first byte
//!                                      exchange  as long as it takes; a reply has to be read
//!                                      shutdown  what still comes is read and dropped
//! ```
//!
//! hyper bounds the time from one exchange to the headers of the next, and would let headers
//! trickle for as long. It waits without end for a protocol to be known, and for a peer that reads
//! nothing. And it closes a socket on which the rest of a refused body is still to come, which
//! resets the connection before the refusal is read.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::exchanges::Exchanges;
use super::limits::{HEADER_TIMEOUT, LINGER, LINGER_SILENCE, WRITE_STALL};

/// How an HTTP/2 connection begins (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes that are dropped at a time.
const DROPPED_BYTES: usize = 4 << 10;

/// What a peer speaks, as far as it is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Spoken {
    /// So many bytes of the preface of HTTP/2.
    Greeting(usize),
    Http1,
    Http2,
}

impl Spoken {
    /// What is known when these bytes have come, too.
    fn then(self, bytes: &[u8]) -> Self {
        let Spoken::Greeting(known) = self else {
            return self;
        };
        let rest = &PREFACE[known..];
        let compared = bytes.len().min(rest.len());
        if bytes[..compared] != rest[..compared] {
            Spoken::Http1
        } else if compared == rest.len() {
            Spoken::Http2
        } else {
            Spoken::Greeting(known + compared)
        }
    }
}

/// A connection with its bounds of time.
#[derive(Debug)]
pub(super) struct Patient<T> {
    io: T,
    exchanges: Arc<Exchanges>,
    spoken: Spoken,
    /// How many exchanges had begun when we last looked: one more ends the wait for headers.
    begun: usize,
    /// Until when the greeting, or the headers that have begun, have to be there.
    headers: Option<Pin<Box<Sleep>>>,
    /// Until when the peer has to read something of what we have to say.
    stall: Option<Pin<Box<Sleep>>>,
    lingering: Option<Lingering>,
}

/// After our last word.
#[derive(Debug)]
struct Lingering {
    until: Instant,
    silence: Pin<Box<Sleep>>,
}

impl<T> Patient<T> {
    /// A connection that is to greet until `deadline`.
    pub(super) fn new(io: T, exchanges: Arc<Exchanges>, deadline: Instant) -> Self {
        Self {
            io,
            exchanges,
            spoken: Spoken::Greeting(0),
            begun: 0,
            headers: Some(Box::pin(sleep_until(deadline))),
            stall: None,
            lingering: None,
        }
    }

    /// A connection that gets one last word and is not listened to.
    pub(super) fn of_refused(io: T) -> Self {
        Self { spoken: Spoken::Http1, ..Self::new(io, Arc::default(), Instant::now()) }
    }

    /// Whether what was written, or was not, is still within its time.
    fn written<R>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if self.spoken == Spoken::Http2 {
            return written;
        }
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(WRITE_STALL)));
        ready!(stall.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Patient<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let filled = buffer.filled().len();
        let read = Pin::new(&mut this.io).poll_read(context, buffer);
        let new = &buffer.filled()[filled..];
        this.spoken = this.spoken.then(new);
        if this.spoken == Spoken::Http2 {
            this.headers = None;
            return read;
        }
        // A request has begun since: its headers are there.
        if this.begun != this.exchanges.begun() {
            this.begun = this.exchanges.begun();
            this.headers = None;
        }
        if !new.is_empty() && this.headers.is_none() && !this.exchanges.are_under_way() {
            this.headers = Some(Box::pin(sleep(HEADER_TIMEOUT)));
        }
        if read.is_pending()
            && let Some(deadline) = &mut this.headers
        {
            ready!(deadline.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Patient<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.written(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(context, slices);
        self.written(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        self.written(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let lingering = match &mut this.lingering {
            Some(lingering) => lingering,
            None => {
                let shut_down = Pin::new(&mut this.io).poll_shutdown(context);
                ready!(this.written(context, shut_down))?;
                if this.spoken == Spoken::Http2 {
                    return Poll::Ready(Ok(()));
                }
                let until = Instant::now() + LINGER;
                let silence = Box::pin(sleep(LINGER_SILENCE));
                this.lingering.insert(Lingering { until, silence })
            }
        };
        let mut dropped = [0; DROPPED_BYTES];
        loop {
            let mut buffer = ReadBuf::new(&mut dropped);
            let read = Pin::new(&mut this.io).poll_read(context, &mut buffer);
            if read.is_pending() {
                return lingering.silence.as_mut().poll(context).map(Ok);
            }
            let now = Instant::now();
            let is_over = !matches!(read, Poll::Ready(Ok(()))) || buffer.filled().is_empty();
            if is_over || now >= lingering.until {
                return Poll::Ready(Ok(()));
            }
            let deadline = lingering.until.min(now + LINGER_SILENCE);
            lingering.silence.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn connection(bytes: usize) -> (Patient<DuplexStream>, Arc<Exchanges>, DuplexStream) {
        let (ours, theirs) = duplex(bytes);
        let exchanges = Arc::new(Exchanges::default());
        let deadline = Instant::now() + HEADER_TIMEOUT;
        (Patient::new(ours, exchanges.clone(), deadline), exchanges, theirs)
    }

    async fn read(patient: &mut Patient<DuplexStream>) -> io::Result<usize> {
        patient.read(&mut [0; 64]).await
    }

    #[test]
    fn the_preface_is_known_however_it_is_cut() {
        for cut in 0..PREFACE.len() {
            let first = Spoken::Greeting(0).then(&PREFACE[..cut]);
            assert_eq!(first, Spoken::Greeting(cut));
            assert_eq!(first.then(&PREFACE[cut..]), Spoken::Http2);
            assert_eq!(first.then(b"GET"), Spoken::Http1);
        }
        assert_eq!(Spoken::Greeting(0).then(b"POST / HTTP/1.1\r\n"), Spoken::Http1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_greeting_that_trickles_is_given_up_when_its_time_is_over() {
        for greeting in [&b""[..], b"PRI * HT", b"POST / HTTP/1.1\r\n"] {
            let (mut patient, _, mut peer) = connection(1024);
            let began = Instant::now();
            let trickle = async {
                for byte in greeting {
                    tokio::time::sleep(Duration::from_millis(900)).await;
                    if peer.write_all(&[*byte]).await.is_err() {
                        break;
                    }
                }
                std::future::pending::<()>().await;
            };
            let given_up = async {
                loop {
                    if let Err(error) = read(&mut patient).await {
                        break error;
                    }
                }
            };
            let error = tokio::select! { error = given_up => error, () = trickle => panic!() };
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert_eq!(began.elapsed().as_secs(), HEADER_TIMEOUT.as_secs());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_exchange_takes_its_time_and_the_next_headers_do_not() {
        let (mut patient, exchanges, mut peer) = connection(1024);
        peer.write_all(b"POST / HTTP/1.1\r\n\r\n").await.unwrap();
        read(&mut patient).await.unwrap();
        let exchange = Exchanges::begin(&exchanges);
        let minute = Duration::from_secs(60);
        tokio::time::timeout(minute, read(&mut patient)).await.unwrap_err();
        // Its body may come late; how late is not decided here.
        peer.write_all(b"body").await.unwrap();
        read(&mut patient).await.unwrap();
        tokio::time::timeout(minute, read(&mut patient)).await.unwrap_err();
        drop(exchange);
        // Between two exchanges there is time, too.
        tokio::time::timeout(minute, read(&mut patient)).await.unwrap_err();
        peer.write_all(b"P").await.unwrap();
        read(&mut patient).await.unwrap();
        let late = tokio::time::timeout(minute, read(&mut patient)).await.unwrap();
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn http_2_is_left_to_its_pings() {
        let (mut patient, _, mut peer) = connection(1024);
        peer.write_all(PREFACE).await.unwrap();
        read(&mut patient).await.unwrap();
        let hour = Duration::from_secs(3600);
        tokio::time::timeout(hour, read(&mut patient)).await.unwrap_err();
        assert!(patient.shutdown().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_that_nobody_reads_ends_the_connection() {
        let (mut patient, _, mut peer) = connection(4);
        peer.write_all(b"GET ").await.unwrap();
        read(&mut patient).await.unwrap();
        let error = patient.write_all(b"reply").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        // One that reads a little now and then gets all of it.
        let (mut patient, _, mut peer) = connection(4);
        let slow = async {
            let mut got = Vec::new();
            while got.len() < 8 {
                tokio::time::sleep(Duration::from_secs(50)).await;
                got.push(peer.read_u8().await.unwrap());
            }
            got
        };
        let (written, got) = tokio::join!(patient.write_all(b"a reply."), slow);
        written.unwrap();
        assert_eq!(got, b"a reply.");
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_after_the_last_word_is_read_and_dropped_for_a_while() {
        let (patient, _, mut peer) = connection(4);
        let mut patient = Patient { spoken: Spoken::Http1, ..patient };
        // As fast as it is read: it gets rid of everything and hears our end.
        let send = async {
            peer.write_all(&vec![0; 100_000]).await.unwrap();
            peer.read_to_end(&mut Vec::new()).await.unwrap();
            peer.shutdown().await.unwrap();
        };
        let (shut_down, ()) = tokio::join!(patient.shutdown(), send);
        shut_down.unwrap();
        // For ever: not with us.
        let (patient, _, mut peer) = connection(4);
        let mut patient = Patient { spoken: Spoken::Http1, ..patient };
        let began = Instant::now();
        let endless = async {
            while peer.write_all(&[0; 4]).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        tokio::select! {
            shut_down = patient.shutdown() => shut_down.unwrap(),
            () = endless => panic!("it was cut off"),
        }
        assert_eq!(began.elapsed().as_secs(), LINGER.as_secs());
        // In silence: a moment.
        let (patient, _, _peer) = connection(4);
        let mut patient = Patient { spoken: Spoken::Http1, ..patient };
        let began = Instant::now();
        patient.shutdown().await.unwrap();
        assert_eq!(began.elapsed().as_secs(), LINGER_SILENCE.as_secs());
    }
}
