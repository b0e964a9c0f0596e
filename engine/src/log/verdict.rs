//! What recovery decides, without reading anything: what a place is where no valid frame stands,
//! and how many numbers to leave out behind an end that is not certain.

use crate::limits::{LOST_NUMBERS_SKIPPED, UNSYNCED_NUMBERS_SKIPPED};
use crate::log::frame::Fault;
use crate::mutant::Mutant;

/// What is known about the bytes where a walk stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Evidence {
    /// The recorded durable end, the segment's footer or the name of a later segment lies
    /// above this place.
    pub(crate) recorded_above: bool,
    /// A later valid frame of the same life says that numbers from here on were durable.
    pub(crate) proven_above: bool,
    /// Bytes behind this place, where a proof would stand, cannot be read.
    pub(crate) hidden_above: bool,
}

/// What the place is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Nothing was ever written here.
    End,
    /// A write that was under way when the power went: cut.
    Tail,
    /// Something that was durable is gone: fenced off and reported.
    Damage,
}

/// The recovery table of `FORMAT.md`.
pub(crate) fn judge(fault: Fault, evidence: Evidence) -> Verdict {
    let Evidence { recorded_above, proven_above, hidden_above } = evidence;
    let is_above = recorded_above || proven_above || hidden_above;
    match (is_above && !Mutant::CutAnywhere.is_on(), fault) {
        (true, _) | (false, Fault::Unreadable) => Verdict::Damage,
        (false, Fault::Zeros) => Verdict::End,
        (false, _) => Verdict::Tail,
    }
}

/// What is known about the end of a log, where numbers above it may be gone without a trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct EndFacts {
    /// The last stop was clean: the recorded end is the end.
    pub(crate) is_clean: bool,
    /// The last run acknowledged before the sync.
    pub(crate) is_unsynced: bool,
    /// What stood at the end is lost, or the segment that would show it was never seen.
    pub(crate) is_lost: bool,
}

/// How many numbers to leave out, so that none is used again that a client may have seen.
pub(crate) fn numbers_to_skip(end: EndFacts) -> u64 {
    if end.is_clean || Mutant::ReuseNumbers.is_on() {
        return 0;
    }
    let unsynced = if end.is_unsynced { UNSYNCED_NUMBERS_SKIPPED } else { 0 };
    let lost = if end.is_lost { LOST_NUMBERS_SKIPPED } else { 0 };
    unsynced + lost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_and_what_may_hide_a_proof_is_never_cut() {
        let none = Evidence { recorded_above: false, proven_above: false, hidden_above: false };
        assert_eq!(judge(Fault::Zeros, none), Verdict::End);
        assert_eq!(judge(Fault::PayloadCrc, none), Verdict::Tail);
        assert_eq!(judge(Fault::Unreadable, none), Verdict::Damage);
        let hidden = Evidence { hidden_above: true, ..none };
        for fault in [Fault::Zeros, Fault::PayloadCrc, Fault::Unreadable] {
            assert_eq!(judge(fault, hidden), Verdict::Damage);
        }
    }

    #[test]
    fn numbers_are_left_out_only_where_a_client_may_have_seen_more() {
        let clean = EndFacts { is_clean: true, is_unsynced: true, is_lost: true };
        assert_eq!(numbers_to_skip(clean), 0);
        let killed = EndFacts { is_clean: false, is_unsynced: false, is_lost: false };
        assert_eq!(numbers_to_skip(killed), 0);
        let unsynced = EndFacts { is_unsynced: true, ..killed };
        assert_eq!(numbers_to_skip(unsynced), UNSYNCED_NUMBERS_SKIPPED);
        let lost = EndFacts { is_lost: true, ..unsynced };
        assert!(numbers_to_skip(lost) > LOST_NUMBERS_SKIPPED);
    }
}
