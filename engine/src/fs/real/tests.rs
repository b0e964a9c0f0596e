//! The system's files, as far as the engine relies on them.

use super::*;

const MIB: u64 = 1 << 20;

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn modes() -> [RealFs; 2] {
    [RealFs::new(ReadMode::Mmap), RealFs::new(ReadMode::Pread)]
}

#[test]
fn a_created_file_has_its_length_and_reads_as_zeros() {
    let dir = directory();
    let fs = RealFs::default();
    let path = dir.path().join("a");
    let file = fs.create(&path, MIB).unwrap();
    assert_eq!(file.len().unwrap(), MIB);
    let mut buffer = [1; 16];
    file.read_at(MIB - 16, &mut buffer).unwrap();
    assert_eq!(buffer, [0; 16]);
    let past_the_end = file.read_at(MIB - 15, &mut buffer).unwrap_err();
    assert_eq!(past_the_end.kind(), io::ErrorKind::UnexpectedEof);
    let again = fs.create(&path, 0).err().unwrap();
    assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
}

#[test]
fn a_file_whose_space_cannot_be_reserved_is_not_left_behind() {
    let dir = directory();
    let fs = RealFs::default();
    let path = dir.path().join("huge");
    // More than any file may have, so that no disk of any size can satisfy it.
    assert!(fs.create(&path, i64::MAX as u64).is_err());
    assert!(fs.list(dir.path()).unwrap().is_empty());
}

#[test]
fn names_are_listed_renamed_and_removed() {
    let dir = directory();
    let fs = RealFs::default();
    let at = |name: &str| dir.path().join(name);
    fs.create_dir(&at("d")).unwrap();
    fs.create_dir(&at("d")).unwrap();
    fs.create(&at("a"), 0).unwrap();
    fs.rename(&at("a"), &at("b")).unwrap();
    fs.sync_dir(dir.path()).unwrap();
    let mut entries = fs.list(dir.path()).unwrap();
    entries.sort();
    let names: Vec<_> = entries.iter().map(|entry| (&*entry.name, entry.is_dir)).collect();
    assert_eq!(names, [("b", false), ("d", true)]);
    let opened = |name: &str| fs.open(&at(name), Access::Read).err().map(|error| error.kind());
    assert_eq!(opened("d"), Some(io::ErrorKind::IsADirectory));
    fs.remove(&at("b")).unwrap();
    fs.remove_dir(&at("d")).unwrap();
    let gone = fs.list(&at("d")).unwrap_err();
    assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    fs.create(&at("f"), 0).unwrap();
    assert!(fs.create_dir(&at("f")).is_err());
}

#[cfg(target_os = "linux")]
#[test]
fn a_link_is_what_it_leads_to_and_a_pipe_is_no_file() {
    let dir = directory();
    let fs = RealFs::default();
    let at = |name: &str| dir.path().join(name);
    fs.create_dir(&at("d")).unwrap();
    for (target, link) in [("d", "link"), ("nothing", "dangling")] {
        std::os::unix::fs::symlink(at(target), at(link)).unwrap();
    }
    let pipe = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), pipe, 0o600.into(), 0).unwrap();
    let mut entries = fs.list(dir.path()).unwrap();
    entries.sort();
    let names: Vec<_> = entries.iter().map(|entry| (&*entry.name, entry.is_dir)).collect();
    assert_eq!(names, [("d", true), ("link", true), ("pipe", false)]);
    for access in [Access::Read, Access::Write] {
        let refused = fs.open(&at("pipe"), access).err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
    }
}

#[test]
fn a_lock_excludes_a_second_holder_until_it_is_dropped() {
    let dir = directory();
    let fs = RealFs::default();
    let path = dir.path().join("LOCK");
    let held = fs.lock(&path).unwrap();
    let second = fs.lock(&path).err().unwrap();
    assert_eq!(second.kind(), io::ErrorKind::WouldBlock);
    drop(held);
    fs.lock(&path).unwrap();

    // What a child has of it before its exec.
    let file = super::fs::File::create(&path).unwrap();
    file.lock().unwrap();
    let copy = file.try_clone().unwrap();
    drop(RealLock { file });
    fs.lock(&path).unwrap();
    drop(copy);
}

