//! The Kinesis door: the API of Amazon Kinesis Data Streams over HTTP, in JSON and in CBOR.
//!
//! ```text
//! http::Request -> door: head, body, caller
//!    --> model: types and values as the API has them --> translate --> ops --> translate --> reply
//!    --> put_records, get_records, subscribe: records straight from and into the buffers
//! ```
//!
//! The door says everything in the words of the real service: the order in which a request is
//! looked at, the texts of its exceptions, its headers, its numbers. What an operation does is
//! decided in [`crate::ops`] alone, whose requests and replies are those of the gRPC door.

pub mod base64;
mod body;
pub mod cbor;
mod cross_origin;
mod door;
pub mod event_stream;
mod get_records;
pub mod json;
pub mod model;
mod put_records;
pub mod records;
mod refusal;
mod reply;
mod request;
mod subscribe;
pub mod token;
mod translate;
pub mod value;

#[cfg(test)]
mod tests;

pub use door::Door;
pub use put_records::Call as PutCall;
