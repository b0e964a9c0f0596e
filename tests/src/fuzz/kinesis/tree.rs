//! Requests as trees, whatever their encoding: they are changed here and written in JSON or CBOR,
//! also as no SDK would write them.

use anabranch_server::kinesis::base64;
use anabranch_server::kinesis::value::Encoding;
use bytes::{BufMut, BytesMut};
use serde_json::Value as Json;

use crate::support::Random;

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    Int(i64),
    Text(String),
    Blob(Vec<u8>),
    /// Milliseconds since 1970.
    Time(i64),
    List(Vec<Tree>),
    /// Keys may come twice, and may be anything.
    Map(Vec<(Tree, Tree)>),
    /// Lists or maps in each other.
    Deep {
        levels: usize,
        is_map: bool,
    },
    /// What there is in one encoding only, or hardly in any.
    Raw {
        json: &'static str,
        cbor: &'static [u8],
    },
}

/// Bytes that many values more may take together.
const BYTES_MAX: usize = 256 << 10;

/// What readers stumble over.
const ODD: [Tree; 18] = [
    Tree::Null,
    Tree::Bool(true),
    Tree::Int(0),
    Tree::Int(-1),
    Tree::Int(i64::MAX),
    Tree::Int(i64::MIN),
    Tree::Int(1 << 31),
    Tree::Time(i64::MIN),
    Tree::Text(String::new()),
    Tree::List(Vec::new()),
    Tree::Map(Vec::new()),
    Tree::Raw { json: "1e999", cbor: &[0xf9, 0x7c, 0] },
    Tree::Raw { json: "-0", cbor: &[0xf9, 0x7e, 0] },
    Tree::Raw {
        json: "99999999999999999999999",
        cbor: &[0x1b, 255, 255, 255, 255, 255, 255, 255, 255],
    },
    Tree::Raw { json: "-1.5e300", cbor: &[0x3b, 255, 255, 255, 255, 255, 255, 255, 255] },
    // A length of more than there is memory, a tag of a tag, and a break where no list is.
    Tree::Raw { json: "\"\\ud800\"", cbor: &[0x9b, 127, 255, 255, 255, 255, 255, 255, 255] },
    Tree::Raw {
        json: "\"\\ud83d\\ude00\\u0000\"",
        cbor: &[0xc1, 0xc1, 0xd8, 42, 0xfa, 0x7f, 0x80, 0, 0],
    },
    Tree::Raw { json: "nul", cbor: &[0xff] },
];

impl Tree {
    /// A request as JSON has it. Members of these names are blobs and times.
    pub(super) fn of_json(json: &Json) -> Tree {
        match json {
            Json::Null => Tree::Null,
            Json::Bool(flag) => Tree::Bool(*flag),
            Json::Number(number) => Tree::Int(number.as_i64().expect("requests have no others")),
            Json::String(text) => Tree::Text(text.clone()),
            Json::Array(values) => Tree::List(values.iter().map(Tree::of_json).collect()),
            Json::Object(members) => Tree::Map(
                members
                    .iter()
                    .map(|(name, value)| {
                        let value = match (&**name, value) {
                            ("Data", Json::String(text)) => Tree::Blob(text.clone().into_bytes()),
                            (_, Json::Number(number)) if name.ends_with("Timestamp") => {
                                Tree::Time(number.as_i64().expect("it is whole"))
                            }
                            _ => Tree::of_json(value),
                        };
                        (Tree::Text(name.clone()), value)
                    })
                    .collect(),
            ),
        }
    }

    fn count(&self) -> usize {
        1 + match self {
            Tree::List(values) => values.iter().map(Tree::count).sum(),
            Tree::Map(entries) => entries.iter().map(|(_, value)| value.count()).sum(),
            _ => 0,
        }
    }

    /// Bytes that it takes, about.
    fn bytes(&self) -> usize {
        8 + match self {
            Tree::Text(text) => text.len(),
            Tree::Blob(bytes) => bytes.len(),
            Tree::List(values) => values.iter().map(Tree::bytes).sum(),
            Tree::Map(entries) => entries.iter().map(|(_, value)| 16 + value.bytes()).sum(),
            Tree::Deep { levels, .. } => levels * 6,
            _ => 0,
        }
    }

    /// The value at a place, counted from the root, which is 0.
    fn at(&mut self, place: usize) -> &mut Tree {
        if place == 0 {
            return self;
        }
        let mut before = 1;
        let children: Vec<&mut Tree> = match self {
            Tree::List(values) => values.iter_mut().collect(),
            Tree::Map(entries) => entries.iter_mut().map(|(_, value)| value).collect(),
            _ => Vec::new(),
        };
        for child in children {
            let count = child.count();
            if place < before + count {
                return child.at(place - before);
            }
            before += count;
        }
        unreachable!("a place is below the count")
    }

