//! PutRecords: records are read from the body straight into a batch, and what became of them is
//! written straight into the reply.
//!
//! ```text
//!   body --tokens--> entries: keys borrowed, data borrowed (CBOR) or decoded into one buffer (JSON)
//!     |                --> batch --> ops
//!     +-- anything out of the ordinary --> model: serves it all the same, or says what is wrong
//! ```
//!
//! The fast reader takes what SDKs send and judges nothing: where it meets something else, a member
//! that it does not know or a value near a limit, the whole body is read again by the model.

use std::borrow::Cow;
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use http::{Response, StatusCode};
use tonic::body::Body;

use super::door::Failure;
use super::json::{self, write_text};
use super::records::{Major, put_cbor_head, put_cbor_text};
use super::token::{Source, Token};
use super::value::{Encoding, Members, Value};
use super::{base64, cbor, model, reply};
use crate::aws::arn;
use crate::aws::sequence::DIGITS;
use crate::metrics::Operation;
use crate::ops::batch::Batch;
use crate::ops::put::Outcome;
use crate::ops::put_records::PutHead;
use crate::ops::{Caller, Ops, StreamFields};

/// Entries of a call at most (API model). One with more is for the model.
const ENTRIES_MAX: usize = 500;
/// Bytes of a key that has at most 256 characters for certain.
const KEY_BYTES: Range<usize> = 1..257;
/// Bytes of a blob at most (API model).
const DATA_BYTES_MAX: usize = 10 << 20;
/// Bytes of a reply's entry in either encoding, and some to spare.
const RESULT_BYTES: usize = 128;

/// A call as it is read. Two are the same that put the same records in the same place.
#[derive(Debug, Default)]
pub struct Call<'b> {
    stream_name: Option<Cow<'b, str>>,
    stream_arn: Option<Cow<'b, str>>,
    is_dry_run: Option<bool>,
    entries: Vec<Entry<'b>>,
    /// What was decoded. It is never longer than the body.
    decoded: Vec<u8>,
}

/// A record to put.
#[derive(Debug)]
struct Entry<'b> {
    key: Cow<'b, str>,
    explicit_hash_key: Option<Cow<'b, str>>,
    data: Data<'b>,
}

#[derive(Debug)]
enum Data<'b> {
    Borrowed(&'b [u8]),
    Shared(Bytes),
    /// A part of [`Call::decoded`].
    Decoded(Range<usize>),
}

/// Serves a call.
pub(super) async fn call(
    ops: &Ops,
    caller: &Caller,
    encoding: Encoding,
    bytes: &Bytes,
) -> Result<Response<Body>, Failure> {
    let call = match Call::ordinary(encoding, bytes) {
        Some(call) => call,
        None => Call::of_members(model::read(Operation::PutRecords, encoding, bytes)?),
    };
    let mut batch = Batch::default();
    let mut draft = batch.begin();
    for entry in &call.entries {
        draft.push(&entry.key, entry.explicit_hash_key.as_deref(), call.data(entry))?;
    }
    draft.finish()?;
    let stream = StreamFields {
        name: call.stream_name.as_deref().unwrap_or_default(),
        arn: call.stream_arn.as_deref().unwrap_or_default(),
    };
    let head = PutHead { stream, dry_run: call.is_dry_run.unwrap_or(false) };
    let outcome = ops.put_records(caller, head, &batch).await?;
    let mut out = BytesMut::with_capacity((outcome.numbers.len() + 1) * RESULT_BYTES);
    match encoding {
        Encoding::Json => put_json(&outcome, &mut out),
        Encoding::Cbor => put_cbor(&outcome, &mut out),
    }
    Ok(reply::with_body(StatusCode::OK, encoding.content_type(), out.freeze()))
}

