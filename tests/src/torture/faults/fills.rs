//! A simulated disk that is filled by puts until one is refused, and freed again.
//!
//! A cycle: the disk has little room, and records are put until there is none. Then everything is
//! read; in most cycles the server is stopped, killed or cut, and starts on the full disk. Room
//! comes in one of the three ways that there are: from outside, because a stream is deleted, or
//! because records get as old as they may. After a turn of the background puts are taken again,
//! and a refusal is a broken promise.

use anabranch_engine::fs::Fault;

use super::places::durability;
use crate::torture::strict::life::{Life, Lived, Stop};
use crate::torture::strict::tally::Tally;
use crate::torture::strict::trouble::Trouble;

/// What puts find at first. The server's own reserve comes to it.
const ROOM_BYTES: u64 = 2 << 20;
/// Far more puts than fill that.
const PUTS_MAX: u64 = 10_000;
const RECORD_BYTES_MAX: u64 = 25_000;
/// Cycles of one life: each way to get room meets each end.
const CYCLES_OF_LIFE: u64 = 12;
const STREAM: &str = "a";
/// A stream that is there to be deleted.
const DELETED: &str = "b";

/// Where room comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Room {
    Outside,
    Deletion,
    Retention,
}

/// What came of the cycles.
#[derive(Default)]
pub(super) struct Filled {
    pub(super) tally: Tally,
    pub(super) cycles: u64,
    /// Those in which room came because a stream was deleted.
    pub(super) by_deletion: u64,
    /// Those in which it came because records were old.
    pub(super) by_retention: u64,
    pub(super) found: Option<String>,
}

/// So many cycles, or fewer if something is found.
pub(super) fn fill_and_free(seed: u64, cycles: u64) -> Filled {
    let mut filled = Filled::default();
    for seed in seed..seed + cycles {
        let mut life = Life::new(seed, durability(seed));
        let lived = live(&mut life, (cycles - filled.cycles).min(CYCLES_OF_LIFE), &mut filled);
        filled.tally.add(&life.tally());
        filled.found = lived.err().map(|stop| format!("{stop}; filling disk {seed}"));
        if filled.cycles == cycles || filled.found.is_some() {
            break;
        }
    }
    filled
}

fn live(life: &mut Life, cycles: u64, filled: &mut Filled) -> Lived {
    life.open()?;
    life.create_stream(STREAM, 2)?;
    life.create_stream(DELETED, 1)?;
    for turn in 0..cycles {
        let room = [Room::Outside, Room::Deletion, Room::Retention][(turn % 3) as usize];
        cycle(life, turn, room).map_err(|stop| match stop {
            Stop::Found(words) => Stop::Found(format!("cycle {turn}, {room:?}: {words}")),
            stop => stop,
        })?;
        filled.cycles += 1;
        filled.by_deletion += u64::from(room == Room::Deletion);
        filled.by_retention += u64::from(room == Room::Retention);
    }
    life.stop()?;
    life.open()
}

fn cycle(life: &mut Life, turn: u64, room: Room) -> Lived {
    let stream = if room == Room::Deletion { DELETED } else { STREAM };
    life.world.fs.inject(Fault::Full { free_bytes: ROOM_BYTES });
    life.trouble = Trouble::Full;
    let refused_before = life.tally.refused;
    for puts in 0.. {
        put(life, stream)?;
        if life.tally.refused > refused_before {
            break;
        }
        if puts > PUTS_MAX {
            return Err(Stop::Found("the disk does not get full".to_owned()));
        }
    }
    life.read_all()?;
    match turn / 3 % 4 {
        0 => {}
        end => {
            match end {
                1 => life.stop()?,
                2 => life.kill()?,
                _ => life.cut()?,
            }
            life.open()?;
            life.read_all()?;
        }
    }
    match room {
        Room::Outside => life.world.fs.clear_faults(),
        Room::Deletion => life.delete_stream(DELETED)?,
        Room::Retention => life.advance(25 * 3600),
    }
    // Retention looks every ten seconds.
    life.advance(11);
    life.keep_house()?;
    life.trouble = Trouble::None;
    // More than what is left of the segments that stand.
    for _ in 0..8 {
        put(life, STREAM)?;
    }
    life.read_all()?;
    life.world.fs.clear_faults();
    if room == Room::Deletion {
        life.create_stream(DELETED, 1)?;
    }
    Ok(())
}

fn put(life: &mut Life, stream: &str) -> Lived {
    let sizes = [0; 3].map(|_| life.random.below(RECORD_BYTES_MAX) as usize);
    let shard = match stream {
        STREAM => life.random.below(2) as usize,
        _ => 0,
    };
    life.put_now(stream, shard, &sizes)
}
