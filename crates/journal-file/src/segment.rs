//! The files of a log's chain: what they are called, how one finds the newest, and what their ends say.

use crate::known::Past;
use crate::os::{Access, Os, OsFile};
use crate::place::{Place, Reading};
use std::io;
use std::ops::ControlFlow;
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
    try_header_of(file).ok().flatten()
}

fn try_header_of(file: &dyn OsFile) -> io::Result<Option<Header>> {
    let mut start = [0; HEADER_BYTES];
    let got = frame::read_full(&Reading(file), 0, &mut start)?;
    Ok(match check_header(&start[..got], u64::MAX) {
        HeaderCheck::Valid(header) => Some(header),
        _ => None,
    })
}

/// The seal at the end of segment `number`, if it has one and can be read. A look at its last bytes only.
pub(crate) fn sealed(os: &dyn Os, log: &Path, number: u64, log_id: &[u8; 16]) -> Option<Sealed> {
    try_sealed(os, log, number, log_id).ok().flatten()
}

/// As [`sealed`]; that a file cannot be read does not mean that there is none.
fn try_sealed(os: &dyn Os, log: &Path, number: u64, log_id: &[u8; 16]) -> io::Result<Option<Sealed>> {
    let file = match os.open(&path_of(log, number), Access::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // A seal is the last thing that ever changes: a client that missed it would miss it for good.
    let _ = file.forget(file.stat()?.bytes.saturating_sub(SEAL_FRAME_BYTES as u64));
    let Some(header) = try_header_of(&*file)?.filter(|header| header.log_id == *log_id) else {
        return Ok(None);
    };
    let Some((seal, bytes)) = try_seal(&*file)?.filter(|(seal, _)| seal.log_id == *log_id) else {
        return Ok(None);
    };
    let seq = Frame::trusted(&bytes).map_or(0, |frame| frame.seq);
    Ok((seal.number > number).then_some(Sealed { number, file, header, seal, seq }))
}

/// The seal of this log that a file ends with, and its frame.
pub(crate) fn seal_frame(file: &dyn OsFile, log_id: &[u8; 16]) -> Option<(Seal, [u8; SEAL_FRAME_BYTES])> {
    any_seal(file).filter(|(seal, _)| seal.log_id == *log_id)
}

/// The seal that a file ends with, and its frame.
pub(crate) fn any_seal(file: &dyn OsFile) -> Option<(Seal, [u8; SEAL_FRAME_BYTES])> {
    try_seal(file).ok().flatten()
}

fn try_seal(file: &dyn OsFile) -> io::Result<Option<(Seal, [u8; SEAL_FRAME_BYTES])>> {
    let Some(at) = file.stat()?.bytes.checked_sub(SEAL_FRAME_BYTES as u64) else {
        return Ok(None);
    };
    let mut bytes = [0; SEAL_FRAME_BYTES];
    let got = frame::read_full(&Reading(file), at, &mut bytes)?;
    // What it continues is not known here; that it says where it stands, and of which log, must do.
    let (Check::Valid(frame) | Check::Misfit(frame)) = frame::check(&bytes[..got], Link { seq: 0, crc: 0 }) else {
        return Ok(None);
    };
    let seal = Seal::decode(frame.payload).filter(|seal| frame.kind == KIND_SEAL && seal.at == at);
    Ok(seal.map(|seal| (seal, bytes)))
}

/// Whether a seal stands at the end of a file, of whatever log.
pub(crate) fn ends_with_seal(file: &dyn OsFile) -> bool {
    any_seal(file).is_some()
}

/// Whether bytes that do not verify, from `at` to the end of the file, are a seal that was damaged. A seal says twice where
/// it stands, in its way: by its log's id, and by its place.
pub(crate) fn looks_like_seal(file: &dyn OsFile, at: u64, end: u64, log_id: &[u8; 16]) -> bool {
    let mut bytes = [0; SEAL_FRAME_BYTES];
    let whole = end.checked_sub(at) == Some(SEAL_FRAME_BYTES as u64)
        && frame::read_full(&Reading(file), at, &mut bytes).is_ok_and(|got| got == SEAL_FRAME_BYTES);
    let payload = &bytes[frame::FRAME_HEADER_BYTES..];
    whole && (payload.starts_with(log_id) || payload[log_id.len()..].starts_with(&at.to_le_bytes()))
}

/// Whether a segment later than `number` was written to after it was made: it has more than the first `records` records, or
/// a seal.
pub(crate) fn goes_on_elsewhere(
    os: &dyn Os,
    log: &Path,
    number: u64,
    records: u64,
    log_id: &[u8; 16],
) -> io::Result<bool> {
    let later = list(os, log)?.into_iter().filter(|&later| later > number);
    Ok(later.into_iter().any(|later| {
        let Some(file) = os.open(&path_of(log, later), Access::Read).ok() else {
            return false;
        };
        let Some(header) = header_of(&*file).filter(|header| header.log_id == *log_id) else {
            return false;
        };
        let place = Place { location: String::new() };
        let mut end = header.first_seq;
        let bytes = file.stat().map_or(0, |stat| stat.bytes);
        let _walked = Past::whole(&header, bytes).walk(&*file, &place, &mut |_, frame| {
            end = frame.next().seq;
            ControlFlow::Continue(())
        });
        end > records || seal_frame(&*file, log_id).is_some()
    }))
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

/// The segment before `target`: the one whose seal names it. That a file cannot be read does not mean that it is not there.
pub(crate) fn before(
    os: &dyn Os,
    log: &Path,
    numbers: &[u64],
    target: u64,
    log_id: &[u8; 16],
) -> io::Result<Option<Sealed>> {
    for number in numbers.iter().copied().filter(|&number| number < target).chain([0]) {
        let sealed = try_sealed(os, log, number, log_id)?;
        if let Some(sealed) = sealed.filter(|sealed| sealed.seal.number == target) {
            return Ok(Some(sealed));
        }
    }
    Ok(None)
}
