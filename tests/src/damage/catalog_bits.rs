//! Every bit of the catalog, flipped: either all of it reads as before, or the start is refused
//! with the name of the repair, and the repair brings the streams back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anabranch_engine::Error;
use anabranch_engine::catalog::{Catalog, Contents};
use anabranch_engine::fs::{Fault, Fs};
use anabranch_engine::offline::{FindingKind, rebuild_catalog};

use super::subject::{DATA, check, environment, twin};
use super::{Tally, in_parallel};
use crate::support::{World, name, put_now, read_all};

/// The catalog of every simulated world.
const CATALOG: &str = "/data/catalog.redb";

/// Of so many flips that read as before, one is lived with for a while.
const LIVES_STRIDE: u64 = 128;

/// Of so many starts that were refused, one is repaired.
const REPAIRS_STRIDE: u64 = 64;

/// What came of it. The cases of each are flips.
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
        let stream = engine.create_stream(&name(text), shards).expect("there is room");
        for (number, shard) in (1u8..).zip(stream.shards()) {
            put_now(&engine, shard, &[&[number; 9], b""]).expect("there is room");
        }
    }
    let orders = engine.stream(&name("orders")).expect("just made");
    let consumer = "audit".parse().expect("a name");
    engine.register_consumer(&orders, &consumer).expect("there is room");
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

/// Flips every `stride`th bit, beginning with the bit `first`, each in a copy of its own.
pub fn run((first, stride): (u64, u64), progress: &(dyn Fn(u64) + Sync)) -> CatalogBits {
    let base = directory();
    let catalog = base.fs.read_file(CATALOG).expect("it was made");
    let bits = catalog.len() as u64 * 8;
    let expected = open(&base.with(base.fs.kill())).expect("it is whole");
    let expected_records = records(&base.with(base.fs.kill())).expect("it is whole");
    let expected_files = files(&base);
    let out = CatalogBits::default();
    in_parallel(
        (bits - first).div_ceil(stride),
        || out.is_enough(),
        || twin(&base),
        |twin, round| {
            let bit = first + round * stride;
            let harmed = || {
                let world = twin.with(twin.fs.kill());
                let (path, offset, bit) = (CATALOG.into(), bit / 8, (bit % 8) as u8);
                world.fs.inject(Fault::FlipBit { path, offset, bit });
                world
            };
            let what = || format!("bit {} of byte {} of the catalog", bit % 8, bit / 8);
            let world = harmed();
            let report = check(&world.fs);
            let is_told = report.findings.iter().any(|finding| {
                finding.kind == FindingKind::Damage && finding.file == Path::new(CATALOG)
            });
            match open(&world) {
                Ok(contents) => {
                    out.harmless.case();
                    out.harmless.expect(contents == expected, || {
                        format!("{}: it reads {contents:?}, which is not what it was", what())
                    });
                    out.harmless.expect(!is_told, || format!("{}: called damage", what()));
                    // The first page says how the file is used, all others what it holds.
                    if round.is_multiple_of(LIVES_STRIDE) || bit < 320 * 8 {
                        out.lived_with.case();
                        let lived = live(&harmed(), &expected_records);
                        out.lived_with.expect(lived.is_ok(), || format!("{}: {lived:?}", what()));
                    }
                }
                Err(error) => {
                    out.refused.case();
                    let is_lost = matches!(error, Error::CatalogLost { .. });
                    let names_repair = error.to_string().contains("repair --rebuild-catalog");
                    out.refused.expect(is_lost && names_repair, || format!("{}: {error}", what()));
                    out.refused.expect(is_told, || format!("{}: verify is silent", what()));
                    if out.refused.cases().is_multiple_of(REPAIRS_STRIDE) {
                        out.repaired.case();
                        let world = harmed();
                        let refused = world.open().is_err();
                        let kept = files(&world) == expected_files;
                        let rebuilt = rebuild_catalog(&environment(&world), Path::new(DATA), true);
                        let is_back = rebuilt.is_ok()
                            && records(&world).is_ok_and(|found| found == expected_records);
                        out.repaired.expect(refused && kept && is_back, || {
                            format!("{}: {refused} {kept} {is_back}, {rebuilt:?}", what())
                        });
                    }
                }
            }
            progress(1);
        },
    );
    out
}

/// Goes on with a directory whose catalog reads as before: nothing of it may be lost later.
fn live(world: &World, expected: &Records) -> Result<(), String> {
    let words = |error: Error| error.to_string();
    let mut expected = expected.clone();
    for life in 0..3 {
        let engine = world.open().map_err(words)?;
        let text = format!("new-{life}");
        let stream = engine.create_stream(&name(&text), 3).map_err(words)?;
        for (index, shard) in stream.shards().iter().enumerate() {
            put_now(&engine, shard, &[b"new"]).map_err(words)?;
            expected.insert((text.clone(), index), vec![(1, b"new".to_vec())]);
        }
        engine.shut_down().map_err(words)?;
    }
    let found = records(world).map_err(words)?;
    if found == expected { Ok(()) } else { Err(format!("{:?}", found.keys())) }
}
