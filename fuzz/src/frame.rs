//! Frames: the first bytes of an input say what the first frame should continue, the rest is where it stands.

use trialog_journal::frame::{self, Ahead, Check, Frame, Link};

use crate::memory::in_proportion;

/// A position in the log, eight bytes, and the checksum of the frame before it.
pub(crate) const LINK_BYTES: usize = 12;

/// Walks the frames as a reader does, and looks behind the place where they end.
pub fn run(bytes: &[u8]) {
    in_proportion(bytes.len(), 4, || {
        let Some((seq, rest)) = bytes.split_first_chunk() else { return };
        let Some((crc, frames)) = rest.split_first_chunk() else { return };
        walk(frames, Link { seq: u64::from_le_bytes(*seq), crc: u32::from_le_bytes(*crc) });
    });
}

fn walk(bytes: &[u8], mut link: Link) {
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        if let Some(claim) = frame::claim(rest) {
            assert_eq!(claim.encode(), rest[..frame::FRAME_HEADER_BYTES], "a header is read and written alike");
        }
        match frame::check(rest, link) {
            Check::Valid(frame) => {
                assert_eq!((frame.seq, frame.prev), (link.seq, link.crc));
                write_again(&frame, rest);
                link = frame.next();
                at += frame.len();
            }
            Check::Misfit(frame) => {
                assert_eq!(Frame::trusted(rest), Some(frame));
                return search(bytes, at, link);
            }
            Check::Short { need } => {
                assert!(need > rest.len(), "more is needed than there is");
                return search(bytes, at, link);
            }
            Check::Broken => return search(bytes, at, link),
        }
    }
}

/// What verifies is written as the same bytes, but for a writer that knew less than nothing to be stable.
fn write_again(frame: &Frame<'_>, bytes: &[u8]) {
    assert_eq!(Frame::trusted(bytes), Some(*frame));
    let mut again = Vec::new();
    frame::push_unsealed(&mut again, frame.kind, frame.payload);
    let next = frame::seal(&mut again, Link { seq: frame.seq, crc: frame.prev }, frame.stable());
    if u64::from(frame.unsynced) <= frame.seq {
        assert_eq!(again, bytes[..frame.len()], "a frame is written again as it was");
        assert_eq!(next, frame.next());
    }
}

fn search(bytes: &[u8], from: usize, link: Link) {
    let (start, end) = (from as u64, bytes.len() as u64);
    let ahead = frame::look_ahead(bytes, start, end, link).expect("memory can be read");
    if let Ahead::Frame { offset, seq, stable } = ahead {
        assert!(offset > start && offset < end && seq >= link.seq);
        match frame::check(&bytes[offset as usize..], link) {
            Check::Valid(frame) | Check::Misfit(frame) => assert_eq!((frame.seq, frame.stable()), (seq, stable)),
            other => panic!("the frame that was found at {offset} is {other:?}"),
        }
    }
}
