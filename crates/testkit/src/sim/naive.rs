//! A journal as one would write it in an afternoon, on the same door to the operating system. It keeps the contract,
//! slowly; and it can be given one mistake that real engines have made, to see whether the simulator notices.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use trialog_journal::frame::{self, Check, KIND_RECORD, Link, ReadAt};
use trialog_journal::header::{HEADER_BYTES, Header, HeaderCheck, check_header};
use trialog_journal::{Durability, Error, Journal, Seq, Visitor};
use trialog_journal_file::os::{Access, Os, OsFile, PathKind};

/// One mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// No sync before a durable append is acknowledged.
    SkipsSync,
    /// A second sync is believed after the first has failed.
    RetriesSync,
    /// The header's folder is not synced, so the log's name may be lost with all that is in it.
    SkipsFolderSync,
    /// No lock.
    IgnoresLock,
    /// The lock is on a file beside the log.
    LocksBeside,
    /// On a network file system it leaves the sync to the unlock, which does one and does not say how it ended.
    TrustsUnlock,
    /// Checksums are not compared.
    IgnoresCrc,
    /// Records are acknowledged when they are in memory, and written with the next ones.
    AcknowledgesBeforeWrite,
    /// The end of the log is where it was before the lock was taken.
    ReadsStaleEnd,
    /// A torn tail is left where it is, and new frames are put behind it.
    KeepsTornTail,
    /// A torn tail is cut by whoever sees it, with the lock or not.
    CutsWithoutLock,
    /// A write that took only a part is taken for whole.
    IgnoresShortWrite,
    /// Records that may have been appended are appended again after an error.
    RepeatsAfterError,
}

impl Bug {
    /// All of them.
    pub const ALL: [Bug; 13] = [
        Bug::SkipsSync,
        Bug::RetriesSync,
        Bug::SkipsFolderSync,
        Bug::IgnoresLock,
        Bug::LocksBeside,
        Bug::TrustsUnlock,
        Bug::IgnoresCrc,
        Bug::AcknowledgesBeforeWrite,
        Bug::ReadsStaleEnd,
        Bug::KeepsTornTail,
        Bug::CutsWithoutLock,
        Bug::IgnoresShortWrite,
        Bug::RepeatsAfterError,
    ];
}

/// The journal.
pub(crate) struct NaiveJournal {
    os: Arc<dyn Os>,
    file: Arc<dyn OsFile>,
    /// What is locked: the log, or with a mistake a file beside it.
    lock_file: Arc<dyn OsFile>,
    network: bool,
    read_only: bool,
    bug: Option<Bug>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    records: Vec<Vec<u8>>,
    end: u64,
    link: Option<Link>,
    poisoned: bool,
    /// Acknowledged and not written, with a mistake.
    owed: Vec<u8>,
    owed_records: u64,
}

struct Reading<'a>(&'a dyn OsFile);

impl ReadAt for Reading<'_> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buf)
    }
}

fn io_error(source: io::Error) -> Error {
    Error::Io { location: String::from(super::PATH), action: "use", source }
}

fn poisoned() -> Error {
    Error::Poisoned { location: String::from(super::PATH), cause: String::from("an earlier failure") }
}

