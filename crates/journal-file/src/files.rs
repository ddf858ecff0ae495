//! The files that a log consists of, for tools that look at them one by one. Nothing here writes.

use crate::os::{Os, OsFile};
use crate::{hole, segment, snapshot};
use std::io;
use std::path::{Path, PathBuf};
use trialog_journal::frame::Frame;
use trialog_journal::header::Header;
use trialog_journal::seal::Seal;

/// The file of segment `number` of the log at `log`, which is segment 0.
#[must_use]
pub fn segment_path(log: &Path, number: u64) -> PathBuf {
    segment::path_of(log, number)
}

/// The numbers of all files beside the log that are called like later segments, the highest first.
///
/// # Errors
/// What the system says when it lists the folder.
pub fn segment_numbers(os: &dyn Os, log: &Path) -> io::Result<Vec<u64>> {
    segment::list(os, log)
}

/// The header that a file begins with, if it is a whole one.
#[must_use]
pub fn header_of(file: &dyn OsFile) -> Option<Header> {
    segment::header_of(file)
}

/// The seal that a file ends with, and how many records precede it; of whatever log it is.
#[must_use]
pub fn seal_of(file: &dyn OsFile) -> Option<(Seal, u64)> {
    let (seal, bytes) = segment::any_seal(file)?;
    Some((seal, Frame::trusted(&bytes)?.seq))
}

/// Whether bytes that do not verify, from `at` to the end of a file of `end` bytes, are a damaged seal of this log.
#[must_use]
pub fn looks_like_seal(file: &dyn OsFile, at: u64, end: u64, log_id: &[u8; 16]) -> bool {
    segment::looks_like_seal(file, at, end, log_id)
}

/// Where the snapshot beside a segment lies.
#[must_use]
pub fn snapshot_path(segment: &Path) -> PathBuf {
    snapshot::path_of(segment)
}

/// What the snapshot beside a segment says, once its checksums are found right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedSnapshot {
    /// The log's id.
    pub log_id: [u8; 16],
    /// How many records it covers.
    pub seq: u64,
    /// Where in the segment the next frame begins.
    pub offset: u64,
    /// The checksum of the frame before that, or of the header.
    pub link: u32,
    /// The state.
    pub payload: Vec<u8>,
}

/// The snapshot beside a segment; `None` if there is none, or one that is torn, damaged or of a newer version.
#[must_use]
pub fn saved_snapshot(os: &dyn Os, segment: &Path) -> Option<SavedSnapshot> {
    let (envelope, payload) = snapshot::read(os, segment)?;
    let tip = envelope.tip;
    Some(SavedSnapshot {
        log_id: envelope.log_id,
        seq: tip.link.seq,
        offset: tip.offset,
        link: tip.link.crc,
        payload,
    })
}

/// The files beside a log that hold what was behind a hole: whoever cut the log there has set it aside.
///
/// # Errors
/// What the system says when it lists the folder.
pub fn set_aside(os: &dyn Os, log: &Path) -> io::Result<Vec<PathBuf>> {
    hole::list(os, log)
}
