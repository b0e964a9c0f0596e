//! A walker over `PutRecordsRequest` and `ProduceRequest`, which share their field numbers.
//!
//! [`Fields`] yields the fields of a message in the order of its bytes, each borrowed from
//! them. It allocates nothing and reads every byte once; a length is compared with what is
//! there before it is used, so no claim in the message can make it panic or reserve memory.

use std::fmt;

/// What a message may hold, in the order in which it does. A field that is repeated though it
/// should stand once appears as often; as everywhere in protobuf, the last one counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field<'a> {
    /// `stream_name`.
    StreamName(&'a str),
    /// One of `records`.
    Entry(Entry<'a>),
    /// `stream_arn`.
    StreamArn(&'a str),
    /// `dry_run`, which only `PutRecordsRequest` declares.
    DryRun(bool),
}

/// A `PutRecordsRequestEntry`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Entry<'a> {
    /// The payload.
    pub data: &'a [u8],
    /// The partition key; empty where the message has none.
    pub partition_key: &'a str,
    /// The explicit hash key, if the message has one.
    pub explicit_hash_key: Option<&'a str>,
}

/// Why bytes are not a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// The bytes end within a field.
    Truncated,
    /// A varint of more than 64 bits.
    Varint,
    /// A field number of 0 or above 2^29 - 1.
    FieldNumber,
    /// A field of another type than the message declares, or of a type that does not exist.
    WireType,
    /// A group.
    Group,
    /// Text that is not UTF-8.
    NotUtf8 {
        /// The field that holds it.
        field: &'static str,
    },
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Malformed::Truncated => "the message ends within a field",
            Malformed::Varint => "the message has a varint of more than 64 bits",
            Malformed::FieldNumber => "the message has an impossible field number",
            Malformed::WireType => "the message has a field of the wrong wire type",
            Malformed::Group => "the message has a group",
            Malformed::NotUtf8 { field } => return write!(f, "{field} is not valid UTF-8"),
        })
    }
}

impl std::error::Error for Malformed {}

/// The fields of a `PutRecordsRequest` or `ProduceRequest`. After an error it yields no more.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Walks `message`.
    pub fn new(message: &'a [u8]) -> Self {
        Fields { rest: message }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let field = next_field(&mut self.rest).and_then(|(number, value)| match number {
                1 => text(value, "stream_name").map(|name| Some(Field::StreamName(name))),
                2 => entry(value.delimited()?).map(|entry| Some(Field::Entry(entry))),
                3 => text(value, "stream_arn").map(|arn| Some(Field::StreamArn(arn))),
                4 => value.flag().map(|is_set| Some(Field::DryRun(is_set))),
                _ => Ok(None),
            });
            match field {
                Ok(Some(field)) => return Some(Ok(field)),
                Ok(None) => {}
                Err(malformed) => {
                    self.rest = &[];
                    return Some(Err(malformed));
                }
            }
        }
        None
    }
}

fn entry(mut rest: &[u8]) -> Result<Entry<'_>, Malformed> {
    let mut entry = Entry::default();
    while !rest.is_empty() {
        let (number, value) = next_field(&mut rest)?;
        match number {
            1 => entry.data = value.delimited()?,
            2 => entry.partition_key = text(value, "partition_key")?,
            3 => entry.explicit_hash_key = Some(text(value, "explicit_hash_key")?),
            _ => {}
        }
    }
    Ok(entry)
}

/// A field's value. Numbers of fixed width are skipped, since neither message declares one.
#[derive(Clone, Copy)]
enum Value<'a> {
    Varint(u64),
    Fixed,
    Delimited(&'a [u8]),
}

impl<'a> Value<'a> {
    fn delimited(self) -> Result<&'a [u8], Malformed> {
        match self {
            Value::Delimited(bytes) => Ok(bytes),
            Value::Varint(_) | Value::Fixed => Err(Malformed::WireType),
        }
    }

    fn flag(self) -> Result<bool, Malformed> {
        match self {
            Value::Varint(value) => Ok(value != 0),
            Value::Fixed | Value::Delimited(_) => Err(Malformed::WireType),
        }
    }
}

fn text<'a>(value: Value<'a>, field: &'static str) -> Result<&'a str, Malformed> {
    std::str::from_utf8(value.delimited()?).map_err(|_| Malformed::NotUtf8 { field })
}

/// Takes one field, known or not, from the front of `rest`.
fn next_field<'a>(rest: &mut &'a [u8]) -> Result<(u32, Value<'a>), Malformed> {
    // A key has 32 bits: 29 of the number and 3 of the type.
    let key = u32::try_from(varint(rest)?).map_err(|_| Malformed::FieldNumber)?;
    let wire_type = key & 7;
    if wire_type > 5 {
        return Err(Malformed::WireType);
    }
    let number = key >> 3;
    if number == 0 {
        return Err(Malformed::FieldNumber);
    }
    let value = match wire_type {
        0 => Value::Varint(varint(rest)?),
        1 => {
            take(rest, 8)?;
            Value::Fixed
        }
        2 => {
            let len = varint(rest)?;
            Value::Delimited(take(rest, len)?)
        }
        5 => {
            take(rest, 4)?;
            Value::Fixed
        }
        _ => return Err(Malformed::Group),
    };
    Ok((number, value))
}

fn take<'a>(rest: &mut &'a [u8], len: u64) -> Result<&'a [u8], Malformed> {
    let len = usize::try_from(len).map_err(|_| Malformed::Truncated)?;
    let (taken, left) = rest.split_at_checked(len).ok_or(Malformed::Truncated)?;
    *rest = left;
    Ok(taken)
}

#[inline]
fn varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    // Keys have one byte and most lengths two at most.
    match **rest {
        [low @ ..0x80, ..] => {
            *rest = &rest[1..];
            Ok(u64::from(low))
        }
        [low, high @ ..0x80, ..] => {
            *rest = &rest[2..];
            Ok(u64::from(low & 0x7f) | u64::from(high) << 7)
        }
        _ => long_varint(rest),
    }
}

fn long_varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0u64;
    for (index, &byte) in rest.iter().take(10).enumerate() {
        // Ten groups of seven bits are 70: of the tenth only the lowest bit fits.
        if index == 9 && byte > 1 {
            return Err(Malformed::Varint);
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            *rest = &rest[index + 1..];
            return Ok(value);
        }
    }
    Err(Malformed::Truncated)
}

#[cfg(test)]
mod tests;
