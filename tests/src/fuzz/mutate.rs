//! Changes to inputs, from a seed: what a fuzzer does without looking, for `cargo test`.

use crate::support::Random;

/// Bytes of an input at most.
const BYTES_MAX: usize = 4096;

/// Values that programs stumble over.
const ODD: [u64; 8] = [0, 1, 0x7f, 0x80, 0xff, 0x7fff_ffff, 0x8000_0000_0000_0000, u64::MAX];

/// One of the inputs, with a few changes.
pub fn changed(inputs: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let pick = |random: &mut Random| inputs[random.below(inputs.len() as u64) as usize].clone();
    let mut bytes = pick(random);
    for _ in 0..=random.below(4) {
        let len = bytes.len() as u64;
        let at = random.below(len + 1) as usize;
        match random.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = random.next() as u8,
            2 => bytes.insert(at, random.next() as u8),
            3 => {
                let end = (at as u64 + random.below(20)).min(len) as usize;
                bytes.drain(at..end);
            }
            4 => {
                // An odd value, or one next to it, of any width.
                let odd = ODD[random.below(8) as usize].wrapping_add(random.below(3)).to_le_bytes();
                let width = 1 << random.below(4);
                let end = (at + width).min(bytes.len());
                bytes[at..end].copy_from_slice(&odd[..end - at]);
            }
            5 => {
                let other = pick(random);
                let from = random.below(other.len() as u64 + 1) as usize;
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            6 => {
                let end = (at as u64 + random.below(40)).min(len) as usize;
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            _ => bytes.truncate(at.max(1)),
        }
    }
    bytes.truncate(BYTES_MAX);
    bytes
}
