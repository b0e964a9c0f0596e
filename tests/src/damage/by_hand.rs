//! What people do to a data directory with their hands: a byte is changed in a very large frame,
//! the segment of another log is copied over one of ours, the catalog is put back from a backup, the
//! file of a closed shard is taken away.
//!
//! Nothing is lost but what was overwritten, that is told, and nothing of others is served.

use anabranch_engine::fs::Fs;
use anabranch_engine::hash_key::HashKey;
use anabranch_engine::ids::ShardId;
use anabranch_engine::reshard::Step;
use anabranch_engine::{Engine, StreamSettings};

use super::layout::Layout;
use super::subject::DATA;
use super::{Tally, in_parallel};
use crate::support::{Random, World, name, put_now, read_over_damage};

/// Does `count` such things, each of them in turn.
pub fn run(seed: u64, count: u64, progress: &(dyn Fn(u64) + Sync)) -> Tally {
    let out = Tally::default();
    in_parallel(
        count,
        || out.is_enough(),
        || (),
        |(), round| {
            let mut random = Random(seed ^ (round << 20));
            let (what, outcome) = match round % 4 {
                0 => ("a large frame", large_frame(&mut random)),
                1 => ("another log's segment", exchanged(&mut random)),
                2 => ("a catalog from a backup", backup(&mut random)),
                _ => ("the file of a closed shard", taken_away(&mut random)),
            };
            out.case();
            out.expect(outcome.is_ok(), || format!("{what}, round {round}: {outcome:?}"));
            progress(1);
        },
    );
    out
}

type Outcome = Result<(), String>;

/// Records with their numbers.
type Numbered = Vec<(u64, Vec<u8>)>;

fn open(world: &World) -> Result<Engine, String> {
    world.open().map_err(|error| format!("a start fails: {error}"))
}

fn put(engine: &Engine, stream: &str, data: &[u8]) -> Result<u64, String> {
    let stream = engine.stream(&name(stream)).map_err(|error| error.to_string())?;
    let put = put_now(engine, &stream.shards()[0], &[data]);
    put.map(|appended| appended.first.0).map_err(|error| format!("a put fails: {error}"))
}

/// What a reader gets of a stream, and of how many numbers it is told that they are lost.
fn read(engine: &Engine, stream: &str) -> Result<(Numbered, u64), String> {
    let stream = engine.stream(&name(stream)).map_err(|error| error.to_string())?;
    let (read, damage) = read_over_damage(&stream.shards()[0], 0);
    let lost = damage.iter().map(|found| found.next_readable.0 - found.first_lost.0).sum();
    Ok((read.into_iter().map(|read| (read.sequence, read.data)).collect(), lost))
}

fn made(streams: &[&str]) -> (World, Engine) {
    let world = World::new(1);
    let engine = world.open().expect("a sound disk opens");
    for stream in streams {
        engine.create_stream(&name(stream), 1, StreamSettings::default()).expect("there is room");
    }
    (world, engine)
}

/// One bit of a frame of 70 KiB to 7 MiB changes in a log that was killed. That it was durable,
/// only the frame behind the next one tells, which stands that far away.
fn large_frame(random: &mut Random) -> Outcome {
    let (world, engine) = made(&["a"]);
    let (size, count) = ((70 << 10) + random.below(900_000), 1 + random.below(7));
    put(&engine, "a", b"before")?;
    let stream = engine.stream(&name("a")).map_err(|error| error.to_string())?;
    let data = vec![7; size as usize];
    let large = put_now(&engine, &stream.shards()[0], &vec![&data[..]; count as usize]);
    large.map_err(|error| format!("a put fails: {error}"))?;
    for data in [b"behind", b"proves"] {
        put(&engine, "a", data)?;
    }
    drop((stream, engine));
    let world = world.with(world.fs.kill());
    for (path, _) in world.segments() {
        let mut bytes = world.fs.read_file(&path).expect("it was listed");
        let layout = Layout::of(&bytes);
        let mut payloads = layout.frames.iter().map(|frame| frame.payload());
        if let Some(payload) = payloads.find(|payload| payload.len() as u64 > size) {
            let at = payload.start + random.below(payload.len() as u64) as usize;
            bytes[at] ^= 1 << random.below(8);
            world.fs.write_file(&path, &bytes);
        }
    }
    let (read, lost) = read(&open(&world)?, "a")?;
    let numbers: Vec<u64> = read.iter().map(|(number, _)| *number).collect();
    match lost == count && numbers == [1, count + 2, count + 3] {
        true => Ok(()),
        false => Err(format!("{count} of {size} bytes, {lost} told to be lost; {numbers:?} left")),
    }
}

