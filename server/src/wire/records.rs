//! A walker over the records of a page, for doors that do not send them as they are.
//!
//! A page is ranges of the log, each of which holds whole entries of the field `records`. They
//! were verified when the page was read; an entry that cannot be read nevertheless is an error and
//! never skipped, since a reader would take that for the end.

use std::fmt;
use std::slice;

use anabranch_engine::record::EncodedRecord;
use bytes::Bytes;

/// An entry of a page is not a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MalformedRecord;

impl fmt::Display for MalformedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record of the log has a checksum that is right and cannot be read")
    }
}

impl std::error::Error for MalformedRecord {}

/// The records of a page, in order, borrowed from its ranges. After an error it yields no more.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    ranges: slice::Iter<'a, Bytes>,
}

impl<'a> Records<'a> {
    /// Walks these ranges.
    pub fn new(ranges: &'a [Bytes]) -> Self {
        Records { rest: &[], ranges: ranges.iter() }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<EncodedRecord<'a>, MalformedRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.rest.is_empty() {
            self.rest = self.ranges.next()?;
        }
        let Some(record) = EncodedRecord::decode(self.rest) else {
            *self = Records::new(&[]);
            return Some(Err(MalformedRecord));
        };
        self.rest = &self.rest[record.entry_bytes..];
        Some(Ok(record))
    }
}

#[cfg(test)]
mod tests {
    use anabranch_engine::record::{PartitionKey, RecordView};
    use anabranch_engine::sequence::SequenceNumber;

    use super::*;

    fn range(numbers: std::ops::Range<u64>) -> Bytes {
        let mut encoded = Vec::new();
        for number in numbers {
            let key = PartitionKey::from_bytes(b"key").unwrap();
            let data = vec![b'd'; number as usize];
            let record = RecordView::new(key, None, &data).unwrap();
            record.encode(SequenceNumber(number), 1_700, &mut encoded);
        }
        encoded.into()
    }

    #[test]
    fn records_are_walked_across_ranges() {
        let ranges = [Bytes::new(), range(1..3), range(3..200), Bytes::new(), range(200..201)];
        let records: Vec<_> = Records::new(&ranges).map(Result::unwrap).collect();
        assert_eq!(records.len(), 200);
        for (number, record) in (1..).zip(records) {
            assert_eq!((record.sequence, record.arrival_ms), (SequenceNumber(number), 1_700));
            assert_eq!((record.key, record.data.len()), (&b"key"[..], number as usize));
        }
        assert_eq!(Records::new(&[]).count(), 0);
    }

    #[test]
    fn a_walk_ends_with_the_first_record_that_cannot_be_read() {
        let whole = range(1..3);
        let ranges = [whole.slice(..whole.len() - 1), range(3..4)];
        let records: Vec<_> = Records::new(&ranges).collect();
        assert_eq!(records.len(), 2);
        assert_eq!(records[1], Err(MalformedRecord));
    }
}