#[test]
fn zeroed_and_released_ranges_read_as_zeros_and_keep_the_length() {
    let dir = directory();
    let file = RealFs::default().create(&dir.path().join("a"), MIB).unwrap();
    for erase in [File::zero, File::release] {
        file.write_at(0, &vec![7; MIB as usize]).unwrap();
        erase(&*file, 4096, MIB - 4096).unwrap();
        file.sync().unwrap();
        let mut buffer = vec![1; MIB as usize];
        file.read_at(0, &mut buffer).unwrap();
        assert!(buffer[..4096].iter().all(|byte| *byte == 7));
        assert!(buffer[4096..].iter().all(|byte| *byte == 0));
        assert_eq!(file.len().unwrap(), MIB);
    }
}

#[test]
fn next_data_never_skips_what_was_written() {
    let dir = directory();
    let file = RealFs::default().create(&dir.path().join("a"), MIB).unwrap();
    file.write_at(MIB / 2, b"data").unwrap();
    assert!(file.next_data(0).unwrap().unwrap() <= MIB / 2);
    assert_eq!(file.next_data(MIB / 2 + 1).unwrap(), Some(MIB / 2 + 1));
    assert_eq!(file.next_data(MIB).unwrap(), None);
}

#[test]
fn a_hole_begins_behind_what_was_written_and_never_in_it() {
    let dir = directory();
    let file = RealFs::default().create(&dir.path().join("a"), MIB).unwrap();
    file.write_at(0, &[1; 10_000]).unwrap();
    file.write_at(MIB / 2, b"data").unwrap();
    assert!((10_000..=MIB).contains(&file.next_hole(10).unwrap()));
    assert!((MIB / 2 + 4..=MIB).contains(&file.next_hole(MIB / 2).unwrap()));
    assert_eq!(file.next_hole(MIB).unwrap(), MIB);
    file.let_go(5000).unwrap();
    let mut read = [0; 10_000];
    file.read_at(0, &mut read).unwrap();
    assert_eq!(read, [1; 10_000]);
}

#[test]
fn reading_up_to_a_hole_leaves_it_a_hole() {
    let dir = directory();
    let file = RealFs::default().create(&dir.path().join("a"), 16 * MIB).unwrap();
    file.write_at(0, &vec![1; MIB as usize]).unwrap();
    file.sync().unwrap();
    let hole = file.next_hole(0).unwrap();
    file.let_go(0).unwrap();
    let mut piece = vec![0; MIB as usize / 8];
    for offset in (0..MIB).step_by(piece.len()) {
        file.read_at(offset, &mut piece).unwrap();
    }
    assert_eq!(file.next_hole(0).unwrap(), hole);
}

