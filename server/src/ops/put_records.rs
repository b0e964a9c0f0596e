//! PutRecords, and the staging half of it on which `Produce` is built.

use std::sync::Arc;

use anabranch_engine::Stream;

use super::batch::Batch;
use super::put::{Outcome, Staged, Tables, put};
use super::{Ops, Result, names};

impl Ops {
    /// Puts a batch. Nothing of it was appended if it is refused.
    pub async fn put_records(&self, stream_name: &str, batch: &Batch<'_>) -> Result<Outcome> {
        let stream = self.stream(stream_name)?;
        batch.check(&stream.settings())?;
        put(stream, batch, &self.metrics, &self.waiting_room).await
    }

    /// Appends a batch, each put of which the stream takes, without waiting for its durability: see
    /// [`Staged`].
    pub fn stage(&self, stream: &Arc<Stream>, batch: &Batch<'_>, tables: &mut Tables) -> Staged {
        Staged::new(Arc::clone(stream), batch, Arc::clone(&self.metrics), tables)
    }

    /// The stream of that name, for batches that are staged.
    pub fn stream(&self, stream_name: &str) -> Result<Arc<Stream>> {
        names::stream(&self.engine, stream_name)
    }
}
