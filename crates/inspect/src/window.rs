//! A file of a log as a walk reads it: forward, and in large pieces.

use std::io;

use trialog_journal::frame::{self, ReadAt};

const WINDOW_BYTES: usize = 256 << 10;

/// A file, read forward in large pieces.
pub(crate) struct Window<'a> {
    pub(crate) source: &'a dyn ReadAt,
    pub(crate) segment: u64,
    pub(crate) end: u64,
    pub(crate) at: u64,
    pub(crate) buf: Vec<u8>,
}

impl Window<'_> {
    /// The bytes from `offset` on: at least `want`, unless the file ends before.
    pub(crate) fn bytes(&mut self, offset: u64, want: usize) -> io::Result<&[u8]> {
        let room = usize::try_from(self.end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let want = want.min(room);
        let has = offset.checked_sub(self.at).and_then(|skip| usize::try_from(skip).ok());
        if let Some(skip) = has
            && skip.checked_add(want).is_some_and(|need| need <= self.buf.len())
        {
            return Ok(&self.buf[skip..]);
        }
        self.buf.resize(want.max(WINDOW_BYTES).min(room), 0);
        self.at = offset;
        let got = frame::read_full(self.source, offset, &mut self.buf)?;
        self.buf.truncate(got);
        Ok(&self.buf)
    }

    /// A copy of so many bytes, or of fewer if the file ends before.
    pub(crate) fn exactly(&mut self, offset: u64, want: usize) -> io::Result<Vec<u8>> {
        let bytes = self.bytes(offset, want)?;
        Ok(bytes[..want.min(bytes.len())].to_vec())
    }
}
