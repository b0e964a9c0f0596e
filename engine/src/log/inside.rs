//! Inside a frame: where its entries begin.
//!
//! A frame that fits its page leaves as a whole, without a look at its entries: the header says
//! how many they are and how long. One that has to be cut is walked, from border to border, and
//! nothing but tags and lengths is read. Lest each page begin at the frame's start again, and
//! bring in a line of memory for every record that it only counts, *marks* are set about every 16
//! KiB while the payload's checksum is computed and its bytes are at hand anyway. Nothing that
//! was noted is used before the checksum has proved right.

use std::sync::Arc;

use crate::log::frame::FrameHeader;
use crate::record::{EntryLengths, entry, entry_stamp};
use crate::sequence::SequenceNumber;

/// Payload bytes between two marks.
const MARK_BYTES: usize = 16 << 10;

/// Payload bytes that are summed and then walked: they stay in the processor's nearer caches.
const PIECE_BYTES: usize = 64 << 10;

/// A place in a frame whose payload was found right.
#[derive(Clone)]
pub(super) struct Inside {
    pub(super) header: FrameHeader,
    /// Payload bytes before the entry.
    pub(super) consumed: usize,
    /// The entry's number.
    pub(super) at: SequenceNumber,
    /// `None` where the frame was not to be cut: then a walk begins where it stands.
    marks: Option<Arc<[Mark]>>,
}

/// A border between two entries.
#[derive(Clone, Copy)]
struct Mark {
    /// Entries before it.
    entries: u32,
    /// Payload bytes before it.
    offset: u32,
}

/// A run of entries from the place on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cut {
    /// Payload bytes before its end.
    pub(super) end: usize,
    pub(super) entries: usize,
    /// When the last of them arrived; `None` where there is none.
    pub(super) last_arrival_ms: Option<u64>,
}

impl Inside {
    /// The start of a frame; `None` where the payload does not match its checksum.
    pub(super) fn verified(header: &FrameHeader, payload: &[u8], is_cut: bool) -> Option<Inside> {
        let mut inside = Inside::unverified(header);
        let mut walk = Walk::default();
        let is_right = match is_cut {
            true => header.matches_while(payload, PIECE_BYTES, |end| walk.go_on(payload, end)),
            false => header.matches(payload),
        };
        if is_cut {
            inside.marks = Some(walk.marks.into());
        }
        is_right.then_some(inside)
    }

    /// The start of a frame whose payload nobody compares with its checksum.
    pub(super) fn unverified(header: &FrameHeader) -> Inside {
        Inside { header: *header, consumed: 0, at: header.base, marks: None }
    }

    /// Goes on to the entry with that number, or to the end. `None` where an entry is malformed.
    pub(super) fn skip_to(&mut self, payload: &[u8], position: SequenceNumber) -> Option<()> {
        if let Some(marks) = &self.marks {
            let base = self.header.base;
            let number = |mark: &Mark| base.plus(u64::from(mark.entries));
            let passed = marks.partition_point(|mark| number(mark) <= position);
            if let Some(mark) = passed.checked_sub(1).map(|last| marks[last])
                && number(&mark) > self.at
            {
                self.consumed = mark.offset as usize;
                self.at = number(&mark);
            }
        }
        let mut lengths = EntryLengths::default();
        while self.at < position && self.consumed < payload.len() {
            self.consumed += lengths.of(&payload[self.consumed..])?;
            self.at = self.at.next();
        }
        Some(())
    }

    /// The entries from here on that fit, or the first one in any case where `takes_one`. `None`
    /// where an entry is malformed.
    pub(super) fn cut(
        &self,
        payload: &[u8],
        entries_max: usize,
        bytes_max: usize,
        takes_one: bool,
    ) -> Option<Cut> {
        let start = self.consumed;
        let (mut end, mut entries, mut last) = (start, 0, None);
        if let Some(mark) = self.mark_before_cut(entries_max, bytes_max) {
            end = mark.offset as usize;
            entries = self.entries_up_to(mark);
        }
        let mut lengths = EntryLengths::default();
        while end < payload.len() && entries < entries_max {
            let bytes = lengths.of(&payload[end..])?;
            let is_due = takes_one && entries == 0;
            if end - start + bytes > bytes_max && !is_due {
                break;
            }
            last = Some(end);
            end += bytes;
            entries += 1;
        }
        let last_arrival_ms = match last {
            Some(last) => Some(entry_stamp(entry(&payload[last..])?.1)?.1),
            None => None,
        };
        Some(Cut { end, entries, last_arrival_ms })
    }

    /// The last mark but one that the cut lies at or behind: so there is an entry between it and
    /// the cut, whose arrival time is that of the page.
    fn mark_before_cut(&self, entries_max: usize, bytes_max: usize) -> Option<Mark> {
        let marks = self.marks.as_ref()?;
        let fitting = marks.partition_point(|mark| {
            (mark.offset as usize).saturating_sub(self.consumed) <= bytes_max
                && self.entries_up_to(*mark) <= entries_max
        });
        let mark = marks[fitting.checked_sub(2)?];
        (mark.offset as usize > self.consumed).then_some(mark)
    }

    fn entries_up_to(&self, mark: Mark) -> usize {
        let passed = self.at.0 - self.header.base.0;
        u64::from(mark.entries).saturating_sub(passed) as usize
    }
}

