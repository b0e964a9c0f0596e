//! A set of numbers, kept as ranges.

use std::collections::BTreeMap;
use std::ops::Range;

/// Ranges that do not touch: start to end.
#[derive(Clone, Default, Debug)]
pub(super) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    pub(super) fn contains(&self, number: u64) -> bool {
        self.0.range(..=number).next_back().is_some_and(|(_, &end)| number < end)
    }

    pub(super) fn add(&mut self, mut added: Range<u64>) {
        if added.is_empty() {
            return;
        }
        // The ones that it touches stand side by side.
        while let Some((&start, &end)) = self.0.range(..=added.end).next_back() {
            if end < added.start {
                break;
            }
            added = added.start.min(start)..added.end.max(end);
            self.0.remove(&start);
        }
        self.0.insert(added.start, added.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_join_where_they_touch() {
        let mut ranges = Ranges::default();
        for range in [5..7, 1..2, 7..9, 20..30, 3..3, 8..21] {
            ranges.add(range);
        }
        let inside: Vec<u64> = (0..32).filter(|&number| ranges.contains(number)).collect();
        assert_eq!(inside, [1].into_iter().chain(5..30).collect::<Vec<_>>());
        assert_eq!(ranges.0.len(), 2);
    }
}
