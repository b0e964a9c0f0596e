//! The records of puts, checked and borrowed from the requests they came in.
//!
//! A door begins a put and pushes what it finds, one record after the other; [`Draft::finish`]
//! adds it to its [`Batch`] if every one of them is legal, and otherwise refuses the whole, before
//! anything of it was appended. What lies beyond the limits is counted but not kept, so a hostile
//! request costs no more memory than a legal one. What only some streams take, a large record or
//! one without a key, is noted meanwhile: the stream is known when all of the request is read, and
//! is then asked with [`Draft::check`] or [`Batch::check`].
//!
//! A call of its own is a batch of one put; `Produce` stages what it finds as a batch of many.

use anabranch_engine::error::RecordError;
use anabranch_engine::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX};
use anabranch_engine::record::{PartitionKey, RecordView};
use anabranch_engine::settings::{Distribution, StreamSettings};

use super::{Kind, OpError, Result};

/// Puts of 1 to 500 legal records, each together at most 10 MiB.
#[derive(Debug, Default)]
pub struct Batch<'a> {
    records: Vec<RecordView<'a>>,
    puts: usize,
    bytes: usize,
    /// Of the put that was added last.
    unusual: Unusual,
}

/// What a stream may refuse of a put whose records are legal.
#[derive(Clone, Copy, Debug, Default)]
struct Unusual {
    /// The first of its largest records, and the bytes of that one's key and data.
    largest: (usize, usize),
    /// The first record without a key.
    keyless: Option<usize>,
    /// Whether the put is one record, whose fields are those of the request itself.
    is_single: bool,
}

impl Unusual {
    /// Notes the record of that index.
    fn see(&mut self, index: usize, record: &RecordView<'_>) {
        let bytes = record.bytes();
        if bytes > self.largest.1 {
            self.largest = (index, bytes);
        }
        if record.key.as_str().is_empty() && self.keyless.is_none() {
            self.keyless = Some(index);
        }
    }

    /// Whether a stream of these settings takes the put. The record that it does not take is named
    /// by its index.
    fn check(&self, settings: &StreamSettings) -> Result<()> {
        let (index, bytes) = self.largest;
        let max = settings.record_bytes_max();
        if bytes > max {
            return Err(self.refused(index, RecordError::TooLarge { bytes, max }));
        }
        match self.keyless {
            Some(index) if settings.distribution != Distribution::Auto => {
                Err(self.refused(index, RecordError::KeyEmpty))
            }
            _ => Ok(()),
        }
    }

    fn refused(&self, index: usize, error: RecordError) -> OpError {
        let record = if self.is_single { String::new() } else { format!("records[{index}].") };
        Fault::Record(error).of(&record)
    }
}

/// A put in the making. Dropped, it leaves nothing in the batch.
#[derive(Debug)]
pub struct Draft<'b, 'a> {
    batch: &'b mut Batch<'a>,
    /// The records that the batch has without it.
    records_before: usize,
    count: usize,
    bytes: usize,
    unusual: Unusual,
}

impl<'a> Draft<'_, 'a> {
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
        self.unusual.see(index, &record);
        self.batch.records.push(record);
        Ok(())
    }

    /// Whether a stream of these settings takes the put.
    pub fn check(&self, settings: &StreamSettings) -> Result<()> {
        self.unusual.check(settings)
    }

    /// Adds the put to the batch, if it is neither empty nor too large; says how many records it
    /// has.
    pub fn finish(mut self) -> Result<usize> {
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
        self.records_before = self.batch.records.len();
        self.batch.puts += 1;
        self.batch.bytes += self.bytes;
        self.batch.unusual = self.unusual;
        Ok(self.count)
    }
}

impl Drop for Draft<'_, '_> {
    fn drop(&mut self) {
        self.batch.records.truncate(self.records_before);
    }
}

