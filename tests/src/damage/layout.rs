//! Which bytes of a segment mean what: read from `engine/FORMAT.md`, not from the engine.

use std::ops::Range;

/// Where the frames of a segment begin.
pub const FRAMES_START: usize = 8192;

/// Bytes of a copy of the segment's header.
const HEADER_BYTES: usize = 512;

/// Where the copies stand.
const HEADERS: [usize; 2] = [0, 4096];

/// Bytes of a frame's header.
const FRAME_HEADER_BYTES: usize = 80;

/// A frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FrameAt {
    /// Header and payload, without what follows up to the next multiple of 8.
    pub bytes: Range<usize>,
    /// The number of its first record.
    pub base: u64,
    /// The number behind its last one.
    pub next: u64,
}

impl FrameAt {
    /// Where the payload stands.
    pub fn payload(&self) -> Range<usize> {
        self.bytes.start + FRAME_HEADER_BYTES..self.bytes.end
    }
}

/// What a byte is good for (section 9 of `engine/FORMAT.md`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meaning {
    /// Part of the frame with that position: its only copy.
    Frame(usize),
    /// Part of a copy of the header, or of a footer, that begins there: what it says is found
    /// elsewhere, too.
    Redundant(usize),
    /// Nobody reads it.
    Idle,
}

/// A whole segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    /// All frames, in order.
    pub frames: Vec<FrameAt>,
    /// Bytes that the footer may take.
    pub footer: Range<usize>,
    /// Whether there is one.
    pub is_sealed: bool,
}

fn number(bytes: &[u8], at: usize, len: usize) -> u64 {
    let mut number = [0; 8];
    number[..len].copy_from_slice(&bytes[at..at + len]);
    u64::from_le_bytes(number)
}

/// Bytes that are kept for the footer of a segment of that length.
pub fn footer_bytes(segment_bytes: usize) -> usize {
    (24 * (segment_bytes / 65_536 + 2) + 64).next_multiple_of(4096)
}

impl Layout {
    /// The layout of a segment that is whole.
    pub fn of(bytes: &[u8]) -> Layout {
        let area_end = bytes.len() - footer_bytes(bytes.len());
        let trailer = bytes.len() - 64;
        let is_sealed = &bytes[trailer..trailer + 8] == b"ANABRIDX";
        let end = if is_sealed { number(bytes, trailer + 24, 8) as usize } else { area_end };
        let mut frames = Vec::new();
        let mut at = FRAMES_START;
        while at + FRAME_HEADER_BYTES <= end && &bytes[at..at + 4] == b"AFRM" {
            let payload_bytes = number(bytes, at + 36, 4) as usize;
            let frame_end = at + FRAME_HEADER_BYTES + payload_bytes;
            let base = number(bytes, at + 40, 8);
            let next = base + number(bytes, at + 48, 4);
            frames.push(FrameAt { bytes: at..frame_end, base, next });
            at = frame_end.next_multiple_of(8);
        }
        Layout { frames, footer: area_end..bytes.len(), is_sealed }
    }

    /// What the byte at `offset` is good for.
    pub fn meaning(&self, offset: usize) -> Meaning {
        if let Some(copy) = HEADERS.iter().find(|&&at| (at..at + HEADER_BYTES).contains(&offset)) {
            return Meaning::Redundant(*copy);
        }
        if self.footer.contains(&offset) {
            return if self.is_sealed {
                Meaning::Redundant(self.footer.start)
            } else {
                Meaning::Idle
            };
        }
        let behind = self.frames.partition_point(|frame| frame.bytes.start <= offset);
        match behind.checked_sub(1) {
            Some(frame) if self.frames[frame].bytes.contains(&offset) => Meaning::Frame(frame),
            _ => Meaning::Idle,
        }
    }

    /// Whether the byte at `offset` belongs to a payload.
    pub fn is_payload(&self, offset: usize) -> bool {
        match self.meaning(offset) {
            Meaning::Frame(frame) => self.frames[frame].payload().contains(&offset),
            Meaning::Redundant(_) | Meaning::Idle => false,
        }
    }

    /// Where the last frame ends.
    pub fn end(&self) -> usize {
        self.frames.last().map_or(FRAMES_START, |frame| frame.bytes.end.next_multiple_of(8))
    }
}