    /// Changes one thing. `other` is a request to take something from.
    pub(super) fn change(&mut self, other: &mut Tree, random: &mut Random) {
        let mut below = |bound: usize| random.below(bound as u64) as usize;
        let place = below(self.count());
        let chance = below(12);
        let node = self.at(place);
        match (chance, node) {
            (0 | 1, Tree::Map(entries)) if !entries.is_empty() => {
                let at = below(entries.len());
                entries.remove(at);
            }
            (0, Tree::List(values)) if !values.is_empty() => {
                let at = below(values.len());
                values.remove(at);
            }
            (2, Tree::Map(entries)) if !entries.is_empty() => {
                let at = below(entries.len());
                let (key, value) = entries[at].clone();
                let value = if below(2) == 0 { value } else { ODD[below(ODD.len())].clone() };
                entries.push((key, value));
            }
            (3, Tree::Map(entries)) if !entries.is_empty() => {
                let at = below(entries.len());
                entries[at].0 = match (below(4), &entries[at].0) {
                    (0, Tree::Text(name)) => Tree::Text(name.to_lowercase()),
                    (1, _) => ODD[below(ODD.len())].clone(),
                    (2, _) => Tree::Blob(b"StreamName".to_vec()),
                    _ => Tree::Text("Unknown".to_owned()),
                };
            }
            (4, Tree::List(values)) if !values.is_empty() => {
                let value = values[below(values.len())].clone();
                let count = [2, 51, 501, 2_000][below(4)];
                if value.bytes() * count < BYTES_MAX {
                    values.resize(count, value);
                }
            }
            (4, Tree::Map(entries)) => {
                let count = [3, 51, 201, 2_000][below(4)];
                let value = entries.first().map_or(Tree::Null, |(_, value)| value.clone());
                if value.bytes() * count < BYTES_MAX {
                    let name = |number: usize| Tree::Text(format!("name{number}"));
                    entries.extend((0..count).map(|number| (name(number), value.clone())));
                }
            }
            (5, node) => {
                let levels = [1, 5, 31, 32, 33, 64, 20_000][below(7)];
                *node = Tree::Deep { levels, is_map: below(2) == 0 };
            }
            (6, node) => {
                let chars = [1, 24, 25, 128, 129, 256, 257, 512, 1025, 2049, 70_000][below(11)];
                let letter = ["a", "0", "9", "\u{e4}", "\"", "/", "\u{1f600}"][below(7)];
                *node = Tree::Text(letter.repeat(chars));
            }
            (7, node @ (Tree::Int(_) | Tree::Time(_))) => {
                let numbers = [-1, 0, 1, 2, 24, 50, 51, 10_000, 10_001, 1 << 31, 1 << 53];
                let number = numbers[below(numbers.len())];
                *node = if below(2) == 0 { Tree::Int(number) } else { Tree::Time(number) };
            }
            (8, Tree::Text(text)) => {
                let at = below(text.chars().count() + 1);
                let at = text.char_indices().nth(at).map_or(text.len(), |(at, _)| at);
                text.insert(at, ['\0', '"', '\\', '/', ':', '\u{7f}', '0', '\u{2028}'][below(8)]);
            }
            (9, Tree::Map(entries)) => {
                let place = below(other.count());
                entries.push((Tree::Text("Unknown".to_owned()), other.at(place).clone()));
            }
            (10, node) => {
                let place = below(other.count());
                *node = other.at(place).clone();
            }
            (_, node) => *node = ODD[below(ODD.len())].clone(),
        }
    }

    /// Writes the tree, and, where there is chance for it, not as one would.
    pub(super) fn write(
        &self,
        encoding: Encoding,
        chance: &mut Option<&mut Random>,
        out: &mut BytesMut,
    ) {
        match encoding {
            Encoding::Json => self.json(chance, out),
            Encoding::Cbor => self.cbor(chance, out),
        }
    }

