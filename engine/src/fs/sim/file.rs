//! A simulated file: what it reads as, and what would be left of it.

use std::collections::{BTreeMap, BTreeSet};

use super::content::{
    ALL_SECTORS, Blocks, Content, PAGE_BYTES, SECTOR_BYTES, Sectors, pages, sectors,
};
use super::random::Random;

/// A file, as it reads now and as a power cut would leave it.
#[derive(Clone, Default)]
pub(super) struct FileState {
    current: Content,
    durable: Content,
    /// Sectors written since the last sync, by page.
    dirty: BTreeMap<u64, Sectors>,
    /// A sync has failed: clean sectors may differ from the durable ones.
    lost_writes: bool,
    /// What it has reserved of the disk.
    pub(super) blocks: Blocks,
    /// Open handles. They keep a file without a name.
    pub(super) handles: u32,
}

impl FileState {
    pub(super) fn current(&self) -> &Content {
        &self.current
    }

    fn mark(&mut self, offset: u64, len: u64) {
        for page in pages(offset, len) {
            *self.dirty.entry(page).or_default() |= sectors(page, offset, len);
        }
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.current.write(offset, bytes);
        self.mark(offset, bytes.len() as u64);
    }

    /// Each sector of a write happens or not.
    pub(super) fn write_torn(&mut self, offset: u64, bytes: &[u8], random: &mut Random) {
        let rate = random.rate();
        let mut at = 0;
        while at < bytes.len() {
            let to_border = SECTOR_BYTES - (offset + at as u64) % SECTOR_BYTES;
            let end = bytes.len().min(at + to_border as usize);
            if random.survives(rate) {
                self.write(offset + at as u64, &bytes[at..end]);
            }
            at = end;
        }
    }

    pub(super) fn clear(&mut self, offset: u64, len: u64) {
        let now = self.current.present(offset, len);
        let touched: BTreeSet<u64> = now.chain(self.durable.present(offset, len)).collect();
        for page in touched {
            *self.dirty.entry(page).or_default() |= sectors(page, offset, len);
        }
        self.current.clear(offset, len);
    }

    pub(super) fn set_len(&mut self, len: u64) {
        let old = self.current.len();
        if len < old {
            self.clear(len, old - len);
            self.blocks.remove(&(pages(0, len).end..pages(0, old).end));
        }
        self.current.set_len(len);
    }

    pub(super) fn sync(&mut self) {
        for (page, dirty) in std::mem::take(&mut self.dirty) {
            // Unless a sync has failed, the clean sectors of the page agree anyway.
            let taken = if self.lost_writes { dirty } else { ALL_SECTORS };
            self.durable.copy_sectors(&self.current, page, taken);
        }
        self.durable.set_len(self.current.len());
    }

    /// A sync that fails, as Linux does it: the pages stay as they are and count as clean
    /// from now on.
    pub(super) fn lose_writes(&mut self) {
        self.dirty.clear();
        self.lost_writes = true;
    }

    /// Clears a range and gives back the blocks that lie inside it as a whole; the last block
    /// of a file ends with the file.
    pub(super) fn release(&mut self, offset: u64, len: u64) {
        self.clear(offset, len);
        let end = offset + len;
        let first = pages(0, offset).end;
        let last = if end == self.current.len() { pages(0, end).end } else { end / PAGE_BYTES };
        self.blocks.remove(&(first..last.max(first)));
    }

    /// Whether no power cut can change a range.
    pub(super) fn is_durable(&self, offset: u64, len: u64) -> bool {
        self.current.agrees(&self.durable, offset, len)
    }

    /// Changes a bit behind everyone's back.
    pub(super) fn flip_bit(&mut self, offset: u64, bit: u8) {
        for content in [&mut self.current, &mut self.durable] {
            let mut byte = [0];
            content.read(offset, &mut byte);
            let len = content.len();
            content.write(offset, &[byte[0] ^ (1 << bit)]);
            content.set_len(len);
        }
    }

    /// The file after the process that had it open has ended.
    pub(super) fn after_kill(&self) -> FileState {
        FileState { handles: 0, ..self.clone() }
    }

    /// The file after a power cut.
    pub(super) fn after_power_cut(&self, random: &mut Random) -> FileState {
        let mut content = self.durable.clone();
        let rate = random.rate();
        for (page, dirty) in &self.dirty {
            let each = (0..Sectors::BITS).filter(|sector| dirty & (1 << sector) != 0);
            let survived = each.filter(|_| random.survives(rate));
            let survived = survived.fold(0, |mask, sector| mask | 1 << sector);
            content.copy_sectors(&self.current, *page, survived);
        }
        let lens = [self.durable.len(), self.current.len()];
        let len = lens[random.below(2) as usize];
        // What survived beyond the length is cut off, whichever length that is.
        content.set_len(self.durable.len().max(self.current.len()));
        content.set_len(len);
        let mut blocks = self.blocks.clone();
        for page in content.present(0, len) {
            blocks = blocks.with(page..page + 1);
        }
        FileState { durable: content.clone(), current: content, blocks, ..FileState::default() }
    }
}
