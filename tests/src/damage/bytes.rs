//! Frames and footers as `engine/FORMAT.md` describes them, written without the engine's code.

use super::layout::footer_bytes;

/// A frame of one record per number, to be bent.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Of the segment.
    pub incarnation: [u8; 8],
    /// The stream's id.
    pub stream: u64,
    /// The shard's index.
    pub shard: u32,
    /// 1 gap, 2 lost.
    pub flags: u16,
    /// The number of its record.
    pub base: u64,
    /// When that arrived.
    pub arrival_ms: u64,
    /// What it proves.
    pub durable_below: u64,
    /// Claimed in place of the true length.
    pub payload_bytes: Option<u32>,
}

/// The data of the record with that number.
pub fn data(number: u64) -> Vec<u8> {
    format!("the record with the number {number}").into_bytes()
}

fn crc(parts: &[&[u8]]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().to_le_bytes()
}

impl Frame {
    /// Its bytes, up to the next multiple of 8.
    pub fn encode(&self) -> Vec<u8> {
        let payload = record(self.base, self.arrival_ms);
        let mut head = Vec::new();
        head.extend(b"AFRM");
        head.extend([0; 4]);
        head.extend(self.incarnation);
        head.extend(self.stream.to_le_bytes());
        head.extend(self.shard.to_le_bytes());
        head.extend(80u16.to_le_bytes());
        head.extend(self.flags.to_le_bytes());
        head.extend(0u32.to_le_bytes());
        head.extend(self.payload_bytes.unwrap_or(payload.len() as u32).to_le_bytes());
        head.extend(self.base.to_le_bytes());
        head.extend(1u32.to_le_bytes());
        head.extend(crc(&[&self.incarnation, &payload]));
        head.extend(self.arrival_ms.to_le_bytes());
        head.extend(self.arrival_ms.to_le_bytes());
        head.extend(self.durable_below.to_le_bytes());
        let sum = crc(&[&self.incarnation, &head[..4], &head[8..]]);
        head[4..8].copy_from_slice(&sum);
        head.extend(payload);
        head.resize(head.len().next_multiple_of(8), 0);
        head
    }
}

/// One entry of `records`, with the key `key`.
fn record(number: u64, arrival_ms: u64) -> Vec<u8> {
    let data = data(number);
    let mut message = vec![0x09];
    message.extend(number.to_le_bytes());
    message.push(0x11);
    message.extend(arrival_ms.to_le_bytes());
    message.extend([0x1a, 3]);
    message.extend(b"key");
    message.extend([0x22, data.len() as u8]);
    message.extend(data);
    assert!(message.len() < 128, "its length takes one byte");
    let mut entry = vec![0x0a, message.len() as u8];
    entry.extend(message);
    entry
}

/// A footer without entries that says where the segment ends.
pub fn footer(segment_bytes: usize, incarnation: [u8; 8], end: u64, next: u64) -> Vec<u8> {
    let mut out = vec![0; footer_bytes(segment_bytes)];
    let trailer = out.len() - 64;
    out[trailer..trailer + 8].copy_from_slice(b"ANABRIDX");
    out[trailer + 16..trailer + 24].copy_from_slice(&incarnation);
    out[trailer + 24..trailer + 32].copy_from_slice(&end.to_le_bytes());
    out[trailer + 32..trailer + 40].copy_from_slice(&next.to_le_bytes());
    let sum = crc(&[&incarnation, &out[..trailer + 8], &out[trailer + 12..]]);
    out[trailer + 8..trailer + 12].copy_from_slice(&sum);
    out
}
