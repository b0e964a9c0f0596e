//! Lines in, records out, with bounded memory however large the input is.
//!
//! A line without its newline is the record, byte for byte: a carriage return before the
//! newline stays, NUL and bytes that are no UTF-8 are welcome, an empty line is an empty
//! record, and a last line without newline counts. Records are views of the block they were
//! read in. A batch never waits for input: what one read has brought goes out before the
//! next, so that lines typed by hand or by a slow program are put as they come.

use std::fmt;
use std::io::{self, ErrorKind, Read};

use bytes::{Buf, BytesMut};

use super::key::{KeySource, NoKey};
use crate::error::Error;
use crate::producer::{RECORD_BYTES_MAX, Record};

/// Bytes asked of the input at a time.
const BLOCK_BYTES: usize = 256 << 10;

/// Why a line is no record, or the input gave none.
#[derive(Debug)]
pub(super) enum LineError {
    /// The input could not be read.
    Read(io::Error),
    TooLarge {
        line: u64,
        bytes: u64,
    },
    NoKey {
        line: u64,
        why: NoKey,
    },
    Refused {
        line: u64,
        why: Error,
    },
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LineError::Read(error) => write!(f, "cannot read the input: {error}"),
            LineError::TooLarge { line, bytes } => write!(
                f,
                "line {line} has {bytes} bytes with its key, at most {RECORD_BYTES_MAX} are allowed"
            ),
            LineError::NoKey { line, why } => write!(f, "line {line} has no key: {why}"),
            LineError::Refused { line, why } => write!(f, "line {line}: {why}"),
        }
    }
}

/// Records of lines that follow each other.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) records: Vec<Record>,
    /// The number of the first one, from 1.
    pub(super) first_line: u64,
    /// Bytes of input that they took, newlines included.
    pub(super) input_bytes: u64,
    /// Bytes of keys and data.
    bytes: usize,
}

#[derive(Debug)]
pub(super) struct LineReader<R> {
    input: R,
    key: KeySource,
    batch_records: usize,
    batch_bytes: usize,
    block: Box<[u8]>,
    buffer: BytesMut,
    /// Bytes at the start of the buffer that hold no newline.
    scanned: usize,
    line_number: u64,
    is_at_end: bool,
    /// Found behind a batch that was given first.
    error: Option<LineError>,
}

impl<R: Read> LineReader<R> {
    pub(super) fn new(input: R, key: KeySource, batch_records: usize, batch_bytes: usize) -> Self {
        LineReader {
            input,
            key,
            batch_records,
            batch_bytes,
            block: vec![0; BLOCK_BYTES].into_boxed_slice(),
            buffer: BytesMut::new(),
            scanned: 0,
            line_number: 0,
            is_at_end: false,
            error: None,
        }
    }

