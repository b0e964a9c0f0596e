//! The records of one put, checked and borrowed from the request they came in.
//!
//! A door pushes what it finds, one record after the other; [`Draft::finish`] gives a [`Batch`]
//! if every one of them is legal, and otherwise refuses the whole, before anything of it was
//! appended. What lies beyond the limits is counted but not kept, so a hostile request costs no
//! more memory than a legal one.

use anabranch_engine::error::RecordError;
use anabranch_engine::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX};
use anabranch_engine::record::{PartitionKey, RecordView};

use super::error::{OpError, Result};

/// A batch in the making.
#[derive(Debug, Default)]
pub struct Draft<'a> {
    records: Vec<RecordView<'a>>,
    count: usize,
    bytes: usize,
}

/// 1 to 500 legal records of together at most 10 MiB.
#[derive(Debug)]
pub struct Batch<'a> {
    records: Vec<RecordView<'a>>,
    bytes: usize,
}

impl<'a> Draft<'a> {
    /// Adds a record.
    pub fn push(
        &mut self,
        key: &'a str,
        explicit_hash_key: Option<&str>,
        data: &'a [u8],
    ) -> Result<()> {
        let index = self.count;
        self.count += 1;
        self.bytes = self.bytes.saturating_add(key.len() + data.len());
        if self.count > BATCH_RECORDS_MAX {
            return Ok(());
        }
        let record = record(key, explicit_hash_key, data)
            .map_err(|fault| fault.of(&format!("records[{index}].")))?;
        self.records.push(record);
        Ok(())
    }

    /// The batch, if it is neither empty nor too large.
    pub fn finish(self) -> Result<Batch<'a>> {
        if self.count == 0 || self.count > BATCH_RECORDS_MAX {
            let max = BATCH_RECORDS_MAX as u64;
            let why = format_args!("are {}, allowed are 1 to {max}", self.count);
            return Err(OpError::invalid("records", why)
                .with("value", self.count.to_string())
                .with("min", "1")
                .with("max", max.to_string()));
        }
        if self.bytes > BATCH_BYTES_MAX {
            let why = format_args!(
                "have {} bytes of keys and data, allowed are {BATCH_BYTES_MAX}",
                self.bytes
            );
            return Err(OpError::invalid("records", why)
                .with("value", self.bytes.to_string())
                .with("max", BATCH_BYTES_MAX.to_string()));
        }
        Ok(Batch { records: self.records, bytes: self.bytes })
    }
}

impl<'a> Batch<'a> {
    /// A batch of one record, whose fields are those of the request itself.
    pub fn of_one(
        key: &'a str,
        explicit_hash_key: Option<&str>,
        data: &'a [u8],
    ) -> Result<Batch<'a>> {
        let record = record(key, explicit_hash_key, data).map_err(|fault| fault.of(""))?;
        Ok(Batch { bytes: record.bytes(), records: vec![record] })
    }

    /// The records, in the order of the request.
    pub fn records(&self) -> &[RecordView<'a>] {
        &self.records
    }

    /// Bytes of their keys and data.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// A record's fault, and the field that has it.
enum Fault {
    Record(RecordError),
    HashKey(String),
}

impl Fault {
    fn of(self, record: &str) -> OpError {
        match self {
            Fault::Record(error) => {
                let field = match error {
                    RecordError::TooLarge { .. } => "data",
                    _ => "partition_key",
                };
                OpError::invalid(format!("{record}{field}"), error)
            }
            Fault::HashKey(value) => {
                let why = format_args!(
                    "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: \
                     [0, 2^128-1]. Specified value was {value}"
                );
                let error = OpError::invalid(format!("{record}explicit_hash_key"), why);
                error.with("value", value)
            }
        }
    }
}

fn record<'a>(
    key: &'a str,
    explicit_hash_key: Option<&str>,
    data: &'a [u8],
) -> Result<RecordView<'a>, Fault> {
    let key = PartitionKey::from_bytes(key.as_bytes()).map_err(Fault::Record)?;
    let hash_key = match explicit_hash_key {
        None => None,
        Some(text) => match text.parse() {
            Ok(hash_key) => Some(hash_key),
            Err(_) => return Err(Fault::HashKey(super::error::shown(text))),
        },
    };
    RecordView::new(key, hash_key, data).map_err(Fault::Record)
}

#[cfg(test)]
mod tests {
    use anabranch_engine::limits::RECORD_BYTES_MAX;

    use super::*;

    fn fault(key: &str, hash_key: Option<&str>, data: &[u8]) -> String {
        let mut draft = Draft::default();
        draft.push("good", None, b"").unwrap();
        let error = draft.push(key, hash_key, data).unwrap_err();
        error.field.unwrap().into_owned()
    }

    #[test]
    fn a_bad_record_is_named_by_its_index_and_field() {
        assert_eq!(fault("", None, b""), "records[1].partition_key");
        let long = "ä".repeat(257);
        assert_eq!(fault(&long, None, b""), "records[1].partition_key");
        let large = vec![0; RECORD_BYTES_MAX];
        assert_eq!(fault("k", None, &large), "records[1].data");
        for hash_key in ["", "-1", "340282366920938463463374607431768211456"] {
            let field = fault("k", Some(hash_key), b"");
            assert_eq!(field, "records[1].explicit_hash_key");
        }
        let one = Batch::of_one("", None, b"").unwrap_err();
        assert_eq!(one.field.as_deref(), Some("partition_key"));
    }

    #[test]
    fn an_empty_or_too_large_batch_is_refused_with_its_size() {
        assert!(Draft::default().finish().is_err());
        let mut draft = Draft::default();
        for _ in 0..500 {
            draft.push("k", None, b"").unwrap();
        }
        draft.push("k", None, b"").unwrap();
        let error = draft.finish().unwrap_err();
        assert!(error.message.contains("501"), "{error}");

        let data = vec![0; RECORD_BYTES_MAX - 1];
        let mut draft = Draft::default();
        for _ in 0..10 {
            draft.push("k", None, &data).unwrap();
        }
        assert!(draft.finish().is_ok());
        let mut draft = Draft::default();
        for _ in 0..10 {
            draft.push("k", None, &data).unwrap();
        }
        draft.push("k", None, b"").unwrap();
        assert!(draft.finish().is_err());
    }
}
