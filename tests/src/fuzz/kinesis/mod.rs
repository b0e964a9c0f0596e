//! The Kinesis door: any body of any of its operations, in either encoding, through the service
//! itself, which stands on a real engine over a simulated disk.
//!
//! ```text
//!   OPERATION | HEAD | body          an index, and bits that say what is odd about the headers
//! ```
//!
//! What a request has changed is undone before the next: the world is thrown away after each call
//! that may have made or removed something, so that an input shows the same whenever it is run.

mod requests;
mod tree;
mod world;

use std::convert::Infallible;

use anabranch_server::kinesis::event_stream::Frame;
use anabranch_server::kinesis::token::{Source, Token};
use anabranch_server::kinesis::value::Encoding;
use anabranch_server::kinesis::{PutCall, cbor, json, model};
use anabranch_server::metrics::Operation;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request};
use http_body_util::{BodyExt, Full, StreamBody};
use parking_lot::Mutex;
use serde_json::Value as Json;

use self::requests::{ITERATOR, valid};
use self::tree::Tree;
use self::world::{Answer, Sent, World};
use super::mutate::changed;
use crate::support::Random;

/// Any bytes as a request in JSON.
pub fn json(data: &[u8]) {
    run(Encoding::Json, data);
}

/// Any bytes as a request in CBOR.
pub fn cbor(data: &[u8]) {
    run(Encoding::Cbor, data);
}

/// A request of each operation.
pub fn json_seeds() -> Vec<Vec<u8>> {
    seeds(Encoding::Json)
}

/// The same.
pub fn cbor_seeds() -> Vec<Vec<u8>> {
    seeds(Encoding::Cbor)
}

/// A request in JSON with a few changes, of its bytes or of what it says.
pub fn changed_json(inputs: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    change(Encoding::Json, inputs, random)
}

/// The same in CBOR.
pub fn changed_cbor(inputs: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    change(Encoding::Cbor, inputs, random)
}

/// What is odd about the headers, a bit each.
mod head {
    /// The server is one where people sign in.
    pub(super) const GUARDED: u8 = 1;
    pub(super) const UNSIGNED: u8 = 1 << 1;
    /// The authorization is long and is none.
    pub(super) const GARBLED: u8 = 1 << 2;
    /// Thousands of headers more.
    pub(super) const FLOOD: u8 = 1 << 3;
    /// Those that count come twice.
    pub(super) const TWICE: u8 = 1 << 4;
    /// The body comes in parts.
    pub(super) const PARTS: u8 = 1 << 5;
    /// It is sent by a page of this machine.
    pub(super) const PAGE: u8 = 1 << 6;
    /// The content type has parameters.
    pub(super) const PARAMETERS: u8 = 1 << 7;
}

/// What every SDK sends; the signature is that of nobody.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20231114/us-east-1/kinesis/\
    aws4_request, SignedHeaders=host;x-amz-date, \
    Signature=0000000000000000000000000000000000000000000000000000000000000000";

const HEADERS_FLOOD: usize = 2_000;

/// The operations in the order of their index. Behind them is one that there is not.
fn operations() -> Vec<&'static str> {
    let ours = ["Produce", "SetQuotas", "DescribeShardLoad"];
    Operation::ALL.into_iter().map(Operation::name).filter(|name| !ours.contains(name)).collect()
}

/// A request as it should be.
fn request(operation: &str, body: String) -> Request<Sent> {
    made(operation, Encoding::Json, 0, body.into())
}

fn made(operation: &str, encoding: Encoding, odd: u8, body: Bytes) -> Request<Sent> {
    let parameters = if odd & head::PARAMETERS == 0 { "" } else { "; charset=utf-8; a=\"b" };
    let sent = if odd & head::PARTS == 0 {
        Full::new(body).boxed()
    } else {
        let parts = [body.slice(..body.len() / 2), Bytes::new(), body.slice(body.len() / 2..)];
        let frames = parts.map(|part| Ok::<_, Infallible>(http_body::Frame::data(part)));
        BodyExt::boxed(StreamBody::new(futures_util::stream::iter(frames)))
    };
    let mut request = Request::post("/")
        .header("host", "localhost:4567")
        .header("content-type", format!("{}{parameters}", encoding.content_type()))
        .header("x-amz-target", format!("Kinesis_20131202.{operation}"))
        .header("x-amz-date", "20231114T221320Z")
        .body(sent)
        .expect("it is a request");
    let headers = request.headers_mut();
    if odd & head::GARBLED != 0 {
        let long = AUTHORIZATION.replace("host", &"a;=,".repeat(4_000));
        headers.insert("authorization", HeaderValue::from_str(&long).expect("it is ASCII"));
    } else if odd & head::UNSIGNED == 0 {
        headers.insert("authorization", HeaderValue::from_static(AUTHORIZATION));
    }
    if odd & head::PAGE != 0 {
        headers.insert("origin", HeaderValue::from_static("http://localhost:3000"));
    }
    if odd & head::TWICE != 0 {
        for name in ["host", "content-type", "x-amz-target", "x-amz-date", "authorization"] {
            headers.append(name, HeaderValue::from_static("\u{7e}, again"));
        }
    }
    if odd & head::FLOOD != 0 {
        for number in 0..HEADERS_FLOOD {
            let name = format!("x-amz-meta-{}", number / 2);
            let name = http::HeaderName::try_from(name).expect("it is one");
            headers.append(name, HeaderValue::from_static("flood"));
        }
    }
    request
}

