//! Taking back a change whose commit failed.
//!
//! A commit that fails may have been made: the sync that made it durable returned an error, or
//! the write before it. The engine tells its caller that the change failed and goes on as if it
//! had not been made; so the catalog must see to it that it was not. What the change replaced
//! is noted in its own transaction, and put back in the next one, before anything else.

use redb::{AccessGuard, WriteTransaction};

use super::codec::{self, StreamValue};
use super::store::{self, Fault, OpenTable};
use crate::ids::StreamId;

/// How a change is taken back. Done twice, or for a change that was not made, it does no harm:
/// what it puts back is what stood there before.
#[derive(Debug)]
pub(super) enum Redress {
    /// The stream was made: it never held a record.
    Created(StreamId),
    /// The stream was changed; this is what it was.
    Stream(StreamId, StreamValue),
    /// The shards of these keys were put; this is what was there.
    Shards(Vec<([u8; 12], Option<Vec<u8>>)>),
    /// The consumer of that key was put or removed; this is what was there.
    Consumer(Vec<u8>, Option<Vec<u8>>),
    /// The settings of the account were changed; this is what was there.
    Account(Option<Vec<u8>>),
}

impl Redress {
    /// For a consumer, with the value that the change replaced.
    pub(super) fn consumer(key: Vec<u8>, before: Option<&AccessGuard<'_, &[u8]>>) -> Redress {
        Redress::Consumer(key, before.map(|before| before.value().to_vec()))
    }

    /// For the account, with the value that the change replaced.
    pub(super) fn account(before: Option<&AccessGuard<'_, &[u8]>>) -> Redress {
        Redress::Account(before.map(|before| before.value().to_vec()))
    }

    /// Puts back what was there.
    pub(super) fn apply(&self, transaction: &WriteTransaction) -> Result<(), Fault> {
        match self {
            Redress::Created(id) => super::forget_stream(transaction, *id),
            Redress::Stream(id, before) => {
                let mut streams = transaction.open_table(codec::STREAMS)?;
                store::put_stream(&mut streams, *id, before)
            }
            Redress::Shards(shards) => {
                let mut table = transaction.open_table(codec::SHARDS)?;
                shards
                    .iter()
                    .try_for_each(|(key, before)| put_back(&mut table, key, before.as_ref()))
            }
            Redress::Consumer(key, before) => {
                put_back(&mut transaction.open_table(codec::CONSUMERS)?, key, before.as_ref())
            }
            Redress::Account(before) => {
                let mut meta = transaction.open_table(codec::META)?;
                match before {
                    Some(before) => meta.insert(codec::ACCOUNT_KEY, before.as_slice())?,
                    None => meta.remove(codec::ACCOUNT_KEY)?,
                };
                Ok(())
            }
        }
    }
}

fn put_back(table: &mut OpenTable<'_>, key: &[u8], before: Option<&Vec<u8>>) -> Result<(), Fault> {
    match before {
        Some(before) => table.insert(key, before.as_slice())?,
        None => table.remove(key)?,
    };
    Ok(())
}