impl<'a> Batch<'a> {
    /// Begins a put.
    pub fn begin(&mut self) -> Draft<'_, 'a> {
        Draft {
            records_before: self.records.len(),
            batch: self,
            count: 0,
            bytes: 0,
            unusual: Unusual::default(),
        }
    }

    /// The batch without its puts, for requests that live elsewhere. It keeps its memory.
    pub fn emptied<'other>(mut self) -> Batch<'other> {
        self.records.clear();
        // Nothing is mapped; collecting in place is what keeps the memory.
        let none = |_: RecordView<'a>| unreachable!("there are no records left");
        let records = self.records.into_iter().map(none).collect();
        Batch { records, ..Batch::default() }
    }

    /// A batch of one record, whose fields are those of the request itself.
    pub fn of_one(
        key: &'a str,
        explicit_hash_key: Option<&str>,
        data: &'a [u8],
    ) -> Result<Batch<'a>> {
        let record = record(key, explicit_hash_key, data).map_err(|fault| fault.of(""))?;
        let mut unusual = Unusual { is_single: true, ..Unusual::default() };
        unusual.see(0, &record);
        Ok(Batch { bytes: record.bytes(), records: vec![record], puts: 1, unusual })
    }

    /// Whether a stream of these settings takes the batch, which holds one put.
    pub fn check(&self, settings: &StreamSettings) -> Result<()> {
        assert!(self.puts <= 1, "of several puts each is checked before the next one is added");
        self.unusual.check(settings)
    }

    /// How many puts it holds.
    pub fn puts(&self) -> usize {
        self.puts
    }

    /// The records, in the order of the requests.
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
            Fault::Record(RecordError::KeyEmpty) => {
                // The model leaves the key to the stream; the service's words are those of a
                // member that is required, and count records from 1.
                let member = match record.strip_prefix("records[") {
                    Some(rest) => {
                        let index = rest.split(']').next().and_then(|index| index.parse().ok());
                        format!("records.{}.member.", index.unwrap_or(0usize) + 1)
                    }
                    None => String::new(),
                };
                let message = format!(
                    "1 validation error detected: Value null at '{member}partitionKey' failed to \
                     satisfy constraint: Member must not be null"
                );
                let field = format!("{record}partition_key");
                OpError::in_its_words(Kind::Validation, field, message)
            }
            Fault::Record(error) => {
                let field = match error {
                    RecordError::TooLarge { .. } => "data",
                    _ => "partition_key",
                };
                let refused = OpError::invalid(format!("{record}{field}"), error);
                match error {
                    RecordError::TooLarge { bytes, max } => {
                        refused.with("value", bytes.to_string()).with("max", max.to_string())
                    }
                    _ => refused,
                }
            }
            Fault::HashKey(value) => {
                let message = format!(
                    "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: \
                     [0, 2^128-1]. Specified value was {value}"
                );
                let field = format!("{record}explicit_hash_key");
                let error = OpError::in_its_words(Kind::InvalidArgument, field, message);
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
    let key = PartitionKey::from_bytes_or_none(key.as_bytes()).map_err(Fault::Record)?;
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
        let mut batch = Batch::default();
        let mut draft = batch.begin();
        draft.push("good", None, b"").unwrap();
        let error = draft.push(key, hash_key, data).unwrap_err();
        error.field.unwrap().into_owned()
    }

    /// Why a stream of these settings does not take the record behind a good one, and by itself.
    fn refusals(settings: &StreamSettings, key: &str, data: &[u8]) -> [Option<OpError>; 2] {
        let mut batch = Batch::default();
        let mut draft = batch.begin();
        draft.push("good", None, b"").unwrap();
        draft.push(key, None, data).unwrap();
        let in_draft = draft.check(settings).err();
        draft.finish().unwrap();
        let in_batch = batch.check(settings).err();
        let message = |error: &OpError| error.message.clone();
        assert_eq!(in_draft.as_ref().map(message), in_batch.as_ref().map(message));
        [in_batch, Batch::of_one(key, None, data).unwrap().check(settings).err()]
    }

    #[test]
    fn what_a_stream_does_not_take_is_named_with_both_sizes_and_its_index() {
        let usual = StreamSettings::default();
        let largest = vec![0; (1 << 20) - 1];
        assert!(refusals(&usual, "k", &largest).iter().all(Option::is_none));
        let fields = |refusals: [Option<OpError>; 2]| {
            refusals.map(|refusal| refusal.unwrap().field.unwrap().into_owned())
        };
        let refused = refusals(&usual, "kk", &largest);
        let message = &refused[0].as_ref().unwrap().message;
        assert!(message.contains("1048577") && message.contains("1048576"), "{message}");
        assert_eq!(fields(refused), ["records[1].data", "data"]);
        let large = StreamSettings { max_record_kib: 1025, ..usual.clone() };
        assert!(refusals(&large, "kk", &largest).iter().all(Option::is_none));
        let keyless = refusals(&usual, "", b"");
        let messages = keyless.each_ref().map(|refusal| refusal.as_ref().unwrap().message.clone());
        assert!(messages[0].contains("Value null at 'records.2.member.partitionKey'"));
        assert!(messages[1].contains("Value null at 'partitionKey'"));
        assert_eq!(fields(keyless), ["records[1].partition_key", "partition_key"]);
        let auto = StreamSettings { distribution: Distribution::Auto, ..usual };
        assert!(refusals(&auto, "", b"").iter().all(Option::is_none));
        // The size counts there as well.
        assert_eq!(fields(refusals(&auto, "kk", &largest)), ["records[1].data", "data"]);
    }

    #[test]
    fn a_bad_record_is_named_by_its_index_and_field() {
        let long = "ä".repeat(257);
        assert_eq!(fault(&long, None, b""), "records[1].partition_key");
        let large = vec![0; RECORD_BYTES_MAX];
        assert_eq!(fault("k", None, &large), "records[1].data");
        for hash_key in ["", "-1", "340282366920938463463374607431768211456"] {
            let field = fault("k", Some(hash_key), b"");
            assert_eq!(field, "records[1].explicit_hash_key");
        }
        let one = Batch::of_one(&long, None, b"").unwrap_err();
        assert_eq!(one.field.as_deref(), Some("partition_key"));
    }

    #[test]
    fn an_empty_or_too_large_batch_is_refused_with_its_size() {
        let mut batch = Batch::default();
        assert!(batch.begin().finish().is_err());
        let mut draft = batch.begin();
        for _ in 0..500 {
            draft.push("k", None, b"").unwrap();
        }
        draft.push("k", None, b"").unwrap();
        let error = draft.finish().unwrap_err();
        assert!(error.message.contains("501"), "{error}");

        let data = vec![0; (1 << 20) - 1];
        let mut draft = batch.begin();
        for _ in 0..10 {
            draft.push("k", None, &data).unwrap();
        }
        assert!(draft.finish().is_ok());
        let mut draft = batch.begin();
        for _ in 0..10 {
            draft.push("k", None, &data).unwrap();
        }
        draft.push("k", None, b"").unwrap();
        assert!(draft.finish().is_err());
    }

    #[test]
    fn a_put_that_is_refused_leaves_those_before_it_and_its_batch_is_used_again() {
        let mut batch = Batch::default();
        let mut draft = batch.begin();
        draft.push("a", None, b"12").unwrap();
        draft.push("b", None, b"").unwrap();
        assert_eq!(draft.finish().unwrap(), 2);
        let mut draft = batch.begin();
        draft.push("c", None, b"").unwrap();
        assert!(draft.push("c", Some("-1"), b"").is_err());
        drop(draft);
        assert_eq!((batch.puts(), batch.records().len(), batch.bytes()), (1, 2, 4));
        let memory = batch.records.capacity();
        let batch: Batch<'static> = batch.emptied();
        assert_eq!((batch.puts(), batch.records().len(), batch.bytes()), (0, 0, 0));
        assert_eq!(batch.records.capacity(), memory);
    }
}
