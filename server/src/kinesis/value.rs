//! What a request or a reply of the Kinesis API says, whatever the encoding it travels in.
//!
//! A request becomes a [`Members`] when the API model has read it: names are the model's, types
//! are as it says, absent members and those that are null are not there. So what takes a value out
//! cannot meet a wrong type, and finds none where there is none. A reply is built with
//! [`Members::with`] and [`Members::with_some`] and written by an encoding.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

use super::{cbor, json};

/// How the bodies of a connection's requests and replies are written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Encoding {
    /// AWS JSON 1.1: blobs in base64, times as seconds with a fraction.
    Json,
    /// AWS CBOR 1.1: blobs as byte strings, times as tag 1 over milliseconds.
    Cbor,
}

impl Encoding {
    /// The media type of requests and replies.
    pub const fn content_type(self) -> &'static str {
        match self {
            Encoding::Json => "application/x-amz-json-1.1",
            Encoding::Cbor => "application/x-amz-cbor-1.1",
        }
    }

    /// Appends a value.
    pub fn write(self, value: &Value, out: &mut BytesMut) {
        match self {
            Encoding::Json => json::write(value, out),
            Encoding::Cbor => cbor::write(value, out),
        }
    }
}

/// One value.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction, or one beyond 64 bits.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes, as they are.
    Blob(Bytes),
    /// A time, in milliseconds since 1970.
    Time(i64),
    /// Values in their order.
    List(Vec<Value>),
    /// A structure, or a map from text.
    Map(Members),
}

impl Value {
    /// The text, where it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The members, where it is a structure or a map.
    pub fn as_map(&self) -> Option<&Members> {
        match self {
            Value::Map(members) => Some(members),
            _ => None,
        }
    }

    /// The text, where it is one.
    pub fn into_text(self) -> Option<String> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The members, where it is a structure or a map.
    pub fn into_map(self) -> Option<Members> {
        match self {
            Value::Map(members) => Some(members),
            _ => None,
        }
    }
}

/// The members of a structure, or the entries of a map, in the order in which they were given.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Members(Vec<(Cow<'static, str>, Value)>);

impl Members {
    /// No members.
    pub const fn new() -> Members {
        Members(Vec::new())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names and their values, in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// The value of a member.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(is, _)| is == name).map(|(_, value)| value)
    }

    /// Whether the member is there.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The value of a member, which is then no longer there.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        let index = self.0.iter().position(|(is, _)| is == name)?;
        Some(self.0.remove(index).1)
    }

    /// A text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_text)
    }

    /// A text, which is then no longer there.
    pub fn take_text(&mut self, name: &str) -> Option<String> {
        self.take(name).and_then(Value::into_text)
    }

    /// A whole number.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.get(name) {
            Some(Value::Int(number)) => Some(*number),
            _ => None,
        }
    }

    /// A truth value.
    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.get(name) {
            Some(Value::Bool(flag)) => Some(*flag),
            _ => None,
        }
    }

    /// A time, in milliseconds since 1970.
    pub fn time(&self, name: &str) -> Option<i64> {
        match self.get(name) {
            Some(Value::Time(time_ms)) => Some(*time_ms),
            _ => None,
        }
    }

    /// Bytes. They are shared, not copied.
    pub fn blob(&self, name: &str) -> Option<Bytes> {
        match self.get(name) {
            Some(Value::Blob(bytes)) => Some(bytes.clone()),
            _ => None,
        }
    }

    /// A list.
    pub fn list(&self, name: &str) -> Option<&[Value]> {
        match self.get(name) {
            Some(Value::List(values)) => Some(values),
            _ => None,
        }
    }

    /// A list, which is then no longer there.
    pub fn take_list(&mut self, name: &str) -> Option<Vec<Value>> {
        match self.take(name) {
            Some(Value::List(values)) => Some(values),
            _ => None,
        }
    }

    /// The texts of a list, which is then no longer there.
    pub fn take_texts(&mut self, name: &str) -> Option<Vec<String>> {
        let values = self.take_list(name)?;
        Some(values.into_iter().filter_map(Value::into_text).collect())
    }

    /// A structure or a map.
    pub fn map(&self, name: &str) -> Option<&Members> {
        self.get(name).and_then(Value::as_map)
    }

    /// A structure or a map, which is then no longer there.
    pub fn take_map(&mut self, name: &str) -> Option<Members> {
        self.take(name).and_then(Value::into_map)
    }

    /// Adds a member, or replaces the value that it has.
    pub fn insert(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(is, _)| *is == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    /// The members and one behind them, whose name is not yet among them.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Members {
        self.0.push((name.into(), value.into()));
        self
    }

    /// The members and, if there is a value, one behind them, whose name is not yet among them.
    #[must_use]
    pub fn with_some(
        self,
        name: impl Into<Cow<'static, str>>,
        value: Option<impl Into<Value>>,
    ) -> Members {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}

