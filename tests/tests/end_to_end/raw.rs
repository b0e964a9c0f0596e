//! Calls made by hand: any bytes as a gRPC body, which no generated stub would send.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tonic::Status;

/// One HTTP/2 connection.
pub(crate) struct Wire {
    address: SocketAddr,
    requests: SendRequest<Full<Bytes>>,
}

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Wire {
        let socket = TcpStream::connect(address).await.unwrap();
        let (requests, connection) =
            handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
        tokio::spawn(connection);
        Wire { address, requests }
    }

    /// Sends a body as it is, and gives the status with which the call ended.
    pub(crate) async fn call_with_body(&mut self, method: &str, body: Vec<u8>) -> Status {
        let uri = format!("http://{}/anabranch.v1.Streams/{method}", self.address);
        let request = Request::post(uri)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let response = self.requests.send_request(request).await.unwrap();
        let (head, body) = response.into_parts();
        // Where there is no body, the headers are the trailers.
        let trailers = body.collect().await.unwrap().trailers().cloned();
        let trailers = trailers.unwrap_or(head.headers);
        Status::from_header_map(&trailers).expect("every call ends with a status")
    }

    /// Sends one message.
    pub(crate) async fn call(&mut self, method: &str, message: &[u8]) -> Status {
        self.call_with_body(method, framed(0, message)).await
    }
}

/// A message behind its gRPC prefix.
pub(crate) fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![flag];
    frame.extend_from_slice(&(message.len() as u32).to_be_bytes());
    frame.extend_from_slice(message);
    frame
}

/// A field of a protobuf message: number and wire type, then whatever.
pub(crate) fn tag(field: u32, wire_type: u32) -> Vec<u8> {
    varint(u64::from(field << 3 | wire_type))
}

pub(crate) fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A length-delimited field.
pub(crate) fn field(number: u32, value: &[u8]) -> Vec<u8> {
    [tag(number, 2), varint(value.len() as u64), value.to_vec()].concat()
}
