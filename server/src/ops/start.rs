//! Where reading starts: the five iterator types, for iterators and subscriptions alike.
//!
//! A sequence number is given in either form. In that of Kinesis it names its shard too, and the
//! second in which that was made, so a number of another shard or of an earlier stream is refused.

use std::fmt;

use anabranch_engine::sequence::SequenceNumber;
use anabranch_engine::{Shard, Stream};
use anabranch_proto::v1::ShardIteratorType;

use super::describe::origin;
use super::error::{shown_number, timestamp_in_future};
use super::{Kind, OpError, Ops, Result, may_block};
use crate::aws::sequence::{NUMBER_MAX, OlderNumber, Parsed};

/// A starting position as a request gives it, with the names of its fields there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start<'a> {
    /// The type, as the number on the wire.
    pub(super) iterator_type: i32,
    /// The sequence number, if one is given.
    pub(super) sequence_number: Option<u64>,
    /// The same as Kinesis writes it, in place of it.
    pub(super) kinesis_sequence_number: Option<&'a str>,
    /// The timestamp, if one is given.
    pub(super) timestamp_ms: Option<u64>,
    /// What the request calls them.
    pub(super) fields: StartFields,
}

/// What a request calls the parts of its starting position.
#[derive(Clone, Copy, Debug)]
pub(super) struct StartFields {
    /// The operation, as the service's texts name it.
    pub(super) operation: &'static str,
    pub(super) iterator_type: &'static str,
    pub(super) sequence_number: &'static str,
    pub(super) kinesis_sequence_number: &'static str,
    pub(super) timestamp_ms: &'static str,
}

/// The service's words for a sequence number that is missing or superfluous.
const EITHER_OR: &str = "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and \
                         StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no \
                         StartingSequenceNumber. Request specified";
/// The service's words for a timestamp that is missing.
const NO_TIMESTAMP: &str = "Must specify timestampInMillis parameter for iterator of type \
                            AT_TIMESTAMP. Current request has no timestamp parameter.";