/// Names that are not repeated, with their values.
impl<N: Into<Cow<'static, str>>, V: Into<Value>> FromIterator<(N, V)> for Members {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(members: I) -> Members {
        let members = members.into_iter();
        Members(members.map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl IntoIterator for Members {
    type Item = (Cow<'static, str>, Value);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Value {
        Value::Bool(flag)
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Value {
        Value::Int(number.into())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Value {
        Value::Int(number.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Int(number)
    }
}

/// What lies beyond the API's 64 bits is said as the largest number there is.
impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Value {
        Value::from(number as u64)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Float(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Value {
        Value::Blob(bytes)
    }
}

impl From<Members> for Value {
    fn from(members: Members) -> Value {
        Value::Map(members)
    }
}

impl<V: Into<Value>> From<Vec<V>> for Value {
    fn from(values: Vec<V>) -> Value {
        Value::List(values.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_comes_out_by_its_name_and_type() {
        let inner = Members::new().with("ShardId", "shardId-000000000000");
        let mut members = Members::new()
            .with("StreamName", "orders")
            .with("Limit", 25)
            .with("DryRun", true)
            .with("Timestamp", Value::Time(1_767_225_600_123))
            .with("Data", Bytes::from_static(b"\0\xff"))
            .with("TagKeys", vec!["a", "b"])
            .with("Shards", vec![inner.clone()])
            .with("Shard", inner.clone())
            .with_some("NextToken", None::<String>)
            .with_some("KeyId", Some("alias/aws/kinesis"));
        assert_eq!(members.len(), 9);
        assert_eq!(members.text("StreamName"), Some("orders"));
        assert_eq!(members.int("Limit"), Some(25));
        assert_eq!(members.flag("DryRun"), Some(true));
        assert_eq!(members.time("Timestamp"), Some(1_767_225_600_123));
        assert_eq!(members.blob("Data").as_deref(), Some(&b"\0\xff"[..]));
        assert_eq!(members.list("Shards"), Some(&[Value::Map(inner.clone())][..]));
        assert_eq!(members.text("KeyId"), Some("alias/aws/kinesis"));
        assert!(!members.has("NextToken"));
        // A member of another type is none of the type that is asked for.
        assert_eq!((members.text("Limit"), members.int("StreamName")), (None, None));

        assert_eq!(members.take_text("StreamName").as_deref(), Some("orders"));
        assert_eq!(members.take_text("StreamName"), None);
        assert_eq!(members.take_texts("TagKeys"), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(members.take_map("Shard"), Some(inner));
        members.insert("Limit", 26);
        assert_eq!((members.int("Limit"), members.len()), (Some(26), 6));
    }

    #[test]
    fn a_number_beyond_the_apis_is_its_largest() {
        assert_eq!(Value::from(u64::MAX), Value::Int(i64::MAX));
        assert_eq!(Value::from(7u64), Value::Int(7));
    }
}
