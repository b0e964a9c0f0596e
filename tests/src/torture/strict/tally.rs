//! What was done, so that a check that did little says so.

/// What was done in a life, or in many.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::torture) struct Tally {
    /// Records put.
    pub(in crate::torture) put: u64,
    /// Records acknowledged.
    pub(in crate::torture) acknowledged: u64,
    /// Records read and compared.
    pub(in crate::torture) compared: u64,
    /// Records that had to be there in the end.
    pub(in crate::torture) due: u64,
    /// Unsynced records that mode `os` lost in a power cut.
    pub(in crate::torture) lost_unsynced: u64,
    /// Starts of the engine.
    pub(in crate::torture) starts: u64,
    /// Horizons that rose.
    pub(in crate::torture) trimmed: u64,
    /// The most files that waited in `spare/`.
    pub(in crate::torture) spare: u64,
    /// The most segments of one disk.
    pub(in crate::torture) segments: u64,
    /// Errors that a client was told of.
    pub(in crate::torture) errors: u64,
    /// Logs that halted.
    pub(in crate::torture) halted: u64,
    /// Puts refused for want of space.
    pub(in crate::torture) refused: u64,
    /// Failures after which a log must halt.
    pub(in crate::torture) must_halt: u64,
    /// Those of them after which one had, and said so.
    pub(in crate::torture) reported: u64,
    /// Records acknowledged by a log that had failed.
    pub(in crate::torture) late: u64,
    /// Records that were acknowledged or shown, and gone.
    pub(in crate::torture) lost: u64,
    /// Times that a reader was told of damage in which nothing was lost.
    pub(in crate::torture) false_alarms: u64,
}

impl Tally {
    pub(in crate::torture) fn add(&mut self, other: &Tally) {
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
        self.must_halt += other.must_halt;
        self.reported += other.reported;
        self.late += other.late;
        self.lost += other.lost;
        self.false_alarms += other.false_alarms;
    }
}
