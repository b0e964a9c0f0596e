//! What was counted, and what of it must never happen.

use crate::torture::{Bar, Figures};

/// The counts of a run, or of several.
#[derive(Clone, PartialEq, Debug, Default)]
pub(in crate::torture) struct Tally {
    /// Cuts under load, and those that came on top: during a start, and after one, when all
    /// had been read and nothing had been put.
    pub(in crate::torture) cuts: u64,
    pub(in crate::torture) cuts_in_start: u64,
    pub(in crate::torture) second_cuts: u64,
    /// Records that were acknowledged, and those that a reader was shown.
    pub(in crate::torture) acknowledged: u64,
    pub(in crate::torture) shown: u64,
    /// Records that were read back and compared.
    pub(in crate::torture) compared: u64,
    /// Of the acknowledged, those that mode `os` lost from the end of a shard, as it may.
    pub(in crate::torture) unsynced: u64,
    /// Milliseconds in all.
    pub(in crate::torture) millis: u64,
    /// Acknowledged, shown, or served after an earlier cut, and no longer there; or streams
    /// that were made and are not there, or deleted and are.
    pub(in crate::torture) lost: u64,
    /// Out of the order of the numbers, or of its producer.
    pub(in crate::torture) reordered: u64,
    /// Records that stand twice, and numbers that were used twice.
    pub(in crate::torture) duplicates: u64,
    /// Records whose bytes are not those that were put.
    pub(in crate::torture) wrong: u64,
    /// Calls of which a part stands; numbers missing where no cut was.
    pub(in crate::torture) torn: u64,
    /// Damage reported by a read or by `verify`; starts refused. A cut is no damage.
    pub(in crate::torture) damage: u64,
    /// What was violated, in words: the first few.
    pub(in crate::torture) remarks: Vec<String>,
}

/// Violations that are told in words.
const REMARKS_MAX: usize = 12;

impl Tally {
    /// Words about a violation, which its count does not have.
    pub(in crate::torture) fn remark(&mut self, words: impl Into<String>) {
        if self.remarks.len() < REMARKS_MAX {
            self.remarks.push(words.into());
        }
    }

    /// Whether anything happened that must not.
    pub(in crate::torture) fn is_violated(&self) -> bool {
        let Tally { lost, reordered, duplicates, wrong, torn, damage, .. } = self;
        lost + reordered + duplicates + wrong + torn + damage > 0
    }

    /// Adds another run.
    pub(in crate::torture) fn add(&mut self, other: Tally) {
        for ((_, sum), (_, more)) in self.counts().into_iter().zip(other.clone().counts()) {
            *sum += *more;
        }
        for remark in other.remarks {
            self.remark(remark);
        }
    }

    /// Every count with its name.
    pub(in crate::torture) fn counts(&mut self) -> [(&'static str, &mut u64); 14] {
        [
            ("cuts", &mut self.cuts),
            ("cuts-in-start", &mut self.cuts_in_start),
            ("second-cuts", &mut self.second_cuts),
            ("acknowledged", &mut self.acknowledged),
            ("shown", &mut self.shown),
            ("compared", &mut self.compared),
            ("unsynced", &mut self.unsynced),
            ("millis", &mut self.millis),
            ("lost", &mut self.lost),
            ("reordered", &mut self.reordered),
            ("duplicates", &mut self.duplicates),
            ("wrong", &mut self.wrong),
            ("torn", &mut self.torn),
            ("damage", &mut self.damage),
        ]
    }

    /// The counts with their bars. `cuts` is the word for them, `ordered` how many were due.
    pub(in crate::torture) fn figures(self, cuts: &str, ordered: u64) -> Figures {
        let mut figures = Figures::default();
        figures.at_least(cuts, self.cuts, ordered);
        figures.told(format!("{cuts} during a start"), self.cuts_in_start);
        figures.told(format!("{cuts} behind a recovery"), self.second_cuts);
        figures.told("records acknowledged", self.acknowledged);
        figures.at_least("records shown to readers", self.shown, ordered);
        figures.told("records compared", self.compared);
        figures.zero("lost", self.lost);
        figures.zero("reordered", self.reordered);
        figures.zero("duplicates", self.duplicates);
        figures.zero("wrong bytes", self.wrong);
        figures.zero("torn calls and gaps", self.torn);
        figures.zero("cuts taken for damage", self.damage);
        figures.told("unsynced, lost as mode os may", self.unsynced);
        let all = (self.cuts + self.cuts_in_start + self.second_cuts).max(1);
        let seconds = self.millis as f64 / 1000.0 / all as f64;
        figures.add("time of a cut", seconds, "s", Bar::Told);
        figures.remark_all(self.remarks);
        figures
    }
}
