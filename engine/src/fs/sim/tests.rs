use std::collections::BTreeSet;

use super::*;

const MIB: u64 = 1 << 20;

fn path(text: &str) -> &Path {
    Path::new(text)
}

/// A disk with one durable file of four sectors of ones.
fn with_a_file(seed: u64) -> (SimFs, Arc<dyn File>) {
    let fs = SimFs::new(seed);
    let file = fs.create(path("/a"), 2048).unwrap();
    file.write_at(0, &[1; 2048]).unwrap();
    file.sync().unwrap();
    fs.sync_dir(path("/")).unwrap();
    (fs, file)
}

fn names(fs: &SimFs) -> Vec<String> {
    let files = fs.files().into_iter();
    files.map(|(path, _)| path.display().to_string()).collect()
}

/// What different seeds make of the same work.
fn outcomes<T: Ord>(work: impl Fn(SimFs) -> T) -> BTreeSet<T> {
    (0..200).map(|seed| work(SimFs::new(seed))).collect()
}

#[test]
fn unsynced_sectors_survive_a_power_cut_each_by_itself() {
    let mut seen = BTreeSet::new();
    for seed in 0..300 {
        let (fs, file) = with_a_file(seed);
        file.write_at(0, &[2; 2048]).unwrap();
        let bytes = fs.crash().read_file("/a").unwrap();
        let sectors: Vec<u8> = bytes.chunks(512).map(|sector| sector[0]).collect();
        for (sector, first) in bytes.chunks(512).zip(&sectors) {
            assert!(sector.iter().all(|byte| byte == first), "a torn sector");
        }
        seen.insert(sectors);
    }
    assert_eq!(seen.len(), 16, "every subset happens");
}

#[test]
fn synced_bytes_always_survive() {
    for seed in 0..100 {
        let (fs, file) = with_a_file(seed);
        file.write_at(100, b"kept").unwrap();
        file.sync().unwrap();
        file.write_at(600, b"perhaps").unwrap();
        let bytes = fs.crash().read_file("/a").unwrap();
        assert_eq!(&bytes[100..104], b"kept");
        assert_eq!(bytes.len(), 2048);
    }
}

#[test]
fn a_process_that_dies_loses_nothing_but_its_handles_and_locks() {
    let (fs, file) = with_a_file(1);
    let lock = fs.lock(path("/LOCK")).unwrap();
    file.write_at(0, b"written").unwrap();
    let next = fs.kill();
    assert_eq!(&next.read_file("/a").unwrap()[..7], b"written");
    for error in [file.sync(), file.write_at(0, b"x"), fs.sync_dir(path("/"))] {
        assert_eq!(error.unwrap_err().to_string(), "power cut");
    }
    let taken = next.lock(path("/LOCK")).unwrap();
    drop(lock);
    assert!(next.lock(path("/LOCK")).is_err(), "a dead holder releases nothing here");
    drop(taken);
    // What was only written is still not durable.
    let file = next.open(path("/a"), Access::Read).unwrap();
    file.map(2048).unwrap().slice(0, 7).unwrap();
    assert_eq!(next.undurable_slices(), 1);
}

#[test]
fn a_name_is_durable_only_once_its_directory_is_synced() {
    let made = outcomes(|fs| {
        fs.create(path("/a"), 0).unwrap().sync().unwrap();
        names(&fs.crash())
    });
    assert_eq!(made.len(), 2);
    let removed = outcomes(|fs| {
        fs.write_file("/a", b"");
        fs.remove(path("/a")).unwrap();
        names(&fs.crash())
    });
    assert_eq!(removed.len(), 2);
    let synced = outcomes(|fs| {
        fs.create(path("/a"), 0).unwrap();
        fs.sync_dir(path("/")).unwrap();
        names(&fs.crash())
    });
    assert_eq!(synced.len(), 1);
}

