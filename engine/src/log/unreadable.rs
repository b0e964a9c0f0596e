//! Bytes that the medium does not give.
//!
//! A disk may refuse to read some sectors of a file, for good or this time. What stands there is
//! not known: it may be nothing, a torn tail, or records that were acknowledged. So such bytes
//! are never judged, never written and never cut; they count as damage for whoever meets them,
//! and what stands around them is read in smaller pieces. Nobody remembers them either: the next
//! try may succeed.

use std::io;
use std::ops::Range;

use crate::error::is_unreadable;
use crate::fs::File;

/// What a refusal covers at least, and what is tried by itself.
pub(crate) const PAGE_BYTES: u64 = 4096;

/// How far to step over bytes that cannot be read: a page at a time at first, then further and
/// further. A dying disk takes seconds to refuse a page, and a start must not take hours.
#[derive(Default)]
pub(crate) struct Steps {
    taken: u32,
}

impl Steps {
    /// Steps that are one page wide.
    const SHORT: u32 = 64;
    /// The widest step is a page times two to this: 1 MiB.
    const DOUBLINGS: u32 = 8;

    /// Where to try next, after `offset` could not be read.
    pub(crate) fn behind(&mut self, offset: u64) -> u64 {
        let doublings = self.taken.saturating_sub(Steps::SHORT).min(Steps::DOUBLINGS);
        self.taken += 1;
        (offset + 1).next_multiple_of(PAGE_BYTES) + PAGE_BYTES * ((1 << doublings) - 1)
    }
}

/// Calls `each` with what can be read of a range, in order and in pieces of `piece_bytes` and
/// `overlap` bytes more; pages that cannot be read are left out.
pub(crate) fn for_each_readable(
    file: &dyn File,
    range: Range<u64>,
    piece_bytes: u64,
    overlap: u64,
    mut each: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let (mut at, mut steps, mut whole_from) = (range.start, Steps::default(), range.start);
    while at < range.end {
        // Behind a refusal page by page, up to where the refused piece ended.
        let to_border = PAGE_BYTES - at % PAGE_BYTES;
        let step = if at < whole_from { to_border } else { piece_bytes };
        let mut bytes = vec![0; (range.end - at).min(step + overlap) as usize];
        match file.read_at(at, &mut bytes) {
            Ok(()) => {
                each(at, &bytes)?;
                at += step;
            }
            Err(error) if is_unreadable(&error) && at < whole_from => {
                // The piece may only overlap what cannot be read.
                bytes.truncate(step as usize);
                match file.read_at(at, &mut bytes) {
                    Ok(()) => {
                        each(at, &bytes)?;
                        at += step;
                    }
                    Err(error) if is_unreadable(&error) => at = steps.behind(at),
                    Err(error) => return Err(error),
                }
            }
            Err(error) if is_unreadable(&error) => whole_from = at + step + overlap,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::fs::{Access, Fault, Fs, SimFs};

    #[test]
    fn only_the_pages_that_cannot_be_read_are_left_out() {
        let fs = SimFs::new(1);
        let content: Vec<u8> = (0..100_000u32).map(|byte| byte as u8).collect();
        fs.write_file("/a", &content);
        fs.inject(Fault::RangeFails { path: "/a".into(), offset: 20_000, bytes: 10_000 });
        let file = fs.open(Path::new("/a"), Access::Read).unwrap();
        for (piece_bytes, overlap) in [(1 << 20, 0), (8192, 80), (4096, 0)] {
            let mut seen = vec![false; content.len()];
            for_each_readable(file.as_ref(), 0..100_000, piece_bytes, overlap, |at, bytes| {
                let range = at as usize..at as usize + bytes.len();
                assert_eq!(bytes, &content[range.clone()]);
                seen[range].fill(true);
                Ok(())
            })
            .unwrap();
            let missed: Vec<_> = (0..content.len()).filter(|&byte| !seen[byte]).collect();
            let pages = 16_384 + overlap as usize..32_768;
            assert!(missed.iter().copied().eq(pages), "{piece_bytes} {overlap}");
        }
    }

    #[test]
    fn steps_grow_and_no_disk_takes_more_than_some_hundred_tries() {
        let (mut at, mut steps, mut tries) = (0, Steps::default(), 0);
        while at < 64 << 20 {
            at = steps.behind(at);
            tries += 1;
        }
        assert!((64..200).contains(&tries), "{tries}");
    }
}
