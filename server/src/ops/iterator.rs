//! Shard iterators: a position in a shard as a token, without any state on the server.
//!
//! ```text
//! STREAM (8) POSITION (8) ISSUED ms (8) NONCE (8) SHARD (4) NAME LENGTH (4) NAME       big endian
//! ```
//!
//! The stream is named twice: its name finds it, its id tells an incarnation from a later one
//! under the same name. A nonce makes every token another one, as the service's are, so that a client
//! which tells its reads apart by them can. A token is sealed (see [`super::seal`]), valid for 300 seconds of the
//! server's own time, and as good after a restart as before.

use std::sync::Arc;

use anabranch_engine::error::Error;
use anabranch_engine::ids::{ShardId, StreamName};
use anabranch_engine::limits::ITERATOR_LIFE_MS;
use anabranch_engine::sequence::SequenceNumber;
use anabranch_engine::{Engine, Shard, Stream};

use super::seal::{self, Seal};
use super::{Kind, OpError, Result};
use crate::aws::date;

/// What a shard iterator says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ShardIterator {
    /// The stream's incarnation.
    pub(super) stream_id: u64,
    /// The stream's name.
    pub(super) stream_name: String,
    /// The shard's index.
    pub(super) shard: u32,
    /// The number of the record that comes next, or of one below it.
    pub(super) position: SequenceNumber,
    /// When it was given out, milliseconds since 1970.
    pub(super) issued_ms: u64,
}

/// Bytes in front of the name.
const FIXED_BYTES: usize = 40;

impl ShardIterator {
    /// A position in a shard, as of now.
    pub(super) fn at(engine: &Engine, stream: &Stream, shard: ShardId, at: SequenceNumber) -> Self {
        ShardIterator {
            stream_id: stream.id().0,
            stream_name: stream.name().as_str().to_owned(),
            shard: shard.0,
            position: at,
            issued_ms: engine.now_ms(),
        }
    }

    /// The token.
    pub(super) fn seal(&self, seal: &Seal) -> String {
        let mut content = Vec::with_capacity(FIXED_BYTES + self.stream_name.len());
        content.extend_from_slice(&self.stream_id.to_be_bytes());
        content.extend_from_slice(&self.position.0.to_be_bytes());
        content.extend_from_slice(&self.issued_ms.to_be_bytes());
        content.extend_from_slice(&fastrand::u64(..).to_be_bytes());
        content.extend_from_slice(&self.shard.to_be_bytes());
        content.extend_from_slice(&(self.stream_name.len() as u32).to_be_bytes());
        content.extend_from_slice(self.stream_name.as_bytes());
        seal.seal(seal::Kind::ShardIterator, &content)
    }

    /// Reads a token that is ours and not too old. Some clients send it in double quotes, and
    /// the real service takes it.
    pub(super) fn open(seal: &Seal, token: &str, now_ms: u64) -> Result<Self> {
        let bare =
            token.strip_prefix('"').and_then(|token| token.strip_suffix('"')).unwrap_or(token);
        let opened = seal.open(seal::Kind::ShardIterator, bare);
        let iterator = opened.and_then(|content| Self::read(&content)).ok_or_else(invalid)?;
        let age_ms = now_ms.saturating_sub(iterator.issued_ms);
        if age_ms > ITERATOR_LIFE_MS {
            let message = format!(
                "Iterator expired. The iterator was created at time {} while right now it is {} \
                 which is further in the future than the tolerated delay of {ITERATOR_LIFE_MS} \
                 milliseconds.",
                date::in_words(iterator.issued_ms),
                date::in_words(now_ms)
            );
            return Err(OpError::new(Kind::ExpiredIterator, message)
                .with("created_ms", iterator.issued_ms.to_string())
                .with("now_ms", now_ms.to_string()));
        }
        Ok(iterator)
    }

    fn read(content: &[u8]) -> Option<Self> {
        let (stream_id, rest) = content.split_first_chunk()?;
        let (position, rest) = rest.split_first_chunk()?;
        let (issued_ms, rest) = rest.split_first_chunk()?;
        let (_nonce, rest) = rest.split_first_chunk::<8>()?;
        let (shard, rest) = rest.split_first_chunk()?;
        let (name_len, rest) = rest.split_first_chunk()?;
        let name = rest.get(..u32::from_be_bytes(*name_len) as usize)?;
        Some(ShardIterator {
            stream_id: u64::from_be_bytes(*stream_id),
            stream_name: std::str::from_utf8(name).ok()?.to_owned(),
            shard: u32::from_be_bytes(*shard),
            position: SequenceNumber(u64::from_be_bytes(*position)),
            issued_ms: u64::from_be_bytes(*issued_ms),
        })
    }

    /// The stream and shard it points into, if that incarnation is still there.
    pub(super) fn resolve(&self, engine: &Engine) -> Result<(Arc<Stream>, Arc<Shard>)> {
        let name: StreamName = self.stream_name.parse().map_err(|_| invalid())?;
        let stream = engine.stream(&name)?;
        if stream.id().0 != self.stream_id {
            return Err(Error::StreamDeleted { name }.into());
        }
        let shard = stream.shard(ShardId(self.shard))?;
        Ok((stream, shard))
    }
}

fn invalid() -> OpError {
    let message = "Invalid ShardIterator.";
    OpError::in_its_words(Kind::InvalidArgument, "shard_iterator", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iterator(name: &str) -> ShardIterator {
        ShardIterator {
            stream_id: u64::MAX,
            stream_name: name.to_owned(),
            shard: 9_999,
            position: SequenceNumber(u64::MAX),
            issued_ms: 1_700_000_000_000,
        }
    }

    #[test]
    fn an_iterator_reads_back_and_has_at_most_512_characters() {
        let seal = Seal::new(&[3; 32]);
        for name in ["a", "..", &"n".repeat(128)] {
            let iterator = iterator(name);
            let token = iterator.seal(&seal);
            assert!(token.len() <= 512);
            let now = iterator.issued_ms + ITERATOR_LIFE_MS;
            assert_eq!(ShardIterator::open(&seal, &token, now).unwrap(), iterator);
            let quoted = format!("\"{token}\"");
            assert_eq!(ShardIterator::open(&seal, &quoted, now).unwrap(), iterator);
        }
    }

    #[test]
    fn an_iterator_expires_after_300_seconds_and_not_when_the_clock_falls() {
        let seal = Seal::new(&[3; 32]);
        let iterator = iterator("orders");
        let token = iterator.seal(&seal);
        let late = iterator.issued_ms + ITERATOR_LIFE_MS + 1;
        let expired = ShardIterator::open(&seal, &token, late).unwrap_err();
        assert_eq!(expired.kind, Kind::ExpiredIterator);
        assert!(ShardIterator::open(&seal, &token, iterator.issued_ms - 1).is_ok());
    }

    #[test]
    fn a_forged_iterator_is_an_invalid_argument() {
        let seal = Seal::new(&[3; 32]);
        let other = iterator("orders").seal(&Seal::new(&[4; 32]));
        for token in ["", "\"", "\"\"", "AAAA", &other] {
            let error = ShardIterator::open(&seal, token, 0).unwrap_err();
            assert_eq!(error.kind, Kind::InvalidArgument, "{token}");
            assert_eq!(error.field.as_deref(), Some("shard_iterator"));
        }
    }
}
