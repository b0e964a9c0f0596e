//! Every bit of the catalog, flipped: either all of it reads as before, or the start is refused
//! with the name of the repair, and the repair brings the streams back.
//!
//! Most of the file is room that nobody reads. So neighbours may be flipped together
//! ([`Choice::together`]): where all of them read as before, each of them is harmless; where they
//! do not, each is flipped alone. Two wrong bits that make up for each other would hide, so the
//! first page, which no checksum covers as a whole, is always gone through bit by bit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anabranch_engine::catalog::{Catalog, Contents};
use anabranch_engine::fs::{Fault, Fs};
use anabranch_engine::offline::{FindingKind, rebuild_catalog};
use anabranch_engine::settings::Tags;
use anabranch_engine::{Error, StreamSettings};

use super::subject::{DATA, check, environment, twin};
use super::{Tally, in_parallel};
use crate::support::{World, name, put_now, read_all};

/// The catalog of every simulated world.
const CATALOG: &str = "/data/catalog.redb";

/// The library's header: how the file is used, where all other pages say what it holds.
const HEADER_BITS: u64 = 320 * 8;

/// Of so many tries that read as before, one is lived with for a while.
const LIVES_STRIDE: u64 = 64;

/// Of so many starts that were refused, one is repaired.
const REPAIRS_STRIDE: u64 = 64;

/// Which bits are flipped, and how many at once.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// The first one.
    pub first: u64,
    /// From it on, every so many-th.
    pub stride: u64,
    /// So many at once, unless one of them matters.
    pub together: u64,
}

impl Choice {
    /// Every single bit, alone.
    pub const ALL: Choice = Choice { first: 0, stride: 1, together: 1 };

    /// Every single bit; those of eight bytes at once where none of them matters.
    pub const ALL_IN_GROUPS: Choice = Choice { together: 64, ..Choice::ALL };

    /// The bits to flip, those of one try together.
    fn tries(self, bits: u64) -> Vec<Vec<u64>> {
        let chosen: Vec<u64> = (self.first..bits).step_by(self.stride as usize).collect();
        let (header, rest) = chosen.split_at(chosen.partition_point(|bit| *bit < HEADER_BITS));
        let alone = header.iter().map(|bit| vec![*bit]);
        alone.chain(rest.chunks(self.together as usize).map(<[u64]>::to_vec)).collect()
    }
}

/// What came of it. The cases of the first two are flips.
#[derive(Default)]
pub struct CatalogBits {
    /// All was read as before.
    pub harmless: Tally,
    /// The start was refused.
    pub refused: Tally,
    /// Harmless ones after which streams were made and records put.
    pub lived_with: Tally,
    /// Refused ones that were repaired.
    pub repaired: Tally,
}

impl CatalogBits {
    fn is_enough(&self) -> bool {
        [&self.harmless, &self.refused, &self.lived_with, &self.repaired]
            .iter()
            .any(|tally| tally.is_enough())
    }
}

/// Records by stream and shard: number and data.
type Records = BTreeMap<(String, usize), Vec<(u64, Vec<u8>)>>;

/// A directory with something of everything, stopped cleanly.
fn directory() -> World {
    let world = World::new(11);
    let engine = world.open().expect("an empty disk opens");
    for (text, shards) in [("orders", 2), ("gone", 1), ("..", 1)] {
        let stream = engine
            .create_stream(&name(text), shards, StreamSettings::default())
            .expect("there is room");
        for (number, shard) in (1u8..).zip(&stream.shards()) {
            put_now(&engine, shard, &[&[number; 9], b""]).expect("there is room");
        }
    }
    let orders = engine.stream(&name("orders")).expect("just made");
    let consumer = "audit".parse().expect("a name");
    engine.register_consumer(&orders, &consumer, Tags::new()).expect("there is room");
    engine.set_retention_hours(&orders, 48).expect("in range");
    engine.delete_stream(&name("gone")).expect("just made");
    engine.housekeeping_step();
    engine.shut_down().expect("nothing fails");
    drop((orders, engine));
    world.with(world.fs.kill())
}

fn open(world: &World) -> anabranch_engine::Result<Contents> {
    let fs: Arc<dyn Fs> = Arc::new(world.fs.clone());
    Ok(Catalog::open(fs, Path::new(DATA), true, world.entropy.as_ref())?.1)
}

fn records(world: &World) -> anabranch_engine::Result<Records> {
    let engine = world.open()?;
    let mut records = Records::new();
    for stream in engine.streams(None, 100) {
        for (index, shard) in stream.shards().iter().enumerate() {
            records.insert((stream.name().to_string(), index), read_all(shard, 0));
        }
    }
    Ok(records)
}

/// All files but the catalog and the lock.
fn files(world: &World) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = world.fs.files().into_iter().map(|(path, _)| path);
    let files = files.filter(|path| path.starts_with("/data/shards"));
    files.map(|path| (path.clone(), world.fs.read_file(&path).unwrap_or_default())).collect()
}

/// A catalog that is to be harmed, and what every copy of it has to be held against.
struct Subject {
    contents: Contents,
    records: Records,
    files: BTreeMap<PathBuf, Vec<u8>>,
    out: CatalogBits,
}

