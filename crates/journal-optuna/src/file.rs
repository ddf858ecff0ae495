//! The journal file: lines that anybody appends under the lock, and reads without it.
//!
//! A writer takes the lock, reads what others appended, mends the tail, writes its lines at the end, and lets go. On a
//! local file system the sync comes after that, so that nobody waits for somebody else's disk; on a network file system
//! it comes before, or the next holder would not see the lines.
//!
//! What a process that dies leaves behind: before its write, a lock that others remove after the grace period; in the
//! middle of it, whole lines, which count, and perhaps a line without an end. Readers do not see that one. The next
//! writer of ours ends it if it is whole but for the line feed, and cuts it off otherwise; nobody was told of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use trialog_journal::{Durability, Error, Journal, Seq, Visitor};
use trialog_journal_file::RealOs;
use trialog_journal_file::os::{Access, Os as _, OsFile};

use crate::lock::{Lock, LockKind, identity};
use crate::window::{STRETCH_BYTES, Window, find_line_feed, without_end};

/// The longest line that is written or read. Optuna has no limit, and no use for such lines either.
const LINE_BYTES_MAX: usize = 1 << 28;

/// How long the file may have been replaced before readers notice.
const LOOK_CLOSELY_EVERY: Duration = Duration::from_millis(50);

/// How often a writer that lost its lock begins again.
const ATTEMPTS: u32 = 8;

/// How to open a journal file.
#[derive(Clone, Debug)]
pub struct Options {
    /// Never write. Happens by itself where the file may not be written. Default: `false`.
    pub read_only: bool,
    /// Make the file if there is none. Default: `true`.
    pub create: bool,
    /// Which lock to make. Default: the symbolic link, as Optuna has it; on Windows the file.
    pub lock: LockKind,
    /// After how long without any change a lock counts as left behind and is removed. Default: 30 seconds, as in Optuna.
    pub grace: Duration,
    /// How long an append waits for others before it answers [`Error::Locked`]. Default: 90 seconds, so that a lock
    /// that was left behind is outlived.
    pub lock_wait_max: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            read_only: false,
            create: true,
            lock: LockKind::default(),
            grace: Duration::from_secs(30),
            lock_wait_max: Duration::from_secs(90),
        }
    }
}

/// A handle on a journal file of Optuna's.
#[derive(Debug)]
pub struct OptunaFile {
    location: String,
    lock: Lock,
    writable: bool,
    /// Whether other machines may have the file open.
    network: bool,
    process: AtomicU32,
    poison: OnceLock<String>,
    /// One thread of this handle at a time waits for the lock. Those that read do not wait for it.
    turns: Mutex<()>,
    opened: Mutex<Opened>,
}

#[derive(Debug)]
struct Opened {
    reader: Arc<dyn OsFile>,
    /// Writes at the end, wherever that is.
    writer: Option<Arc<File>>,
    identity: (u64, u64),
    looked_closely: Instant,
    window: Window,
    buffer: Vec<u8>,
}

