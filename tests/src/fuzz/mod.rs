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
pub mod mutate;
pub mod records;
pub mod requests;
pub mod segment;
pub mod signatures;
pub mod tokens;

/// A function with its name and a few inputs to begin with.
#[derive(Clone, Copy)]
pub struct Target {
    /// The name of the target and of the directory of its corpus.
    pub name: &'static str,
    /// Takes any bytes.
    pub run: fn(&[u8]),
    /// Inputs that reach far into what is tested.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// How many changed inputs `cargo test` has time for.
    pub changes: u64,
}

/// All of them.
pub const TARGETS: [Target; 10] = [
    Target { name: "catalog", run: catalog::run, seeds: catalog::seeds, changes: 150 },
    Target { name: "config", run: config::run, seeds: config::seeds, changes: 2_000 },
    Target { name: "directory", run: segment::directory, seeds: segment::seeds, changes: 150 },
    Target { name: "frame", run: segment::frame, seeds: segment::frame_seeds, changes: 150 },
    Target { name: "index", run: segment::index, seeds: segment::index_seeds, changes: 150 },
    Target { name: "iterator", run: tokens::run, seeds: tokens::seeds, changes: 5_000 },
    Target { name: "put", run: requests::put, seeds: requests::put_seeds, changes: 20_000 },
    Target { name: "record", run: records::run, seeds: records::seeds, changes: 20_000 },
    Target { name: "request", run: requests::any, seeds: requests::any_seeds, changes: 10_000 },
    Target { name: "signature", run: signatures::run, seeds: signatures::seeds, changes: 20_000 },
];

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
