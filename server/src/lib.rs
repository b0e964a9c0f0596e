//! The server: doors that speak a protocol, operations behind them, and the engine below.
//!
//! ```text
//! grpc, kinesis (doors) ---> ops ---> engine (the log on disk)
//!      |                      |
//!      +-- wire               +-----> push (subscriptions)
//! ```
//!
//! A request comes in at a door, which reads its protocol and nothing else: [`grpc`] knows
//! HTTP/2 frames, status codes and trailers, [`wire`] the protobuf encoding, [`kinesis`] the JSON
//! and CBOR of the AWS SDKs. [`ops`] holds each operation once, in a file named after it: check,
//! call the engine, shape the reply. A door never calls the engine, and an operation never formats
//! a reply for a wire; so every rule holds at both doors.
//!
//! Records take a shorter way than other values. A put walks the bytes of the request where
//! they arrived and lends each record to the engine, which copies it once. A read takes ranges
//! of the engine's memory and puts them on the wire as they are.

#![forbid(unsafe_code)]

pub mod admin;
pub mod aws;
pub mod cli;
pub mod config;
pub mod credentials;
pub mod dispatch;
pub mod fingerprint;
pub mod grpc;
pub mod kinesis;
pub mod metrics;
pub mod net;
pub mod ops;
pub mod push;
pub mod ready_line;
pub mod scaler;
pub mod serve;
pub mod traffic;
pub mod wire;