impl NaiveJournal {
    pub(crate) fn open(os: Arc<dyn Os>, path: &str, read_only: bool, bug: Option<Bug>) -> Result<Self, Error> {
        let path = Path::new(path);
        let missing = os.path_kind(path).map_err(io_error)? == PathKind::Missing;
        if missing && read_only {
            return Err(Error::NotFound { location: path.display().to_string() });
        }
        let access = if read_only { Access::Read } else { Access::Create };
        let file = os.open(path, access).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::NotFound { location: path.display().to_string() },
            _ => io_error(error),
        })?;
        let network = file.file_system().map_err(io_error)?.network;
        let lock_file = if bug == Some(Bug::LocksBeside) && !read_only {
            os.open(Path::new("/lock"), Access::Create).map_err(io_error)?
        } else {
            Arc::clone(&file)
        };
        let journal = NaiveJournal { os, file, lock_file, network, read_only, bug, inner: Mutex::default() };
        if !read_only {
            journal.lock()?;
            let begun = journal.begin(path);
            let _ = journal.unlock();
            begun?;
        }
        Ok(journal)
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> Result<(), Error> {
        if self.has(Bug::IgnoresLock) {
            return Ok(());
        }
        for _ in 0..40 {
            if self.lock_file.try_lock().map_err(io_error)? {
                return Ok(());
            }
            self.os.sleep(Duration::from_micros(700));
        }
        Err(Error::Locked { location: String::from(super::PATH), waited: Duration::ZERO, holder: None })
    }

    fn unlock(&self) -> io::Result<()> {
        if self.has(Bug::IgnoresLock) { Ok(()) } else { self.lock_file.unlock() }
    }

    fn begin(&self, path: &Path) -> Result<(), Error> {
        if self.header()?.is_some() {
            return Ok(());
        }
        if !self.has(Bug::SkipsFolderSync) {
            self.os.sync_dir(path.parent().unwrap_or(path)).map_err(io_error)?;
        }
        let mut log_id = [0; 16];
        self.os.random(&mut log_id).map_err(io_error)?;
        let header = Header { flags: 0, log_id, first_seq: 0, created_us: 0, chain_start: 0 };
        self.write(0, &header.encode())?;
        self.file.sync_data().map_err(io_error)
    }

    fn header(&self) -> Result<Option<Header>, Error> {
        let mut start = [0; HEADER_BYTES];
        let got = frame::read_full(&Reading(&*self.file), 0, &mut start).map_err(io_error)?;
        let bytes = self.file.stat().map_err(io_error)?.bytes;
        match check_header(&start[..got], bytes.max(got as u64)) {
            HeaderCheck::Valid(header) => Ok(Some(header)),
            _ => Ok(None),
        }
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let mut done = 0;
        while done < bytes.len() {
            match self.file.write_at(offset + done as u64, &bytes[done..]) {
                Ok(_) if self.has(Bug::IgnoresShortWrite) => return Ok(()),
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(io_error(error)),
            }
        }
        Ok(())
    }

    /// Reads all there is behind what is known, and returns the file's length.
    fn catch_up(&self, inner: &mut Inner) -> Result<u64, Error> {
        if inner.link.is_none() {
            let Some(header) = self.header()? else {
                return Ok(0);
            };
            inner.link = Some(header.link());
            inner.end = HEADER_BYTES as u64;
        }
        let bytes = self.file.stat().map_err(io_error)?.bytes;
        let mut rest = vec![0; bytes.saturating_sub(inner.end) as usize];
        let got = frame::read_full(&Reading(&*self.file), inner.end, &mut rest).map_err(io_error)?;
        let mut at = 0;
        while let Some(link) = inner.link {
            let rest = &rest[at..got];
            let (len, next, payload) = match frame::check(rest, link) {
                Check::Valid(frame) => (frame.len(), frame.next(), frame.payload),
                _ if self.has(Bug::IgnoresCrc) => match frame::Frame::trusted(rest) {
                    Some(frame) if frame.kind == KIND_RECORD => (frame.len(), frame.next(), frame.payload),
                    _ => break,
                },
                _ => break,
            };
            at += len;
            inner.records.push(payload.to_vec());
            inner.end += len as u64;
            inner.link = Some(next);
        }
        if self.has(Bug::CutsWithoutLock) && !self.read_only && inner.end < bytes {
            self.file.truncate(inner.end).map_err(io_error)?;
        }
        Ok(bytes)
    }

    fn commit(&self, records: &[&[u8]], durability: Durability) -> Result<u64, Error> {
        let mut inner = self.inner();
        let early = if self.has(Bug::ReadsStaleEnd) { Some(self.catch_up(&mut inner)?) } else { None };
        self.lock()?;
        let result = self.write_locked(&mut inner, records, early);
        let synced = match &result {
            Ok(_) if self.network && !self.has(Bug::TrustsUnlock) => self.sync(),
            _ => Ok(()),
        };
        let unlocked = self.unlock().map_err(io_error);
        inner.poisoned |= (result.is_err() || synced.is_err() || unlocked.is_err()) && !self.has(Bug::RetriesSync);
        let first = result?;
        synced?;
        unlocked?;
        if durability == Durability::Power && !self.network {
            let synced = self.sync();
            inner.poisoned |= synced.is_err();
            synced?;
        }
        Ok(first)
    }

    fn write_locked(&self, inner: &mut Inner, records: &[&[u8]], early: Option<u64>) -> Result<u64, Error> {
        let bytes = if let Some(bytes) = early { bytes } else { self.catch_up(inner)? };
        let Some(link) = inner.link else {
            return Err(poisoned());
        };
        let mut at = inner.end;
        if inner.end < bytes {
            if self.has(Bug::KeepsTornTail) {
                at = bytes;
            } else {
                self.file.truncate(inner.end).map_err(io_error)?;
            }
        }
        let first = link.seq;
        let mut frames = std::mem::take(&mut inner.owed);
        inner.owed_records = 0;
        for record in records {
            frame::push_unsealed(&mut frames, KIND_RECORD, record);
        }
        frame::seal(&mut frames, link, 0);
        if self.has(Bug::AcknowledgesBeforeWrite) && records.len() == 1 {
            inner.owed_records = 1;
            inner.owed = frames;
            return Ok(first);
        }
        if !frames.is_empty() {
            self.write(at, &frames)?;
        }
        Ok(first)
    }

    fn sync(&self) -> Result<(), Error> {
        if self.has(Bug::SkipsSync) {
            return Ok(());
        }
        match self.file.sync_data() {
            Err(_) if self.has(Bug::RetriesSync) => self.file.sync_data().map_err(io_error),
            result => result.map_err(io_error),
        }
    }
}

impl Journal for NaiveJournal {
    fn append(&self, records: &[&[u8]], durability: Durability) -> Result<Seq, Error> {
        if self.inner().poisoned {
            return Err(poisoned());
        }
        match self.commit(records, durability) {
            Err(Error::Io { .. }) if self.has(Bug::RepeatsAfterError) => {
                self.inner().poisoned = false;
                self.commit(records, durability).map(Seq)
            }
            result => result.map(Seq),
        }
    }

    fn read(&self, from: Seq, visit: &mut Visitor<'_>) -> Result<Seq, Error> {
        let mut inner = self.inner();
        self.catch_up(&mut inner)?;
        let mut seq = from.0;
        for record in inner.records.iter().skip(from.0 as usize) {
            let flow: ControlFlow<()> = visit(Seq(seq), record);
            seq += 1;
            if flow.is_break() {
                break;
            }
        }
        Ok(Seq(seq))
    }

    fn location(&self) -> &str {
        super::PATH
    }
}
