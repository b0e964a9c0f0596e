//! What happens in the life that is swept: everything that changes the disk, once or twice,
//! and as little of it as shows whether it is done right.
//!
//! Segments have 64 KiB, so that two large records roll one. The stages are always the same;
//! the seed varies sizes, groups and reads between them.

use super::life::{Life, Lived};

/// More than half of the room in a segment.
const LARGE: usize = 26_000;

/// A whole life, from the first start on an empty disk to a clean stop.
pub(in crate::torture) fn live(life: &mut Life) -> Lived {
    live_on(life)?;
    life.stop()
}

/// The same life without the last stop.
pub(in crate::torture) fn live_on(life: &mut Life) -> Lived {
    life.open()?;
    life.create_stream("a", 2)?;
    fill(life, "a")?;
    life.register_consumer("a", "one")?;
    roll(life, "a")?;
    record_marks(life)?;
    put_some(life, "a", 0)?;
    life.stop()?;
    life.open()?;

    life.create_stream("b", 1)?;
    put_some(life, "a", 1)?;
    put_some(life, "b", 0)?;
    // Old segments are sealed whatever they hold.
    life.advance(3700);
    put_some(life, "b", 0)?;
    life.keep_house()?;
    // What was put so far is old a day later; full segments wait in spare/ to be used again.
    life.advance(24 * 3600);
    put_some(life, "a", 0)?;
    life.keep_house()?;
    life.advance(11);
    life.keep_house()?;
    roll(life, "a")?;

    life.put("b", 0, &[100])?;
    life.delete_stream("b")?;
    life.commit()?;
    life.keep_house()?;
    life.create_stream("b", 1)?;
    put_some(life, "b", 0)?;
    life.set_retention("a", 48)?;
    life.deregister_consumer("a", "one")?;
    life.kill()?;

    life.open()?;
    fill(life, "a")?;
    put_some(life, "b", 0)?;
    record_marks(life)?;
    life.read_all()
}

/// What is done after a crash: every shard takes records, and some roll.
pub(in crate::torture) fn go_on(life: &mut Life) -> Lived {
    for (stream, shard) in life.all_shards() {
        put_some(life, &stream, shard)?;
    }
    if let Some((stream, shard)) = life.all_shards().first().cloned() {
        life.put_now(&stream, shard, &[LARGE])?;
        life.put_now(&stream, shard, &[LARGE])?;
    }
    life.advance(61);
    life.keep_house()?;
    life.read_all()
}

/// A few small commits in both shards of a stream.
fn fill(life: &mut Life, stream: &str) -> Lived {
    for shard in [0, 1, 0] {
        put_some(life, stream, shard)?;
    }
    Ok(())
}

/// One commit of one to three small batches, and a read.
fn put_some(life: &mut Life, stream: &str, shard: usize) -> Lived {
    for _ in 0..=life.random.below(2) {
        let count = 1 + life.random.below(3);
        let sizes: Vec<usize> = (0..count).map(|_| life.random.below(900) as usize).collect();
        life.put(stream, shard, &sizes)?;
    }
    life.commit()?;
    match life.random.below(2) {
        0 => life.read(stream, shard),
        _ => Ok(()),
    }
}

/// Large records until a segment is full and the next one is begun.
fn roll(life: &mut Life, stream: &str) -> Lived {
    for _ in 0..3 {
        let size = LARGE - life.random.below(900) as usize;
        life.put_now(stream, 0, &[size])?;
        life.read(stream, 0)?;
    }
    Ok(())
}

/// The durable ends are recorded, and in mode `os` made so.
fn record_marks(life: &mut Life) -> Lived {
    life.advance(61);
    life.keep_house()
}
