//! Peers that want to cost us more than they pay.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::StatusCode;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_is_dropped() {
    for greeting in ["", "P", "PRI * HT", "\x16", "\x16\x03\x01"] {
        let open = greeter();
        let mut client = connect(&open).await;
        client.write_all(greeting.as_bytes()).await.unwrap();
        assert_eq!(read_to_end(&mut client).await, "", "{greeting}");
    }
}

#[tokio::test(start_paused = true)]
async fn headers_that_trickle_are_given_up_in_the_first_request_and_the_next() {
    for requests_before in [0, 1] {
        let open = greeter();
        let mut client = connect(&open).await;
        for _ in 0..requests_before {
            client.write_all(GET).await.unwrap();
            read_hello(&mut client).await;
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
        let began = Instant::now();
        let (mut from, mut to) = client.split();
        let trickle = async {
            to.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
            while to.write_all(b"a: b\r\n").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
        };
        let (reply, ()) = tokio::join!(read_to_end(&mut from), trickle);
        assert_eq!(reply, "");
        // It finds out with its next line, or the one behind that.
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn too_many_or_too_long_headers_are_refused_in_words() {
    let open = greeter();
    let ask = async |headers: String| {
        let mut client = connect(&open).await;
        let request = format!("GET / HTTP/1.1\r\nhost: a\r\n{headers}\r\n");
        // It may be cut off before it has sent everything.
        let _ = client.write_all(request.as_bytes()).await;
        client.shutdown().await.unwrap();
        read_to_end(&mut client).await
    };
    let headers = |count: usize, bytes: usize| {
        let value = "v".repeat(bytes);
        (0..count).fold(String::new(), |lines, number| lines + &format!("x-{number}: {value}\r\n"))
    };
    // What an SDK sends at most.
    assert!(ask(headers(30, 100)).await.starts_with("HTTP/1.1 200 "));
    assert!(ask(headers(1, 12 << 10)).await.starts_with("HTTP/1.1 200 "));
    assert!(ask(headers(65, 1)).await.starts_with("HTTP/1.1 431 "));
    assert!(ask(headers(1, 17 << 10)).await.starts_with("HTTP/1.1 431 "));
    assert!(ask(headers(1, 4 << 20)).await.starts_with("HTTP/1.1 431 "));
}

/// A service that refuses a body without reading it: the peer is to hear why.
#[tokio::test]
async fn who_is_refused_while_sending_a_large_body_hears_why() {
    let open = port().open(service_fn(async |_: Request<Incoming>| {
        let mut reply = Response::new(Full::new(Bytes::from_static(b"too many")));
        *reply.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        Ok::<_, Infallible>(reply)
    }));
    let mut client = connect(&open).await;
    let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", 16 << 20);
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(&vec![b'a'; 16 << 20]).await.unwrap();
    let reply = read_to_end(&mut client).await;
    assert!(reply.starts_with("HTTP/1.1 503 ") && reply.ends_with("too many"), "{reply}");
}

const SETTINGS: u8 = 4;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// `GET http://a/` in HPACK.
const GET_BLOCK: &[u8] = &[0x82, 0x86, 0x84, 0x41, 1, b'a'];

fn opening() -> Vec<u8> {
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frame(&mut out, SETTINGS, 0, 0, &[]);
    out
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// A frame that the server has sent: kind, stream and payload; `None` at the end.
async fn next_frame(stream: &mut TcpStream) -> Option<(u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await.ok()?;
    let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Some((head[3], id, payload))
}

/// The code with which the connection was ended.
async fn ended_with(client: &mut TcpStream) -> u32 {
    loop {
        let (kind, _, payload) = next_frame(client).await.expect("a GOAWAY comes before the end");
        if kind == GOAWAY {
            return u32::from_be_bytes(payload[4..8].try_into().unwrap());
        }
    }
}

/// A port whose requests are counted and never answered.
fn counting() -> (OpenPort, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    let open = port().open(service_fn(move |_: Request<Incoming>| {
        seen.fetch_add(1, Ordering::Relaxed);
        std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
    }));
    (open, count)
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused_and_the_others_go_on() {
    let (open, count) = counting();
    let mut client = connect(&open).await;
    let mut out = opening();
    for number in 0..300 {
        frame(&mut out, HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, GET_BLOCK);
    }
    client.write_all(&out).await.unwrap();
    for refused in 256..300 {
        let (id, code) = loop {
            match next_frame(&mut client).await.unwrap() {
                (RST_STREAM, id, payload) => {
                    break (id, u32::from_be_bytes(payload.try_into().unwrap()));
                }
                (kind, ..) => assert_ne!(kind, GOAWAY),
            }
        };
        assert_eq!((id, code), (2 * refused + 1, REFUSED_STREAM));
    }
    assert_eq!(count.load(Ordering::Relaxed), 256);
}

#[tokio::test]
async fn streams_that_are_reset_at_once_end_the_connection() {
    let (open, count) = counting();
    let mut client = connect(&open).await;
    let mut out = opening();
    for number in 0..10_000 {
        frame(&mut out, HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, GET_BLOCK);
        frame(&mut out, RST_STREAM, 0, 2 * number + 1, &8_u32.to_be_bytes());
    }
    let _ = client.write_all(&out).await;
    assert_eq!(ended_with(&mut client).await, ENHANCE_YOUR_CALM);
    assert!(count.load(Ordering::Relaxed) < 1000);
}

#[tokio::test]
async fn a_flood_of_headers_ends_the_connection() {
    let (open, count) = counting();
    let mut client = connect(&open).await;
    let mut out = opening();
    frame(&mut out, HEADERS, END_STREAM, 1, GET_BLOCK);
    for _ in 0..10_000 {
        // A header without a name's end: never decoded, only kept.
        frame(&mut out, CONTINUATION, 0, 1, &[0x40, 1, b'a', 1, b'b']);
    }
    let _ = client.write_all(&out).await;
    assert_eq!(ended_with(&mut client).await, ENHANCE_YOUR_CALM);
    assert_eq!(count.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn headers_of_a_stream_beyond_16_kib_are_refused() {
    let (open, count) = counting();
    let mut client = connect(&open).await;
    let mut out = opening();
    let mut block = GET_BLOCK.to_vec();
    for _ in 0..200 {
        // A literal without indexing, of 100 bytes.
        block.extend_from_slice(&[0, 1, b'x', 100]);
        block.extend_from_slice(&[b'v'; 100]);
    }
    frame(&mut out, HEADERS, END_HEADERS | END_STREAM, 1, &block[..16 << 10]);
    client.write_all(&out).await.unwrap();
    // Either way it is over for the stream: a reply of 431, a reset, or the connection's end.
    let over = loop {
        match next_frame(&mut client).await {
            Some((kind @ (HEADERS | RST_STREAM | GOAWAY), ..)) => break Some(kind),
            Some(_) => {}
            None => break None,
        }
    };
    assert!(over.is_some());
    assert_eq!(count.load(Ordering::Relaxed), 0);
}