#[test]
fn a_rename_without_a_sync_of_the_directory_may_be_undone_but_never_loses_the_file() {
    let found = outcomes(|fs| {
        fs.write_file("/spare/1", b"old");
        fs.write_file("/shards/keep", b"");
        fs.rename(path("/spare/1"), path("/shards/2")).unwrap();
        // Syncing where it came from promises nothing about where it went.
        fs.sync_dir(path("/spare")).unwrap();
        // A new file under the old name must not swallow the renamed one.
        fs.write_at_new("/spare/1");
        let restarted = fs.crash();
        let moved = restarted.read_file("/shards/2").is_some();
        let old = restarted.read_file("/spare/1");
        assert!(moved || old.as_deref() == Some(b"old"), "lost");
        (moved, old)
    });
    assert_eq!(found.len(), 3);
    let durable = outcomes(|fs| {
        fs.write_file("/spare/1", b"old");
        fs.write_file("/shards/keep", b"");
        fs.rename(path("/spare/1"), path("/shards/2")).unwrap();
        fs.sync_dir(path("/shards")).unwrap();
        names(&fs.crash())
    });
    assert_eq!(durable.into_iter().next().unwrap(), ["/shards/2", "/shards/keep"]);
}

impl SimFs {
    fn write_at_new(&self, name: &str) {
        let file = self.create(path(name), 3).unwrap();
        file.write_at(0, b"new").unwrap();
        file.sync().unwrap();
    }
}

#[test]
fn a_new_length_survives_a_power_cut_or_not() {
    let lens = outcomes(|fs| {
        fs.write_file("/a", &[1; 1000]);
        let file = fs.open(path("/a"), Access::Write).unwrap();
        file.set_len(5000).unwrap();
        file.write_at(4000, &[2; 1000]).unwrap();
        let bytes = fs.crash().read_file("/a").unwrap();
        assert!(bytes[..1000].iter().all(|byte| *byte == 1));
        bytes.len()
    });
    assert_eq!(lens, BTreeSet::from([1000, 5000]));
}

#[test]
fn a_failed_sync_drops_the_pages_and_a_retry_proves_nothing() {
    for seed in 0..50 {
        let (fs, file) = with_a_file(seed);
        file.write_at(0, &[2; 512]).unwrap();
        fs.inject(Fault::Fails { op: Op::Sync, nth: 1, is_full: false });
        file.sync().unwrap_err();
        file.write_at(512, &[3; 512]).unwrap();
        file.sync().unwrap();
        assert_eq!(fs.read_file("/a").unwrap()[0], 2, "it still reads as written");
        let restarted = fs.kill().crash();
        let bytes = restarted.read_file("/a").unwrap();
        assert_eq!((bytes[0], bytes[512]), (1, 3));
    }
}

#[test]
fn rewriting_the_same_bytes_after_a_failed_sync_makes_them_durable() {
    let (fs, file) = with_a_file(7);
    file.write_at(0, &[2; 512]).unwrap();
    fs.inject(Fault::Fails { op: Op::Sync, nth: 1, is_full: false });
    file.sync().unwrap_err();
    file.write_at(0, &[2; 512]).unwrap();
    file.sync().unwrap();
    assert_eq!(fs.crash().read_file("/a").unwrap()[0], 2);
}

#[test]
fn faults_come_at_the_operation_that_was_named() {
    let (fs, file) = with_a_file(1);
    fs.inject(Fault::Fails { op: Op::Write, nth: 2, is_full: false });
    file.write_at(0, b"x").unwrap();
    file.write_at(0, b"x").unwrap_err();
    file.write_at(0, b"x").unwrap();
    fs.inject(Fault::Fails { op: Op::Sync, nth: 1, is_full: false });
    fs.clear_faults();
    file.sync().unwrap();
    fs.inject(Fault::FlipBit { path: "/a".into(), offset: 9, bit: 7 });
    assert_eq!(fs.crash().read_file("/a").unwrap()[9], 0x81);
}

#[test]
fn a_file_that_cannot_be_read_says_so_until_the_fault_is_cleared() {
    let (fs, file) = with_a_file(1);
    let map = Arc::clone(&file).map(2048).unwrap();
    fs.inject(Fault::ReadFails { path: "/a".into() });
    file.read_at(0, &mut [0]).unwrap_err();
    Arc::clone(&map).slice(0, 1).unwrap_err();
    fs.clear_faults();
    map.slice(0, 1).unwrap();
}

