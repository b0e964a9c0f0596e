//! Tokens with which a list goes on: sealed like shard iterators and valid for as long.
//!
//! A token holds when it was given out and what its page ended with. One of a stream's shards or
//! consumers holds the stream's incarnation as well, so that pages of a stream and of a later one
//! under its name never mix.
//!
//! ```text
//! ISSUED ms / CONTENT / zeros            CONTENT of a list of streams: NAME
//!                                        of shards and consumers: STREAM ID / STREAM NAME / LAST
//! ```

use std::sync::Arc;

use anabranch_engine::Stream;
use anabranch_engine::error::Error;
use anabranch_engine::ids::{ConsumerName, StreamName};
use anabranch_engine::limits::ITERATOR_LIFE_MS;

use super::names::StreamFields;
use super::seal::Kind as TokenKind;
use super::{Kind, OpError, Ops, Result};

/// Where a list of something of a stream goes on: behind `last`.
pub(super) struct PageToken<T> {
    /// The stream whose things are listed.
    pub(super) stream: Arc<Stream>,
    /// The last one of the page before.
    pub(super) last: T,
}

/// What a page can end with.
pub(super) trait PageEnd: Sized {
    /// The kind of its tokens.
    const KIND: TokenKind;
    /// Its text, without a slash.
    fn text(&self) -> String;
    /// From its text.
    fn from_text(text: &str) -> Option<Self>;
}

impl PageEnd for ConsumerName {
    const KIND: TokenKind = TokenKind::ConsumerPage;

    fn text(&self) -> String {
        self.as_str().to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Ops {
    /// The token of a page of `stream` that ends with `last`.
    pub(super) fn seal_page<T: PageEnd>(&self, stream: &Stream, last: &T) -> String {
        // Neither name can hold a slash, and names have at most 128 bytes each.
        self.seal_content(T::KIND, &format!("{}/{}/{}", stream.id(), stream.name(), last.text()))
    }

    /// Reads a token of a page that is ours and not too old.
    pub(super) fn open_page<T: PageEnd>(&self, token: &str) -> Result<PageToken<T>> {
        let content = self.open_content(T::KIND, token)?;
        let mut parts = content.split('/');
        let mut part = || parts.next().ok_or_else(invalid);
        let (id, name, last) = (part()?, part()?, part()?);
        let stream = self.stream(StreamFields::by_name(name))?;
        if stream.id().to_string() != id {
            let name = stream.name().clone();
            return Err(Error::StreamDeleted { name }.into());
        }
        let last = T::from_text(last).ok_or_else(invalid)?;
        Ok(PageToken { stream, last })
    }

    /// The token of a page of streams that ends with that name.
    pub(super) fn seal_stream_page(&self, last: &StreamName) -> String {
        self.seal_content(TokenKind::StreamPage, last.as_str())
    }

    /// Reads a token of a page of streams that is ours and not too old.
    pub(super) fn open_stream_page(&self, token: &str) -> Result<StreamName> {
        self.open_content(TokenKind::StreamPage, token)?.parse().map_err(|_| invalid())
    }

    fn seal_content(&self, kind: TokenKind, content: &str) -> String {
        let content = format!("{}/{content}/", self.engine.now_ms());
        self.seal.seal(kind, content.as_bytes())
    }

    fn open_content(&self, kind: TokenKind, token: &str) -> Result<String> {
        let content = self.seal.open(kind, token).ok_or_else(invalid)?;
        let content = std::str::from_utf8(&content).map_err(|_| invalid())?;
        let (issued_ms, content) = content.split_once('/').ok_or_else(invalid)?;
        let (content, _zeros) = content.rsplit_once('/').ok_or_else(invalid)?;
        let issued_ms: u64 = issued_ms.parse().map_err(|_| invalid())?;
        let now_ms = self.engine.now_ms();
        if now_ms.saturating_sub(issued_ms) > ITERATOR_LIFE_MS {
            let message = format!(
                "The pagination token passed to the operation is expired: it was valid for \
                 {ITERATOR_LIFE_MS} milliseconds."
            );
            return Err(OpError::in_its_words(Kind::ExpiredNextToken, "next_token", message)
                .with("created_ms", issued_ms.to_string())
                .with("now_ms", now_ms.to_string()));
        }
        Ok(content.to_owned())
    }
}

fn invalid() -> OpError {
    OpError::in_its_words(Kind::InvalidArgument, "next_token", "Invalid NextToken.")
}
