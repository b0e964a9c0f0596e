//! The parts of a body, one after the other, whatever its encoding.
//!
//! ```text
//!   {"Records": [{"Data": "aGk="}]}     MapStart Text ListStart MapStart Text Text End End End
//! ```
//!
//! Who reads a request pulls tokens and knows from the API model what each should be. What the
//! model does not know is skipped and never built, so a body takes as much memory as the model has
//! a use for, whatever it claims. Text and bytes are borrowed from the body where it has them as
//! they are.

use std::borrow::Cow;

/// How deep lists and maps may stand in each other: the API has four levels, and what it does not
/// know may have more.
pub const DEPTH_MAX: usize = 32;

/// One part of a body.
#[derive(Clone, PartialEq, Debug)]
pub enum Token<'b> {
    /// Nothing: a member that is null is absent.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number of 64 bits.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text. Where a map has its keys it is always text.
    Text(Cow<'b, str>),
    /// Bytes, which JSON has none of.
    Bytes(Cow<'b, [u8]>),
    /// A time in milliseconds since 1970, which JSON has as a number of seconds.
    Time(i64),
    /// Values follow, until the end.
    ListStart,
    /// Keys follow, each with its value, until the end.
    MapStart,
    /// The end of the innermost list or map.
    End,
}

/// The bytes are not a body in the encoding that was announced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

/// A body from which tokens are taken. After an error nothing may be taken any more.
pub trait Source<'b> {
    /// The next token.
    fn next(&mut self) -> Result<Token<'b>, Malformed>;

    /// Takes what belongs to `token`, which was the last that was taken.
    fn skip(&mut self, token: &Token<'_>) -> Result<(), Malformed> {
        let mut depth = match token {
            Token::ListStart | Token::MapStart => 1,
            _ => 0,
        };
        while depth > 0 {
            match self.next()? {
                Token::ListStart | Token::MapStart => depth += 1,
                Token::End => depth -= 1,
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether all was taken, and nothing follows.
    fn is_done(&mut self) -> bool;
}
