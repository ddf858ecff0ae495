//! Random numbers as a function of a key and a counter: the same key gives the same stream in any process, and
//! streams of different keys have nothing to do with each other. No state is shared and none is global.
//!
//! The generator is Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3",
//! SC 2011). The parts of a key are mixed down to its 64-bit key and the upper half of its 128-bit counter.

/// The multipliers and the Weyl increments of Philox4x32 (Salmon et al., section 4.3 and table 2).
const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// One block: ten rounds of Philox4x32.
#[inline]
fn philox4x32(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let a = u64::from(MULTIPLIER[0]) * u64::from(counter[0]);
        let b = u64::from(MULTIPLIER[1]) * u64::from(counter[2]);
        counter =
            [(b >> 32) as u32 ^ counter[1] ^ key[0], b as u32, (a >> 32) as u32 ^ counter[3] ^ key[1], a as u32];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

/// A bijection of 64-bit numbers that scatters their bits: variant 13 of Stafford's finalizers, as in SplitMix64
/// (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
#[inline]
fn scatter(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// 2^64 divided by the golden ratio: the increment of SplitMix64.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Stream {
    key: [u32; 2],
    /// The upper half of the counter: which stream.
    lane: u64,
    /// The lower half: which block of the stream comes next.
    block: u64,
    /// The second half of the last block, if it has not been handed out.
    spare: Option<u64>,
}

impl Stream {
    /// The stream of a key. The order and the number of the parts matter.
    #[must_use]
    pub fn new(parts: &[u64]) -> Stream {
        let (mut key, mut lane) = (GOLDEN, !GOLDEN);
        for &part in parts {
            key = scatter(key.wrapping_add(GOLDEN) ^ part);
            lane = scatter(lane.rotate_left(32).wrapping_add(key));
        }
        Stream { key: [key as u32, (key >> 32) as u32], lane, block: 0, spare: None }
    }

    /// The next 64 random bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let counter = [self.block as u32, (self.block >> 32) as u32, self.lane as u32, (self.lane >> 32) as u32];
        self.block = self.block.wrapping_add(1);
        let [a, b, c, d] = philox4x32(counter, self.key);
        self.spare = Some(u64::from(c) | u64::from(d) << 32);
        u64::from(a) | u64::from(b) << 32
    }

    /// A number in `[0, 1)`: a multiple of 2^-53, all equally likely.
    #[inline]
    pub fn uniform(&mut self) -> f64 {
        const ULP: f64 = 1.0 / (1_u64 << 53) as f64;
        (self.next_u64() >> 11) as f64 * ULP
    }

    /// A whole number in `0..n`, all equally likely; 0 if `n` is 0.
    ///
    /// Lemire, "Fast random integer generation in an interval", ACM TOMACS 2019, algorithm 5: the upper half of
    /// the product is the answer unless the lower half falls among the `2^64 mod n` values that would favour it.
    #[inline]
    pub fn below(&mut self, n: u64) -> u64 {
        let mut product = u128::from(self.next_u64()) * u128::from(n);
        if (product as u64) < n {
            let threshold = n.wrapping_neg() % n;
            while (product as u64) < threshold {
                product = u128::from(self.next_u64()) * u128::from(n);
            }
        }
        (product >> 64) as u64
    }
}

/// 64 bits of a text, for a part of a key: FNV-1a (Fowler, Noll and Vo, RFC 9923) with its last bits scattered.
#[must_use]
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash: u64, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    scatter(hash)
}

#[cfg(test)]
mod tests {
    use super::philox4x32;

    /// The known answers of Random123 1.14.0, `tests/kat_vectors`, lines `philox4x32 10`.
    #[test]
    fn known_answers_of_random123() {
        let max = u32::MAX;
        for (counter, key, expected) in [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([max; 4], [max; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ] {
            assert_eq!(philox4x32(counter, key), expected);
        }
    }
}
