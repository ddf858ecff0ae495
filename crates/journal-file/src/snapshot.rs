//! The snapshot beside a log: a cache of the state after some record, in a file of its own. A missing, stale, torn
//! or foreign one costs time and nothing else, so every doubt about it is answered with "there is none".
//!
//! It is written under another name and renamed when it is whole. The one who writes holds a lock on that other
//! file, so that of many processes that find a snapshot due, one writes it.

use crate::known::Tip;
use crate::os::{Access, Os, OsFile};
use crate::place::Reading;
use crate::write_full;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use trialog_journal::SnapshotSource;
use trialog_journal::frame::{Link, read_full};
use trialog_journal::header::Header;

/// What a snapshot file begins with: unlike a log's magic in the middle, like it at the ends.
const MAGIC: [u8; 8] = [0x94, b'T', b'S', b'N', b'P', b'\r', b'\n', 0x1a];
const VERSION: u32 = 1;

// The envelope's layout, as docs/format.md has it.
const AT_VERSION: usize = MAGIC.len();
const AT_LOG_ID: usize = AT_VERSION + 4;
const AT_SEQ: usize = AT_LOG_ID + 16;
const AT_OFFSET: usize = AT_SEQ + 8;
const AT_LAST: usize = AT_OFFSET + 8;
const AT_LINK: usize = AT_LAST + 8;
const AT_LENGTH: usize = AT_LINK + 4;
const AT_PAYLOAD_CRC: usize = AT_LENGTH + 8;
const AT_CRC: usize = AT_PAYLOAD_CRC + 4;
pub(crate) const ENVELOPE_BYTES: usize = AT_CRC + 4;
const _: () = assert!(ENVELOPE_BYTES == 72);

/// Bytes gathered before a write.
const WRITE_BYTES: usize = 1 << 20;

/// What a snapshot says of its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) log_id: [u8; 16],
    pub(crate) tip: Tip,
    payload_bytes: u64,
    payload_crc: u32,
}

impl Envelope {
    fn encode(&self) -> [u8; ENVELOPE_BYTES] {
        let mut bytes = [0; ENVELOPE_BYTES];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &MAGIC);
        put(AT_VERSION, &VERSION.to_le_bytes());
        put(AT_LOG_ID, &self.log_id);
        put(AT_SEQ, &self.tip.link.seq.to_le_bytes());
        put(AT_OFFSET, &self.tip.offset.to_le_bytes());
        put(AT_LAST, &self.tip.last.to_le_bytes());
        put(AT_LINK, &self.tip.link.crc.to_le_bytes());
        put(AT_LENGTH, &self.payload_bytes.to_le_bytes());
        put(AT_PAYLOAD_CRC, &self.payload_crc.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..AT_CRC]);
        bytes[AT_CRC..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; ENVELOPE_BYTES]) -> Option<Envelope> {
        let u32_at = |at: usize| bytes[at..].first_chunk().map(|field| u32::from_le_bytes(*field));
        let u64_at = |at: usize| bytes[at..].first_chunk().map(|field| u64::from_le_bytes(*field));
        let is_whole = bytes.starts_with(&MAGIC)
            && u32_at(AT_VERSION)? == VERSION
            && u32_at(AT_CRC)? == crc32fast::hash(&bytes[..AT_CRC]);
        is_whole.then_some(())?;
        Some(Envelope {
            log_id: *bytes[AT_LOG_ID..].first_chunk()?,
            tip: Tip {
                offset: u64_at(AT_OFFSET)?,
                link: Link { seq: u64_at(AT_SEQ)?, crc: u32_at(AT_LINK)? },
                last: u64_at(AT_LAST)?,
            },
            payload_bytes: u64_at(AT_LENGTH)?,
            payload_crc: u32_at(AT_PAYLOAD_CRC)?,
        })
    }
}

