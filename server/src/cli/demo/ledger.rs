//! What the server has acknowledged, and whether what it gives back agrees with it.
//!
//! The ledger is the demo's own memory of the truth: for every acknowledgement the shard and the
//! number that the record got. A [`Reading`] holds what is read against it, record by record:
//! every acknowledged record is there once, under its number, byte for byte, with numbers that
//! rise in each shard. A record that was sent and never acknowledged may be there, once and
//! whole; anything else is wrong.

use std::collections::{HashMap, HashSet};

use anyhow::{Result, bail, ensure};

use super::lines::Lines;

/// A shard's index and a number in it.
type Place = (u32, u64);

#[derive(Default)]
pub(super) struct Ledger {
    /// Which line was acknowledged at which place.
    acknowledged: HashMap<Place, u64>,
    /// Lines that were sent and have no acknowledgement.
    unacknowledged: HashSet<u64>,
}

impl Ledger {
    pub(super) fn acknowledge(&mut self, place: Place, line: u64) -> Result<()> {
        let (shard, sequence) = place;
        match self.acknowledged.insert(place, line) {
            None => Ok(()),
            Some(other) => bail!(
                "number {sequence} of shard {shard} was given to line {other} and to line {line}"
            ),
        }
    }

    pub(super) fn leave_unacknowledged(&mut self, line: u64) {
        self.unacknowledged.insert(line);
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.len() as u64
    }

    pub(super) fn unacknowledged(&self) -> u64 {
        self.unacknowledged.len() as u64
    }

    /// Begins to hold a replay of the whole stream against the ledger.
    pub(super) fn read<'a>(&'a self, lines: &'a Lines) -> Reading<'a> {
        Reading { ledger: self, lines, last: HashMap::new(), found: 0, surplus: HashSet::new() }
    }
}

/// A replay that is held against a [`Ledger`].
pub(super) struct Reading<'a> {
    ledger: &'a Ledger,
    lines: &'a Lines,
    /// The last number seen in each shard.
    last: HashMap<u32, u64>,
    /// Acknowledged records found. Numbers rise, so none was found twice.
    found: u64,
    /// Lines found that nobody acknowledged.
    surplus: HashSet<u64>,
}

impl Reading<'_> {
    /// Checks the next record of a shard.
    pub(super) fn check(
        &mut self,
        shard: u32,
        sequence: u64,
        key: &str,
        data: &[u8],
    ) -> Result<()> {
        let last = self.last.insert(shard, sequence).unwrap_or(0);
        ensure!(sequence > last, "shard {shard}: number {sequence} came behind number {last}");
        let Ok(line) = key.parse::<u64>() else {
            bail!("shard {shard}, number {sequence}: a record that was never put, key {key:?}");
        };
        ensure!(
            data == self.lines.data(line),
            "shard {shard}, number {sequence}: not the bytes of line {line}"
        );
        match self.ledger.acknowledged.get(&(shard, sequence)) {
            Some(acknowledged) => {
                ensure!(
                    *acknowledged == line,
                    "shard {shard}, number {sequence}: line {line} in place of {acknowledged}"
                );
                self.found += 1;
            }
            None => ensure!(
                self.ledger.unacknowledged.contains(&line) && self.surplus.insert(line),
                "shard {shard}, number {sequence}: line {line} stands twice"
            ),
        }
        Ok(())
    }

    /// Ends the replay; returns how many records without acknowledgement were there.
    pub(super) fn finish(self) -> Result<u64> {
        let lost = self.ledger.acknowledged() - self.found;
        ensure!(lost == 0, "{lost} acknowledged records are missing");
        Ok(self.surplus.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.acknowledge((0, 1), 10).unwrap();
        ledger.acknowledge((0, 2), 11).unwrap();
        ledger.leave_unacknowledged(12);
        ledger
    }

    /// Reads lines as (number, line) from shard 0.
    fn replay(records: &[(u64, u64)]) -> Result<u64> {
        let (ledger, lines) = (ledger(), Lines::new());
        let mut reading = ledger.read(&lines);
        for &(sequence, line) in records {
            reading.check(0, sequence, &line.to_string(), lines.data(line))?;
        }
        reading.finish()
    }

    #[test]
    fn what_was_acknowledged_must_be_there_once_and_the_rest_may_be() {
        assert_eq!(replay(&[(1, 10), (2, 11)]).unwrap(), 0);
        assert_eq!(replay(&[(1, 10), (2, 11), (3, 12)]).unwrap(), 1);
    }

    #[test]
    fn loss_disorder_repetition_and_invention_are_found() {
        for wrong in [
            &[(1, 10)][..],
            &[(2, 11), (1, 10)],
            &[(1, 11), (2, 10)],
            &[(1, 10), (2, 11), (3, 11)],
            &[(1, 10), (2, 11), (3, 12), (4, 12)],
            &[(1, 10), (2, 11), (3, 99)],
        ] {
            assert!(replay(wrong).is_err(), "{wrong:?}");
        }
        let (ledger, lines) = (ledger(), Lines::new());
        assert!(ledger.read(&lines).check(0, 1, "10", b"x").is_err());
        assert!(ledger.read(&lines).check(0, 1, "ten", lines.data(10)).is_err());
    }

    #[test]
    fn one_number_is_never_acknowledged_twice() {
        assert!(ledger().acknowledge((0, 1), 12).is_err());
    }
}
