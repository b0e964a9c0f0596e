//! AWS JSON 1.1: bodies as tokens, and values as bodies.
//!
//! The reader is written by hand because the hot path of puts stands on it: text without escapes is
//! borrowed from the body, which no parser of our dependencies gives one token at a time. It takes
//! what RFC 8259 allows and nothing else, and of a key that is repeated the last value counts, since
//! that is the order in which tokens come.

mod write;

use std::borrow::Cow;

pub use self::write::{write, write_blob, write_text, write_time};
use super::token::{DEPTH_MAX, Malformed, Source, Token};

/// A body in JSON.
#[derive(Clone, Debug)]
pub struct Reader<'b> {
    text: &'b str,
    at: usize,
    depth: usize,
    /// For each level, from the lowest bit on, whether it is a map.
    maps: u64,
    place: Place,
}

/// What may stand where the reader stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// The value that is the body.
    Body,
    /// What comes first in a list or map, or its end.
    First,
    /// A comma and what follows it, or the end.
    Next,
    /// The value of a key.
    Value,
    /// Nothing.
    Done,
}

impl<'b> Reader<'b> {
    /// Reads `body`, if it is UTF-8.
    pub fn new(body: &'b [u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(body).map_err(|_| Malformed)?;
        Ok(Reader { text, at: 0, depth: 0, maps: 0, place: Place::Body })
    }

    fn is_in_map(&self) -> bool {
        self.maps >> self.depth & 1 == 1
    }