/// Where a log's snapshot lies.
pub(crate) fn path_of(log: &Path) -> PathBuf {
    with_suffix(log, ".snapshot")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The newest snapshot's envelope, if there is one of this log.
pub(crate) fn peek(os: &dyn Os, log: &Path, header: &Header) -> Option<(Envelope, Arc<dyn OsFile>)> {
    peek_any(os, log).filter(|(envelope, _)| envelope.log_id == header.log_id)
}

fn peek_any(os: &dyn Os, log: &Path) -> Option<(Envelope, Arc<dyn OsFile>)> {
    let file = os.open(&path_of(log), Access::Read).ok()?;
    let mut bytes = [0; ENVELOPE_BYTES];
    let got = read_full(&Reading(&*file), 0, &mut bytes).ok()?;
    let envelope = Envelope::decode(&bytes).filter(|_| got == ENVELOPE_BYTES)?;
    Some((envelope, file))
}

/// The newest snapshot of this log, if it is whole and the log still holds what it was taken of.
pub(crate) fn load(
    os: &dyn Os,
    log: &Path,
    header: &Header,
    still_holds: impl Fn(Tip) -> bool,
) -> Option<(Tip, Vec<u8>)> {
    let (envelope, file) = peek(os, log, header)?;
    if !still_holds(envelope.tip) {
        return None;
    }
    payload(&envelope, &*file).map(|payload| (envelope.tip, payload))
}

/// The snapshot that lies there, if it is whole.
pub(crate) fn read(os: &dyn Os, log: &Path) -> Option<(Envelope, Vec<u8>)> {
    let (envelope, file) = peek_any(os, log)?;
    payload(&envelope, &*file).map(|payload| (envelope, payload))
}

fn payload(envelope: &Envelope, file: &dyn OsFile) -> Option<Vec<u8>> {
    // Memory is spent only on bytes that are there.
    let there = file.stat().ok()?.bytes.checked_sub(ENVELOPE_BYTES as u64)?;
    if there != envelope.payload_bytes {
        return None;
    }
    let mut payload = vec![0; usize::try_from(there).ok()?];
    let got = read_full(&Reading(file), ENVELOPE_BYTES as u64, &mut payload).ok()?;
    (got == payload.len() && crc32fast::hash(&payload) == envelope.payload_crc).then_some(payload)
}

/// Writes a snapshot and puts it in the place of the older one; false if somebody else is doing so.
pub(crate) fn save(
    os: &dyn Os,
    log: &Path,
    header: &Header,
    tip: Tip,
    source: &mut SnapshotSource<'_>,
) -> io::Result<bool> {
    let new = with_suffix(log, ".snapshot.new");
    let file = os.open(&new, Access::Create)?;
    if !file.try_lock()? {
        return Ok(false);
    }
    // Between our look and our lock the file may have become the snapshot that others read.
    let is_new = |file: &dyn OsFile| -> io::Result<bool> {
        Ok(os
            .open(&new, Access::Read)
            .and_then(|now| now.stat())
            .is_ok_and(|now| file.stat().is_ok_and(|locked| locked.identity == now.identity)))
    };
    if !is_new(&*file)? {
        return Ok(false);
    }
    file.truncate(0)?;
    let mut out =
        Out { file: &*file, offset: ENVELOPE_BYTES as u64, crc: crc32fast::Hasher::new(), buffer: Vec::new() };
    source(&mut |bytes| out.write(bytes))?;
    out.flush()?;
    let payload_bytes = out.offset - ENVELOPE_BYTES as u64;
    let payload_crc = out.crc.finalize();
    let envelope = Envelope { log_id: header.log_id, tip, payload_bytes, payload_crc };
    write_full(&*file, 0, &envelope.encode())?;
    // Before the rename: a name that came to life ahead of its bytes would cost the older snapshot.
    file.sync_data()?;
    os.rename(&new, &path_of(log))?;
    Ok(true)
}

/// Gathers small pieces into large writes.
struct Out<'a> {
    file: &'a dyn OsFile,
    offset: u64,
    crc: crc32fast::Hasher,
    buffer: Vec<u8>,
}

impl Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc.update(bytes);
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        write_full(self.file, self.offset, &self.buffer)?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
