//! What is harmed: a small data directory that was stopped, of which any number of copies can be
//! had for microseconds, and what every byte read from it has to be.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anabranch_engine::fs::{Fs, SimFs};
use anabranch_engine::offline::{Mode, RepairReport, VerifyReport, repair, verify};
use anabranch_engine::sequence::SequenceNumber;
use anabranch_engine::{Damage, Environment, Error, Result, Shard, StreamSettings};
use bytes::Bytes;

use super::layout::Layout;
use crate::support::{Random, WHOLE, World, name, put_now};

/// The data directory of every simulated world.
pub const DATA: &str = "/data";

/// How the directory came to rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// Stopped cleanly.
    Clean,
    /// Stopped cleanly when its segments had been sealed.
    Sealed,
    /// Killed. Half of its frames are below the recorded end.
    Killed,
}

/// A segment as it was written.
pub struct Whole {
    /// Its path.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What they are.
    pub layout: Layout,
    /// All payloads, one after the other.
    pub payloads: Vec<u8>,
}

/// A data directory at rest: one stream, and one segment of 256 KiB in each shard.
///
/// The shards were put the same records in the same batches at the same times. They differ in
/// their ids, their segments' incarnations, and the checksums that cover these; so what is tried
/// on one of them is tried on all.
pub struct Subject {
    /// The disk of this one is dead; copies of it are not.
    world: World,
    /// By shard.
    pub segments: Vec<Whole>,
    /// How it came to rest.
    pub stop: Stop,
    /// The first number that is not recorded as durable.
    pub recorded: u64,
}

/// The stream's name.
pub const STREAM: &str = "subject";

impl Subject {
    /// Makes one, with frames of one to six records in nearly all of its room.
    pub fn new(seed: u64, shards: u32, stop: Stop) -> Subject {
        Subject::filled(seed, shards, stop, 240 << 10)
    }

    /// Makes one with about so many bytes of frames in each shard.
    pub fn filled(seed: u64, shards: u32, stop: Stop, bytes: usize) -> Subject {
        let mut world = World::new(seed);
        let mut random = Random(seed);
        let mut recorded = 1;
        let mut left = bytes;
        for half in [2, 1] {
            let engine = world.open().expect("a sound disk opens");
            let stream = match engine.stream(&name(STREAM)) {
                Ok(stream) => stream,
                Err(_) => engine
                    .create_stream(&name(STREAM), shards, StreamSettings::default())
                    .expect("there is room"),
            };
            recorded = stream.shards()[0].watermarks().durable.0;
            let keep = if half == 2 { left / 2 } else { 0 };
            while left > keep {
                let count = 1 + random.below(6);
                let data: Vec<Vec<u8>> = (0..count).map(|_| noise(&mut random)).collect();
                let views: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
                let bytes = 88 + data.iter().map(|data| data.len() + 40).sum::<usize>();
                world.clock.advance(Duration::from_millis(random.below(5)));
                for shard in &stream.shards() {
                    put_now(&engine, shard, &views).expect("there is room");
                }
                left = left.saturating_sub(bytes);
            }
            if half == 1 && stop == Stop::Sealed {
                // An hour and more seals the segments.
                world.clock.advance(Duration::from_secs(4000));
                engine.housekeeping_step();
            }
            if half == 1 && stop != Stop::Killed {
                engine.shut_down().expect("nothing fails");
                recorded = stream.shards()[0].watermarks().durable.0;
            }
            drop((stream, engine));
            world = world.with(world.fs.kill());
        }
        let segments = world.segments().into_iter().map(|(path, _)| {
            let bytes = world.fs.read_file(&path).expect("it was listed");
            let layout = Layout::of(&bytes);
            let payloads = layout.frames.iter().map(|frame| &bytes[frame.payload()]);
            Whole { payloads: payloads.flatten().copied().collect(), path, layout, bytes }
        });
        let mut segments: Vec<Whole> = segments.collect();
        // By shard, not by the order of their names.
        segments.sort_by_key(|whole| (whole.path.as_os_str().len(), whole.path.clone()));
        assert_eq!(segments.len(), shards as usize, "one segment a shard");
        let is_equal = segments.iter().all(|other| other.layout == segments[0].layout);
        assert!(is_equal, "the shards are alike");
        Subject { world, segments, stop, recorded }
    }

    /// The same on a disk of its own: copies of it wait for nobody.
    #[must_use]
    pub fn twin(&self) -> World {
        let twin = twin(&self.world);
        twin.clock.advance(Duration::from_secs(5000));
        twin
    }
}

/// The files of a world on a disk of their own.
#[must_use]
pub fn twin(world: &World) -> World {
    let twin = World::new(1);
    for (path, len) in world.fs.files() {
        let bytes = world.fs.read_file(&path).expect("it was listed");
        // What is all zeros, as the reserve, takes no memory: copies are the quicker.
        let is_zeros = bytes.iter().all(|&byte| byte == 0);
        twin.fs.write_file(&path, if is_zeros { &[] } else { &bytes });
        twin.fs.truncate(&path, len);
    }
    twin
}

fn noise(random: &mut Random) -> Vec<u8> {
    let len = random.below(1200) as usize;
    (0..len).map(|_| random.next() as u8).collect()
}

/// The seams of a world, for the offline tools.
pub fn environment(world: &World) -> Environment {
    Environment {
        fs: Arc::new(world.fs.clone()),
        clock: world.clock.clone(),
        entropy: world.entropy.clone(),
    }
}

/// `anabranch verify` of a world.
pub fn check(fs: &SimFs) -> VerifyReport {
    check_on(&(Arc::new(fs.clone()) as Arc<dyn Fs>))
}

/// `anabranch verify` of a disk.
pub fn check_on(fs: &Arc<dyn Fs>) -> VerifyReport {
    verify(fs, Path::new(DATA), Mode::Offline, &mut |_| {}).expect("it is a data directory")
}

/// `anabranch repair --apply` of a world.
pub fn mend(world: &World) -> RepairReport {
    repair(&environment(world), Path::new(DATA), true).expect("it is a data directory")
}

/// All that a shard gives, as it stands on the wire, and the damage met on the way.
#[derive(Debug)]
pub struct Given {
    /// What was served up to the first damage, between two, and behind the last.
    pub parts: Vec<Vec<Bytes>>,
    /// What was lost.
    pub damage: Vec<Damage>,
}

impl Given {
    /// Whether what was served between two damages is exactly `expected`.
    pub fn is_part(&self, part: usize, expected: &[u8]) -> bool {
        let mut rest = expected;
        for range in &self.parts[part] {
            match rest.split_at_checked(range.len()) {
                Some((front, behind)) if front == range => rest = behind,
                _ => return false,
            }
        }
        rest.is_empty()
    }
}

/// Reads a shard from its first number to its tip.
pub fn give(shard: &Arc<Shard>) -> Result<Given> {
    let mut cursor = shard.cursor(SequenceNumber(0));
    let mut given = Given { parts: vec![Vec::new()], damage: Vec::new() };
    loop {
        match cursor.read(WHOLE) {
            Ok(page) if page.records == 0 => return Ok(given),
            Ok(page) => given.parts.last_mut().expect("one from the start").extend(page.ranges),
            Err(Error::Damage(found)) if found.next_readable > cursor.position() => {
                cursor.seek(found.next_readable);
                given.damage.push(found);
                given.parts.push(Vec::new());
            }
            Err(error) => return Err(error),
        }
    }
}
