//! The fuzz targets without a fuzzer: every input that is kept, and changes to them from a seed.
//!
//! `ANABRANCH_WRITE_CORPUS=1` adds the inputs that the targets begin with to the corpus.

use std::path::{Path, PathBuf};

use anabranch_tests::fuzz::{TARGETS, Target};
use anabranch_tests::support::Random;

fn corpus(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target.name)
}

/// The inputs that are kept, in the order of their names.
fn inputs(target: &Target) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(corpus(target)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Says which input it was if the target panics.
struct Told<'a>(&'a [u8]);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input was {:?}", self.0);
        }
    }
}

fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    if std::env::var_os("ANABRANCH_WRITE_CORPUS").is_some() {
        std::fs::create_dir_all(corpus(target)).unwrap();
        for (number, seed) in (target.seeds)().into_iter().enumerate() {
            std::fs::write(corpus(target).join(format!("seed-{number:03}")), seed).unwrap();
        }
    }
    let run = |input: &[u8]| {
        let told = Told(input);
        (target.run)(told.0);
    };
    let inputs = inputs(target);
    assert!(!inputs.is_empty());
    for input in &inputs {
        run(input);
    }
    let mut random = Random(1);
    for _ in 0..target.changes {
        run(&(target.change)(&inputs, &mut random));
    }
}

macro_rules! replays {
    ($($test:ident: $name:literal,)*) => {
        $(#[test]
        fn $test() {
            replay($name);
        })*

        #[test]
        fn every_target_is_replayed() {
            assert_eq!(TARGETS.map(|target| target.name), [$($name),*]);
        }
    };
}

replays! {
    any_rows_in_a_catalog_are_read_or_refused: "catalog",
    any_configuration_is_read_or_refused: "config",
    any_bytes_in_a_segment_are_classified_and_mended: "directory",
    any_frame_of_an_event_stream_is_read_back_or_refused: "event_stream",
    any_frame_with_right_checksums_is_classified_and_mended: "frame",
    any_index_with_a_right_checksum_is_survived: "index",
    no_text_but_ours_is_an_iterator: "iterator",
    any_body_in_cbor_is_answered_by_the_kinesis_door: "kinesis_cbor",
    any_body_in_json_is_answered_by_the_kinesis_door: "kinesis_json",
    our_walker_and_prost_agree_about_every_put: "put",
    what_we_take_for_a_record_prost_takes_for_the_same: "record",
    any_request_is_read_or_refused: "request",
    no_signature_but_the_true_one_is_taken: "signature",
}
