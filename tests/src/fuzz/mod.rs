//! What decodes bytes that a stranger, or a dying disk, may have written: one function for each,
//! which takes any bytes and panics where a promise is broken.
//!
//! ```text
//!   tests/fuzz/fuzz_targets/NAME.rs   libFuzzer calls the function (needs cargo-fuzz)
//!   tests/fuzz/corpus/NAME/           inputs worth keeping, a file each
//!   tests/tests/fuzz                  replays the corpus, and changes to it, in `cargo test`
//! ```
//!
//! Checksums would keep a fuzzer out of all that lies behind them. Where that matters an input
//! is not the file but what to change in a true one, and the checksums are filled in
//! ([`segment`], [`catalog`]).

pub mod catalog;
pub mod config;
pub mod event_stream;
pub mod kinesis;
pub mod mutate;
pub mod records;
pub mod requests;
pub mod segment;
pub mod signatures;
pub mod tokens;

use crate::support::Random;

/// A function with its name and a few inputs to begin with.
#[derive(Clone, Copy)]
pub struct Target {
    /// The name of the target and of the directory of its corpus.
    pub name: &'static str,
    /// Takes any bytes.
    pub run: fn(&[u8]),
    /// Inputs that reach far into what is tested.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// One of the inputs, with changes from a seed.
    pub change: fn(&[Vec<u8>], &mut Random) -> Vec<u8>,
    /// How many changed inputs `cargo test` has time for.
    pub changes: u64,
}

/// All of them.
pub const TARGETS: [Target; 13] = [
    blind("catalog", catalog::run, catalog::seeds, 150),
    blind("config", config::run, config::seeds, 2_000),
    blind("directory", segment::directory, segment::seeds, 150),
    blind("event_stream", event_stream::run, event_stream::seeds, 5_000),
    blind("frame", segment::frame, segment::frame_seeds, 150),
    blind("index", segment::index, segment::index_seeds, 150),
    blind("iterator", tokens::run, tokens::seeds, 5_000),
    Target {
        change: kinesis::changed_cbor,
        ..blind("kinesis_cbor", kinesis::cbor, kinesis::cbor_seeds, 1_000)
    },
    Target {
        change: kinesis::changed_json,
        ..blind("kinesis_json", kinesis::json, kinesis::json_seeds, 1_000)
    },
    blind("put", requests::put, requests::put_seeds, 20_000),
    blind("record", records::run, records::seeds, 20_000),
    blind("request", requests::any, requests::any_seeds, 10_000),
    blind("signature", signatures::run, signatures::seeds, 20_000),
];

/// A target whose inputs are changed without a look at what they say.
const fn blind(
    name: &'static str,
    run: fn(&[u8]),
    seeds: fn() -> Vec<Vec<u8>>,
    changes: u64,
) -> Target {
    Target { name, run, seeds, change: mutate::changed, changes }
}

/// Takes values from the front of an input; what is missing is zero.
struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn new(rest: &'a [u8]) -> Self {
        Input { rest }
    }

    fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (front, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        front
    }

    fn number(&mut self, len: usize) -> u64 {
        let mut number = [0; 8];
        let bytes = self.bytes(len);
        number[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(number)
    }

    /// A place below `len`, or 0 where there is none.
    fn place(&mut self, len: usize) -> usize {
        self.number(3) as usize % len.max(1)
    }
}