/// The walk that sets marks.
#[derive(Default)]
struct Walk {
    marks: Vec<Mark>,
    offset: usize,
    entries: u32,
    /// From here on the next mark is due.
    due: usize,
    lengths: EntryLengths,
}

impl Walk {
    /// Walks to the first entry at or behind `end`. A malformed one ends it: who reads as far as
    /// there meets it again.
    fn go_on(&mut self, payload: &[u8], end: usize) {
        while self.offset < end {
            let Some(bytes) = self.lengths.of(&payload[self.offset..]) else {
                self.offset = usize::MAX;
                return;
            };
            if self.offset >= self.due {
                self.marks.push(Mark { entries: self.entries, offset: self.offset as u32 });
                self.due = self.offset + MARK_BYTES;
            }
            self.offset += bytes;
            self.entries += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Incarnation, ShardId, StreamId};
    use crate::log::frame::{Owner, payload_crc};
    use crate::record::{PartitionKey, RecordView};

    const BASE: u64 = 100;

    /// A frame of records of these lengths, and where each begins.
    fn frame(lens: &[usize]) -> (FrameHeader, Vec<u8>, Vec<usize>) {
        let (mut payload, mut borders) = (Vec::new(), Vec::new());
        for (index, &len) in lens.iter().enumerate() {
            borders.push(payload.len());
            let (key, data) = (PartitionKey::from_bytes(b"k").unwrap(), vec![b'x'; len]);
            let record = RecordView::new(key, None, &data).unwrap();
            record.encode(SequenceNumber(BASE + index as u64), index as u64, &mut payload);
        }
        borders.push(payload.len());
        let incarnation = Incarnation(7);
        let header = FrameHeader {
            owner: Owner { stream: StreamId(1), shard: ShardId(0), incarnation },
            flags: 0,
            extension_bytes: 0,
            payload_bytes: payload.len() as u32,
            base: SequenceNumber(BASE),
            count: lens.len() as u32,
            payload_crc: payload_crc(incarnation, &payload),
            first_arrival_ms: 0,
            last_arrival_ms: 0,
            durable_below: SequenceNumber(BASE),
        };
        (header, payload, borders)
    }

    fn frames() -> Vec<Vec<usize>> {
        vec![
            vec![10; 3],
            vec![0; 5000],
            (0..400).map(|i| i * 7 % 3000).collect(),
            // Longer than what lies between two marks, and than what is summed at a time.
            vec![100, 40_000, 5, 5, 200_000, 17_000, 16_000, 1],
        ]
    }

    /// What a walk from the first entry finds, one by one.
    fn expected(
        borders: &[usize],
        from: usize,
        entries_max: usize,
        bytes_max: usize,
        takes_one: bool,
    ) -> Cut {
        let mut entries = 0;
        while from + entries + 1 < borders.len() && entries < entries_max {
            let is_due = takes_one && entries == 0;
            if borders[from + entries + 1] - borders[from] > bytes_max && !is_due {
                break;
            }
            entries += 1;
        }
        let last_arrival_ms = (entries > 0).then(|| (from + entries - 1) as u64);
        Cut { end: borders[from + entries], entries, last_arrival_ms }
    }

    #[test]
    fn with_and_without_marks_a_cut_is_where_a_walk_from_the_start_puts_it() {
        for lens in frames() {
            let (header, payload, borders) = frame(&lens);
            for is_cut in [true, false] {
                let inside = Inside::verified(&header, &payload, is_cut).unwrap();
                for from in (0..lens.len()).step_by(lens.len().div_ceil(23)) {
                    let mut inside = inside.clone();
                    let position = SequenceNumber(BASE + from as u64);
                    inside.skip_to(&payload, position).unwrap();
                    assert_eq!((inside.consumed, inside.at), (borders[from], position));
                    for entries_max in [1, 2, 99, 100, 10_000] {
                        for bytes_max in [0, 1, 50, 16_384, 20_000, 65_536, 300_000, 1 << 20] {
                            for takes_one in [true, false] {
                                let cut = inside.cut(&payload, entries_max, bytes_max, takes_one);
                                let expected =
                                    expected(&borders, from, entries_max, bytes_max, takes_one);
                                assert_eq!(cut, Some(expected));
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn whatever_is_noted_on_the_way_a_wrong_payload_is_refused() {
        for lens in frames() {
            let (header, payload, _) = frame(&lens);
            let step = payload.len().div_ceil(200);
            for at in (0..payload.len()).step_by(step).chain([payload.len() - 1]) {
                let mut wrong = payload.clone();
                wrong[at] ^= 0x40;
                for is_cut in [true, false] {
                    assert!(Inside::verified(&header, &wrong, is_cut).is_none(), "byte {at}");
                }
            }
        }
    }

    #[test]
    fn an_entry_that_is_malformed_under_a_right_checksum_ends_the_walk() {
        let (mut header, mut payload, borders) = frame(&[20_000; 20]);
        payload[borders[10]] = 0x12;
        header.payload_crc = payload_crc(header.owner.incarnation, &payload);
        let mut inside = Inside::verified(&header, &payload, true).unwrap();
        assert_eq!(inside.cut(&payload, 10, usize::MAX, true).unwrap().entries, 10);
        assert_eq!(inside.cut(&payload, 11, usize::MAX, true), None);
        assert!(inside.skip_to(&payload, SequenceNumber(BASE + 11)).is_none());
    }
}
