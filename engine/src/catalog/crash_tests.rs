//! The catalog on a disk that loses power, fails and fills up.

use super::tests::{Step, account, consumer, life, live, make, mark, open, settings, stream};
use super::*;
use crate::entropy::SystemEntropy;
use crate::fs::{Fault as DiskFault, Op, SimFs};

const DATA: &str = "/data";

fn disk(seed: u64) -> (SimFs, Arc<dyn Fs>) {
    let disk = SimFs::new(seed);
    disk.create_dir(Path::new(DATA)).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    (disk.clone(), Arc::new(disk))
}

fn shared(disk: &SimFs) -> Arc<dyn Fs> {
    Arc::new(disk.clone())
}

/// A life until its first error: the model after the steps that returned, and after the one
/// that did not.
fn live_until_error(fs: &Arc<dyn Fs>, steps: &[Step]) -> Option<[Contents; 2]> {
    let result = Catalog::open(Arc::clone(fs), Path::new(DATA), false, &SystemEntropy);
    let (catalog, mut model) = result.ok()?;
    for step in steps {
        let mut next = model.clone();
        step.model(&mut next);
        if step.take(&catalog).is_err() {
            return Some([model, next]);
        }
        model = next;
    }
    Some([model.clone(), model])
}

fn sweep(steps: &[Step], seed: u64, restart: impl Fn(&SimFs) -> SimFs) {
    // Making the directory are operations 0 and 1.
    for ordinal in 2.. {
        let (disk, fs) = disk(seed * 10_000 + ordinal);
        disk.crash_at(ordinal);
        let expected = live_until_error(&fs, steps);
        let is_through = disk.ops() <= ordinal;
        let restarted = restart(&disk);
        restarted.crash_at(u64::MAX);
        let fs = shared(&restarted);
        let (catalog, contents) = if let Some([before, after]) = expected {
            let (catalog, contents) = open(&fs, Path::new(DATA));
            assert!(
                contents == before || contents == after,
                "cut at {ordinal}: {contents:?} is neither {before:?} nor {after:?}"
            );
            (catalog, contents)
        } else {
            // It had never run: made now, or before the cut, and empty either way.
            let (catalog, contents) = make(&fs, Path::new(DATA));
            assert_eq!(contents, Contents::empty(contents.iterator_key));
            (catalog, contents)
        };
        // And it takes changes again.
        let later = stream(1000, "later", 2);
        catalog.create_stream(&later).unwrap();
        drop(catalog);
        let names = fs.list(Path::new(DATA)).unwrap();
        assert_eq!(names.len(), 1, "cut at {ordinal} left {names:?}");
        let found = open(&shared(&restarted.crash()), Path::new(DATA)).1;
        assert_eq!(found.streams.len(), contents.streams.len() + 1);
        assert_eq!(found.streams.last(), Some(&later));
        if is_through {
            assert!(ordinal > 100, "{ordinal} operations are no life");
            return;
        }
    }
}

#[test]
fn a_power_cut_at_any_operation_leaves_the_old_or_the_new_contents() {
    for seed in 1..4 {
        sweep(&life(), seed, SimFs::crash);
    }
}

#[test]
fn a_kill_at_any_operation_leaves_the_old_or_the_new_contents() {
    sweep(&life(), 9, SimFs::kill);
}

/// Each step is taken again until it works, and then the power goes: what returned is there,
/// although the kernel lied about pages that it never wrote.
#[test]
fn what_returned_after_a_failed_sync_or_write_survives_a_power_cut() {
    let faults: [fn(u64) -> DiskFault; 2] = [
        |nth| DiskFault::Fails { op: Op::Sync, nth, is_full: false },
        |nth| DiskFault::Fails { op: Op::Write, nth, is_full: false },
    ];
    for fault in faults {
        for nth in 1.. {
            let (disk, fs) = disk(nth);
            let (catalog, mut model) = make(&fs, Path::new(DATA));
            disk.inject(fault(nth));
            let mut failures = 0;
            for step in life() {
                while let Err(error) = step.take(&catalog) {
                    assert!(matches!(error, Error::Io(_)), "{error}");
                    failures += 1;
                    assert!(failures < 3, "{nth}: {step:?} keeps failing: {error}");
                }
                step.model(&mut model);
            }
            let contents = open(&shared(&disk.crash()), Path::new(DATA)).1;
            assert_eq!(contents, model, "{:?}", fault(nth));
            drop(catalog);
            if failures == 0 {
                assert!(nth > 20, "{nth} operations are no life");
                break;
            }
        }
    }
}

