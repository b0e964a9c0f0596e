//! AWS CBOR 1.1: bodies as tokens, and values as bodies.
//!
//! Blobs are byte strings. A time is tag 1 over milliseconds, where RFC 8949 has seconds; one SDK
//! sends seconds with a fraction instead, which is told by the type. Lists, maps and strings may be
//! of indefinite length, and are with the Java SDK. Other tags are passed over.

use std::borrow::Cow;
use std::convert::Infallible;

use bytes::{BufMut, BytesMut};
use minicbor::data::{IanaTag, Type};
use minicbor::{Decoder, Encoder};

use super::token::{DEPTH_MAX, Malformed, Source, Token};
use super::value::Value;

/// A body in CBOR.
#[derive(Clone, Debug)]
pub struct Reader<'b> {
    decoder: Decoder<'b>,
    /// The lists and maps that are open; at most [`DEPTH_MAX`].
    open: Vec<Level>,
    has_begun: bool,
}

/// A list or map that is open.
#[derive(Clone, Copy, Debug)]
struct Level {
    is_map: bool,
    /// What is left of it, keys and values counted each; none where it is of indefinite length.
    left: Option<u64>,
    /// Whether a map's next item is a value.
    is_value: bool,
}

impl From<minicbor::decode::Error> for Malformed {
    fn from(_: minicbor::decode::Error) -> Self {
        Malformed
    }
}

impl<'b> Reader<'b> {
    /// Reads `body`.
    pub fn new(body: &'b [u8]) -> Self {
        Reader { decoder: Decoder::new(body), open: Vec::new(), has_begun: false }
    }

    /// Whether the innermost list or map ends here. If it does not, its next item is counted.
    fn is_at_end(&mut self) -> Result<bool, Malformed> {
        let Some(level) = self.open.last_mut() else { return Ok(false) };
        let is_end = match &mut level.left {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => {
                let is_break = self.decoder.datatype()? == Type::Break;
                if is_break {
                    if level.is_value {
                        return Err(Malformed);
                    }
                    self.decoder.set_position(self.decoder.position() + 1);
                }
                is_break
            }
        };
        Ok(is_end)
    }

    fn push(&mut self, is_map: bool, left: Option<u64>) -> Result<(), Malformed> {
        if self.open.len() == DEPTH_MAX {
            return Err(Malformed);
        }
        self.open.push(Level { is_map, left, is_value: false });
        Ok(())
    }

    fn item(&mut self) -> Result<Token<'b>, Malformed> {
        let mut is_time = false;
        loop {
            let decoder = &mut self.decoder;
            let token = match decoder.datatype()? {
                Type::Tag => {
                    is_time = decoder.tag()? == IanaTag::Timestamp.tag();
                    continue;
                }
                Type::Null | Type::Undefined => {
                    decoder.set_position(decoder.position() + 1);
                    Token::Null
                }
                Type::Bool => Token::Bool(decoder.bool()?),
                Type::U8
                | Type::U16
                | Type::U32
                | Type::U64
                | Type::I8
                | Type::I16
                | Type::I32
                | Type::I64
                | Type::Int => {
                    let number = i128::from(decoder.int()?);
                    match i64::try_from(number) {
                        Ok(number) if is_time => Token::Time(number),
                        Ok(number) => Token::Int(number),
                        Err(_) => Token::Float(number as f64),
                    }
                }
                Type::F16 => float(half(decoder)?, is_time),
                Type::F32 => float(decoder.f32()?.into(), is_time),
                Type::F64 => float(decoder.f64()?, is_time),
                Type::String => Token::Text(Cow::Borrowed(decoder.str()?)),
                Type::StringIndef => {
                    let parts: Result<String, _> = decoder.str_iter()?.collect();
                    Token::Text(Cow::Owned(parts?))
                }
                Type::Bytes => Token::Bytes(Cow::Borrowed(decoder.bytes()?)),
                Type::BytesIndef => {
                    let mut bytes = Vec::new();
                    for part in decoder.bytes_iter()? {
                        bytes.extend_from_slice(part?);
                    }
                    Token::Bytes(Cow::Owned(bytes))
                }
                Type::Array | Type::ArrayIndef => {
                    let left = decoder.array()?;
                    self.push(false, left)?;
                    Token::ListStart
                }
                Type::Map | Type::MapIndef => {
                    // Of more than the body can have there is no need to know how many.
                    let left = decoder.map()?.map(|pairs| pairs.saturating_mul(2));
                    self.push(true, left)?;
                    Token::MapStart
                }
                Type::Simple | Type::Break | Type::Unknown(_) => return Err(Malformed),
            };
            return Ok(token);
        }
    }
}