/// Worlds that nobody is in. There are never more than threads.
static WORLDS: Mutex<Vec<World>> = Mutex::new(Vec::new());
static GUARDED: Mutex<Vec<World>> = Mutex::new(Vec::new());

fn run(encoding: Encoding, data: &[u8]) {
    let [index, odd, body @ ..] = data else { return };
    let operations = operations();
    let name = operations.get(usize::from(*index) % (operations.len() + 1)).copied();
    let operation = name.and_then(Operation::of_name);
    let is_guarded = odd & head::GUARDED != 0;
    let (worlds, make): (_, fn() -> World) = match is_guarded {
        true => (&GUARDED, World::guarded),
        false => (&WORLDS, World::new),
    };
    let free = worlds.lock().pop();
    let mut world = free.unwrap_or_else(make);
    let body = Bytes::from(replaced(body, &world.iterator));
    readers_agree(encoding, operation, &body);
    let answer = world.ask(made(name.unwrap_or("CreateQueue"), encoding, *odd, body));
    check(encoding, operation, &answer);
    if is_guarded {
        assert_ne!(answer.status, 200, "nobody has signed this");
    }
    if answer.status != 200 || operation.is_some_and(leaves_all_as_it_was) {
        worlds.lock().push(world);
    }
}

/// Whether a call changes nothing that a later one can see but by reading.
fn leaves_all_as_it_was(operation: Operation) -> bool {
    let name = operation.name();
    name.starts_with("Describe") || name.starts_with("List") || name.starts_with("Get")
}

/// The body with a true iterator where it has a place for one.
fn replaced(body: &[u8], iterator: &str) -> Vec<u8> {
    let mut body = body.to_vec();
    let place = body.windows(ITERATOR.len()).position(|window| window == ITERATOR.as_bytes());
    if let Some(place) = place
        && iterator.len() == ITERATOR.len()
    {
        body[place..place + ITERATOR.len()].copy_from_slice(iterator.as_bytes());
    }
    body
}

/// What the fast reader takes, the model's takes as the same; what we take for JSON, others do.
fn readers_agree(encoding: Encoding, operation: Option<Operation>, body: &[u8]) {
    if operation == Some(Operation::PutRecords)
        && let Some(call) = PutCall::ordinary(encoding, body)
    {
        let members = model::read(Operation::PutRecords, encoding, body);
        assert_eq!(PutCall::of_members(members.expect("it is ordinary")), call);
    }
    if encoding == Encoding::Json {
        let ours = json::Reader::new(body).is_ok_and(|reader| names(reader).is_some());
        match serde_json::from_slice::<Json>(body) {
            Ok(Json::Object(_)) => assert!(ours || depth(body) > 32, "serde_json takes it"),
            // Both are right: a number of any size is JSON.
            Err(error) if ours => assert!(error.to_string().contains("out of range"), "{error}"),
            _ => {}
        }
    }
}

/// Lists and maps in each other, or more.
fn depth(body: &[u8]) -> usize {
    let mut depth = 0_usize;
    let deepest = body.iter().map(|byte| {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth
    });
    deepest.max().unwrap_or(0)
}

/// The names of the members of a body; none if it is not one.
fn names<'b>(mut source: impl Source<'b>) -> Option<Vec<String>> {
    let mut names = Vec::new();
    if source.next().ok()? != Token::MapStart {
        return None;
    }
    while let Token::Text(name) = source.next().ok()? {
        names.push(name.into_owned());
        let value = source.next().ok()?;
        source.skip(&value).ok()?;
    }
    source.is_done().then_some(names)
}

/// The names of the members of what we have written.
fn written(encoding: Encoding, body: &[u8]) -> Vec<String> {
    match encoding {
        Encoding::Json => {
            let read: serde_json::Map<String, Json> =
                serde_json::from_slice(body).expect("a reply is JSON");
            read.into_iter().map(|(name, _)| name).collect()
        }
        Encoding::Cbor => names(cbor::Reader::new(body)).expect("a reply is CBOR"),
    }
}

