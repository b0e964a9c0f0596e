//! Retention: which records are too old, and which files hold nothing else.
//!
//! The trim horizon rises first and durably; only then are segments dropped, and only those
//! that lie wholly below it. A record below the horizon is not returned even while its segment
//! still stands. Time is the engine's timeline with every young jump left out, so that a wrong
//! clock never deletes early.

use std::sync::Arc;

use crate::commit::Shared;
use crate::error::{Error, IoContext, Result};
use crate::fs::Access;
use crate::limits::SEGMENT_AGE_FRACTION;
use crate::log::cursor::{LogCursor, ReadLimit};
use crate::log::segment::Segment;
use crate::log::writer::gives_tail_back;
use crate::sequence::SequenceNumber;
use crate::shard::Shard;

/// What is known of a segment without opening it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SegmentFacts {
    /// Every record of the segment has a number below this; `None` where that is not known.
    pub(crate) next: Option<SequenceNumber>,
    /// The writer may still add to it.
    pub(crate) is_active: bool,
}

/// How many segments at the front of a log hold nothing at or above the horizon.
pub(crate) fn droppable(segments: &[SegmentFacts], horizon: SequenceNumber) -> usize {
    segments
        .iter()
        .take_while(|segment| {
            !segment.is_active && segment.next.is_some_and(|next| next <= horizon)
        })
        .count()
}

/// The horizon that a shard should have now, if it is to rise. May read the disk.
pub(crate) fn risen_horizon(
    shard: &Arc<Shard>,
    retention_ms: u64,
    elapsed_now_ms: u64,
) -> Result<Option<SequenceNumber>> {
    let cutoff_ms = elapsed_now_ms.saturating_sub(retention_ms);
    let view = shard.view();
    if view.is_empty() || shard.oldest_arrival_ms().is_some_and(|oldest| oldest >= cutoff_ms) {
        return Ok(None);
    }
    let horizon = view.trim_horizon();
    let mut cursor = LogCursor::new(view.clone(), horizon);
    let risen = cursor.seek_time(cutoff_ms)?.max(horizon);
    // The arrival of the record there: until it is too old, there is nothing to do.
    let oldest = match cursor.read(ReadLimit { records: 1, bytes: 1 }) {
        Ok(page) => page.last_arrival_ms,
        // What is lost is kept until the record behind it is too old.
        Err(Error::Damage(_)) => None,
        Err(error) => return Err(error),
    };
    shard.set_oldest_arrival_ms(oldest);
    Ok((risen > horizon).then_some(risen))
}

/// Seals an active segment that is old enough that its records would be kept too long.
pub(crate) fn seal_old(shard: &Arc<Shard>, retention_ms: u64, now_ms: u64) {
    let age_ms = retention_ms / SEGMENT_AGE_FRACTION;
    if let Some(Err(error)) = shard.with_writer(|writer| writer.seal_if_older(age_ms, now_ms)) {
        tracing::warn!(shard = %shard.id(), %error, "an old segment could not be sealed");
    }
}

/// Drops the segments below the horizon. Returns how many.
pub(crate) fn drop_segments(shared: &Shared, shard: &Arc<Shard>) -> Result<usize> {
    let view = shard.view().clone();
    let horizon = view.trim_horizon();
    let is_one_old = view.segments().first().is_some_and(|first| first.base() < horizon);
    if !is_one_old {
        return Ok(0);
    }
    // The writer tells which segment is active; while it is away, try again later.
    let dropped = shard.with_writer(|writer| {
        let segments = view.segments();
        let facts: Vec<_> = segments
            .iter()
            .enumerate()
            .map(|(position, segment)| SegmentFacts {
                next: match segments.get(position + 1) {
                    Some(following) => Some(following.base()),
                    None => segment.extent().map(|extent| extent.next),
                }
                // The name of a segment without records keeps the numbers that were handed out.
                .filter(|_| segment.base() < horizon),
                is_active: writer.active_base() == Some(segment.base()),
            })
            .collect();
        drop(segments);
        Ok(view.take_front(droppable(&facts, horizon)))
    });
    let Some(Ok(segments)) = dropped else { return Ok(0) };
    let count = segments.len();
    for segment in segments {
        retire(shared, segment)?;
    }
    if count > 0 {
        let host = &shared.host;
        let dir = host.paths.shard(view.stream, view.shard);
        host.fs.sync_dir(&dir).at("sync", &dir, None)?;
    }
    Ok(count)
}

/// Recycles a segment that no reader holds a part of, or removes it.
fn retire(shared: &Shared, segment: Arc<Segment>) -> Result<()> {
    let host = &shared.host;
    let path = segment.path().to_owned();
    let end = segment.extent().map_or(0, |extent| extent.end);
    let bytes = host.fs.open(&path, Access::Read).and_then(|file| file.len());
    let is_unshared = segment.close_unshared();
    match bytes {
        Ok(bytes) if is_unshared && !gives_tail_back(end, bytes) => host.spare.give(&path, bytes),
        // Already gone: someone removed it by hand.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        _ => host.fs.remove(&path).at("remove", &path, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(next: u64) -> SegmentFacts {
        SegmentFacts { next: Some(SequenceNumber(next)), is_active: false }
    }

    #[test]
    fn only_whole_sealed_segments_below_the_horizon_are_dropped() {
        let active = SegmentFacts { is_active: true, ..sealed(30) };
        let unknown = SegmentFacts { next: None, is_active: false };
        let horizon = SequenceNumber(20);
        assert_eq!(droppable(&[sealed(10), sealed(20), sealed(21), active], horizon), 2);
        assert_eq!(droppable(&[sealed(10), active], SequenceNumber(30)), 1);
        assert_eq!(droppable(&[active], SequenceNumber(30)), 0);
        assert_eq!(droppable(&[unknown, sealed(10)], horizon), 0);
        assert_eq!(droppable(&[], horizon), 0);
    }
}
