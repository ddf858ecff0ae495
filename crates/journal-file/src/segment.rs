//! The files of a log's chain: what they are called, how one finds the newest, and what their ends say.

use crate::os::{Access, Os, OsFile};
use crate::place::Reading;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use trialog_journal::frame::{self, Check, Frame, KIND_SEAL, Link};
use trialog_journal::header::{HEADER_BYTES, Header, HeaderCheck, check_header};
use trialog_journal::seal::{SEAL_FRAME_BYTES, Seal};

/// The least number of digits in a later segment's name.
const DIGITS: usize = 6;

/// The file of segment `number` of the log at `log`, which is segment 0.
pub(crate) fn path_of(log: &Path, number: u64) -> PathBuf {
    if number == 0 {
        return log.to_path_buf();
    }
    let mut name = log.as_os_str().to_owned();
    name.push(format!(".{number:0DIGITS$}"));
    PathBuf::from(name)
}

/// The folder that a log's files lie in.
pub(crate) fn folder_of(log: &Path) -> &Path {
    log.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The numbers of all later segments that there are, also of those that nobody finished; the highest first.
pub(crate) fn list(os: &dyn Os, log: &Path) -> io::Result<Vec<u64>> {
    let Some(name) = log.file_name() else {
        return Ok(Vec::new());
    };
    let number_of = |file: &[u8]| -> Option<u64> {
        let digits = file.strip_prefix(name.as_encoded_bytes())?.strip_prefix(b".")?;
        let is_number = digits.len() >= DIGITS && digits.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()?;
        // Only the way in which we write it.
        (number > 0 && path_of(log, number).as_os_str().as_encoded_bytes().ends_with(digits)).then_some(number)
    };
    let names = os.list_dir(folder_of(log))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|file| number_of(file.as_encoded_bytes())).collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    Ok(numbers)
}

/// A segment that has been sealed, and its seal.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    pub(crate) number: u64,
    pub(crate) file: Arc<dyn OsFile>,
    pub(crate) header: Header,
    pub(crate) seal: Seal,
    /// How many records precede the seal.
    pub(crate) seq: u64,
}

/// The header of a file, if it is a whole one.
pub(crate) fn header_of(file: &dyn OsFile) -> Option<Header> {
    let mut start = [0; HEADER_BYTES];
    let got = frame::read_full(&Reading(file), 0, &mut start).ok()?;
    match check_header(&start[..got], u64::MAX) {
        HeaderCheck::Valid(header) => Some(header),
        _ => None,
    }
}

/// The seal at the end of segment `number`, if it has one. A look at its last bytes only.
pub(crate) fn sealed(os: &dyn Os, log: &Path, number: u64, log_id: &[u8; 16]) -> Option<Sealed> {
    let file = os.open(&path_of(log, number), Access::Read).ok()?;
    // A seal is the last thing that ever changes: a client that missed it would miss it for good.
    let _ = file.forget(file.stat().ok()?.bytes.saturating_sub(SEAL_FRAME_BYTES as u64));
    let header = header_of(&*file).filter(|header| header.log_id == *log_id)?;
    let (seal, seq) = seal_of(&*file, log_id)?;
    (seal.number > number).then_some(Sealed { number, file, header, seal, seq })
}

/// The seal that a file ends with, and how many records precede it.
fn seal_of(file: &dyn OsFile, log_id: &[u8; 16]) -> Option<(Seal, u64)> {
    let (seal, bytes) = seal_frame(file, log_id)?;
    Some((seal, Frame::trusted(&bytes)?.seq))
}

/// The seal of this log that a file ends with, and its frame.
pub(crate) fn seal_frame(file: &dyn OsFile, log_id: &[u8; 16]) -> Option<(Seal, [u8; SEAL_FRAME_BYTES])> {
    any_seal(file).filter(|(seal, _)| seal.log_id == *log_id)
}

/// The seal that a file ends with, and its frame.
pub(crate) fn any_seal(file: &dyn OsFile) -> Option<(Seal, [u8; SEAL_FRAME_BYTES])> {
    let at = file.stat().ok()?.bytes.checked_sub(SEAL_FRAME_BYTES as u64)?;
    let mut bytes = [0; SEAL_FRAME_BYTES];
    let got = frame::read_full(&Reading(file), at, &mut bytes).ok()?;
    // What it continues is not known here; that it says where it stands, and of which log, must do.
    let (Check::Valid(frame) | Check::Misfit(frame)) = frame::check(&bytes[..got], Link { seq: 0, crc: 0 }) else {
        return None;
    };
    let seal = Seal::decode(frame.payload).filter(|_| frame.kind == KIND_SEAL)?;
    (seal.at == at).then_some((seal, bytes))
}

/// The segment whose seal names the newest one; `None` while the first segment is the only one.
///
/// Numbers only rise along the chain, and a file that nobody finished has no seal: so the highest number with a
/// seal is the last but one, and what it names is the newest.
pub(crate) fn last_sealed(os: &dyn Os, log: &Path, log_id: &[u8; 16]) -> io::Result<Option<Sealed>> {
    let numbers = list(os, log)?;
    let is_there = |sealed: &Sealed| numbers.contains(&sealed.seal.number);
    Ok(numbers.iter().copied().chain([0]).find_map(|number| sealed(os, log, number, log_id).filter(is_there)))
}

/// The segment before `target`: the one whose seal names it.
pub(crate) fn before(os: &dyn Os, log: &Path, numbers: &[u64], target: u64, log_id: &[u8; 16]) -> Option<Sealed> {
    let earlier = numbers.iter().copied().filter(|&number| number < target).chain([0]);
    let mut found = earlier.filter_map(|number| sealed(os, log, number, log_id));
    found.find(|sealed| sealed.seal.number == target)
}