/// Flips those bits, each try in a copy of its own.
pub fn run(choice: Choice, progress: &(dyn Fn(u64) + Sync)) -> CatalogBits {
    let base = directory();
    let catalog = base.fs.read_file(CATALOG).expect("it was made");
    let tries = choice.tries(catalog.len() as u64 * 8);
    let subject = Subject {
        contents: open(&base.with(base.fs.kill())).expect("it is whole"),
        records: records(&base.with(base.fs.kill())).expect("it is whole"),
        files: files(&base),
        out: CatalogBits::default(),
    };
    in_parallel(
        tries.len() as u64,
        || subject.out.is_enough(),
        || twin(&base),
        |twin, round| {
            let bits = &tries[round as usize];
            if bits.len() == 1 || !subject.is_harmless(twin, bits, round) {
                for bit in bits {
                    subject.flip(twin, std::slice::from_ref(bit), round);
                }
            }
            progress(bits.len() as u64);
        },
    );
    subject.out
}

/// A copy of the world in which those bits of the catalog are wrong.
fn harmed(base: &World, bits: &[u64]) -> World {
    let world = base.with(base.fs.kill());
    for bit in bits {
        let (path, offset, bit) = (CATALOG.into(), bit / 8, (bit % 8) as u8);
        world.fs.inject(Fault::FlipBit { path, offset, bit });
    }
    world
}

impl Subject {
    /// Flips bits of which nobody knows whether one matters: if none does, all of them are
    /// counted here.
    fn is_harmless(&self, base: &World, bits: &[u64], round: u64) -> bool {
        let reads_as_before =
            open(&harmed(base, bits)).is_ok_and(|contents| contents == self.contents);
        if reads_as_before {
            self.flip(base, bits, round);
        }
        reads_as_before
    }

    /// Flips bits, and holds everything against what it was.
    fn flip(&self, base: &World, bits: &[u64], round: u64) {
        let out = &self.out;
        let what = || {
            let each = bits.iter().map(|bit| format!("{} of byte {}", bit % 8, bit / 8));
            format!("bits of the catalog: {}", each.collect::<Vec<_>>().join(", "))
        };
        let world = harmed(base, bits);
        let report = check(&world.fs);
        let is_told = report.findings.iter().any(|finding| {
            finding.kind == FindingKind::Damage && finding.file == Path::new(CATALOG)
        });
        match open(&world) {
            Ok(contents) => {
                out.harmless.add_cases(bits.len());
                out.harmless.expect(contents == self.contents, || {
                    format!("{}: it reads {contents:?}, which is not what it was", what())
                });
                out.harmless.expect(!is_told, || format!("{}: called damage", what()));
                if round.is_multiple_of(LIVES_STRIDE) || bits[0] < HEADER_BITS {
                    out.lived_with.case();
                    let lived = live(&harmed(base, bits), &self.records);
                    out.lived_with.expect(lived.is_ok(), || format!("{}: {lived:?}", what()));
                }
            }
            Err(error) => {
                out.refused.add_cases(bits.len());
                let is_lost = matches!(error, Error::CatalogLost { .. });
                let names_repair = error.to_string().contains("repair --rebuild-catalog");
                out.refused.expect(is_lost && names_repair, || format!("{}: {error}", what()));
                out.refused.expect(is_told, || format!("{}: verify is silent", what()));
                if out.refused.cases().is_multiple_of(REPAIRS_STRIDE) {
                    out.repaired.case();
                    let repaired = self.repair(&harmed(base, bits));
                    out.repaired.expect(repaired.is_ok(), || format!("{}: {repaired:?}", what()));
                }
            }
        }
    }

    /// Repairs a directory whose catalog is refused: nothing but the catalog may have changed by
    /// then, and all is back afterwards.
    fn repair(&self, world: &World) -> Result<(), String> {
        let refused = world.open().is_err();
        let kept = files(world) == self.files;
        let rebuilt = rebuild_catalog(&environment(world), Path::new(DATA), true);
        let is_back = rebuilt.is_ok() && records(world).is_ok_and(|found| found == self.records);
        if refused && kept && is_back {
            return Ok(());
        }
        Err(format!("{refused} {kept} {is_back}, {rebuilt:?}"))
    }
}

/// Goes on with a directory whose catalog reads as before: nothing of it may be lost later.
fn live(world: &World, expected: &Records) -> Result<(), String> {
    let words = |error: Error| error.to_string();
    let mut expected = expected.clone();
    for life in 0..2 {
        let engine = world.open().map_err(words)?;
        let text = format!("new-{life}");
        let stream =
            engine.create_stream(&name(&text), 2, StreamSettings::default()).map_err(words)?;
        for (index, shard) in stream.shards().iter().enumerate() {
            put_now(&engine, shard, &[b"new"]).map_err(words)?;
            expected.insert((text.clone(), index), vec![(1, b"new".to_vec())]);
        }
        engine.shut_down().map_err(words)?;
    }
    let found = records(world).map_err(words)?;
    if found == expected { Ok(()) } else { Err(format!("{:?}", found.keys())) }
}
