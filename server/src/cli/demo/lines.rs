//! The demo's input: real lines, this project's own licence and API, over and over.
//!
//! Records are numbered through; a record's number is its partition key, so that whatever comes
//! back says which record it was, and its data is the line, byte for byte. The files are part
//! of the binary, so that the demo runs anywhere.

use std::ops::Range;

use anabranch_client::Record;

const FILES: [&str; 2] = [
    include_str!("../../../../LICENSE"),
    include_str!("../../../../proto/proto/anabranch/v1/anabranch.proto"),
];

/// An endless supply of lines.
pub(super) struct Lines(Vec<&'static str>);

impl Lines {
    pub(super) fn new() -> Self {
        Self(FILES.iter().flat_map(|file| file.lines()).collect())
    }

    /// The bytes of line `number`.
    pub(super) fn data(&self, number: u64) -> &'static [u8] {
        self.0[number as usize % self.0.len()].as_bytes()
    }

    /// The records of some lines.
    pub(super) fn records(&self, numbers: Range<u64>) -> Vec<Record> {
        numbers.map(|number| Record::new(number.to_string(), self.data(number))).collect()
    }

    /// Bytes of data of some lines.
    pub(super) fn bytes(&self, numbers: Range<u64>) -> u64 {
        numbers.map(|number| self.data(number).len() as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_repeat_and_some_are_empty() {
        let lines = Lines::new();
        let count = lines.0.len() as u64;
        assert!(count > 500);
        assert_eq!(lines.data(3), lines.data(3 + count));
        assert!((0..count).any(|number| lines.data(number).is_empty()));
        assert_eq!(lines.records(7..9)[1].partition_key, "8");
    }
}
