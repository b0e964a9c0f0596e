//! Small instances of what the torture command does as a whole: a sample of the bits, cuts and
//! losses, chosen so that each kind is among them.

use anabranch_tests::damage::segment_bits::Choice;
use anabranch_tests::damage::subject::Stop;
use anabranch_tests::damage::{
    catalog_bits, index, metadata, readers, segment_bits, stale, tokens, truncations,
};

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
    let found = catalog_bits::run((5, 331), &quiet);
    for tally in [&found.harmless, &found.refused, &found.lived_with, &found.repaired] {
        tally.assert_none();
        assert!(tally.cases() > 0);
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
