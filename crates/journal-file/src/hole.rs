//! Holes: bytes that do not verify, with valid frames behind them. Most are damage. Some are what a write leaves that was
//! lost in part, with the power or with its writer's machine; `docs/format.md`, section "Holes", has the rule that tells
//! them apart, and what becomes of what is behind such a hole: it is set aside in a file of its own, never dropped.

use crate::os::{Access, Os, OsFile};
use crate::place::Reading;
use crate::{segment, write_full};
use std::io;
use std::path::{Path, PathBuf};
use trialog_journal::frame::{Ahead, FRAME_HEADER_BYTES, ReadAt, Search, claim, read_full};

/// What a disk writes whole or not at all.
const SECTOR_BYTES: u64 = 512;
/// Fewer zeros than this may well be there by chance.
const ZEROS_MIN: u64 = 4;
/// How much is copied at a time.
const COPY_BYTES: usize = 256 << 10;
/// What stands between a log's name and the number of the record that is missing.
const ASIDE: &str = ".aside-";

/// Whether a lost write explains the hole from `end` to `next`, behind `records` records: nobody who wrote behind it knew
/// the next record to be stable, and in its place there is a sector that was never written. `search` stands behind the
/// first frame, of which the former is known.
pub(crate) fn is_explained(
    file: &Reading<'_>,
    end: u64,
    next: u64,
    records: u64,
    search: &mut Search,
) -> io::Result<bool> {
    if !has_lost_sector(file, end, next)? {
        return Ok(false);
    }
    loop {
        match search.next(file)? {
            Ahead::Nothing => return Ok(true),
            Ahead::Frame { stable, .. } if stable <= records => {}
            Ahead::Frame { .. } | Ahead::GaveUp => return Ok(false),
        }
    }
}

/// Whether the frame that should begin at `end` lies in a sector that is all zeros from its beginning, or from `end` if
/// that is later, to its end. Valid frames begin at `next`.
fn has_lost_sector(file: &Reading<'_>, end: u64, next: u64) -> io::Result<bool> {
    let frame_end = frame_end(file, end, next)?;
    let mut sector = end / SECTOR_BYTES;
    loop {
        let from = (sector * SECTOR_BYTES).max(end);
        let to = (sector + 1) * SECTOR_BYTES;
        if to > next || from >= frame_end {
            return Ok(false);
        }
        let mut bytes = [0; SECTOR_BYTES as usize];
        let bytes = &mut bytes[..(to - from) as usize];
        let whole = read_full(file, from, bytes)? == bytes.len();
        if whole && to - from >= ZEROS_MIN && bytes.iter().all(|&byte| byte == 0) {
            return Ok(true);
        }
        sector += 1;
    }
}

/// Where the frame that is missing would end, if its header can still be believed; else somewhere before `next`.
fn frame_end(file: &(impl ReadAt + ?Sized), end: u64, next: u64) -> io::Result<u64> {
    let mut header = [0; FRAME_HEADER_BYTES];
    let got = read_full(file, end, &mut header)?;
    let claim = claim(&header[..got]).filter(|claim| claim.kind != 0);
    let longest = (trialog_journal::RECORD_BYTES_MAX + FRAME_HEADER_BYTES) as u64;
    Ok(end.saturating_add(claim.map_or(longest, |claim| claim.len as u64)).min(next))
}

/// Copies what lies from byte `from` on, where record `seq` is missing, to a file beside the log, and makes that and its
/// name durable.
pub(crate) fn copy_aside(
    os: &dyn Os,
    log: &Path,
    file: &dyn OsFile,
    from: u64,
    end: u64,
    seq: u64,
) -> io::Result<PathBuf> {
    let (path, aside) = make_aside(os, log, seq)?;
    let mut buf = vec![0; COPY_BYTES];
    let mut at = from;
    while at < end {
        let want = usize::try_from(end - at).map_or(COPY_BYTES, |rest| rest.min(COPY_BYTES));
        let got = read_full(&Reading(file), at, &mut buf[..want])?;
        if got == 0 {
            break;
        }
        write_full(&*aside, at - from, &buf[..got])?;
        at += got as u64;
    }
    aside.sync_data()?;
    os.sync_dir(segment::folder_of(log))?;
    Ok(path)
}

/// A new file: an earlier one may be left of somebody who died before the log was cut.
fn make_aside(os: &dyn Os, log: &Path, seq: u64) -> io::Result<(PathBuf, std::sync::Arc<dyn OsFile>)> {
    let mut nth = 0_u32;
    loop {
        let mut name = log.as_os_str().to_owned();
        name.push(format!("{ASIDE}{seq}"));
        if nth > 0 {
            name.push(format!("-{nth}"));
        }
        let path = PathBuf::from(name);
        match os.open(&path, Access::New) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && nth < 1000 => nth += 1,
            Err(error) => return Err(error),
        }
    }
}

/// The files beside a log that hold what was set aside.
pub(crate) fn list(os: &dyn Os, log: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = segment::folder_of(log);
    let name = log.file_name().unwrap_or_default().as_encoded_bytes();
    let is_aside = |file: &[u8]| file.strip_prefix(name).is_some_and(|rest| rest.starts_with(ASIDE.as_bytes()));
    let mut found: Vec<PathBuf> = os
        .list_dir(folder)?
        .into_iter()
        .filter(|file| is_aside(file.as_encoded_bytes()))
        .map(|file| folder.join(file))
        .collect();
    found.sort();
    Ok(found)
}
