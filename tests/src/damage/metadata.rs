//! Metadata that is lost never takes data with it: the catalog missing, damaged or of another
//! directory, the lock file gone, directories that no entry claims.

use std::collections::BTreeMap;
use std::path::Path;

use anabranch_engine::offline::rebuild_catalog;
use anabranch_engine::{Error, StreamSettings, fs::Fs};

use super::subject::{DATA, environment, twin};
use super::{Tally, in_parallel};
use crate::support::{Random, World, name, put_now, read_all};

const CATALOG: &str = "/data/catalog.redb";

/// Streams of the directory, and their shards.
const STREAMS: [(&str, u32); 3] = [("orders", 2), ("..", 1), ("payments", 3)];

/// Records by stream and shard: number and data.
type Records = BTreeMap<(String, usize), Vec<(u64, Vec<u8>)>>;

/// What is done to the metadata.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Loss {
    Missing,
    Emptied,
    Zeros,
    Noise,
    Cut(u64),
    Overwritten(u64, u64),
    LockGone,
    Foreign,
}

fn directory() -> World {
    let world = World::new(17);
    let engine = world.open().expect("an empty disk opens");
    for (text, shards) in STREAMS {
        let stream = engine
            .create_stream(&name(text), shards, StreamSettings::default())
            .expect("there is room");
        for (number, shard) in (1u8..).zip(&stream.shards()) {
            for _ in 0..3 {
                put_now(&engine, shard, &[&[number; 700], text.as_bytes()]).expect("there is room");
            }
        }
    }
    engine.shut_down().expect("nothing fails");
    drop(engine);
    world.with(world.fs.kill())
}

fn loss(round: u64, random: &mut Random, len: u64) -> Loss {
    match round {
        0 => Loss::Missing,
        1 => Loss::Emptied,
        2 => Loss::Zeros,
        3 => Loss::Foreign,
        4 => Loss::LockGone,
        _ => match round % 3 {
            0 => Loss::Noise,
            1 => Loss::Cut(random.below(len)),
            _ => Loss::Overwritten(random.below(len / 512) * 512, 512 << random.below(5)),
        },
    }
}

/// Loses metadata `count` times, each time in another way.
pub fn run(seed: u64, count: u64, progress: &(dyn Fn(u64) + Sync)) -> Tally {
    let base = directory();
    let records = read(&base.with(base.fs.kill())).expect("it is whole");
    let segments = contents(&base);
    let out = Tally::default();
    in_parallel(
        count,
        || out.is_enough(),
        || twin(&base),
        |twin, round| {
            let mut random = Random(seed ^ (round << 20));
            let world = twin.with(twin.fs.kill());
            let whole = world.fs.read_file(CATALOG).expect("it is there");
            let loss = loss(round, &mut random, whole.len() as u64);
            lose(&world, loss, whole, &mut random);
            out.case();
            let outcome = look(&world, loss, &records, &segments);
            out.expect(outcome.is_ok(), || format!("seed {seed}, {loss:?}: {outcome:?}"));
            progress(1);
        },
    );
    out
}

fn lose(world: &World, loss: Loss, mut catalog: Vec<u8>, random: &mut Random) {
    match loss {
        Loss::Missing => world.fs.remove(Path::new(CATALOG)).expect("it is there"),
        Loss::LockGone => world.fs.remove(Path::new("/data/LOCK")).expect("it is there"),
        Loss::Emptied => world.fs.truncate(CATALOG, 0),
        Loss::Cut(len) => world.fs.truncate(CATALOG, len),
        Loss::Zeros => world.fs.write_file(CATALOG, &vec![0; catalog.len()]),
        Loss::Noise => {
            for byte in &mut catalog {
                *byte = random.next() as u8;
            }
            world.fs.write_file(CATALOG, &catalog);
        }
        Loss::Overwritten(at, len) => {
            let end = (at + len).min(catalog.len() as u64);
            catalog[at as usize..end as usize].fill(random.next() as u8);
            world.fs.write_file(CATALOG, &catalog);
        }
        Loss::Foreign => {
            // That of a server that never had a stream.
            let other = World::new(1);
            other.open().and_then(|engine| engine.shut_down()).expect("an empty disk opens");
            world.fs.write_file(CATALOG, &other.fs.read_file(CATALOG).expect("it was made"));
        }
    }
}

fn look(
    world: &World,
    loss: Loss,
    records: &Records,
    segments: &BTreeMap<u64, u64>,
) -> Result<(), String> {
    let is_refused = match world.open() {
        Ok(engine) => {
            let is_moved = engine.report().lost_and_found.len() == STREAMS.len();
            if loss == Loss::Foreign && !is_moved {
                return Err(format!("nothing moved: {:?}", engine.report()));
            }
            false
        }
        Err(error) if loss == Loss::LockGone => return Err(error.to_string()),
        Err(error @ Error::CatalogLost { .. }) => {
            if !error.to_string().contains("anabranch repair --rebuild-catalog") {
                return Err(format!("names no repair: {error}"));
            }
            true
        }
        Err(error) => return Err(error.to_string()),
    };
    if contents(world) != *segments {
        return Err("segments were changed or removed".to_owned());
    }
    if loss == Loss::Foreign {
        return Ok(());
    }
    if is_refused {
        let world = world.with(world.fs.kill());
        rebuild_catalog(&environment(&world), Path::new(DATA), true)
            .map_err(|error| format!("rebuild: {error}"))?;
        return is_same(&world, records);
    }
    is_same(&world.with(world.fs.kill()), records)
}

fn is_same(world: &World, records: &Records) -> Result<(), String> {
    let found = read(world).map_err(|error| error.to_string())?;
    if found == *records { Ok(()) } else { Err(format!("streams lost: {:?}", found.keys())) }
}

fn read(world: &World) -> anabranch_engine::Result<Records> {
    let engine = world.open()?;
    let mut records = Records::new();
    for stream in engine.streams(None, 100) {
        for (index, shard) in stream.shards().iter().enumerate() {
            records.insert((stream.name().to_string(), index), read_all(shard, 0));
        }
    }
    Ok(records)
}

/// How many segments of which content there are, wherever they are.
fn contents(world: &World) -> BTreeMap<u64, u64> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut contents = BTreeMap::new();
    for (path, _) in world.fs.files() {
        if path.extension().is_some_and(|extension| extension == "seg") {
            let mut hasher = DefaultHasher::new();
            world.fs.read_file(&path).hash(&mut hasher);
            *contents.entry(hasher.finish()).or_default() += 1;
        }
    }
    contents
}