#[test]
fn without_space_nothing_is_reserved_and_freed_space_is_space_again() {
    let (fs, file) = with_a_file(1);
    fs.inject(Fault::Full { free_bytes: MIB });
    let full = fs.create(path("/b"), MIB + 1).err().unwrap();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    assert_eq!(names(&fs), ["/a"]);
    let reserved = fs.create(path("/b"), MIB).unwrap();
    assert_eq!(fs.space(path("/")).unwrap().free, 0);
    // Inside what is reserved a write never lacks space; beyond it does.
    reserved.write_at(0, &vec![1; MIB as usize]).unwrap();
    let full = file.write_at(4096, b"x").unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    reserved.release(MIB / 2, MIB / 2).unwrap();
    assert_eq!(fs.space(path("/")).unwrap().free, MIB / 2);
    fs.remove(path("/b")).unwrap();
    assert_eq!(fs.space(path("/")).unwrap().free, MIB / 2, "the handle holds it");
    drop(reserved);
    assert_eq!(fs.space(path("/")).unwrap().free, MIB);
    let restarted = fs.kill();
    assert_eq!(restarted.space(path("/")).unwrap().free, MIB);
    restarted.clear_faults();
    restarted.create(path("/c"), 64 * MIB).unwrap();
}

#[test]
fn slices_stay_readable_after_the_file_is_removed() {
    let (fs, file) = with_a_file(1);
    let map = file.map(2048).unwrap();
    fs.remove(path("/a")).unwrap();
    fs.sync_dir(path("/")).unwrap();
    assert_eq!(&*Arc::clone(&map).slice(0, 4).unwrap(), [1; 4]);
    let held = Arc::clone(&map).slice(0, 4).unwrap();
    assert_eq!(Arc::strong_count(&map), 2);
    drop(held);
    assert_eq!(Arc::strong_count(&map), 1);
    assert!(Arc::clone(&map).slice(2040, 9).is_err());
    assert!(fs.open(path("/a"), Access::Read).is_err());
}

#[test]
fn a_slice_of_bytes_that_a_power_cut_could_change_is_counted() {
    let (fs, file) = with_a_file(1);
    let map = Arc::clone(&file).map(2048).unwrap();
    file.write_at(100, b"new").unwrap();
    // The sector is dirty, but these bytes of it are what they were.
    Arc::clone(&map).slice(0, 100).unwrap();
    assert_eq!(fs.undurable_slices(), 0);
    Arc::clone(&map).slice(0, 101).unwrap();
    assert_eq!(fs.undurable_slices(), 1);
    file.sync().unwrap();
    map.slice(0, 2048).unwrap();
    assert_eq!(fs.undurable_slices(), 1);
}

#[test]
fn next_data_skips_holes() {
    let fs = SimFs::new(1);
    let file = fs.create(path("/a"), 64 * MIB).unwrap();
    assert_eq!(file.next_data(0).unwrap(), None);
    file.write_at(MIB, b"data").unwrap();
    assert_eq!(file.next_data(5).unwrap(), Some(MIB));
    assert_eq!(file.next_hole(MIB + 1).unwrap(), MIB + 4096);
    assert_eq!(file.next_hole(5).unwrap(), 5);
    assert_eq!(file.next_data(MIB + 1).unwrap(), Some(MIB + 1));
    file.zero(0, 2 * MIB).unwrap();
    assert_eq!(file.next_data(0).unwrap(), None);
    assert!(file.zero(64 * MIB, 1).is_err());
}

#[test]
fn zeroing_is_a_write_like_any_other_until_it_is_synced() {
    let first_bytes = outcomes(|fs| {
        fs.write_file("/a", &[1; 4096]);
        let file = fs.open(path("/a"), Access::Write).unwrap();
        file.zero(0, 4096).unwrap();
        fs.crash().read_file("/a").unwrap()[0]
    });
    assert_eq!(first_bytes, BTreeSet::from([0, 1]));
}

#[test]
fn directories_behave_like_directories() {
    let fs = SimFs::new(1);
    fs.create_dir(path("/d")).unwrap();
    fs.create_dir(path("/d")).unwrap();
    assert!(fs.create_dir(path("/no/d")).is_err());
    fs.create(path("/d/a"), 0).unwrap();
    let full = fs.remove_dir(path("/d")).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::DirectoryNotEmpty);
    assert!(fs.remove(path("/d")).is_err());
    fs.rename(path("/d"), path("/e")).unwrap();
    assert_eq!(names(&fs), ["/e/a"]);
    let exists = fs.create(path("/e/a"), 0).err().unwrap();
    assert_eq!(exists.kind(), io::ErrorKind::AlreadyExists);
    fs.remove(path("/e/a")).unwrap();
    fs.remove_dir(path("/e")).unwrap();
    let gone = fs.list(path("/e")).unwrap_err();
    assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    assert!(fs.list(path("/")).unwrap().is_empty());
}

