//! Tokens with which a list goes on: sealed like shard iterators and valid for as long.
//!
//! A token holds the incarnation of the stream, so that pages of a stream and of a later one
//! under its name never mix, and what the last page ended with.

use std::sync::Arc;

use anabranch_engine::error::Error;
use anabranch_engine::ids::{ConsumerName, ShardId};
use anabranch_engine::limits::ITERATOR_LIFE_MS;
use anabranch_engine::{Engine, Stream};

use super::error::{OpError, Result};
use super::names;
use super::seal::{Kind, Seal};

/// Where a list of something goes on: behind `last`.
pub(super) struct PageToken<T> {
    /// The stream whose things are listed.
    pub(super) stream: Arc<Stream>,
    /// The last one of the page before.
    pub(super) last: T,
}

/// What a page can end with.
pub(super) trait PageEnd: Sized {
    /// The kind of its tokens.
    const KIND: Kind;
    /// Its text.
    fn text(&self) -> String;
    /// From its text.
    fn from_text(text: &str) -> Option<Self>;
}

impl PageEnd for ShardId {
    const KIND: Kind = Kind::ShardPage;

    fn text(&self) -> String {
        self.0.to_string()
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl PageEnd for ConsumerName {
    const KIND: Kind = Kind::ConsumerPage;

    fn text(&self) -> String {
        self.as_str().to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl<T: PageEnd> PageToken<T> {
    /// The token of a page of `stream` that ends with `last`.
    pub(super) fn seal(engine: &Engine, seal: &Seal, stream: &Stream, last: &T) -> String {
        // Neither name can hold a slash, and names have at most 128 bytes each.
        let content =
            format!("{}/{}/{}/{}/", stream.id(), engine.now_ms(), stream.name(), last.text());
        seal.seal(T::KIND, content.as_bytes())
    }

    /// Reads a token that is ours and not too old.
    pub(super) fn open(engine: &Engine, seal: &Seal, token: &str) -> Result<Self> {
        let invalid = || OpError::invalid("next_token", "Invalid NextToken.");
        let content = seal.open(T::KIND, token).ok_or_else(invalid)?;
        let content = std::str::from_utf8(&content).map_err(|_| invalid())?;
        let mut parts = content.split('/');
        let mut part = || parts.next().ok_or_else(invalid);
        let (id, issued_ms, name, last) = (part()?, part()?, part()?, part()?);
        let issued_ms: u64 = issued_ms.parse().map_err(|_| invalid())?;
        if engine.now_ms().saturating_sub(issued_ms) > ITERATOR_LIFE_MS {
            let why = format_args!("expired, it was valid for {ITERATOR_LIFE_MS} milliseconds");
            return Err(OpError::invalid("next_token", why));
        }
        let stream = names::stream(engine, name)?;
        if stream.id().to_string() != id {
            let name = stream.name().clone();
            return Err(Error::StreamDeleted { name }.into());
        }
        let last = T::from_text(last).ok_or_else(invalid)?;
        Ok(PageToken { stream, last })
    }
}