#[test]
fn a_name_is_free_again_after_its_creation_was_reported_as_failed() {
    for nth in 1..6 {
        let (disk, fs) = disk(nth);
        let (catalog, _) = make(&fs, Path::new(DATA));
        disk.inject(DiskFault::Fails { op: Op::Sync, nth, is_full: false });
        let mut id = 1;
        while catalog.create_stream(&stream(id, "orders", 2)).is_err() {
            id += 1;
        }
        let contents = open(&shared(&disk.crash()), Path::new(DATA)).1;
        let alive = contents.streams.iter().filter(|stream| !stream.is_deleting);
        assert_eq!(alive.collect::<Vec<_>>(), [&stream(id, "orders", 2)]);
        drop(catalog);
    }
}

#[test]
fn a_change_that_was_reported_as_failed_is_not_made() {
    let changes = [
        Step::Create(stream(2, "clicks", 2)),
        Step::MarkDeleting(1),
        Step::Retention(1, 48),
        Step::Settings(1, settings()),
        Step::Account(account()),
        Step::PutConsumer(1, "billing"),
        Step::RemoveConsumer(1, "audit"),
    ];
    let faults: [fn(u64) -> DiskFault; 2] = [
        |nth| DiskFault::Fails { op: Op::Sync, nth, is_full: false },
        |nth| DiskFault::Fails { op: Op::Write, nth, is_full: false },
    ];
    for (change, fault) in changes.iter().flat_map(|change| faults.map(|fault| (change, fault))) {
        for nth in 1.. {
            let (disk, fs) = disk(nth);
            let (catalog, mut model) = make(&fs, Path::new(DATA));
            for step in [Step::Create(stream(1, "orders", 2)), Step::PutConsumer(1, "audit")] {
                step.take(&catalog).unwrap();
                step.model(&mut model);
            }
            disk.inject(fault(nth));
            let is_made = change.take(&catalog).is_ok();
            disk.clear_faults();
            catalog.settle().unwrap();
            if is_made {
                change.model(&mut model);
            }
            let mut contents = open(&shared(&disk.crash()), Path::new(DATA)).1;
            // The id of a creation that failed may be used up.
            model.next_stream_id = model.next_stream_id.max(contents.next_stream_id);
            contents.next_stream_id = model.next_stream_id;
            assert_eq!(contents, model, "{change:?}: {:?}", fault(nth));
            drop(catalog);
            if is_made {
                break;
            }
        }
    }
}

#[test]
fn a_full_disk_is_told_and_the_catalog_goes_on_when_space_returns() {
    let (disk, fs) = disk(1);
    let (catalog, _) = make(&fs, Path::new(DATA));
    catalog.create_stream(&stream(1, "orders", 3)).unwrap();
    disk.inject(DiskFault::Full { free_bytes: 0 });
    let large = stream(2, "large", 10_000);
    for _ in 0..3 {
        let error = catalog.create_stream(&large).unwrap_err();
        assert!(error.is_full(), "{error}");
    }
    // A restart needs no space.
    drop(catalog);
    let (catalog, contents) = open(&fs, Path::new(DATA));
    assert_eq!(contents.streams, [stream(1, "orders", 3)]);
    assert!(catalog.create_stream(&large).unwrap_err().is_full());
    disk.clear_faults();
    let marks = [(StreamId(1), ShardId(0), mark(5, 1))];
    catalog.record(&marks, &TimelineState::default()).unwrap();
    catalog.create_stream(&large).unwrap();
    let contents = open(&shared(&disk.crash()), Path::new(DATA)).1;
    assert_eq!(contents.streams, [stream(1, "orders", 3), large]);
    assert_eq!(contents.marks.len(), 1);
    drop(catalog);
}