#[test]
fn a_slice_holds_exactly_its_range_and_later_writes_elsewhere_show_in_later_slices() {
    for fs in modes() {
        let dir = directory();
        let file = fs.create(&dir.path().join("a"), MIB).unwrap();
        file.write_at(4090, b"first").unwrap();
        let map = Arc::clone(&file).map(MIB).unwrap();
        let first = Arc::clone(&map).slice(4090, 5).unwrap();
        file.write_at(4095, b"second").unwrap();
        let second = Arc::clone(&map).slice(4095, 6).unwrap();
        assert_eq!((&*first, &*second), (&b"first"[..], &b"second"[..]));
        assert!(Arc::clone(&map).slice(MIB, 0).unwrap().is_empty());
        for (offset, len) in [(MIB, 1), (MIB - 1, 2), (u64::MAX, 2), (0, usize::MAX)] {
            let error = Arc::clone(&map).slice(offset, len).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
        assert!(file.map(MIB + 1).is_err());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_was_written_is_known_to_be_in_memory_and_what_was_not_is_not() {
    let dir = directory();
    let file = RealFs::default().create(&dir.path().join("a"), 2 * MIB).unwrap();
    let map = Arc::clone(&file).map(2 * MIB).unwrap();
    assert!(!map.is_resident(0, 100));
    file.write_at(0, &vec![1; MIB as usize]).unwrap();
    assert!(map.is_resident(0, MIB as usize));
    assert!(!map.is_resident(MIB - 100, 101));
    assert!(!map.is_resident(2 * MIB - 1, 2));
    let copied = RealFs::new(ReadMode::Pread).open(&dir.path().join("a"), Access::Read).unwrap();
    assert!(!copied.map(MIB).unwrap().is_resident(0, 100));
    // A slice of what is in memory is one like any other.
    assert_eq!(&*map.slice(MIB - 2, 2).unwrap(), [1; 2]);
}

#[test]
fn slices_stay_readable_after_the_file_is_removed_and_closed() {
    for fs in modes() {
        let dir = directory();
        let path = dir.path().join("a");
        let file = fs.create(&path, MIB).unwrap();
        file.write_at(0, b"kept").unwrap();
        let map = file.map(MIB).unwrap();
        let early = Arc::clone(&map).slice(0, 4).unwrap();
        fs.remove(&path).unwrap();
        let late = map.slice(0, 4).unwrap();
        assert_eq!((&*early, &*late), (&b"kept"[..], &b"kept"[..]));
    }
}

#[test]
fn every_living_slice_and_every_part_of_it_holds_the_map() {
    let dir = directory();
    let file = RealFs::default().create(&dir.path().join("a"), MIB).unwrap();
    let map = file.map(MIB).unwrap();
    let slice = Arc::clone(&map).slice(0, 100).unwrap();
    let part = slice.slice(10..20);
    let other = Arc::clone(&map).slice(0, 100).unwrap();
    assert_eq!(Arc::strong_count(&map), 3);
    drop((slice, other));
    assert_eq!(Arc::strong_count(&map), 2);
    drop(part);
    assert_eq!(Arc::strong_count(&map), 1);
}

#[test]
fn a_file_truncated_under_its_map_is_an_error_and_not_a_crash() {
    for fs in modes() {
        let dir = directory();
        let path = dir.path().join("a");
        let map = fs.create(&path, MIB).unwrap().map(MIB).unwrap();
        // Warm, so that the length alone can tell.
        Arc::clone(&map).slice(0, MIB as usize).unwrap();
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(5000).unwrap();
        let lost = Arc::clone(&map).slice(MIB / 2, 100).unwrap_err();
        assert_eq!(lost.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(&*map.slice(4900, 100).unwrap(), [0; 100]);
    }
}

#[test]
fn a_file_truncated_before_it_was_ever_read_still_gives_what_it_has() {
    let dir = directory();
    let path = dir.path().join("a");
    let map = RealFs::default().create(&path, MIB).unwrap().map(MIB).unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(5000).unwrap();
    assert!(Arc::clone(&map).slice(4900, 101).is_err());
    assert_eq!(&*map.slice(4900, 100).unwrap(), [0; 100]);
}

#[test]
fn space_is_reported() {
    let dir = directory();
    let space = RealFs::default().space(dir.path()).unwrap();
    assert!(space.total > 0 && space.free <= space.total);
}

#[test]
fn a_file_opened_for_reading_refuses_writes() {
    let dir = directory();
    let fs = RealFs::default();
    let path = dir.path().join("a");
    fs.create(&path, 10).unwrap();
    assert!(fs.open(&path, Access::Read).unwrap().write_at(0, b"x").is_err());
    fs.open(&path, Access::Write).unwrap().write_at(0, b"x").unwrap();
}