impl<'b> Call<'b> {
    /// A call in which nothing is out of the ordinary. Of any other there is none.
    pub fn ordinary(encoding: Encoding, body: &'b [u8]) -> Option<Call<'b>> {
        let mut call = Call::default();
        match encoding {
            Encoding::Json => {
                call.decoded = vec![0; body.len()];
                call.read(json::Reader::new(body).ok()?)?;
            }
            Encoding::Cbor => call.read(cbor::Reader::new(body))?,
        }
        call.is_ordinary().then_some(call)
    }

    fn read(&mut self, mut source: impl Source<'b>) -> Option<()> {
        if source.next().ok()? != Token::MapStart {
            return None;
        }
        let mut at = 0;
        loop {
            let name = match source.next().ok()? {
                Token::Text(name) => name,
                Token::End if source.is_done() => return Some(()),
                _ => return None,
            };
            match (&*name, source.next().ok()?) {
                ("StreamName", Token::Text(text)) => once(&mut self.stream_name, text)?,
                ("StreamARN", Token::Text(text)) => once(&mut self.stream_arn, text)?,
                ("DryRun", Token::Bool(flag)) => once(&mut self.is_dry_run, flag)?,
                ("Records", Token::ListStart) if self.entries.is_empty() => loop {
                    match source.next().ok()? {
                        Token::MapStart if self.entries.len() < ENTRIES_MAX => {
                            let entry = self.entry(&mut source, &mut at)?;
                            self.entries.push(entry);
                        }
                        Token::End => break,
                        _ => return None,
                    }
                },
                _ => return None,
            }
        }
    }

    fn entry(&mut self, source: &mut impl Source<'b>, at: &mut usize) -> Option<Entry<'b>> {
        let (mut key, mut explicit_hash_key, mut data) = (None, None, None);
        loop {
            let name = match source.next().ok()? {
                Token::Text(name) => name,
                Token::End => break,
                _ => return None,
            };
            match (&*name, source.next().ok()?) {
                ("PartitionKey", Token::Text(text)) => once(&mut key, text)?,
                ("ExplicitHashKey", Token::Text(text)) => once(&mut explicit_hash_key, text)?,
                ("Data", Token::Bytes(Cow::Borrowed(bytes))) => {
                    once(&mut data, Data::Borrowed(bytes))?;
                }
                ("Data", Token::Text(text)) if !self.decoded.is_empty() => {
                    let room = self.decoded.get_mut(*at..)?;
                    if room.len() < base64::decoded_len_max(text.len()) {
                        return None;
                    }
                    let end = *at + base64::decode_into(text.as_bytes(), room)?;
                    once(&mut data, Data::Decoded(*at..end))?;
                    *at = end;
                }
                _ => return None,
            }
        }
        Some(Entry { key: key?, explicit_hash_key, data: data? })
    }

    /// What the model has read.
    pub fn of_members(mut members: Members) -> Call<'static> {
        let entry = |mut record: Members| Entry {
            data: Data::Shared(record.blob("Data").unwrap_or_default()),
            key: record.take_text("PartitionKey").unwrap_or_default().into(),
            explicit_hash_key: record.take_text("ExplicitHashKey").map(Cow::Owned),
        };
        let records = members.take_list("Records").unwrap_or_default().into_iter();
        Call {
            stream_name: members.take_text("StreamName").map(Cow::Owned),
            stream_arn: members.take_text("StreamARN").map(Cow::Owned),
            is_dry_run: members.flag("DryRun"),
            entries: records.filter_map(Value::into_map).map(entry).collect(),
            decoded: Vec::new(),
        }
    }

    /// Whether the model would find nothing to say.
    fn is_ordinary(&self) -> bool {
        let is_name = |name: &Cow<'_, str>| {
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
            (1..=128).contains(&name.len()) && name.bytes().all(legal)
        };
        let is_hash_key = |text: &Cow<'_, str>| {
            let has_no_zeros = !text.starts_with('0') || text.len() == 1;
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            (1..=39).contains(&text.len()) && is_number && has_no_zeros
        };
        self.stream_name.as_ref().is_none_or(is_name)
            && self.stream_arn.as_deref().is_none_or(|text| arn::parse_stream(text).is_ok())
            && !self.entries.is_empty()
            && self.entries.iter().all(|entry| {
                KEY_BYTES.contains(&entry.key.len())
                    && entry.explicit_hash_key.as_ref().is_none_or(is_hash_key)
                    && self.data(entry).len() <= DATA_BYTES_MAX
            })
    }

    fn data<'a>(&'a self, entry: &'a Entry<'_>) -> &'a [u8] {
        match &entry.data {
            Data::Borrowed(bytes) => bytes,
            Data::Shared(bytes) => bytes,
            Data::Decoded(range) => &self.decoded[range.clone()],
        }
    }
}

impl PartialEq for Call<'_> {
    fn eq(&self, other: &Call<'_>) -> bool {
        let is_same = |(ours, theirs): (&Entry<'_>, &Entry<'_>)| {
            ours.key == theirs.key
                && ours.explicit_hash_key == theirs.explicit_hash_key
                && self.data(ours) == other.data(theirs)
        };
        self.stream_name == other.stream_name
            && self.stream_arn == other.stream_arn
            && self.is_dry_run == other.is_dry_run
            && self.entries.len() == other.entries.len()
            && self.entries.iter().zip(&other.entries).all(is_same)
    }
}

/// Sets what was not set yet. Of a repeated member the last value counts: that is for the model.
fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

fn put_json(outcome: &Outcome, out: &mut BytesMut) {
    out.put_slice(b"{\"FailedRecordCount\":");
    out.put_slice(outcome.failures.len().to_string().as_bytes());
    out.put_slice(b",\"Records\":[");
    let mut failures = outcome.failures.iter().peekable();
    for index in 0..outcome.numbers.len() {
        if index > 0 {
            out.put_u8(b',');
        }
        if let Some(failure) = failures.next_if(|failure| failure.index as usize == index) {
            out.put_slice(b"{\"ErrorCode\":");
            write_text(failure.code(), out);
            out.put_slice(b",\"ErrorMessage\":");
            write_text(&failure.error.message, out);
        } else {
            out.put_slice(b"{\"SequenceNumber\":\"");
            out.put_slice(&outcome.kinesis_number(index).digits());
            out.put_slice(b"\",\"ShardId\":\"");
            out.put_slice(outcome.run(index).shard.to_string().as_bytes());
            out.put_u8(b'"');
        }
        out.put_u8(b'}');
    }
    out.put_slice(b"]}");
}