impl<'b> Source<'b> for Reader<'b> {
    fn next(&mut self) -> Result<Token<'b>, Malformed> {
        if self.open.is_empty() && self.has_begun {
            return Err(Malformed);
        }
        self.has_begun = true;
        if self.is_at_end()? {
            self.open.pop();
            return Ok(Token::End);
        }
        if let Some(level) = self.open.last_mut()
            && level.is_map
        {
            level.is_value = !level.is_value;
            // It has been turned: a key is next where a value will be.
            if level.is_value {
                let key = self.item()?;
                return if matches!(key, Token::Text(_)) { Ok(key) } else { Err(Malformed) };
            }
        }
        self.item()
    }

    fn is_done(&mut self) -> bool {
        self.has_begun
            && self.open.is_empty()
            && self.decoder.position() == self.decoder.input().len()
    }
}

/// A time in seconds, or a number.
fn float(number: f64, is_time: bool) -> Token<'static> {
    // A cast takes what is too large as the largest there is.
    if is_time { Token::Time((number * 1000.0).round() as i64) } else { Token::Float(number) }
}

/// A number of 16 bits: one of sign, five of exponent, ten of fraction.
fn half(decoder: &mut Decoder<'_>) -> Result<f64, Malformed> {
    let start = decoder.position() + 1;
    let bytes = decoder.input().get(start..start + 2).ok_or(Malformed)?;
    decoder.set_position(start + 2);
    let bits = u16::from_be_bytes([bytes[0], bytes[1]]);
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 0x3ff));
    let size = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    };
    Ok(if bits >> 15 == 1 { -size } else { size })
}

/// What is written goes into memory that grows.
pub(super) struct Out<'o>(pub(super) &'o mut BytesMut);

impl minicbor::encode::Write for Out<'_> {
    type Error = Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.put_slice(bytes);
        Ok(())
    }
}

/// Why writing cannot fail.
pub(super) const GROWS: &str = "a BytesMut grows as far as it must";

/// Appends a value. Lists and maps are of definite length.
pub fn write(value: &Value, out: &mut BytesMut) {
    append(value, &mut Encoder::new(Out(out))).expect(GROWS);
}

fn append(
    value: &Value,
    out: &mut Encoder<Out<'_>>,
) -> Result<(), minicbor::encode::Error<Infallible>> {
    match value {
        Value::Bool(flag) => out.bool(*flag)?,
        Value::Int(number) => out.i64(*number)?,
        Value::Float(number) => out.f64(*number)?,
        Value::Text(text) => out.str(text)?,
        Value::Blob(bytes) => out.bytes(bytes)?,
        Value::Time(time_ms) => out.tag(IanaTag::Timestamp)?.i64(*time_ms)?,
        Value::List(values) => {
            out.array(values.len() as u64)?;
            for value in values {
                append(value, out)?;
            }
            out
        }
        Value::Map(members) => {
            out.map(members.len() as u64)?;
            for (name, value) in members.iter() {
                out.str(name)?;
                append(value, out)?;
            }
            out
        }
    };
    Ok(())
}

#[cfg(test)]
mod tests;
