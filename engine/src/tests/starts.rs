//! What a start after a kill has to read.

use super::{World, name, put_now};
use crate::StreamSettings;

#[test]
fn many_shards_together_leave_no_more_to_scan_than_a_few() {
    const SHARDS: u32 = 20;
    const MIB: u64 = 1 << 20;
    let world = World::new(1);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), SHARDS, StreamSettings::default()).unwrap();
    // Each has less than a durable end is recorded for, all together have more.
    let record = vec![7; (MIB - 100) as usize];
    for _ in 0..7 {
        for shard in &stream.shards() {
            put_now(&engine, shard, &[&record]).unwrap();
        }
        engine.housekeeping_step();
    }
    drop((stream, engine));
    let world = world.with(world.fs.kill());
    let engine = world.open().unwrap();
    let scanned = engine.report().scanned_bytes;
    // Of 140 MiB less than what has all ends recorded, and what is looked at behind the end of
    // each log.
    assert!(scanned < 65 * MIB, "{scanned}");
}

#[test]
fn behind_the_end_of_a_log_only_a_little_is_read() {
    let world = World::new(1);
    let engine = world.open().unwrap();
    let stream = engine.create_stream(&name("s"), 1, StreamSettings::default()).unwrap();
    // So much that its durable end is recorded, in a segment with as much room again.
    for _ in 0..9 {
        put_now(&engine, &stream.shards()[0], &[&vec![7; (1 << 20) - 100]]).unwrap();
    }
    engine.housekeeping_step();
    drop((stream, engine));
    let world = world.with(world.fs.kill());
    let engine = world.open().unwrap();
    let scanned = engine.report().scanned_bytes;
    assert!(scanned < 64 << 10, "{scanned}");
}