#[test]
fn a_catalog_that_cannot_be_read_is_an_io_error_and_not_lost() {
    let (disk, fs) = disk(1);
    drop(make(&fs, Path::new(DATA)));
    let path = Path::new(DATA).join(FILE_NAME);
    disk.inject(DiskFault::ReadFails { path });
    let result = Catalog::open(fs, Path::new(DATA), true, &SystemEntropy);
    assert!(matches!(result, Err(Error::Io(_))));
}

#[test]
fn a_flipped_bit_loses_the_catalog_or_nothing() {
    let (disk, fs) = disk(1);
    let expected = live(&fs, Path::new(DATA));
    let path = Path::new(DATA).join(FILE_NAME);
    let intact = disk.read_file(&path).unwrap();
    // All bits of the header, and one in every 251 bytes of the rest.
    let rest = (320..intact.len()).step_by(251);
    let rest = rest.map(|byte| byte * 8 + byte % 8);
    let mut lost = 0;
    for bit in (0..320 * 8).chain(rest) {
        let mut flipped = intact.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        disk.write_file(&path, &flipped);
        match Catalog::open(Arc::clone(&fs), Path::new(DATA), true, &SystemEntropy) {
            Ok((_, contents)) => assert_eq!(contents, expected, "byte {}", bit / 8),
            Err(Error::CatalogLost { .. }) => lost += 1,
            Err(error) => panic!("byte {}: {error}", bit / 8),
        }
    }
    assert!(lost > 100, "{lost}");
}

#[test]
fn a_truncated_catalog_is_lost() {
    let (disk, fs) = disk(1);
    let (catalog, _) = make(&fs, Path::new(DATA));
    catalog.create_stream(&stream(1, "orders", 2000)).unwrap();
    catalog.put_consumer(StreamId(1), &consumer("audit"), || ()).unwrap();
    drop(catalog);
    let path = Path::new(DATA).join(FILE_NAME);
    let len = disk.read_file(&path).unwrap().len() as u64;
    for cut in [len - 1, len - 4096, len / 2, 4096, 320, 10, 1] {
        disk.truncate(&path, cut);
        let result = Catalog::open(Arc::clone(&fs), Path::new(DATA), true, &SystemEntropy);
        assert!(matches!(result, Err(Error::CatalogLost { .. })), "{cut}");
    }
}

#[test]
fn a_power_cut_during_a_rebuild_loses_neither_the_old_catalog_nor_the_way_to_a_new_one() {
    for ordinal in 2.. {
        let (disk, fs) = disk(ordinal);
        let mut contents = Contents::empty([3; 32]);
        contents.next_stream_id = 2;
        contents.streams = vec![stream(1, "orders", 50)];
        let path = Path::new(DATA).join(FILE_NAME);
        disk.write_file(&path, b"damaged");
        disk.crash_at(ordinal);
        let result = Catalog::rebuild(fs, Path::new(DATA), &contents);
        let is_through = disk.ops() <= ordinal;
        let restarted = disk.crash();
        let fs = shared(&restarted);
        match Catalog::open(Arc::clone(&fs), Path::new(DATA), true, &SystemEntropy) {
            Ok((_, found)) => assert_eq!(found, contents),
            Err(Error::CatalogLost { .. }) if result.is_err() => {
                Catalog::rebuild(Arc::clone(&fs), Path::new(DATA), &contents).unwrap();
                assert_eq!(open(&fs, Path::new(DATA)).1, contents);
            }
            Err(error) => panic!("cut at {ordinal}: {error}"),
        }
        let is_kept = |(path, _): &(PathBuf, u64)| restarted.read_file(path).unwrap() == b"damaged";
        assert!(restarted.files().iter().any(is_kept), "cut at {ordinal}");
        if is_through {
            return;
        }
    }
}