fn put_cbor(outcome: &Outcome, out: &mut BytesMut) {
    put_cbor_head(Major::Map, 2, out);
    put_cbor_text("FailedRecordCount", out);
    put_cbor_head(Major::Unsigned, outcome.failures.len() as u64, out);
    put_cbor_text("Records", out);
    put_cbor_head(Major::Array, outcome.numbers.len() as u64, out);
    let mut failures = outcome.failures.iter().peekable();
    for index in 0..outcome.numbers.len() {
        put_cbor_head(Major::Map, 2, out);
        if let Some(failure) = failures.next_if(|failure| failure.index as usize == index) {
            put_cbor_text("ErrorCode", out);
            put_cbor_text(failure.code(), out);
            put_cbor_text("ErrorMessage", out);
            put_cbor_text(&failure.error.message, out);
        } else {
            put_cbor_text("SequenceNumber", out);
            put_cbor_head(Major::Text, DIGITS as u64, out);
            out.put_slice(&outcome.kinesis_number(index).digits());
            put_cbor_text("ShardId", out);
            put_cbor_text(&outcome.run(index).shard.to_string(), out);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Whatever the fast reader takes the model takes as well, and for the same.
    fn agree(encoding: Encoding, body: &[u8]) -> bool {
        let Some(fast) = Call::ordinary(encoding, body) else { return false };
        let members = model::read(Operation::PutRecords, encoding, body);
        let members = members.unwrap_or_else(|fault| panic!("{fault:?}"));
        assert_eq!(fast, Call::of_members(members));
        true
    }

    fn json_body() -> Vec<u8> {
        let records = json!([
            {"Data": "aGVsbG8=", "PartitionKey": "k\"\u{e9}\n"},
            {"PartitionKey": "2", "Data": "", "ExplicitHashKey": "340282366920938463463374607431768211455"},
        ]);
        json!({"StreamName": "orders", "Records": records, "DryRun": false})
            .to_string()
            .into_bytes()
    }

    fn cbor_body() -> Vec<u8> {
        let record = |key: &'static str| {
            let data = Bytes::from_static(b"\0\xff");
            Members::new().with("Data", data).with("PartitionKey", key)
        };
        let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/orders";
        let records = vec![record("a"), record("b")];
        let call = Members::new().with("StreamARN", arn).with("Records", records);
        let mut out = BytesMut::new();
        cbor::write(&Value::Map(call), &mut out);
        out.to_vec()
    }

    #[test]
    fn what_sdks_send_is_read_fast() {
        assert!(agree(Encoding::Json, &json_body()));
        assert!(agree(Encoding::Cbor, &cbor_body()));
    }

    #[test]
    fn what_is_out_of_the_ordinary_is_left_to_the_model() {
        let records = r#""Records":[{"Data":"","PartitionKey":"a"}]"#;
        let long = "k".repeat(257);
        for body in [
            r"{}".to_owned(),
            format!(r#"{{{records},"StreamName":"a b"}}"#),
            format!(r#"{{{records},"StreamName":null}}"#),
            format!(r#"{{{records},"StreamName":"a","StreamName":"b"}}"#),
            format!(r#"{{{records},"StreamId":"a"}}"#),
            format!(r#"{{{records},"DryRun":"true"}}"#),
            format!("{{{records}}} x"),
            r#"{"Records":[]}"#.to_owned(),
            r#"{"Records":[{"Data":"x","PartitionKey":"a"}]}"#.to_owned(),
            r#"{"Records":[{"PartitionKey":"a"}]}"#.to_owned(),
            r#"{"Records":[{"Data":""}]}"#.to_owned(),
            r#"{"Records":[{"Data":"","PartitionKey":""}]}"#.to_owned(),
            r#"{"Records":[{"Data":"","PartitionKey":"a","ExplicitHashKey":"01"}]}"#.to_owned(),
            format!(r#"{{"Records":[{{"Data":"","PartitionKey":"{long}"}}]}}"#),
            format!(r#"{{"Records":[{}{{}}]}}"#, r#"{"Data":"","PartitionKey":"a"},"#.repeat(500)),
        ] {
            assert!(Call::ordinary(Encoding::Json, body.as_bytes()).is_none(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn the_fast_reader_never_differs_from_the_model(
            is_json in any::<bool>(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<Option<prop::sample::Index>>(),
        ) {
            let encoding = if is_json { Encoding::Json } else { Encoding::Cbor };
            let mut body = if is_json { json_body() } else { cbor_body() };
            for (place, byte) in changes {
                let place = place.index(body.len());
                body[place] = byte;
            }
            if let Some(cut) = cut {
                body.truncate(cut.index(body.len()));
            }
            agree(encoding, &body);
        }
    }
}
