//! Where a line's partition key comes from. The line itself is never changed by it.

use std::fmt;

use serde_json::Value;

/// Where keys come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum KeySource {
    /// The number of the line, from 1.
    LineNumber,
    /// The same key for every line.
    Fixed(String),
    /// A field of the JSON object that a line is.
    Field(String),
    /// A column of a line of CSV, from 1.
    Column(usize),
}

/// Why a line has no key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum NoKey {
    NotJson(String),
    NotAnObject,
    NoField(String),
    NotAKey(String),
    NoColumn { wanted: usize, columns: usize },
    NotUtf8(usize),
}

impl fmt::Display for NoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoKey::NotJson(why) => write!(f, "not JSON, so there is no field to read: {why}"),
            NoKey::NotAnObject => f.write_str("not a JSON object, so it has no fields"),
            NoKey::NoField(field) => write!(f, "there is no field {field:?}"),
            NoKey::NotAKey(field) => {
                write!(f, "field {field:?} is neither text, a number nor a boolean")
            }
            NoKey::NoColumn { wanted, columns } => {
                write!(f, "there is no column {wanted}, the line has {columns}")
            }
            NoKey::NotUtf8(column) => write!(f, "column {column} is not UTF-8"),
        }
    }
}

impl KeySource {
    /// The key of a line.
    pub(super) fn key(&self, line: &[u8], line_number: u64) -> Result<String, NoKey> {
        match self {
            KeySource::LineNumber => Ok(line_number.to_string()),
            KeySource::Fixed(key) => Ok(key.clone()),
            KeySource::Field(field) => field_of(line, field),
            KeySource::Column(column) => column_of(line, *column),
        }
    }
}

fn field_of(line: &[u8], field: &str) -> Result<String, NoKey> {
    let value: Value =
        serde_json::from_slice(line).map_err(|error| NoKey::NotJson(error.to_string()))?;
    let object = value.as_object().ok_or(NoKey::NotAnObject)?;
    match object.get(field) {
        None => Err(NoKey::NoField(field.to_owned())),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
        Some(_) => Err(NoKey::NotAKey(field.to_owned())),
    }
}

fn column_of(line: &[u8], column: usize) -> Result<String, NoKey> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        // A line is read once: its own length is all the buffer it needs.
        .buffer_capacity(line.len().clamp(64, 8 << 10))
        .from_reader(line);
    let mut row = csv::ByteRecord::new();
    // Any bytes are a row of CSV, so there is nothing to refuse; an empty line has none.
    let _ = reader.read_byte_record(&mut row);
    let value =
        row.get(column - 1).ok_or(NoKey::NoColumn { wanted: column, columns: row.len() })?;
    String::from_utf8(value.to_vec()).map_err(|_| NoKey::NotUtf8(column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_field_is_the_key_if_it_is_a_plain_value() {
        let key = |line: &str| KeySource::Field("id".to_owned()).key(line.as_bytes(), 1);
        assert_eq!(key(r#"{"id":"a b","x":1}"#), Ok("a b".to_owned()));
        assert_eq!(key(r#"{"x":{"id":1},"id":42}"#), Ok("42".to_owned()));
        assert_eq!(key("{\"id\":true}\r"), Ok("true".to_owned()));
        assert_eq!(key(r#"{"x":1}"#), Err(NoKey::NoField("id".to_owned())));
        assert_eq!(key(r#"{"id":null}"#), Err(NoKey::NotAKey("id".to_owned())));
        assert_eq!(key(r#"{"id":[1]}"#), Err(NoKey::NotAKey("id".to_owned())));
        assert_eq!(key("[1]"), Err(NoKey::NotAnObject));
        assert!(matches!(key("id=1"), Err(NoKey::NotJson(_))));
        assert!(matches!(key(""), Err(NoKey::NotJson(_))));
    }

    #[test]
    fn a_csv_column_is_the_key_quotes_aside() {
        let key = |line: &[u8], column| KeySource::Column(column).key(line, 1);
        assert_eq!(key(b"a,b,c", 2), Ok("b".to_owned()));
        assert_eq!(key(b"a,\"b,\"\"x\",c\r", 2), Ok("b,\"x".to_owned()));
        assert_eq!(key(b"a,b\r", 2), Ok("b".to_owned()));
        assert_eq!(key(b"a,b", 3), Err(NoKey::NoColumn { wanted: 3, columns: 2 }));
        assert_eq!(key(b"", 1), Err(NoKey::NoColumn { wanted: 1, columns: 0 }));
        assert_eq!(key(b"\xff,b", 1), Err(NoKey::NotUtf8(1)));
    }

    #[test]
    fn without_a_source_the_line_number_is_the_key() {
        assert_eq!(KeySource::LineNumber.key(b"x", 17), Ok("17".to_owned()));
        assert_eq!(KeySource::Fixed("k".to_owned()).key(b"x", 17), Ok("k".to_owned()));
    }
}
