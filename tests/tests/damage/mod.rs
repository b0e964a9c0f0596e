//! Small instances of what the torture command does as a whole: a sample of the bits, cuts and
//! losses, chosen so that each kind is among them.

use anabranch_engine::StreamSettings;
use anabranch_engine::fs::Fs;
use anabranch_engine::offline::FindingKind;
use anabranch_tests::damage::segment_bits::Choice;
use anabranch_tests::damage::subject::{Stop, check, twin};
use anabranch_tests::damage::{
    by_hand, catalog_bits, index, metadata, readers, segment_bits, stale, tokens, truncations,
};
use anabranch_tests::support::{World, name, put_now, read_over_damage};

fn quiet(_: u64) {}

#[test]
fn every_flipped_bit_of_a_segment_is_reported_or_harmless_and_costs_one_frame_at_most() {
    for (stop, together) in [(Stop::Sealed, 8), (Stop::Clean, 1), (Stop::Killed, 1)] {
        let choice = Choice { payload: 809, rest: 67, together };
        let found = segment_bits::run(stop, choice, &quiet);
        found.reports.assert_none();
        found.served.assert_none();
        assert!(found.meaningful.cases() > 2500 && found.idle.cases() > 500);
        assert!(found.redundant.cases() > if stop == Stop::Sealed { 500 } else { 100 });
        assert_eq!(found.tail.cases() > 0, stop == Stop::Killed);
    }
}

#[test]
fn every_flipped_bit_of_a_catalog_is_harmless_or_refused_with_the_repair() {
    for together in [1, 4] {
        let choice = catalog_bits::Choice { first: 5, stride: 503, together };
        let found = catalog_bits::run(choice, &quiet);
        for tally in [&found.harmless, &found.refused, &found.lived_with, &found.repaired] {
            tally.assert_none();
            assert!(tally.cases() > 0);
        }
    }
}

#[test]
fn a_cut_segment_is_a_tail_or_damage_as_was_recorded() {
    for stop in [Stop::Sealed, Stop::Clean, Stop::Killed] {
        let found = truncations::run(stop, (131, 997), &quiet);
        found.damage.assert_none();
        found.tail.assert_none();
        assert!(found.damage.cases() > 100 && found.tail.cases() > 20);
    }
}

#[test]
fn what_is_done_by_hand_loses_no_more_than_what_was_overwritten() {
    let found = by_hand::run(1, 30, &quiet);
    found.assert_none();
    assert_eq!(found.cases(), 30);
}

#[test]
fn valid_frames_of_other_lives_never_come_back() {
    for stop in [Stop::Sealed, Stop::Clean, Stop::Killed] {
        let found = stale::run(stop, 1, 120, &quiet);
        found.assert_none();
        assert_eq!(found.cases(), 120);
    }
}

#[test]
fn a_lost_index_changes_no_answer_and_is_rebuilt_to_the_byte() {
    index::run(1, 40, &quiet).assert_none();
}

#[test]
fn lost_metadata_takes_no_stream_with_it() {
    metadata::run(1, 60, &quiet).assert_none();
}

#[test]
fn no_changed_iterator_is_accepted_and_the_true_one_survives_a_restart() {
    let found = tokens::run(17, &quiet);
    found.forged.assert_none();
    found.good.assert_none();
    assert!(found.forged.cases() > 8_000 && found.good.cases() == 9);
}

#[test]
fn what_a_reader_holds_stays_as_it_was_while_retention_takes_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let found = readers::run(dir.path(), 1, 5, &quiet);
    found.held.assert_none();
    found.rounds.assert_none();
    assert!(found.taken >= 5 && found.held.cases() > 10);
}

#[test]
fn a_segment_of_a_killed_log_that_is_gone_is_missed_soon_after_it_was_made() {
    let first = World::new(5);
    let engine = first.open().unwrap();
    let stream = engine.create_stream(&name("orders"), 1, StreamSettings::default()).unwrap();
    let mut worlds = Vec::new();
    // The first segment has room for two of them.
    for count in 1..=6u64 {
        put_now(&engine, &stream.shards()[0], &[&vec![7; 100_000]]).unwrap();
        // What the housekeeping does several times in a second.
        engine.housekeeping_step();
        worlds.push((count, twin(&first)));
    }
    for (count, world) in worlds {
        let (last, _) = world.segments().pop().unwrap();
        world.fs.remove(&last).unwrap();
        let damage = check(&world.fs).count(FindingKind::Damage);
        assert_eq!(damage, 1, "verify, {count}");
        let engine = world.open().unwrap();
        let stream = engine.stream(&name("orders")).unwrap();
        let shard = &stream.shards()[0];
        let (read, damage) = read_over_damage(shard, 0);
        assert_eq!(damage.len(), 1, "{count}: {damage:?}");
        assert_eq!(damage[0].first_lost.0, read.len() as u64 + 1);
        assert!(damage[0].next_readable.0 > count);
        let appended = put_now(&engine, shard, &[b"after"]).unwrap();
        assert!(appended.first.0 > count, "no number is used twice");
    }
}
