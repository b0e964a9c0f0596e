//! The gRPC door: `anabranch.v1.Streams`, health and reflection.
//!
//! ```text
//! http::Request --> routes --+--> unary     one message in, one out
//!                            +--> produce   batches in, acknowledgements out
//!                            +--> subscribe one message in, events out
//!                            +--> tonic's own health and reflection services
//! ```
//!
//! The door reads and writes gRPC's frames itself ([`request`], [`reply`]) in place of the
//! generated server: records then reach the engine as slices of the frames they came in, and
//! leave as ranges of its memory. All methods take this one way, so that limits, refusals and
//! metrics are the same for each of them, and a method that the .proto does not have is
//! UNIMPLEMENTED. Every refusal gets its status in [`status`].

mod produce;
mod reply;
mod request;
mod routes;
mod status;
mod subscribe;
mod unary;

#[cfg(test)]
mod tests;

pub use routes::{Routes, STREAMS, routes};