impl OptunaFile {
    /// Opens the journal at `path`.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotALog`] for a file that does not begin as such a journal does, or what else
    /// the system says.
    pub fn open(path: impl AsRef<Path>, options: &Options) -> Result<OptunaFile, Error> {
        let path = path.as_ref();
        let location = path.display().to_string();
        let io = |action| {
            let location = location.clone();
            move |source| Error::Io { location, action, source }
        };
        let not_found = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => Error::NotFound { location: location.clone() },
            _ => io("open")(error),
        };
        let writer = match options.read_only {
            true => None,
            false => match OpenOptions::new().append(true).create(options.create).open(path) {
                Ok(file) => Some(Arc::new(file)),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                    ) =>
                {
                    None
                }
                Err(error) => return Err(not_found(error)),
            },
        };
        let reader = RealOs::default().open(path, Access::Read).map_err(not_found)?;
        let network = reader.file_system().map_err(io("look at"))?.network;
        let identity = identity(&fs::metadata(path).map_err(io("look at"))?);
        let mut first = [0; 1];
        if reader.read_at(0, &mut first).map_err(io("read"))? > 0 && !matches!(first[0], b'{' | b' ' | b'\t' | b'"')
        {
            let found = "it does not begin with a line of JSON".to_owned();
            return Err(Error::NotALog { location, found });
        }
        Ok(OptunaFile {
            lock: Lock::new(options.lock, path, options.grace, options.lock_wait_max),
            location,
            writable: writer.is_some(),
            network,
            process: AtomicU32::new(std::process::id()),
            poison: OnceLock::new(),
            turns: Mutex::new(()),
            opened: Mutex::new(Opened {
                reader,
                writer,
                identity,
                looked_closely: Instant::now(),
                window: Window::default(),
                buffer: Vec::new(),
            }),
        })
    }

    /// True if the file at `path` begins as a journal of Optuna's does: with an object that has an `op_code`.
    #[must_use]
    pub fn is_at(path: &Path) -> bool {
        let Ok(file) = File::open(path) else { return false };
        if !file.metadata().is_ok_and(|found| found.is_file()) {
            return false;
        }
        let mut start = Vec::new();
        let read = io::Read::read_to_end(&mut io::Read::take(file, 4096), &mut start);
        let line = without_end(&start[..find_line_feed(&start).unwrap_or(start.len())]);
        let is_object = line.trim_ascii_start().starts_with(b"{");
        read.is_ok() && is_object && line.windows(9).any(|window| window == b"\"op_code\"")
    }

    /// Where the journal lies.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.lock.journal.clone()
    }

    fn opened(&self) -> MutexGuard<'_, Opened> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn io(&self, action: &'static str) -> impl Fn(io::Error) -> Error + '_ {
        move |source| Error::Io { location: self.location.clone(), action, source }
    }

    /// From now on this handle cannot know what the file holds.
    fn poison(&self, action: &'static str, source: io::Error) -> Error {
        let full = matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let error = if full {
            Error::OutOfSpace { location: self.location.clone(), source }
        } else {
            self.io(action)(source)
        };
        let _ = self.poison.set(error.to_string());
        error
    }

    fn regressed(&self, seen: u64, found: u64) -> Error {
        Error::Regressed { location: self.location.clone(), seen, found }
    }

    /// Whether the path still leads to the file that is open.
    fn look_closely(&self, opened: &mut Opened) -> Result<(), Error> {
        opened.looked_closely = Instant::now();
        let found = fs::metadata(&self.lock.journal);
        if found.is_ok_and(|found| identity(&found) == opened.identity) {
            return Ok(());
        }
        Err(self.regressed(opened.window.lines(), 0))
    }

    /// How long the file is.
    fn length(&self, opened: &Opened) -> Result<u64, Error> {
        let length = if self.network { opened.reader.stat().map(|stat| stat.bytes) } else { opened.reader.bytes() };
        length.map_err(self.io("look at"))
    }

    /// Reads the next stretch behind the known lines. Says whether there was a whole line, and how many bytes of an
    /// unfinished one are at the end of the file.
    fn read_more(&self, opened: &mut Opened) -> Result<(bool, usize), Error> {
        let Opened { reader, window, buffer, .. } = opened;
        buffer.clear();
        let mut wanted = STRETCH_BYTES;
        loop {
            let have = buffer.len();
            buffer.resize(wanted, 0);
            let mut filled = have;
            while filled < wanted {
                match reader.read_at(window.end() + filled as u64, &mut buffer[filled..]) {
                    Ok(0) => break,
                    Ok(read) => filled += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(self.io("read")(error)),
                }
            }
            buffer.truncate(filled);
            let at_end = filled < wanted;
            let lines = window.lines();
            let whole = window.extend(buffer);
            if window.lines() > lines || at_end {
                return Ok((window.lines() > lines, buffer.len() - whole));
            }
            if wanted >= LINE_BYTES_MAX {
                return Err(Error::Corrupt {
                    location: self.location.clone(),
                    offset: window.end(),
                    seq: window.lines(),
                    detail: format!("a line is longer than {LINE_BYTES_MAX} bytes"),
                });
            }
            wanted *= 2;
        }
    }

    /// Whatever others have appended: whole lines into memory, and what is behind them.
    fn catch_up(&self, opened: &mut Opened) -> Result<usize, Error> {
        let length = self.length(opened)?;
        if length < opened.window.end() {
            return Err(self.regressed(opened.window.lines(), 0));
        }
        loop {
            if self.length(opened)? == opened.window.end() {
                return Ok(0);
            }
            let (more, rest) = self.read_more(opened)?;
            if !more {
                return Ok(rest);
            }
        }
    }

    /// Makes the end of the file the end of a line, with the lock held: ends the last line if only that is missing,
    /// and cuts it off otherwise.
    fn mend(&self, opened: &mut Opened, writer: &File) -> Result<(), Error> {
        let end = opened.window.end();
        let mut tail = vec![0; usize::try_from(self.length(opened)? - end).unwrap_or(0)];
        let read = opened.reader.read_at(end, &mut tail).map_err(self.io("read"))?;
        if is_whole(&tail) && read == tail.len() {
            (&*writer).write_all(b"\n").map_err(|error| self.poison("end the last line of", error))?;
        } else {
            writer.set_len(end).map_err(|error| self.poison("cut an unfinished line of", error))?;
        }
        self.catch_up(opened).map(drop)
    }

    /// One turn with the lock. `None` if the lock was lost before anything was written.
    fn turn(&self, writer: &File, bytes: &[u8], lines: usize) -> Result<Option<u64>, Error> {
        let held = self.lock.acquire()?;
        let opened = &mut *self.opened();
        self.look_closely(opened)?;
        if self.catch_up(opened)? > 0 {
            self.mend(opened, writer)?;
        }
        if !held.is_ours() {
            return Ok(None);
        }
        let (first, end) = (opened.window.lines(), opened.window.end());
        if bytes.is_empty() {
            return Ok(Some(first));
        }
        if let Err(error) = (&*writer).write_all(bytes) {
            // Half a line would be glued to the next one of a worker that does not look.
            let _ = writer.set_len(end);
            return Err(self.poison("append to", error));
        }
        if self.network {
            writer.sync_data().map_err(|error| self.poison("sync", error))?;
        }
        if self.length(opened)? == end + bytes.len() as u64 {
            opened.window.extend(bytes);
            return Ok(Some(first));
        }
        // Somebody wrote without the lock, or after having lost it: the lines are there, but further on.
        self.catch_up(opened)?;
        drop(held);
        self.find(opened, first, bytes, lines).map(Some)
    }

    /// The number of the first of these lines, at or behind one.
    fn find(&self, opened: &mut Opened, from: u64, bytes: &[u8], lines: usize) -> Result<u64, Error> {
        let wanted: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').map(without_end).collect();
        let mut matched = 0;
        let mut found = None;
        let _ = self.visit(opened, from, &mut |seq, line| {
            matched = if line == wanted[matched] { matched + 1 } else { usize::from(line == wanted[0]) };
            if matched == lines {
                found = Some(seq.0 + 1 - lines as u64);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        found.ok_or_else(|| self.poison("find what was appended to", io::ErrorKind::InvalidData.into()))
    }

    /// Known lines from one on, from memory or, where they are no longer there, from the file.
    fn visit(
        &self,
        opened: &mut Opened,
        from: u64,
        visit: &mut Visitor<'_>,
    ) -> Result<(u64, ControlFlow<()>), Error> {
        let mut line = from;
        if line < opened.window.first() {
            let (number, offset) = opened.window.mark_before(line);
            let stop = opened.window.first();
            let flow = self.visit_file(opened, (number, offset), &mut line, stop, visit)?;
            if flow.is_break() {
                return Ok((line, flow));
            }
        }
        Ok(opened.window.visit(line, visit))
    }

    /// Lines of the file from a place on, up to a number.
    fn visit_file(
        &self,
        opened: &Opened,
        (mut number, mut offset): (u64, u64),
        line: &mut u64,
        stop: u64,
        visit: &mut Visitor<'_>,
    ) -> Result<ControlFlow<()>, Error> {
        let mut buffer = vec![0; STRETCH_BYTES];
        let mut filled = 0;
        while number < stop {
            if filled == buffer.len() {
                buffer.resize(buffer.len() * 2, 0);
            }
            let read =
                opened.reader.read_at(offset + filled as u64, &mut buffer[filled..]).map_err(self.io("read"))?;
            if read == 0 {
                return Err(self.regressed(stop, number));
            }
            filled += read;
            let mut begin = 0;
            while let Some(at) = find_line_feed(&buffer[begin..filled]).filter(|_| number < stop) {
                let bytes = without_end(&buffer[begin..=begin + at]);
                begin += at + 1;
                number += 1;
                if number > *line {
                    *line = number;
                    if visit(Seq(number - 1), bytes).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
            buffer.copy_within(begin..filled, 0);
            filled -= begin;
            offset += begin as u64;
        }
        Ok(ControlFlow::Continue(()))
    }

    fn check_writable(&self) -> Result<(), Error> {
        if !self.writable {
            return Err(Error::ReadOnly { location: self.location.clone() });
        }
        if let Some(cause) = self.poison.get() {
            return Err(Error::Poisoned { location: self.location.clone(), cause: cause.clone() });
        }
        let process = std::process::id();
        if self.process.swap(process, Ordering::Relaxed) == process {
            return Ok(());
        }
        Err(Error::Forked { location: self.location.clone() })
    }
}

impl Journal for OptunaFile {
    fn append(&self, records: &[&[u8]], durability: Durability) -> Result<Seq, Error> {
        self.check_writable()?;
        let mut bytes = Vec::with_capacity(records.iter().map(|record| record.len() + 1).sum());
        for record in records {
            if record.len() >= LINE_BYTES_MAX {
                return Err(Error::TooLarge { bytes: record.len() });
            }
            if record.is_empty() || find_line_feed(record).is_some() || record.ends_with(b"\r") {
                let detail = "a record of it is a line of text".to_owned();
                return Err(Error::Unsupported { location: self.location.clone(), detail });
            }
            bytes.extend_from_slice(record);
            bytes.push(b'\n');
        }
        let Some(writer) = self.opened().writer.clone() else {
            return Err(Error::ReadOnly { location: self.location.clone() });
        };
        let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let mut attempts = 0;
        let first = loop {
            if let Some(first) = self.turn(&writer, &bytes, records.len())? {
                break first;
            }
            attempts += 1;
            if attempts == ATTEMPTS {
                return Err(Error::Locked {
                    location: self.location.clone(),
                    waited: self.lock.grace,
                    holder: None,
                });
            }
        };
        drop(turns);
        if durability == Durability::Power && !self.network {
            writer.sync_data().map_err(|error| self.poison("sync", error))?;
        }
        Ok(Seq(first))
    }

    fn read(&self, from: Seq, visit: &mut Visitor<'_>) -> Result<Seq, Error> {
        let mut opened = self.opened();
        let mut line = from.0;
        loop {
            if line <= opened.window.lines() {
                let (next, flow) = self.visit(&mut opened, line, visit)?;
                line = next;
                if flow.is_break() {
                    return Ok(Seq(line));
                }
            }
            if opened.looked_closely.elapsed() >= LOOK_CLOSELY_EVERY {
                self.look_closely(&mut opened)?;
            }
            let length = self.length(&opened)?;
            if length < opened.window.end() {
                return Err(self.regressed(opened.window.lines(), 0));
            }
            if length == opened.window.end() || !self.read_more(&mut opened)?.0 {
                break;
            }
        }
        if line > opened.window.lines() {
            return Err(self.regressed(line, opened.window.lines()));
        }
        Ok(Seq(line))
    }

    fn location(&self) -> &str {
        &self.location
    }
}

/// True if the bytes are one whole JSON object: its last brace closes its first. Whatever a writer that broke off
/// left is only the beginning of one.
fn is_whole(tail: &[u8]) -> bool {
    let tail = tail.trim_ascii();
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, &byte) in tail.iter().enumerate() {
        match byte {
            0..0x20 => return false,
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' if !in_string => depth += 1,
            b'}' if !in_string => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1 == tail.len() && tail.starts_with(b"{");
                }
            }
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_object_is_whole() {
        let line = br#"{"op_code":0,"a":{"b":"}\"{","c":[]},"worker_id":"x"}"#;
        assert!(is_whole(line));
        for cut in 0..line.len() {
            assert!(!is_whole(&line[..cut]), "{cut}");
        }
        for wrong in [&b"{}}"[..], b"[]", b"{} {}", b"{\"a\0\":1}", b"x{}"] {
            assert!(!is_whole(wrong));
        }
    }
}