    /// The byte that follows white space.
    fn peek(&mut self) -> Result<u8, Malformed> {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Ok(byte);
            }
            self.at += 1;
        }
        Err(Malformed)
    }

    fn key(&mut self) -> Result<Token<'b>, Malformed> {
        if self.peek()? != b'"' {
            return Err(Malformed);
        }
        let key = self.string()?;
        if self.peek()? != b':' {
            return Err(Malformed);
        }
        self.at += 1;
        self.place = Place::Value;
        Ok(Token::Text(key))
    }

    fn value(&mut self) -> Result<Token<'b>, Malformed> {
        let token = match self.peek()? {
            b'"' => Token::Text(self.string()?),
            b'{' => return self.open(true),
            b'[' => return self.open(false),
            b'n' => self.word("null", Token::Null)?,
            b't' => self.word("true", Token::Bool(true))?,
            b'f' => self.word("false", Token::Bool(false))?,
            b'-' | b'0'..=b'9' => self.number()?,
            _ => return Err(Malformed),
        };
        self.place = if self.depth == 0 { Place::Done } else { Place::Next };
        Ok(token)
    }

    fn open(&mut self, is_map: bool) -> Result<Token<'b>, Malformed> {
        if self.depth == DEPTH_MAX {
            return Err(Malformed);
        }
        self.at += 1;
        self.depth += 1;
        self.maps = self.maps & !(1 << self.depth) | u64::from(is_map) << self.depth;
        self.place = Place::First;
        Ok(if is_map { Token::MapStart } else { Token::ListStart })
    }

    fn close(&mut self) -> Token<'b> {
        self.at += 1;
        self.depth -= 1;
        self.place = if self.depth == 0 { Place::Done } else { Place::Next };
        Token::End
    }

    fn word(&mut self, word: &str, token: Token<'b>) -> Result<Token<'b>, Malformed> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(Malformed);
        }
        self.at += word.len();
        Ok(token)
    }

    fn number(&mut self) -> Result<Token<'b>, Malformed> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let byte = |at: usize| bytes.get(at).copied().unwrap_or_default();
        let digits = |mut at: usize| {
            while byte(at).is_ascii_digit() {
                at += 1;
            }
            at
        };
        let first = start + usize::from(byte(start) == b'-');
        let whole = digits(first);
        // At least one digit, and none behind a leading zero.
        if whole == first || (byte(first) == b'0' && whole > first + 1) {
            return Err(Malformed);
        }
        let mut end = whole;
        if byte(end) == b'.' {
            end = digits(whole + 1);
            if end == whole + 1 {
                return Err(Malformed);
            }
        }
        if matches!(byte(end), b'e' | b'E') {
            let exponent = end + 1 + usize::from(matches!(byte(end + 1), b'+' | b'-'));
            end = digits(exponent);
            if end == exponent {
                return Err(Malformed);
            }
        }
        self.at = end;
        let text = &self.text[start..end];
        // Of whole numbers only a double has a negative zero.
        if end == whole
            && text != "-0"
            && let Ok(number) = text.parse()
        {
            return Ok(Token::Int(number));
        }
        text.parse().map(Token::Float).map_err(|_| Malformed)
    }

    /// A string, of which the opening quote is next.
    fn string(&mut self) -> Result<Cow<'b, str>, Malformed> {
        let start = self.at + 1;
        let rest = &self.text.as_bytes()[start..];
        let plain = memchr::memchr2(b'"', b'\\', rest).ok_or(Malformed)?;
        // Without a branch for each byte, so that the compiler takes many at once.
        let controls = rest[..plain].iter().fold(0, |any, &byte| any | u8::from(byte < 0x20));
        if controls != 0 {
            return Err(Malformed);
        }
        let text = &self.text[start..start + plain];
        self.at = start + plain;
        if rest[plain] == b'"' {
            self.at += 1;
            return Ok(Cow::Borrowed(text));
        }
        let mut text = text.to_owned();
        loop {
            // A backslash is next.
            text.push(self.escape()?);
            let rest = &self.text[self.at..];
            let plain = rest.find(['"', '\\']).ok_or(Malformed)?;
            if rest.as_bytes()[..plain].iter().any(|&byte| byte < 0x20) {
                return Err(Malformed);
            }
            text.push_str(&rest[..plain]);
            self.at += plain;
            if rest.as_bytes()[plain] == b'"' {
                self.at += 1;
                return Ok(Cow::Owned(text));
            }
        }
    }

    fn escape(&mut self) -> Result<char, Malformed> {
        let escaped = *self.text.as_bytes().get(self.at + 1).ok_or(Malformed)?;
        self.at += 2;
        Ok(match escaped {
            b'"' | b'\\' | b'/' => escaped.into(),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.hex()?;
                let is_pair = (0xd800..0xdc00).contains(&unit)
                    && self.text.as_bytes()[self.at..].starts_with(b"\\u");
                let units = if is_pair {
                    self.at += 2;
                    [unit, self.hex()?]
                } else {
                    [unit, 0]
                };
                let mut chars = char::decode_utf16(units);
                // Half a pair is no character, and two halves are one.
                let first = chars.next().ok_or(Malformed)?.map_err(|_| Malformed)?;
                if is_pair && chars.next().is_some() {
                    return Err(Malformed);
                }
                first
            }
            _ => return Err(Malformed),
        })
    }

    fn hex(&mut self) -> Result<u16, Malformed> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).ok_or(Malformed)?;
        self.at += 4;
        digits.iter().try_fold(0, |unit, &digit| {
            let digit = char::from(digit).to_digit(16).ok_or(Malformed)?;
            Ok(unit << 4 | digit as u16)
        })
    }
}

impl<'b> Source<'b> for Reader<'b> {
    #[inline]
    fn next(&mut self) -> Result<Token<'b>, Malformed> {
        let is_in_map = self.is_in_map();
        match self.place {
            Place::Body | Place::Value => return self.value(),
            Place::First | Place::Next => {}
            Place::Done => return Err(Malformed),
        }
        let byte = self.peek()?;
        if byte == if is_in_map { b'}' } else { b']' } {
            return Ok(self.close());
        }
        if self.place == Place::Next {
            if byte != b',' {
                return Err(Malformed);
            }
            self.at += 1;
        }
        if is_in_map { self.key() } else { self.value() }
    }

    fn is_done(&mut self) -> bool {
        self.place == Place::Done && self.peek().is_err()
    }
}

#[cfg(test)]
mod tests;