impl Start<'_> {
    /// The number of the record that is read first, or of one below it. LATEST is fixed here:
    /// what is put from now on is read, however late the reader comes.
    pub(super) fn resolve(
        &self,
        ops: &Ops,
        stream: &Stream,
        shard: &Shard,
    ) -> Result<SequenceNumber> {
        let iterator_type = self.checked_type()?;
        let number = self.number(ops, stream, shard)?;
        let watermarks = shard.watermarks();
        let start = match (iterator_type, number, self.timestamp_ms) {
            (ShardIteratorType::TrimHorizon, ..) => watermarks.trim_horizon,
            (ShardIteratorType::Latest, ..) => watermarks.durable,
            (ShardIteratorType::AtSequenceNumber, Some(number), _) => SequenceNumber(number),
            (ShardIteratorType::AfterSequenceNumber, Some(number), _) => {
                // The highest number is beyond every shard's end, and stays so.
                SequenceNumber(number.saturating_add(1))
            }
            (ShardIteratorType::AtTimestamp, _, Some(timestamp_ms)) => {
                let now_ms = ops.engine.now_ms();
                if timestamp_ms > now_ms {
                    let field = self.fields.timestamp_ms;
                    return Err(timestamp_in_future(field, timestamp_ms, now_ms));
                }
                may_block(|| shard.sequence_at_time(timestamp_ms))?
            }
            _ => return Err(OpError::invalid(self.fields.iterator_type, "is unknown")),
        };
        // Only a number from the request can lie there; one that was acknowledged does not. What
        // Kinesis shows as the end of a closed shard does, whatever that shard holds.
        if start > watermarks.durable {
            let is_end = number == Some(NUMBER_MAX) && self.kinesis_sequence_number.is_some();
            if is_end && shard.closed().is_some() {
                return Ok(watermarks.durable);
            }
            let id = shard.id();
            let why = format_args!("is invalid because it lies beyond the end of {id}.");
            return Err(self.refused(ops, stream, shard, &self.shown(start), why));
        }
        Ok(start)
    }

    /// The sequence number that is given, in either form.
    fn number(&self, ops: &Ops, stream: &Stream, shard: &Shard) -> Result<Option<u64>> {
        let Some(text) = self.kinesis_sequence_number else { return Ok(self.sequence_number) };
        let fields = self.fields;
        if self.sequence_number.is_some() {
            let why = format_args!("stands in place of {}", fields.sequence_number);
            return Err(OpError::invalid(fields.kinesis_sequence_number, why));
        }
        let refused = |shown: &str, why| self.refused(ops, stream, shard, shown, why);
        let parsed = text.parse();
        let parsed = parsed.map_err(|_| refused(text, format_args!("is invalid.")))?;
        let encoded = match parsed {
            Parsed::Current(number) => number.origin.shard,
            Parsed::Older(older) => older.shard,
        };
        if encoded != shard.id() {
            let message = format!(
                "Invalid StartingSequenceNumber. It encodes {encoded}, while it was used in a \
                 call to a shard with {}",
                shard.id()
            );
            let field = fields.kinesis_sequence_number;
            let error = OpError::in_its_words(Kind::InvalidArgument, field, message);
            return Err(error.with("shard_id", shard.id().to_string()));
        }
        let elsewhere = format_args!("is invalid because it did not come from this stream.");
        match parsed {
            Parsed::Current(number) if number.origin == origin(shard) => Ok(Some(number.number.0)),
            Parsed::Current(_) | Parsed::Older(OlderNumber { shown: None, .. }) => {
                Err(refused(text, elsewhere))
            }
            Parsed::Older(OlderNumber { shown: Some(shown), .. }) => {
                Err(refused(&shown.to_string(), elsewhere))
            }
        }
    }

    /// The number as it was given.
    fn shown(&self, start: SequenceNumber) -> String {
        match self.kinesis_sequence_number {
            Some(text) => text.to_owned(),
            None => self.sequence_number.unwrap_or(start.0).to_string(),
        }
    }

    /// The refusal of a sequence number, in the service's words.
    fn refused(
        &self,
        ops: &Ops,
        stream: &Stream,
        shard: &Shard,
        number: &str,
        why: fmt::Arguments<'_>,
    ) -> OpError {
        let (operation, id) = (self.fields.operation, shard.id());
        let (name, account) = (stream.name(), &ops.owner.account);
        let number = shown_number(number);
        let message = format!(
            "StartingSequenceNumber {number} used in {operation} on shard {id} in stream {name} \
             under account {account} {why}"
        );
        let field = match self.kinesis_sequence_number {
            Some(_) => self.fields.kinesis_sequence_number,
            None => self.fields.sequence_number,
        };
        OpError::in_its_words(Kind::InvalidArgument, field, message)
            .with("value", number)
            .with("shard_id", id.to_string())
    }

    fn has_number(&self) -> bool {
        self.sequence_number.is_some() || self.kinesis_sequence_number.is_some()
    }

    /// The type, if the parameters are those it takes.
    fn checked_type(&self) -> Result<ShardIteratorType> {
        let fields = self.fields;
        let iterator_type = ShardIteratorType::try_from(self.iterator_type)
            .ok()
            .filter(|known| *known != ShardIteratorType::Unspecified)
            .ok_or_else(|| {
                let why = "is missing or unknown; it is one of AT_SEQUENCE_NUMBER, \
                           AFTER_SEQUENCE_NUMBER, AT_TIMESTAMP, TRIM_HORIZON and LATEST";
                OpError::invalid(fields.iterator_type, why)
            })?;
        let name = iterator_type.as_str_name();
        let by_number = matches!(
            iterator_type,
            ShardIteratorType::AtSequenceNumber | ShardIteratorType::AfterSequenceNumber
        );
        let by_time = iterator_type == ShardIteratorType::AtTimestamp;
        let has_no_start = !by_number && !by_time;
        for (field, takes, given) in [
            (fields.sequence_number, by_number, self.has_number()),
            (fields.timestamp_ms, by_time, self.timestamp_ms.is_some()),
        ] {
            match (takes, given) {
                (true, false) => {
                    let message = match by_time {
                        true => NO_TIMESTAMP.to_owned(),
                        false => format!("{EITHER_OR} {name} and no StartingSequenceNumber."),
                    };
                    return Err(OpError::in_its_words(Kind::InvalidArgument, field, message));
                }
                (false, true) if has_no_start && field == fields.sequence_number => {
                    let message = format!("{EITHER_OR} {name} and also a StartingSequenceNumber.");
                    return Err(OpError::in_its_words(Kind::InvalidArgument, field, message));
                }
                (false, true) => {
                    let why = format_args!("is superfluous; type {name} does not take it");
                    return Err(OpError::invalid(field, why));
                }
                _ => {}
            }
        }
        Ok(iterator_type)
    }
}