#[test]
fn a_lock_excludes_a_second_holder_until_it_is_dropped() {
    let fs = SimFs::new(1);
    let held = fs.lock(path("/LOCK")).unwrap();
    let second = fs.lock(path("/LOCK")).err().unwrap();
    assert_eq!(second.kind(), io::ErrorKind::WouldBlock);
    drop(held);
    fs.lock(path("/LOCK")).unwrap();
}

/// Some work that ends in a durable file of the given bytes, or in an error on the way.
fn publish(fs: &SimFs, bytes: &[u8]) -> io::Result<()> {
    fs.create_dir(path("/d"))?;
    fs.sync_dir(path("/"))?;
    let file = fs.create(path("/d/new"), bytes.len() as u64)?;
    file.write_at(0, bytes)?;
    file.sync()?;
    fs.rename(path("/d/new"), path("/d/file"))?;
    fs.sync_dir(path("/d"))
}

#[test]
fn power_can_go_at_every_operation_and_a_careful_writer_survives_each() {
    let bytes = vec![9; 10_000];
    let whole = SimFs::new(0);
    publish(&whole, &bytes).unwrap();
    assert_eq!(whole.ops(), 7);
    for seed in 0..100 {
        for op in 0..=whole.ops() {
            let fs = SimFs::new(seed);
            fs.crash_at(op);
            let result = publish(&fs, &bytes);
            assert_eq!(result.is_ok(), op == whole.ops());
            if op < whole.ops() {
                assert!(fs.list(path("/")).is_err(), "nothing works without power");
            }
            let found = fs.crash().read_file("/d/file");
            assert!(found.is_none_or(|found| found == bytes));
            if result.is_ok() {
                assert_eq!(fs.crash().read_file("/d/file").unwrap(), bytes);
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_disk() {
    let run = |seed| {
        let (fs, file) = with_a_file(seed);
        file.write_at(0, &[2; 2048]).unwrap();
        fs.create(path("/b"), 10).unwrap();
        fs.rename(path("/a"), path("/c")).unwrap();
        let restarted = fs.crash();
        let files = restarted.files();
        let bytes = files.iter().map(|(path, _)| restarted.read_file(path)).collect::<Vec<_>>();
        (files, bytes)
    };
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed));
    }
}

#[test]
fn large_files_and_crashes_cost_little() {
    let fs = SimFs::new(1);
    let files: Vec<_> = (0..100)
        .map(|index| fs.create(&PathBuf::from(format!("/{index}")), 64 * MIB).unwrap())
        .collect();
    for file in &files {
        file.write_at(0, b"x").unwrap();
        file.sync().unwrap();
    }
    fs.sync_dir(path("/")).unwrap();
    // Six gigabytes by name; if they cost as much this would not end well.
    let mut fs = fs.crash();
    for _ in 0..100 {
        fs = fs.crash();
    }
    assert_eq!(fs.files().len(), 100);
}

#[test]
fn power_goes_before_or_behind_any_operation_of_any_kind() {
    let bytes = vec![9; 3000];
    let whole = SimFs::new(0);
    publish(&whole, &bytes).unwrap();
    assert_eq!(Op::ALL.map(|op| whole.ops_of(op)).iter().sum::<u64>(), whole.ops());
    assert_eq!(whole.ops_of(Op::SyncDir), 2);
    for op in Op::ALL {
        for ordinal in 0..whole.ops_of(op) {
            for moment in [Moment::Before, Moment::After] {
                let fs = SimFs::new(ordinal);
                fs.cut_at(op, ordinal, moment);
                publish(&fs, &bytes).unwrap_err();
                assert!(fs.is_dead());
                let is_last = op == Op::SyncDir && ordinal == 1;
                let found = fs.crash().read_file("/d/file");
                assert!(found.as_ref().is_none_or(|found| *found == bytes));
                assert!(found.is_some() || !is_last || moment == Moment::Before);
            }
        }
    }
}

#[test]
fn a_failed_sync_of_a_directory_loses_the_names_for_later_ones() {
    let survived = outcomes(|fs| {
        fs.create(path("/lost"), 0).unwrap();
        fs.inject(Fault::Fails { op: Op::SyncDir, nth: 1, is_full: false });
        fs.sync_dir(path("/")).unwrap_err();
        fs.create(path("/kept"), 0).unwrap();
        fs.sync_dir(path("/")).unwrap();
        assert_eq!(names(&fs), ["/kept", "/lost"]);
        names(&fs.crash())
    });
    let without = survived.iter().filter(|names| !names.contains(&"/lost".to_owned())).count();
    assert_eq!((survived.len(), without), (2, 1), "{survived:?}");
    assert!(survived.iter().all(|names| names.contains(&"/kept".to_owned())));
}

#[test]
fn any_operation_can_lack_space_and_then_does_not_happen() {
    let (fs, file) = with_a_file(1);
    for op in [Op::Create, Op::Zero, Op::Rename] {
        fs.inject(Fault::Fails { op, nth: 1, is_full: true });
    }
    let results = [
        fs.create(path("/b"), 0).map(|_| ()),
        file.zero(0, 512),
        fs.rename(path("/a"), path("/c")),
    ];
    for result in results {
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
    assert_eq!(names(&fs), ["/a"]);
    assert_eq!(fs.read_file("/a").unwrap(), [1; 2048]);
    fs.inject(Fault::FullFrom { nth: 2, lasts: u64::MAX });
    fs.create(path("/b"), 4096).unwrap();
    fs.create(path("/c"), 4096).map(|_| ()).unwrap_err();
    file.write_at(0, b"inside").unwrap();
}

#[test]
fn one_read_can_fail_or_return_a_wrong_bit() {
    let (fs, file) = with_a_file(1);
    let map = Arc::clone(&file).map(2048).unwrap();
    fs.inject(Fault::NthReadFails { nth: 2 });
    file.read_at(0, &mut [0]).unwrap();
    Arc::clone(&map).slice(0, 1).unwrap_err();
    map.slice(0, 1).unwrap();
    assert_eq!(fs.reads(), 3);
    fs.inject(Fault::NthReadFlips { nth: 1 });
    let mut bytes = [0; 100];
    file.read_at(0, &mut bytes).unwrap();
    let flipped: u32 = bytes.iter().map(|byte| (byte ^ 1).count_ones()).sum();
    assert_eq!(flipped, 1);
    file.read_at(0, &mut bytes).unwrap();
    assert_eq!(bytes, [1; 100]);
}

#[test]
fn an_operation_of_any_kind_fails_once_and_is_told_of() {
    let (fs, file) = with_a_file(1);
    fs.inject(Fault::NthFails { nth: 2, is_full: false });
    file.write_at(0, b"x").unwrap();
    assert!(file.sync().is_err());
    let failed = Failed { op: Op::Sync, path: "/a".into(), is_full: false };
    assert_eq!(fs.failed(), std::slice::from_ref(&failed));
    assert_eq!(fs.retried_syncs(), 0);
    // What no one must do.
    file.sync().unwrap();
    let fs = fs.crash();
    assert_eq!((fs.failed(), fs.retried_syncs()), (vec![failed], 1));
}

#[test]
fn what_is_to_fail_fails_in_the_next_process_too() {
    let (fs, _) = with_a_file(1);
    fs.inject(Fault::NthFails { nth: 2, is_full: true });
    fs.create_dir(path("/one")).unwrap();
    let fs = fs.kill();
    assert!(fs.create_dir(path("/two")).is_err());
    assert_eq!(fs.failed()[0].path, path("/two"));
    fs.create_dir(path("/two")).unwrap();
}

#[test]
fn a_short_write_takes_the_first_part_and_the_rest_follows() {
    let counts = outcomes(|fs| {
        let file = fs.create(path("/a"), 4096).unwrap();
        fs.inject(Fault::NthWriteIsShort { nth: 1 });
        let count = file.write_some_at(0, &[1; 4096]).unwrap();
        let bytes = fs.read_file("/a").unwrap();
        assert!(bytes[..count].iter().all(|byte| *byte == 1));
        assert!(bytes[count..].iter().all(|byte| *byte == 0));
        fs.inject(Fault::NthWriteIsShort { nth: 1 });
        file.write_at(0, &[2; 4096]).unwrap();
        assert_eq!(fs.read_file("/a").unwrap(), [2; 4096]);
        count
    });
    assert!(counts.len() > 100 && counts.iter().all(|count| (1..4096).contains(count)));
}
