//! Golden directories: a data directory of each released format, kept as its pages that are not
//! zero.
//!
//! `format/vN/manifest.txt` lists the files with their lengths and pages, `pages.bin` holds the
//! pages in that order, `records.txt` what is read from it: a line for each record with its
//! shard, number, stamp, and its data, which is one character so many times.

use std::path::{Path, PathBuf};

/// Bytes of a page, of which those that are all zero are left out.
pub const PAGE_BYTES: usize = 4096;
/// The stream that a golden directory holds, and its shards.
pub const STREAM: &str = "golden";
/// See [`STREAM`].
pub const SHARDS: usize = 2;

/// Where the golden directory of a format version is kept.
pub fn dir(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("format/v{version}"))
}

/// The files of a golden directory, with paths below `/data`.
pub fn unpack(version: u32) -> Vec<(PathBuf, Vec<u8>)> {
    let manifest = std::fs::read_to_string(dir(version).join("manifest.txt")).unwrap();
    let pages = std::fs::read(dir(version).join("pages.bin")).unwrap();
    let mut rest = &pages[..];
    let mut files: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    for line in manifest.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["file", path, len] => files.push((path.into(), vec![0; len.parse().unwrap()])),
            ["page", number, len] => {
                let (start, len): (usize, usize) = (number.parse().unwrap(), len.parse().unwrap());
                let (page, behind) = rest.split_at(len);
                let file = &mut files.last_mut().unwrap().1;
                file[start * PAGE_BYTES..][..len].copy_from_slice(page);
                rest = behind;
            }
            _ => panic!("{line}"),
        }
    }
    assert!(rest.is_empty(), "the manifest names every page");
    files
}

/// What is read from it.
pub fn records(version: u32) -> String {
    std::fs::read_to_string(dir(version).join("records.txt")).unwrap()
}

/// The line of a record.
pub fn line(shard: &str, sequence: u64, arrival_ms: u64, data: &[u8]) -> String {
    let first = data.first().map_or('-', |&byte| char::from(byte));
    assert!(data.iter().all(|&byte| char::from(byte) == first), "its data is one character");
    format!("{shard} {sequence} {arrival_ms} {first} {}\n", data.len())
}
