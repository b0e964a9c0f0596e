//! The Rust client of Anabranch, and the client half of its command line.
//!
//! A [`Client`] is a handful of HTTP/2 connections to one server and a method for each
//! operation of the API. Two things are built upon it:
//!
//! - A [`Producer`] takes records one by one, or in batches, and sends them down one
//!   pipelined `Produce` call. Every record has its own outcome, memory is bounded, and what
//!   is throttled or loses its connection is put again.
//! - A [`Reader`] reads one shard or all of them, by pull or by push, as a `Stream` of
//!   batches. It keeps its place over restarts of the server and over damage, and goes on with
//!   the children of shards that are split or merged.
//!
//! ```no_run
//! use anabranch_client::{Client, Item, Position, Record};
//!
//! # async fn example() -> anabranch_client::Result<()> {
//! let client = Client::connect("http://127.0.0.1:4567").await?;
//! client.create_stream("orders", 4).await?;
//!
//! let producer = client.producer("orders").start();
//! let ticket = producer.put(Record::new("customer 7", "two apples")).await?;
//! let placed = ticket.await?;
//! println!("{} of {}", placed.sequence_number, placed.shard_id());
//! producer.close().await?;
//!
//! let mut reader = client.read("orders").from(Position::TrimHorizon).start().await?;
//! while let Some(item) = reader.next().await {
//!     match item? {
//!         Item::Batch(batch) => println!("{}: {} records", batch.shard_id, batch.records.len()),
//!         Item::Damage(damage) => eprintln!("{}: {}", damage.shard_id, damage.loss),
//!         Item::End(end) => println!("{} is at its end", end.shard_id),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Nothing here parses a message: an [`Error`] comes from the structured details of a status.
//! The crate knows the API (`anabranch-proto`) and nothing of the engine or the server.

#![forbid(unsafe_code)]

pub mod cli;
pub mod client;
pub mod consumer;
mod dialer;
pub mod error;
#[cfg(test)]
mod fake;
pub mod identity;
pub mod producer;
pub mod retry;
pub mod trust;

pub use anabranch_proto::v1;

pub use client::{Client, ClientBuilder};
pub use consumer::{Batch, Damage, Item, Position, Reader, ReaderBuilder, ShardEnd};
pub use error::{DataLoss, Error, Result};
pub use identity::Identity;
pub use producer::{BatchTicket, Placed, Producer, ProducerBuilder, ProducerStats, Record, Ticket};
pub use retry::{Backoff, RetryPolicy};
pub use trust::{Fingerprint, Trust};
