//! From tokens to the values that the model has a use for.
//!
//! The texts are those recorded from the service, whose numbers are a class of their own. A number
//! is taken for a whole one as there, by leaving its fraction out, and as the largest of 32 bits
//! where it lies beyond.

use std::borrow::Cow;
use std::collections::HashMap;

use super::shape::{Member, Shape};
use crate::kinesis::base64;
use crate::kinesis::token::{Malformed, Source, Token};
use crate::kinesis::value::{Members, Value};

/// Why reading stopped.
pub(super) enum Stop {
    /// The body is not in its encoding, or has no members.
    Malformed,
    /// Something is of the wrong type, in the service's words.
    Type(String),
}

impl From<Malformed> for Stop {
    fn from(_: Malformed) -> Self {
        Stop::Malformed
    }
}

/// Characters of a text that an error text shows of it.
const SHOWN_CHARS: usize = 1024;

/// Reads the structure that is the body.
pub(super) fn body<'b>(
    source: &mut impl Source<'b>,
    shape: &'static [Member],
) -> Result<Members, Stop> {
    match source.next()? {
        Token::MapStart => structure(source, shape),
        Token::ListStart => Err(Stop::Type(LIST_START.to_owned())),
        _ => Err(Stop::Malformed),
    }
}

const LIST_START: &str = "Start of list found where not expected";
const MAP_START: &str = "Start of structure or map found where not expected.";

fn structure<'b>(source: &mut impl Source<'b>, shape: &'static [Member]) -> Result<Members, Stop> {
    let mut members = Members::new();
    while let Token::Text(name) = source.next()? {
        let token = source.next()?;
        let Some(member) = shape.iter().find(|member| member.name == name) else {
            source.skip(&token)?;
            continue;
        };
        match value(source, token, member.shape)? {
            Some(value) => members.insert(member.name, value),
            None => drop(members.take(member.name)),
        }
    }
    Ok(members)
}

/// The value that begins with `token`; none where it is null.
fn value<'b>(
    source: &mut impl Source<'b>,
    token: Token<'b>,
    shape: &'static Shape,
) -> Result<Option<Value>, Stop> {
    let wrong = |text: &str| Err(Stop::Type(text.to_owned()));
    Ok(Some(match (shape, token) {
        (_, Token::Null) => return Ok(None),
        (_, Token::End) => return Err(Stop::Malformed),

        (Shape::Structure(members), Token::MapStart) => Value::Map(structure(source, members)?),
        (Shape::List { of, max, .. }, Token::ListStart) => Value::List(list(source, of, *max)?),
        (Shape::Map { value, max, .. }, Token::MapStart) => Value::Map(map(source, value, *max)?),
        (_, Token::ListStart) => return wrong(LIST_START),
        (_, Token::MapStart) => return wrong(MAP_START),
        (Shape::Structure(_), _) => return wrong("Expected null"),
        (Shape::List { .. }, _) => return wrong("Expected list or null"),
        (Shape::Map { .. }, _) => return wrong("Expected map or null"),

        (Shape::Text { .. } | Shape::Enum(_), Token::Text(text)) => Value::Text(text.into_owned()),
        (Shape::Text { .. } | Shape::Enum(_), token) => {
            return Err(converted(&token, "an String"));
        }
        (Shape::Integer { .. }, Token::Int(number)) => Value::Int(whole(number)),
        // A cast leaves the fraction out, and takes what is too large as the largest there is.
        (Shape::Integer { .. }, Token::Float(number)) => Value::Int(whole(number.floor() as i64)),
        (Shape::Integer { .. }, token) => return Err(converted(&token, "an Integer")),

        (Shape::Boolean, Token::Bool(flag)) => Value::Bool(flag),
        // Whole numbers are refused; those with a fraction the service takes.
        (Shape::Boolean, Token::Float(number)) => Value::Bool(number != 0.0),
        (Shape::Boolean, Token::Text(text)) => Value::Bool(truth(&text)?),
        (Shape::Boolean, token) => return Err(converted(&token, "an Boolean")),

        (Shape::Blob { .. }, Token::Bytes(bytes)) => Value::Blob(bytes.into_owned().into()),
        (Shape::Blob { .. }, Token::Text(text)) => match base64::decode(text.as_bytes()) {
            Some(bytes) => Value::Blob(bytes.into()),
            None => {
                let (shown, why) = (shown(&text), base64::fault(&text));
                return Err(Stop::Type(format!("'{shown}' can not be converted to a Blob: {why}")));
            }
        },
        (Shape::Blob { .. }, token) => return Err(converted(&token, "a Blob")),

        (Shape::Timestamp, Token::Time(time_ms)) => Value::Time(time_ms),
        // Seconds, as in JSON, where they have a fraction or not.
        (Shape::Timestamp, Token::Int(seconds)) => Value::Time(seconds.saturating_mul(1000)),
        (Shape::Timestamp, Token::Float(seconds)) => Value::Time((seconds * 1000.0).round() as i64),
        (Shape::Timestamp, token) => return Err(converted(&token, "milliseconds since epoch")),
    }))
}

/// The values of a list, whose start was taken. Of too many one is kept, which tells it.
fn list<'b>(
    source: &mut impl Source<'b>,
    of: &'static Shape,
    max: usize,
) -> Result<Vec<Value>, Stop> {
    let mut values = Vec::new();
    loop {
        let token = source.next()?;
        if token == Token::End {
            return Ok(values);
        }
        let value = value(source, token, of)?.ok_or_else(null)?;
        if values.len() <= max {
            values.push(value);
        }
    }
}

/// The entries of a map, whose start was taken: of a key that is repeated the last. Of too many one
/// is kept, which tells it.
fn map<'b>(source: &mut impl Source<'b>, of: &'static Shape, max: usize) -> Result<Members, Stop> {
    let mut entries: Vec<(String, Value)> = Vec::new();
    let mut indexes: HashMap<String, usize> = HashMap::new();
    while let Token::Text(key) = source.next()? {
        let token = source.next()?;
        let value = value(source, token, of)?.ok_or_else(null)?;
        if let Some(&index) = indexes.get(key.as_ref()) {
            entries[index].1 = value;
        } else if entries.len() <= max {
            indexes.insert(key.clone().into_owned(), entries.len());
            entries.push((key.into_owned(), value));
        }
    }
    Ok(entries.into_iter().collect())
}

/// What is absent can have no place among others.
fn null() -> Stop {
    Stop::Type("Null value found where not expected.".to_owned())
}

fn whole(number: i64) -> i64 {
    number.clamp(i32::MIN.into(), i32::MAX.into())
}

fn truth(text: &str) -> Result<bool, Stop> {
    let is = |words: [&str; 3]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(["true", "1", "yes"]) {
        return Ok(true);
    }
    if is(["false", "0", "no"]) {
        return Ok(false);
    }
    let text = text.to_uppercase();
    let shown = shown(&text);
    Err(Stop::Type(format!("'{shown}' can not be converted to an Boolean")))
}

fn converted(token: &Token<'_>, to: &str) -> Stop {
    let class = match token {
        Token::Bool(_) => "java.lang.Boolean",
        Token::Text(_) => "java.lang.String",
        Token::Bytes(_) => "java.nio.HeapByteBuffer",
        Token::Time(_) => "java.util.Date",
        _ => "com.amazon.coral.value.json.numbers.TruncatingBigNumber",
    };
    Stop::Type(format!("class {class} can not be converted to {to}"))
}

/// A text from outside, of a length that an error text can have.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => Cow::Owned(format!("{}...", &text[..end])),
        None => Cow::Borrowed(text),
    }
}