/// The segment of one log is copied over that of another with the same first number.
fn exchanged(random: &mut Random) -> Outcome {
    let (world, engine) = made(&["a", "b"]);
    for number in 0..=random.below(20) {
        for stream in ["a", "b"] {
            put(&engine, stream, format!("{stream} {number}").as_bytes())?;
        }
    }
    if random.below(2) == 0 {
        // An hour and more seals the segments.
        world.clock.advance(std::time::Duration::from_secs(4000));
        engine.housekeeping_step();
    }
    if random.below(3) > 0 {
        engine.shut_down().map_err(|error| error.to_string())?;
    }
    drop(engine);
    let world = world.with(world.fs.kill());
    let segments = world.segments();
    let theirs = world.fs.read_file(&segments[1].0).expect("it was listed");
    world.fs.write_file(&segments[0].0, &theirs);
    let mut mine = Vec::new();
    for round in 0..2 {
        let engine = open(&world)?;
        let data = format!("mine {round}").into_bytes();
        mine.push((put(&engine, "a", &data)?, data));
        let (found, lost) = read(&engine, "a")?;
        if found != mine || lost == 0 {
            return Err(format!("instead of {mine:?} there is {found:?}, {lost} are lost"));
        }
        engine.shut_down().map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// A clean stop, more records, and the catalog of the first stop again.
fn backup(random: &mut Random) -> Outcome {
    let (world, engine) = made(&["a"]);
    let path = format!("{DATA}/catalog.redb");
    let mut all = Vec::new();
    let mut engine = Some(engine);
    let mut catalog = None;
    for life in 0..4 {
        let now = match engine.take() {
            Some(engine) => engine,
            None => open(&world)?,
        };
        for _ in 0..=random.below(3) {
            let data = vec![life; random.below(2000) as usize];
            all.push((put(&now, "a", &data)?, data));
        }
        let (found, lost) = read(&now, "a")?;
        if found != all || lost > 0 {
            let (found, all) = (found.len(), all.len());
            return Err(format!("{found} of {all} records in life {life}, {lost} are lost"));
        }
        now.shut_down().map_err(|error| error.to_string())?;
        drop(now);
        let old = catalog.take().or_else(|| world.fs.read_file(&path));
        if life == 1 {
            world.fs.write_file(&path, old.as_ref().expect("a start has made it"));
        }
        catalog = old;
    }
    Ok(())
}

/// The file of a shard that was closed is gone: that it had one, only the catalog tells.
fn taken_away(random: &mut Random) -> Outcome {
    let (world, engine) = made(&["a"]);
    let count = 1 + random.below(20);
    for _ in 0..count {
        put(&engine, "a", &vec![1; random.below(2000) as usize])?;
    }
    let stream = engine.stream(&name("a")).map_err(|error| error.to_string())?;
    let at = HashKey(1 + u128::from(random.next()));
    let split = Step::Split { shard: ShardId(0), at };
    engine.reshard(&stream, &[split]).map_err(|error| format!("a split fails: {error}"))?;
    let child = stream.shards()[1].clone();
    let behind = put_now(&engine, &child, &[b"behind"]);
    let behind = behind.map_err(|error| format!("a put fails: {error}"))?.first.0;
    drop((stream, child, engine));
    let world = world.with(world.fs.kill());
    let (taken, _) = world.segments().into_iter().next().expect("the parent has a file");
    world.fs.remove(&taken).map_err(|error| error.to_string())?;
    let engine = open(&world)?;
    let (left, lost) = read(&engine, "a")?;
    let stream = engine.stream(&name("a")).map_err(|error| error.to_string())?;
    let (found, _) = read_over_damage(&stream.shards()[1], 0);
    let is_behind = found.iter().map(|read| read.sequence).eq([behind]);
    match left.is_empty() && lost == count && is_behind {
        true => Ok(()),
        false => Err(format!("{count} put, {lost} told to be lost; {left:?} left, {found:?}")),
    }
}