    /// The next records; none at the end of the input. Whatever stands before a bad line is
    /// given before its error is.
    pub(super) fn next_batch(&mut self) -> Result<Option<Lines>, LineError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let mut lines = Lines { first_line: self.line_number + 1, ..Lines::default() };
        while lines.records.len() < self.batch_records && lines.bytes < self.batch_bytes {
            match self.next_record(lines.records.is_empty()) {
                Ok(Some((record, input_bytes))) => {
                    lines.bytes += record.bytes();
                    lines.input_bytes += input_bytes;
                    lines.records.push(record);
                }
                Ok(None) => break,
                Err(error) if lines.records.is_empty() => return Err(error),
                Err(error) => {
                    self.error = Some(error);
                    break;
                }
            }
        }
        Ok((!lines.records.is_empty()).then_some(lines))
    }

    /// The next record; none at the end, or where it would have to be waited for.
    fn next_record(&mut self, may_wait: bool) -> Result<Option<(Record, u64)>, LineError> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[self.scanned..]) {
                let line = self.buffer.split_to(self.scanned + at);
                self.buffer.advance(1);
                self.scanned = 0;
                let input_bytes = line.len() as u64 + 1;
                return self.record(line).map(|record| Some((record, input_bytes)));
            }
            self.scanned = self.buffer.len();
            if self.scanned > RECORD_BYTES_MAX {
                return Err(self.too_large());
            }
            if self.is_at_end {
                if self.buffer.is_empty() {
                    return Ok(None);
                }
                let line = self.buffer.split();
                self.scanned = 0;
                let input_bytes = line.len() as u64;
                return self.record(line).map(|record| Some((record, input_bytes)));
            }
            if !may_wait {
                return Ok(None);
            }
            let count = self.read()?;
            self.buffer.extend_from_slice(&self.block[..count]);
        }
    }

    fn read(&mut self) -> Result<usize, LineError> {
        loop {
            match self.input.read(&mut self.block) {
                Ok(count) => {
                    self.is_at_end = count == 0;
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(LineError::Read(error)),
            }
        }
    }

    fn record(&mut self, line: BytesMut) -> Result<Record, LineError> {
        self.line_number += 1;
        let number = self.line_number;
        let key =
            self.key.key(&line, number).map_err(|why| LineError::NoKey { line: number, why })?;
        let record = Record::new(key, line.freeze());
        if record.bytes() > RECORD_BYTES_MAX {
            return Err(LineError::TooLarge { line: number, bytes: record.bytes() as u64 });
        }
        record.check().map_err(|why| LineError::Refused { line: number, why })?;
        Ok(record)
    }

    /// Reads on to the end of a line that is too large already, keeping none of it, to say
    /// how large it is.
    fn too_large(&mut self) -> LineError {
        let mut bytes = self.buffer.len() as u64;
        self.buffer.clear();
        self.scanned = 0;
        loop {
            match self.read() {
                Err(error) => return error,
                Ok(count) => {
                    let line_end = memchr::memchr(b'\n', &self.block[..count]);
                    bytes += line_end.unwrap_or(count) as u64;
                    if line_end.is_some() || count == 0 {
                        break;
                    }
                }
            }
        }
        self.line_number += 1;
        // What the key would have been cannot be said without the line, except for these.
        let key_bytes = match &self.key {
            KeySource::LineNumber => self.line_number.to_string().len(),
            KeySource::Fixed(key) => key.len(),
            KeySource::Field(_) | KeySource::Column(_) => 0,
        };
        LineError::TooLarge { line: self.line_number, bytes: bytes + key_bytes as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its input in pieces, as a pipe does.
    struct Pieces(Vec<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0);
            buffer[..piece.len()].copy_from_slice(&piece);
            Ok(piece.len())
        }
    }

    fn reader<R: Read>(input: R) -> LineReader<R> {
        LineReader::new(input, KeySource::LineNumber, 500, 1 << 20)
    }

    fn all<R: Read>(mut reader: LineReader<R>) -> (Vec<Vec<u8>>, u64) {
        let (mut records, mut input_bytes) = (Vec::new(), 0);
        while let Some(lines) = reader.next_batch().unwrap() {
            assert_eq!(lines.first_line, records.len() as u64 + 1);
            records.extend(lines.records.iter().map(|record| record.data.to_vec()));
            input_bytes += lines.input_bytes;
        }
        (records, input_bytes)
    }

    #[test]
    fn a_line_is_a_record_byte_for_byte() {
        let input: &[u8] = b"one\r\n\n\0two\0\n\xff\xfe\nlast";
        let (records, input_bytes) = all(reader(input));
        let expected: [&[u8]; 5] = [b"one\r", b"", b"\0two\0", b"\xff\xfe", b"last"];
        assert_eq!(records, expected);
        assert_eq!(input_bytes, input.len() as u64);
        assert_eq!(all(reader(&b""[..])).0.len(), 0);
        assert_eq!(all(reader(&b"\n"[..])).0, [b""]);
        assert_eq!(all(reader(&b"a\n"[..])).0, [b"a"]);
    }

    #[test]
    fn where_the_input_is_cut_makes_no_difference() {
        let input = b"a\nbb\n\nccc\r\ndddd";
        let whole = all(reader(&input[..])).0;
        for size in 1..input.len() {
            let pieces = input.chunks(size).map(<[u8]>::to_vec).collect();
            assert_eq!(all(reader(Pieces(pieces))).0, whole, "pieces of {size}");
        }
    }

    #[test]
    fn what_has_come_is_given_before_more_is_waited_for() {
        let pieces = vec![b"a\nb\nc".to_vec(), b"d\n".to_vec()];
        let mut reader = reader(Pieces(pieces));
        assert_eq!(reader.next_batch().unwrap().unwrap().records.len(), 2);
        let rest = reader.next_batch().unwrap().unwrap();
        assert_eq!((rest.first_line, &rest.records[0].data[..]), (3, &b"cd"[..]));
    }

    #[test]
    fn batches_are_cut_by_records_and_by_bytes() {
        let input = "x\n".repeat(10);
        let mut reader = LineReader::new(input.as_bytes(), KeySource::LineNumber, 4, 1000);
        let mut counts = Vec::new();
        while let Some(lines) = reader.next_batch().unwrap() {
            counts.push(lines.records.len());
        }
        assert_eq!(counts, [4, 4, 2]);
        let mut reader = LineReader::new(input.as_bytes(), KeySource::LineNumber, 500, 4);
        assert_eq!(reader.next_batch().unwrap().unwrap().records.len(), 2);
    }

    #[test]
    fn a_line_over_a_mebibyte_is_named_with_its_size_after_what_stands_before() {
        let mut input = b"fine\n".to_vec();
        input.extend(vec![b'x'; 3 << 20]);
        input.extend(b"\nnever read");
        let mut reader = reader(&input[..]);
        assert_eq!(reader.next_batch().unwrap().unwrap().records.len(), 1);
        let error = reader.next_batch().unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 2 has 3145729 bytes with its key, at most 1048576 are allowed"
        );
    }

    #[test]
    fn a_line_counts_with_its_key() {
        let line = |bytes| {
            let mut input = vec![b'x'; bytes];
            input.push(b'\n');
            reader(io::Cursor::new(input)).next_batch()
        };
        assert!(line(RECORD_BYTES_MAX - 1).is_ok());
        assert!(matches!(
            line(RECORD_BYTES_MAX),
            Err(LineError::TooLarge { line: 1, bytes: 1_048_577 })
        ));
    }

    #[test]
    fn a_missing_key_names_its_line() {
        let input = "{\"id\":1}\n{\"id\":2}\n{\"no\":3}\n{\"id\":4}\n";
        let key = KeySource::Field("id".to_owned());
        let mut reader = LineReader::new(input.as_bytes(), key, 500, 1 << 20);
        assert_eq!(reader.next_batch().unwrap().unwrap().records.len(), 2);
        let error = reader.next_batch().unwrap_err();
        assert_eq!(error.to_string(), "line 3 has no key: there is no field \"id\"");
    }
}
