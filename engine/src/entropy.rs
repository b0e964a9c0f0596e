//! Randomness as a seam: a simulated run draws everything from one seed.

use rustix::rand::{GetRandomFlags, getrandom};

/// A source of unpredictable bytes.
pub trait Entropy: Send + Sync {
    /// Fills `out`.
    fn fill(&self, out: &mut [u8]);

    /// A random number.
    fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// The operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) {
        let mut filled = 0;
        while filled < out.len() {
            // Blocks only until the kernel is seeded, early in boot; after that it gives at
            // least 256 bytes a call, so the loop is short. A signal may interrupt it.
            match getrandom(&mut out[filled..], GetRandomFlags::empty()) {
                Ok(count) => filled += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => panic!("the kernel has no random numbers: {error}"),
            }
        }
    }
}
