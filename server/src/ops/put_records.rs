//! PutRecords, and the staging half of it on which `Produce` is built.

use std::sync::Arc;

use anabranch_engine::Stream;

use super::batch::Batch;
use super::call::Target;
use super::caller::Caller;
use super::put::{Outcome, Staged, Tables, put};
use super::{OpError, Ops, Result, StreamFields};
use crate::metrics::Operation;

/// What a `PutRecordsRequest` holds beside its records.
#[derive(Clone, Copy, Default, Debug)]
pub struct PutHead<'a> {
    /// The stream.
    pub stream: StreamFields<'a>,
    /// Whether the call is only checked.
    pub dry_run: bool,
}

impl Ops {
    /// Puts a batch. Nothing of it was appended if it is refused.
    pub async fn put_records(
        &self,
        caller: &Caller,
        head: PutHead<'_>,
        batch: &Batch<'_>,
    ) -> Result<Outcome> {
        self.authorize(caller, Operation::PutRecords, Target::Stream(head.stream))?;
        let stream = self.stream(head.stream)?;
        batch.check(&stream.settings())?;
        if head.dry_run {
            return Err(OpError::dry_run());
        }
        put(stream, batch, &self.puts).await
    }

    /// The stream that a `Produce` call puts to, if the caller may.
    pub fn produce_to(&self, caller: &Caller, stream: StreamFields<'_>) -> Result<Arc<Stream>> {
        self.authorize(caller, Operation::Produce, Target::Stream(stream))?;
        self.stream(stream)
    }

    /// Appends a batch, each put of which the stream takes, without waiting for its durability: see
    /// [`Staged`].
    pub fn stage(&self, stream: &Arc<Stream>, batch: &Batch<'_>, tables: &mut Tables) -> Staged {
        Staged::new(Arc::clone(stream), batch, &self.puts, tables)
    }
}
