//! What one peer may cost: every bound of a port, with its reason.
//!
//! They are ours and not hyper's defaults, because a broker's peers differ from a web site's: few,
//! long-lived, and moving megabytes. Each bounds what one connection can cost; the number of
//! connections bounds the sum. What requests hold in memory beyond that is bounded for all of them
//! together, by the operations.

use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;

/// Connections of one port. A subscription or a producer takes one at most, so this is far above
/// what one machine serves; it leaves file descriptors for segments under the usual hard limit
/// (about 524,288), and at about 50 KiB of idle state each it is 500 MiB that a flood can cost.
pub(super) const CONNECTIONS_MAX: usize = 10_000;

/// Connections that the kernel holds while all slots are taken or the accept loop is behind.
pub(super) const BACKLOG: u32 = 1024;

/// HTTP/2: bytes of a frame. The default of 16 KiB makes 64 frames and as many small writes out
/// of a 1 MiB event; our own client takes frames of this size.
const FRAME_BYTES_MAX: u32 = 1 << 20;

/// HTTP/2: bytes a peer may send on one stream before we have read them. Holds a usual batch
/// whole, so that a producer on a fast link never waits for a window update.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;

/// HTTP/2: the same for a connection: four busy streams.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// HTTP/2: bytes of one stream that wait to be sent before more is asked of its reply. A chunk
/// that is larger goes in whole. It is what a subscriber costs that has given us a window and
/// does not read its socket; the kernel's buffers keep a fast one busy meanwhile.
const SEND_BUFFER_BYTES: usize = 32 << 10;

/// HTTP/2: open streams of one connection. A client that reads 1,000 shards uses several.
const STREAMS_MAX: u32 = 256;

/// HTTP/2: bytes of a request's headers. Ours have some 300.
const HEADER_BYTES_MAX: u32 = 16 << 10;

/// HTTP/2: a peer that is silent for this long is asked for a sign of life, and has the same
/// time again to give it: a vanished subscriber is gone within 40 s.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// HTTP/2: streams that a peer has reset before we have looked at them. More is no client that
/// changed its mind but one that makes us work for nothing (CVE-2023-44487).
const RESETS_PENDING_MAX: usize = 20;

/// HTTP/2: streams that we have had to reset on one connection, for breaking the protocol or our
/// limits. A client may open some hundreds before it has read how many are allowed.
const RESETS_OF_OURS_MAX: usize = 1024;

/// HTTP/1.1: headers of a request. The SDKs send up to 30.
const HEADERS_MAX: usize = 64;

/// HTTP/1.1: bytes of a request's line and headers, and of what we read or write at a time. hyper's
/// 400 KiB would be 4 GiB for all connections; these are 160 MiB.
const BUFFER_BYTES_MAX: usize = 16 << 10;

/// Time for a peer to say what protocol it speaks, to shake hands, and for an HTTP/1.1 request's
/// line and headers.
pub(super) const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// HTTP/1.1: how long a connection may wait for its next request. The SDKs keep connections for up
/// to 60 s and go on with one of them: closing is to be their part, lest a request meets our end.
const IDLE: Duration = Duration::from_secs(75);

/// HTTP/1.1: how long a peer may read nothing of a reply that waits for it. HTTP/2 has its pings.
pub(super) const WRITE_STALL: Duration = Duration::from_secs(60);

/// HTTP/1.1: how long what a peer still sends is read and dropped after our last word. A socket
/// that is closed with something unread resets the connection, and the last word may get lost: a
/// refusal that comes before the end of a large body always would.
pub(super) const LINGER: Duration = Duration::from_secs(10);

/// And how long it may be silent meanwhile.
pub(super) const LINGER_SILENCE: Duration = Duration::from_secs(1);

/// Pause after a failed accept. Running out of file descriptors fails every accept until a
/// connection ends; without a pause the loop would take a core to find that out.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// hyper's builder of both protocols, with these limits.
pub(super) fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // hyper counts from the end of the former exchange; that headers do not trickle is our
        // own watch.
        .header_read_timeout(IDLE)
        .max_buf_size(BUFFER_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_frame_size(FRAME_BYTES_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .adaptive_window(false)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .max_local_error_reset_streams(RESETS_OF_OURS_MAX)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE);
    builder
}
