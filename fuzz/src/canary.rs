//! Broken on purpose. `cargo xtask fuzz` insists that the fuzzer finds both within seconds.

use crate::memory::in_proportion;

/// A decoder that slices by a length it does not check, behind a magic word that blind luck does not find.
pub fn panics(bytes: &[u8]) {
    in_proportion(bytes.len(), 1, || {
        // Byte by byte: a comparison of whole words is a call that the fuzzer cannot look into.
        let is_magic =
            bytes.len() > 5 && bytes[0] == b'T' && bytes[1] == b'L' && bytes[2] == b'O' && bytes[3] == b'G';
        if is_magic {
            // Black box, or the slice that nobody reads is not made.
            std::hint::black_box(&bytes[5..][..usize::from(bytes[4])]);
        }
    });
}

/// A decoder that takes memory for whatever length it is told.
pub fn takes_memory(bytes: &[u8]) {
    in_proportion(bytes.len(), 16, || {
        if let Some([b'#', len @ ..]) = bytes.first_chunk::<4>() {
            let megabytes = usize::from(len[0]);
            std::hint::black_box(Vec::<u8>::with_capacity(megabytes << 20));
        }
    });
}
