//! Peers that say something once and nothing ever after: HTTP/2 written by hand.
//!
//! No library stands between, because a library reads: it answers settings, and gives back
//! window for what it has buffered. What is sent here is all that is ever sent, and the socket is
//! never looked at again. So a server that keeps pushing is stopped by the first of these: the
//! window of the stream, the window of the connection, the buffers of two kernels.

use std::net::SocketAddr;

use anabranch_client::v1;
use anyhow::{Context, Result};
use prost::Message;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

/// What lets the server send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Window {
    /// Nothing: the stream's window is 0.
    Closed,
    /// What HTTP/2 gives where nobody says otherwise: 64 KiB.
    Default,
    /// All that HTTP/2 can give; but the socket takes next to nothing.
    Open,
}

impl Window {
    pub(super) const ALL: [Window; 3] = [Window::Closed, Window::Default, Window::Open];

    pub(super) fn words(self) -> &'static str {
        match self {
            Window::Closed => "a window of 0",
            Window::Default => "a window of 64 KiB",
            Window::Open => "an open window and a full socket",
        }
    }
}

/// The largest window (RFC 9113, 6.9.1), and the one that there is from the start.
const WINDOW_BYTES_MAX: u32 = (1 << 31) - 1;
const WINDOW_BYTES_DEFAULT: u32 = (1 << 16) - 1;
/// Bytes that the kernel may hold for us where the socket is to be full. It gives a bit more.
const RECEIVE_BYTES: u32 = 4 << 10;

/// A peer that never reads, as long as it lives.
pub(super) struct Mute {
    _socket: TcpStream,
}

impl Mute {
    /// Begins a put, and never sends the rest of it.
    pub(super) async fn begin_put(address: SocketAddr) -> Result<Mute> {
        let mut socket = TcpStream::connect(address).await.context("cannot connect")?;
        let mut call = opening(Window::Default, address, "PutRecords");
        // The prefix of a message of which nothing follows.
        frame(&mut call, DATA, 0, 1, &[0, 0, 0, 1, 0]);
        socket.write_all(&call).await?;
        Ok(Mute { _socket: socket })
    }

    /// Subscribes from the oldest record on.
    pub(super) async fn subscribe(
        address: SocketAddr,
        window: Window,
        stream_name: &str,
        consumer_name: &str,
        shard: usize,
    ) -> Result<Mute> {
        let request = v1::SubscribeToShardRequest {
            stream_name: stream_name.to_owned(),
            consumer_name: consumer_name.to_owned(),
            shard_id: format!("shardId-{shard:012}"),
            starting_position: Some(v1::StartingPosition {
                r#type: v1::ShardIteratorType::TrimHorizon.into(),
                ..v1::StartingPosition::default()
            }),
            ..v1::SubscribeToShardRequest::default()
        };
        let socket = TcpSocket::new_v4()?;
        if window == Window::Open {
            socket.set_recv_buffer_size(RECEIVE_BYTES)?;
        }
        let mut socket = socket.connect(address).await.context("cannot connect")?;
        socket.write_all(&call(window, address, &request.encode_to_vec())).await?;
        Ok(Mute { _socket: socket })
    }
}

// Frames of HTTP/2 and their flags (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// All that a subscriber says.
fn call(window: Window, address: SocketAddr, message: &[u8]) -> Vec<u8> {
    let mut out = opening(window, address, "SubscribeToShard");
    let length = u32::try_from(message.len()).expect("a request is short");
    let prefixed = [&[0][..], &length.to_be_bytes(), message].concat();
    frame(&mut out, DATA, END_STREAM, 1, &prefixed);
    out
}

/// The beginning of a connection and of a call.
fn opening(window: Window, address: SocketAddr, method: &str) -> Vec<u8> {
    let stream_window = match window {
        Window::Closed => 0,
        Window::Default => WINDOW_BYTES_DEFAULT,
        Window::Open => WINDOW_BYTES_MAX,
    };
    let setting = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &stream_window.to_be_bytes()].concat();
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frame(&mut out, SETTINGS, 0, 0, &setting);
    if window == Window::Open {
        let more = WINDOW_BYTES_MAX - WINDOW_BYTES_DEFAULT;
        frame(&mut out, WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
    }
    frame(&mut out, HEADERS, END_HEADERS, 1, &headers(address, method));
    out
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let [_, length @ ..] = u32::try_from(payload.len()).expect("frames are short").to_be_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// The headers of the call in HPACK (RFC 7541), without its table and without Huffman's code.
fn headers(address: SocketAddr, method: &str) -> Vec<u8> {
    /// `:method: POST` and `:scheme: http`, whole entries of the static table.
    const POST_HTTP: [u8; 2] = [0x83, 0x86];
    /// Names of the static table, their values to follow: `:path`, `:authority`, `content-type`.
    const PATH: &[u8] = &[0x04];
    const AUTHORITY: &[u8] = &[0x01];
    const CONTENT_TYPE: &[u8] = &[0x0f, 0x10];
    /// `te`, a name that is not in it.
    const TE: &[u8] = &[0x00, 2, b't', b'e'];

    let mut out = POST_HTTP.to_vec();
    let path = format!("/anabranch.v1.Streams/{method}");
    let authority = address.to_string();
    for (name, value) in [
        (PATH, path.as_str()),
        (AUTHORITY, &authority),
        (CONTENT_TYPE, "application/grpc"),
        (TE, "trailers"),
    ] {
        out.extend_from_slice(name);
        out.push(u8::try_from(value.len()).expect("values are shorter than 127 bytes"));
        out.extend_from_slice(value.as_bytes());
    }
    out
}
