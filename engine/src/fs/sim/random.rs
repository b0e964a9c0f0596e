//! Chance from a seed.

/// A small generator (SplitMix64): a run is replayed by its seed, on every version of every
/// library.
#[derive(Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(super) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        // The high bits; that the lowest numbers come a shade more often matters to no test.
        (self.next_u64() >> 32) % bound
    }

    /// How much survives, in eighths, from nothing to all. With one fixed rate "all of it" and
    /// "none of it" would hardly ever happen to a large write, and they do happen to disks.
    pub(super) fn rate(&mut self) -> u64 {
        self.below(9)
    }

    pub(super) fn survives(&mut self, rate: u64) -> bool {
        self.below(8) < rate
    }
}
