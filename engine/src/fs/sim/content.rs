//! The bytes of a simulated file, kept sparsely, and the space it has reserved.
//!
//! Pages are shared between the current and the durable state of a file, and between a disk
//! and what a crash makes of it, until one side writes. An absent page is zeros: so a fresh
//! 64 MiB segment costs nothing.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// What survives a power cut whole or not at all, in bytes.
pub(super) const SECTOR_BYTES: u64 = 512;
/// The unit of sharing and of reserved space, in bytes.
pub(super) const PAGE_BYTES: u64 = 4096;

/// One bit per sector of a page.
pub(super) type Sectors = u8;
/// All sectors of a page.
pub(super) const ALL_SECTORS: Sectors = Sectors::MAX;

type Page = [u8; PAGE_BYTES as usize];
const ZEROS: Page = [0; PAGE_BYTES as usize];

/// Bytes of a file. What lies at or beyond `len` is zeros.
#[derive(Clone, Default)]
pub(super) struct Content {
    pages: BTreeMap<u64, Arc<Page>>,
    len: u64,
}

/// The part of a range that lies in one page.
struct Piece {
    page: u64,
    in_page: Range<usize>,
    /// Where the piece begins, counted from the start of the range.
    at: usize,
}

fn pieces(offset: u64, len: u64) -> impl Iterator<Item = Piece> {
    let end = offset + len;
    pages(offset, len).map(move |page| {
        let page_start = page * PAGE_BYTES;
        let start = offset.max(page_start);
        let stop = end.min(page_start + PAGE_BYTES);
        Piece {
            page,
            in_page: (start - page_start) as usize..(stop - page_start) as usize,
            at: (start - offset) as usize,
        }
    })
}

/// The pages that a range touches.
pub(super) fn pages(offset: u64, len: u64) -> Range<u64> {
    offset / PAGE_BYTES..(offset + len).div_ceil(PAGE_BYTES)
}

/// The sectors of `page` that a range touches.
pub(super) fn sectors(page: u64, offset: u64, len: u64) -> Sectors {
    let start = page * PAGE_BYTES;
    let touches = |sector: &u64| {
        let at = start + sector * SECTOR_BYTES;
        at < offset + len && offset < at + SECTOR_BYTES
    };
    let touched = (0..PAGE_BYTES / SECTOR_BYTES).filter(touches);
    touched.fold(0, |mask, sector| mask | 1 << sector)
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Sets the length; what is cut off is gone, what is added is zeros.
    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.clear(len, self.len - len);
        }
        self.len = len;
    }

    /// Fills `buffer`; zeros beyond the length.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) {
        for piece in pieces(offset, buffer.len() as u64) {
            let page = self.pages.get(&piece.page).map_or(&ZEROS, |page| &**page);
            buffer[piece.at..][..piece.in_page.len()].copy_from_slice(&page[piece.in_page]);
        }
    }

    /// Writes `bytes`, growing the file where they end beyond it.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        for piece in pieces(offset, bytes.len() as u64) {
            let from = &bytes[piece.at..][..piece.in_page.len()];
            self.page_mut(piece.page)[piece.in_page].copy_from_slice(from);
        }
        self.len = self.len.max(offset + bytes.len() as u64);
    }

    /// Makes a range zeros.
    pub(super) fn clear(&mut self, offset: u64, len: u64) {
        let present: Vec<u64> = self.present(offset, len).collect();
        let range = offset..offset + len;
        for page in present {
            let start = page * PAGE_BYTES;
            if range.start <= start && start + PAGE_BYTES <= range.end {
                self.pages.remove(&page);
            } else {
                let from = range.start.max(start) - start;
                let to = range.end.min(start + PAGE_BYTES) - start;
                self.page_mut(page)[from as usize..to as usize].fill(0);
            }
        }
    }

    /// The pages of a range that are not known to be zeros.
    pub(super) fn present(&self, offset: u64, len: u64) -> impl Iterator<Item = u64> {
        self.pages.range(pages(offset, len)).map(|(page, _)| *page)
    }

    /// The first offset from `offset` on that is not known to be zeros to the end.
    pub(super) fn next_data(&self, offset: u64) -> Option<u64> {
        let mut from = self.pages.range(offset / PAGE_BYTES..);
        let found = from.next().map(|(page, _)| offset.max(page * PAGE_BYTES))?;
        (found < self.len).then_some(found)
    }

    /// The first offset at or after `offset` that stands in a page that was never written.
    pub(super) fn next_hole(&self, offset: u64) -> u64 {
        let mut page = offset / PAGE_BYTES;
        while self.pages.contains_key(&page) {
            page += 1;
        }
        (page * PAGE_BYTES).max(offset).min(self.len)
    }

    /// Takes sectors of one page from another content; the length stays.
    pub(super) fn copy_sectors(&mut self, other: &Content, page: u64, sectors: Sectors) {
        match other.pages.get(&page) {
            Some(from) if sectors == ALL_SECTORS => {
                self.pages.insert(page, Arc::clone(from));
            }
            None if sectors == ALL_SECTORS => {
                self.pages.remove(&page);
            }
            None if !self.pages.contains_key(&page) => {}
            from => {
                let from = from.map_or(&ZEROS, |page| &**page);
                let to = self.page_mut(page);
                let bytes = SECTOR_BYTES as usize;
                for sector in (0..8).filter(|sector| sectors & (1 << sector) != 0) {
                    let range = sector * bytes..(sector + 1) * bytes;
                    to[range.clone()].copy_from_slice(&from[range]);
                }
            }
        }
    }

    /// Whether a range holds the same bytes in both and lies inside both.
    pub(super) fn agrees(&self, other: &Content, offset: u64, len: u64) -> bool {
        let page = |content: &Content, piece: &Piece| content.pages.get(&piece.page).cloned();
        offset + len <= self.len.min(other.len)
            && pieces(offset, len).all(|piece| match (page(self, &piece), page(other, &piece)) {
                (None, None) => true,
                (Some(one), Some(two)) if Arc::ptr_eq(&one, &two) => true,
                (one, two) => {
                    let one = one.as_deref().unwrap_or(&ZEROS);
                    let two = two.as_deref().unwrap_or(&ZEROS);
                    one[piece.in_page.clone()] == two[piece.in_page]
                }
            })
    }

    fn page_mut(&mut self, page: u64) -> &mut Page {
        Arc::make_mut(self.pages.entry(page).or_insert_with(|| Arc::new(ZEROS)))
    }
}

