//! Where reading starts: the five iterator types, for iterators and subscriptions alike.

use anabranch_engine::sequence::SequenceNumber;
use anabranch_engine::{Shard, Stream};
use anabranch_proto::v1::ShardIteratorType;

use super::error::timestamp_in_future;
use super::{Kind, OpError, Ops, Result, may_block};

/// A starting position as a request gives it, with the names of its fields there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    /// The type, as the number on the wire.
    pub(super) iterator_type: i32,
    /// The sequence number, if one is given.
    pub(super) sequence_number: Option<u64>,
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
    pub(super) timestamp_ms: &'static str,
}

/// The service's words for a sequence number that is missing or superfluous.
const EITHER_OR: &str = "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and \
                         StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no \
                         StartingSequenceNumber. Request specified";
/// The service's words for a timestamp that is missing.
const NO_TIMESTAMP: &str = "Must specify timestampInMillis parameter for iterator of type \
                            AT_TIMESTAMP. Current request has no timestamp parameter.";

impl Start {
    /// The number of the record that is read first, or of one below it. LATEST is fixed here:
    /// what is put from now on is read, however late the reader comes.
    pub(super) fn resolve(
        &self,
        ops: &Ops,
        stream: &Stream,
        shard: &Shard,
    ) -> Result<SequenceNumber> {
        let iterator_type = self.checked_type()?;
        let watermarks = shard.watermarks();
        let start = match (iterator_type, self.sequence_number, self.timestamp_ms) {
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
        // Only a number from the request can lie there; one that was acknowledged does not.
        if start > watermarks.durable {
            let number = self.sequence_number.unwrap_or(start.0);
            let (operation, id) = (self.fields.operation, shard.id());
            let (name, account) = (stream.name(), &ops.owner.account);
            let message = format!(
                "StartingSequenceNumber {number} used in {operation} on shard {id} in stream \
                 {name} under account {account} is invalid because it lies beyond the end of {id}."
            );
            let field = self.fields.sequence_number;
            return Err(OpError::in_its_words(Kind::InvalidArgument, field, message)
                .with("value", number.to_string())
                .with("shard_id", shard.id().to_string()));
        }
        Ok(start)
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
            (fields.sequence_number, by_number, self.sequence_number),
            (fields.timestamp_ms, by_time, self.timestamp_ms),
        ] {
            match (takes, given) {
                (true, None) => {
                    let message = match by_time {
                        true => NO_TIMESTAMP.to_owned(),
                        false => format!("{EITHER_OR} {name} and no StartingSequenceNumber."),
                    };
                    return Err(OpError::in_its_words(Kind::InvalidArgument, field, message));
                }
                (false, Some(_)) if has_no_start && field == fields.sequence_number => {
                    let message = format!("{EITHER_OR} {name} and also a StartingSequenceNumber.");
                    return Err(OpError::in_its_words(Kind::InvalidArgument, field, message));
                }
                (false, Some(_)) => {
                    let why = format_args!("is superfluous; type {name} does not take it");
                    return Err(OpError::invalid(field, why));
                }
                _ => {}
            }
        }
        Ok(iterator_type)
    }
}
