//! What was done, so that a check that did little says so.

/// What was done in a life, or in many.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// Records put.
    pub(super) put: u64,
    /// Records acknowledged.
    pub(super) acknowledged: u64,
    /// Records read and compared.
    pub(super) compared: u64,
    /// Records that had to be there in the end.
    pub(super) due: u64,
    /// Unsynced records that mode `os` lost in a power cut.
    pub(super) lost_unsynced: u64,
    /// Starts of the engine.
    pub(super) starts: u64,
    /// Horizons that rose.
    pub(super) trimmed: u64,
    /// The most files that waited in `spare/`.
    pub(super) spare: u64,
    /// The most segments of one disk.
    pub(super) segments: u64,
    /// Errors that a client was told of.
    pub(super) errors: u64,
    /// Logs that halted.
    pub(super) halted: u64,
    /// Puts refused for want of space.
    pub(super) refused: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Tally) {
        self.put += other.put;
        self.acknowledged += other.acknowledged;
        self.compared += other.compared;
        self.due += other.due;
        self.lost_unsynced += other.lost_unsynced;
        self.starts += other.starts;
        self.trimmed += other.trimmed;
        self.spare = self.spare.max(other.spare);
        self.segments = self.segments.max(other.segments);
        self.errors += other.errors;
        self.halted += other.halted;
        self.refused += other.refused;
    }
}