fn check(encoding: Encoding, operation: Option<Operation>, answer: &Answer) {
    let Answer { status, headers, body } = answer;
    assert!([200, 400].contains(status), "{status}: {}", body.escape_ascii());
    for (id, len) in [("x-amzn-requestid", 36), ("x-amz-id-2", 96)] {
        assert_eq!(headers.get(id).expect("every answer has a name").len(), len);
    }
    if *status == 200 && operation == Some(Operation::SubscribeToShard) {
        assert_eq!(headers["content-type"], "application/vnd.amazon.eventstream");
        let mut rest = &body[..];
        while !rest.is_empty() {
            let (frame, len) = Frame::read(rest).expect("a stream is made of frames");
            written(encoding, frame.payload);
            rest = &rest[len..];
        }
        return;
    }
    assert_eq!(headers["content-type"], encoding.content_type());
    assert_eq!(headers["content-length"], body.len().to_string());
    if *status == 200 && body.is_empty() {
        return;
    }
    let names = written(encoding, body);
    if *status != 200 {
        assert!(names.iter().any(|name| name == "__type"), "{names:?}");
        assert!(body.len() < 64 << 10, "a refusal has {} bytes", body.len());
        assert!(headers.contains_key("x-amzn-errortype"));
    }
}

fn input(encoding: Encoding, operation: &str, odd: u8, tree: &Tree) -> Vec<u8> {
    let index = operations().iter().position(|name| *name == operation).expect("it is one");
    let mut out = BytesMut::from(&[index as u8, odd][..]);
    tree.write(encoding, &mut None, &mut out);
    out.to_vec()
}

fn seeds(encoding: Encoding) -> Vec<Vec<u8>> {
    let world = World::new();
    assert_eq!(world.iterator.len(), ITERATOR.len(), "the place for an iterator is one");
    let valid = valid();
    for operation in operations() {
        assert!(valid.iter().any(|(name, _)| *name == operation), "{operation}");
    }
    let inputs = valid.iter().map(|(name, json)| input(encoding, name, 0, &Tree::of_json(json)));
    let odd = (0..8).map(|bit| {
        let (name, json) = &valid[bit];
        input(encoding, name, 1 << bit, &Tree::of_json(json))
    });
    inputs.chain(odd).collect()
}

fn change(encoding: Encoding, inputs: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    if random.below(3) == 0 {
        return changed(inputs, random);
    }
    let valid = valid();
    let pick = |random: &mut Random| &valid[random.below(valid.len() as u64) as usize];
    let (name, json) = pick(random);
    let mut tree = Tree::of_json(json);
    for _ in 0..random.below(4) {
        let mut other = Tree::of_json(&pick(random).1);
        tree.change(&mut other, random);
    }
    let index = match random.below(16) {
        0 => random.below(41) as usize,
        _ => operations().iter().position(|is| is == name).expect("it is one"),
    };
    let odd = if random.below(4) == 0 { random.next() as u8 } else { 0 };
    let mut out = BytesMut::from(&[index as u8, odd][..]);
    let is_plain = random.below(2) == 0;
    let mut chance = (!is_plain).then_some(&mut *random);
    tree.write(encoding, &mut chance, &mut out);
    if random.below(16) == 0 {
        let len = random.below(out.len() as u64 + 1);
        out.truncate(len as usize);
    }
    out.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Changes to a request reach far if it is one. Those that are refused are on purpose.
    #[test]
    fn the_requests_that_the_targets_begin_with_are_carried_out() {
        for encoding in [Encoding::Json, Encoding::Cbor] {
            let mut refused = Vec::new();
            for (name, json) in valid() {
                let mut body = BytesMut::new();
                Tree::of_json(&json).write(encoding, &mut None, &mut body);
                let mut world = World::new();
                let body = Bytes::from(replaced(&body, &world.iterator));
                let answer = world.ask(made(name, encoding, 0, body));
                if answer.status != 200 {
                    eprintln!("{name}: {}", answer.body.escape_ascii());
                    refused.push(name);
                }
            }
            // A dry run, a token of nobody, and keys for which there is no service.
            assert_eq!(refused, ["GetRecords", "ListStreams", "StartStreamEncryption"]);
        }
    }

    /// What is refused where people sign in is the signature, and nothing that comes before it.
    #[test]
    fn the_guarded_door_looks_at_the_signature() {
        let mut world = World::guarded();
        let answer = world.ask(made("ListStreams", Encoding::Json, head::GUARDED, "{}".into()));
        let told = answer.body.escape_ascii().to_string();
        assert_eq!(answer.status, 400, "{told}");
        assert!(told.contains("InvalidSignatureException"), "{told}");
    }
}