    fn json(&self, chance: &mut Option<&mut Random>, out: &mut BytesMut) {
        if is_one_in(16, chance) {
            out.put_slice(b" \r\n\t");
        }
        match self {
            Tree::Null => out.put_slice(b"null"),
            Tree::Bool(flag) => out.put_slice(flag.to_string().as_bytes()),
            Tree::Int(number) => out.put_slice(number.to_string().as_bytes()),
            Tree::Text(text) if text.len() < 300 && is_one_in(8, chance) => {
                out.put_u8(b'"');
                for unit in text.encode_utf16() {
                    out.put_slice(format!("\\u{unit:04x}").as_bytes());
                }
                out.put_u8(b'"');
            }
            Tree::Text(text) => out.put_slice(Json::from(&**text).to_string().as_bytes()),
            Tree::Blob(bytes) => {
                out.put_u8(b'"');
                base64::append(bytes, out);
                out.put_u8(b'"');
            }
            Tree::Time(time_ms) => {
                out.put_slice(format!("{:.3}", *time_ms as f64 / 1000.0).as_bytes());
            }
            Tree::List(values) => {
                out.put_u8(b'[');
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        out.put_u8(b',');
                    }
                    value.json(chance, out);
                }
                out.put_u8(b']');
            }
            Tree::Map(entries) => {
                out.put_u8(b'{');
                for (index, (key, value)) in entries.iter().enumerate() {
                    if index > 0 {
                        out.put_u8(b',');
                    }
                    key.json(chance, out);
                    out.put_u8(b':');
                    value.json(chance, out);
                }
                out.put_u8(b'}');
            }
            Tree::Deep { levels, is_map } => {
                let (start, end) = if *is_map { ("{\"a\":", "}") } else { ("[", "]") };
                out.put_slice(start.repeat(*levels).as_bytes());
                out.put_slice(b"0");
                out.put_slice(end.repeat(*levels).as_bytes());
            }
            Tree::Raw { json, .. } => out.put_slice(json.as_bytes()),
        }
    }

    fn cbor(&self, chance: &mut Option<&mut Random>, out: &mut BytesMut) {
        if is_one_in(32, chance) {
            // A tag that says nothing.
            out.put_slice(&[0xd9, 0xd9, 0xf7]);
        }
        let is_indefinite = is_one_in(3, chance);
        match self {
            Tree::Null => out.put_u8(0xf6),
            Tree::Bool(flag) => out.put_u8(0xf4 + u8::from(*flag)),
            Tree::Int(number) => {
                let is_negative = *number < 0;
                head(
                    u8::from(is_negative),
                    (*number ^ -i64::from(is_negative)) as u64,
                    chance,
                    out,
                );
            }
            Tree::Text(text) => strings(3, text.as_bytes(), is_indefinite, chance, out),
            Tree::Blob(bytes) => strings(2, bytes, is_indefinite, chance, out),
            Tree::Time(time_ms) => {
                out.put_u8(0xc1);
                Tree::Int(*time_ms).cbor(&mut None, out);
            }
            Tree::List(values) => {
                items(4, values.len(), is_indefinite, chance, out);
                for value in values {
                    value.cbor(chance, out);
                }
                end(is_indefinite, out);
            }
            Tree::Map(entries) => {
                items(5, entries.len(), is_indefinite, chance, out);
                for (key, value) in entries {
                    key.cbor(chance, out);
                    value.cbor(chance, out);
                }
                end(is_indefinite, out);
            }
            Tree::Deep { levels, is_map } => {
                let start: &[u8] = match (is_map, is_indefinite) {
                    (true, true) => b"\xbf\x61a",
                    (true, false) => b"\xa1\x61a",
                    (false, true) => b"\x9f",
                    (false, false) => b"\x81",
                };
                out.put_slice(&start.repeat(*levels));
                out.put_u8(0);
                if is_indefinite {
                    out.put_bytes(0xff, *levels);
                }
            }
            Tree::Raw { cbor, .. } => out.put_slice(cbor),
        }
    }
}

/// Whether that happens which does once in so many times. Without chance it never does.
fn is_one_in(times: u64, chance: &mut Option<&mut Random>) -> bool {
    chance.as_mut().is_some_and(|random| random.below(times) == 0)
}

/// The head of an item, in more bytes than it needs once in a while.
fn head(major: u8, value: u64, chance: &mut Option<&mut Random>, out: &mut BytesMut) {
    let major = major << 5;
    let bytes = value.to_be_bytes();
    let used = 8 - (value.leading_zeros() / 8) as usize;
    let width = if is_one_in(8, chance) { 8 } else { used.next_power_of_two() };
    match width {
        1 if value < 24 => out.put_u8(major | value as u8),
        width => {
            out.put_u8(major | (24 + width.trailing_zeros() as u8));
            out.put_slice(&bytes[8 - width..]);
        }
    }
}

/// The head of a list or map; of a false length once in a while.
fn items(
    major: u8,
    count: usize,
    is_indefinite: bool,
    chance: &mut Option<&mut Random>,
    out: &mut BytesMut,
) {
    if is_indefinite {
        out.put_u8(major << 5 | 31);
        return;
    }
    let lie = usize::from(is_one_in(32, chance));
    head(major, (count + lie) as u64, chance, out);
}

fn end(is_indefinite: bool, out: &mut BytesMut) {
    if is_indefinite {
        out.put_u8(0xff);
    }
}

/// A string, whole or in two parts, which may cut a character.
fn strings(
    major: u8,
    bytes: &[u8],
    is_indefinite: bool,
    chance: &mut Option<&mut Random>,
    out: &mut BytesMut,
) {
    if !is_indefinite {
        head(major, bytes.len() as u64, chance, out);
        out.put_slice(bytes);
        return;
    }
    out.put_u8(major << 5 | 31);
    let (front, rest) = bytes.split_at(bytes.len() / 2);
    for part in [front, rest] {
        head(major, part.len() as u64, chance, out);
        out.put_slice(part);
    }
    out.put_u8(0xff);
}