/// The blocks that a file has reserved, as ranges of pages that do not touch.
#[derive(Clone, Default)]
pub(super) struct Blocks {
    /// Start to end.
    ranges: BTreeMap<u64, u64>,
}

impl Blocks {
    /// Bytes reserved.
    pub(super) fn bytes(&self) -> u64 {
        let pages: u64 = self.ranges.iter().map(|(start, end)| end - start).sum();
        pages * PAGE_BYTES
    }

    /// This, and a range of pages besides.
    pub(super) fn with(&self, mut added: Range<u64>) -> Blocks {
        let mut blocks = self.clone();
        if added.is_empty() {
            return blocks;
        }
        blocks.ranges.retain(|start, end| {
            let apart = *end < added.start || added.end < *start;
            if !apart {
                added = added.start.min(*start)..added.end.max(*end);
            }
            apart
        });
        blocks.ranges.insert(added.start, added.end);
        blocks
    }

    /// Whether a range of pages is reserved as a whole.
    pub(super) fn covers(&self, pages: &Range<u64>) -> bool {
        let before = self.ranges.range(..=pages.start).next_back();
        pages.is_empty() || before.is_some_and(|(_, end)| pages.end <= *end)
    }

    /// Gives a range of pages back.
    pub(super) fn remove(&mut self, removed: &Range<u64>) {
        if removed.is_empty() {
            return;
        }
        let mut left = BTreeMap::new();
        for (&start, &end) in &self.ranges {
            let before = start..end.min(removed.start);
            let after = start.max(removed.end)..end;
            for part in [before, after] {
                if !part.is_empty() {
                    left.insert(part.start, part.end);
                }
            }
        }
        self.ranges = left;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_remembers_across_page_borders_and_costs_only_what_was_written() {
        let mut content = Content::default();
        content.set_len(64 << 20);
        content.write(4094, b"across");
        let mut buffer = [1; 8];
        content.read(4093, &mut buffer);
        assert_eq!(&buffer, b"\0across\0");
        assert_eq!(content.pages.len(), 2);
        content.clear(0, 8192);
        assert!(content.pages.is_empty());
        assert_eq!(content.next_data(0), None);
        assert_eq!(content.next_hole(0), 0);
    }

    #[test]
    fn a_file_cut_and_grown_again_shows_zeros() {
        let mut content = Content::default();
        content.write(0, &[7; 5000]);
        content.set_len(4200);
        content.set_len(5000);
        let mut buffer = [1; 800];
        content.read(4200, &mut buffer);
        assert_eq!(buffer, [0; 800]);
    }

    #[test]
    fn sectors_are_those_the_range_touches() {
        assert_eq!(sectors(0, 0, 1), 0b1);
        assert_eq!(sectors(0, 511, 2), 0b11);
        assert_eq!(sectors(0, 512, 512), 0b10);
        assert_eq!(sectors(1, 0, 4096), 0);
        assert_eq!(sectors(1, 4096, 4096), ALL_SECTORS);
    }

    #[test]
    fn blocks_join_split_and_count() {
        let mut blocks = Blocks::default().with(0..4).with(6..8).with(4..6);
        assert!(blocks.covers(&(0..8)));
        blocks.remove(&(2..3));
        assert!(!blocks.covers(&(0..3)));
        assert!(blocks.covers(&(3..8)));
        assert_eq!(blocks.bytes(), 7 * PAGE_BYTES);
        assert_eq!(blocks.with(1..5).bytes(), 8 * PAGE_BYTES);
    }
}
