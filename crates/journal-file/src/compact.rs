//! Compaction: the next segment is written beside the living one, made durable, and named by a seal; and what is then
//! folded is given back. `docs/format.md`, section "Segments", argues the order of the steps.

use crate::known::{Known, Step, Tip};
use crate::os::{Access, OsFile};
use crate::segment::{self, Sealed};
use crate::{FileJournal, write_full};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use trialog_journal::frame::{self, FRAME_HEADER_BYTES, Frame, KIND_SEAL, KIND_SNAPSHOT, Link};
use trialog_journal::header::{FLAG_FOLDED, HEADER_BYTES, Header};
use trialog_journal::seal::Seal;
use trialog_journal::{Durability, Error, History, Journal as _, SnapshotSource};

/// How much of a snapshot one frame carries.
const PART_BYTES: usize = 1 << 20;
/// Bytes gathered before a write.
const WRITE_BYTES: usize = 1 << 20;
/// Bytes between syncs of the successor: many small ones leave the disk to others in between.
const SYNC_BYTES: u64 = 32 << 20;
/// How much may be left to copy when the lock is taken, and how often it is tried to get there: writers may be
/// faster than a compaction.
const REST_BYTES: u64 = 128 << 10;
const ROUNDS: u32 = 16;
/// What a hole's ends are rounded to, so that header and seal stay whole.
const HOLE_BYTES: u64 = 4096;

impl FileJournal {
    pub(crate) fn compact_at(
        &self,
        at: u64,
        source: &mut SnapshotSource<'_>,
        history: History,
    ) -> Result<bool, Error> {
        if self.check_writable().is_err() {
            return Ok(false);
        }
        let Some(_side) = self.side_lock()? else {
            return Ok(false);
        };
        // Nobody may come to depend on a successor whose predecessors could lose their seals, or on bytes that nobody can
        // make durable any more.
        self.settle()?;
        self.append(&[], Durability::Process)?;
        let (_, number) = self.current();
        let mut old = match self.begin_at(at) {
            Ok(Some(old)) => old,
            Ok(None) => return Ok(false),
            // Others have compacted it and given it back meanwhile.
            Err(error) => return self.relocate_after(number, error).map(|()| false),
        };
        let mut new = Successor::create(self, &old, history)?;
        match self.write_successor(&mut old, &mut new, source) {
            Ok(true) => Ok(true),
            // Nobody knows of it and nobody ever will.
            other => {
                if new.named {
                    return other;
                }
                let _ = self.os.unlink(&new.path);
                other.or_else(|error| self.relocate_after(old.number, error).map(|()| false))
            }
        }
    }

    /// Has one process of all compact at a time. Only time depends on it: two would disturb one another in nothing.
    fn side_lock(&self) -> Result<Option<Side>, Error> {
        let path = self.beside(".compact");
        let file = self.os.open(&path, Access::Create).map_err(self.place.io("open the lock file beside"))?;
        Ok(file.try_lock().map_err(self.place.io("lock the file beside"))?.then_some(Side { file }))
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    }

    /// A descriptor of its own on the living segment, so that its lock excludes this handle's other threads too, and
    /// what is known up to record `at`.
    fn begin_at(&self, at: u64) -> Result<Option<Old>, Error> {
        let opened = self.opened();
        let (path, number, identity) = (opened.path.clone(), opened.number, opened.identity);
        // Nothing to gain, or another segment has begun since.
        if at <= opened.known.first() || at > opened.known.records() {
            return Ok(None);
        }
        let reading = Arc::clone(&opened.file);
        let Some(tip) = opened.known.locate(&*reading, &self.place, at)? else {
            return Ok(None);
        };
        let known = opened.known.begun_at(tip);
        drop(opened);
        let file = self.os.open(&path, Access::Write).map_err(self.place.io("open"))?;
        if file.stat().map_err(self.place.io("look at"))?.identity != identity
            || !known.still_there(&*file, &self.place)?
        {
            return Ok(None);
        }
        Ok(Some(Old { file, synced_by: reading, number, known }))
    }

    /// Says whether the successor is the log's newest segment now.
    fn write_successor(
        &self,
        old: &mut Old,
        new: &mut Successor,
        source: &mut SnapshotSource<'_>,
    ) -> Result<bool, Error> {
        let write = self.place.io("write the next segment of");
        let sync = self.place.io("sync the next segment of");
        let mut part = Vec::with_capacity(PART_BYTES);
        source(&mut |mut bytes| {
            while !bytes.is_empty() {
                let (now, later) = bytes.split_at(bytes.len().min(PART_BYTES - part.len()));
                part.extend_from_slice(now);
                bytes = later;
                if part.len() == PART_BYTES {
                    new.push(KIND_SNAPSHOT, &part)?;
                    part.clear();
                }
            }
            Ok(())
        })
        .map_err(&write)?;
        if !part.is_empty() {
            new.push(KIND_SNAPSHOT, &part).map_err(&write)?;
        }
        new.flush().map_err(&write)?;
        let base = new.tip;
        new.file.sync_data().map_err(&sync)?;
        for _ in 0..ROUNDS {
            let before = old.known.tip().offset;
            if !self.copy(old, new, false)? {
                return Ok(false);
            }
            if old.known.tip().offset - before <= REST_BYTES {
                break;
            }
        }
        new.flush().map_err(&write)?;
        new.file.sync_data().map_err(&sync)?;
        old.synced_by.sync_data().map_err(self.poisoning("sync"))?;
        let synced = old.known.tip().offset;
        self.os.sync_dir(segment::folder_of(&self.path)).map_err(self.place.io("sync the folder of"))?;

        // From here on writers wait.
        let old_file = Arc::clone(&old.file);
        let held = self.lock(&*old_file)?;
        if !self.copy(old, new, true)? {
            return Ok(false);
        }
        if old.known.tip().offset > synced {
            new.flush().map_err(&write)?;
            new.file.sync_data().map_err(&sync)?;
            // So that where a seal is, nothing before it is missing.
            old.synced_by.sync_data().map_err(self.poisoning("sync"))?;
        }
        if new.file.stat().map_err(self.place.io("look at"))?.links == 0 {
            return Ok(false);
        }
        let at = old.known.tip();
        // A hole before a seal is never one that a lost write left.
        old.known.note_stable(at.link.seq);
        let seal = Seal {
            log_id: new.header.log_id,
            at: at.offset,
            number: new.number,
            base: base.offset,
            tip: new.tip.offset,
            last: new.tip.last,
            header_crc: new.header.link().crc,
            base_crc: base.link.crc,
            tip_crc: new.tip.link.crc,
        };
        let mut bytes = Vec::new();
        frame::push_unsealed(&mut bytes, KIND_SEAL, &seal.encode());
        frame::seal(&mut bytes, at.link, old.known.stable());
        new.named = true;
        write_full(&*old_file, at.offset, &bytes).map_err(self.poisoning("write to"))?;
        // Before the lock is released: a record in the successor must not outlive the seal that leads to it.
        old.synced_by.sync_data().map_err(self.poisoning("sync"))?;
        held.release().map_err(self.place.io("unlock"))?;
        Ok(true)
    }

    /// Copies the records behind those that were copied; false if the segment is sealed. With the lock it goes to
    /// the very end, and cuts a torn tail.
    fn copy(&self, old: &mut Old, new: &mut Successor, locked: bool) -> Result<bool, Error> {
        let file = &*old.file;
        let bytes = self.look(file, &old.known)?;
        loop {
            let from = old.known.tip().offset;
            let step = old.known.advance(file, &self.place, bytes)?;
            let Some(mut frames) = old.known.frames_from(from) else {
                return Ok(false);
            };
            while let Some(frame) = Frame::trusted(frames) {
                new.push(frame.kind, frame.payload).map_err(self.place.io("write the next segment of"))?;
                frames = &frames[frame.len()..];
            }
            match step {
                Step::More => {}
                Step::Sealed(_) => return Ok(false),
                Step::End => return Ok(true),
                Step::Torn if locked => return self.cut(file, old.known.tip().offset).map(|()| true),
                Step::Suspect(error) | Step::Hole(error) if locked => return Err(error),
                // A write that is going on.
                Step::Torn | Step::Suspect(_) | Step::Hole(_) => return Ok(true),
            }
        }
    }

    /// Gives back what was folded, if its last segment was begun `grace` ago.
    pub(crate) fn reclaim_after(&self, grace: Duration) -> Result<(), Error> {
        if self.check_writable().is_err() {
            return Ok(());
        }
        let Some(_side) = self.side_lock()? else {
            return Ok(());
        };
        let Some(log_id) = self.log_id() else {
            return Ok(());
        };
        let list = self.place.io("list the folder of");
        let Some(last) = segment::last_sealed(&*self.os, &self.path, &log_id).map_err(&list)? else {
            return Ok(());
        };
        let numbers = segment::list(&*self.os, &self.path).map_err(&list)?;
        let Some(folded) = self.newest_folded(&numbers, &last, grace) else {
            return Ok(());
        };
        // What makes the rest superfluous must be there to stay.
        self.settle_segment(last.number)?;
        for number in numbers.into_iter().filter(|&number| number < folded && number != last.number) {
            let path = segment::path_of(&self.path, number);
            let _ = self.os.unlink(&crate::snapshot::path_of(&path));
            match self.os.unlink(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.place.io("remove a folded segment of")(error));
                }
                _ => {}
            }
        }
        // The entry's name must stay, and so must the seal that names the newest segment.
        for number in [0, last.number] {
            if number < folded {
                self.punch(number, &log_id)?;
            }
        }
        Ok(())
    }

    /// The newest segment before which all is folded, if it has been there for `grace`.
    fn newest_folded(&self, numbers: &[u64], last: &Sealed, grace: Duration) -> Option<u64> {
        let mut before = last.clone();
        loop {
            let number = before.seal.number;
            let file = self.os.open(&segment::path_of(&self.path, number), Access::Read).ok()?;
            let header = segment::header_of(&*file).filter(|header| header.link().crc == before.seal.header_crc)?;
            if header.flags & FLAG_FOLDED != 0 {
                let age_us = self.os.wall_us().saturating_sub(header.created_us);
                return (u128::from(age_us.max(0).cast_unsigned()) >= grace.as_micros()).then_some(number);
            }
            before = segment::before(&*self.os, &self.path, numbers, before.number, &header.log_id).ok()??;
        }
    }

    /// Makes a hole between the header and the seal of a sealed segment.
    fn punch(&self, number: u64, log_id: &[u8; 16]) -> Result<(), Error> {
        let path = segment::path_of(&self.path, number);
        let _ = self.os.unlink(&crate::snapshot::path_of(&path));
        let Some(sealed) = segment::sealed(&*self.os, &self.path, number, log_id) else {
            return Ok(());
        };
        let end = sealed.seal.at / HOLE_BYTES * HOLE_BYTES;
        if end <= HOLE_BYTES {
            return Ok(());
        }
        let file = self.os.open(&path, Access::Write).map_err(self.place.io("open"))?;
        match file.punch(HOLE_BYTES, end - HOLE_BYTES) {
            // The space stays where it is until the segment is unlinked, or for good if it is the first.
            Err(error) if is_unsupported(&error) => Ok(()),
            other => other.map_err(self.place.io("give back the space of")),
        }
    }
}

fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput)
}

/// The lock that one compacting process holds.
struct Side {
    file: Arc<dyn OsFile>,
}

impl Drop for Side {
    fn drop(&mut self) {
        // Closing lets go too.
        let _ = self.file.unlock();
    }
}

/// The living segment, as the compaction reads it.
struct Old {
    file: Arc<dyn OsFile>,
    /// The handle's own descriptor, which has been open for longer: a sync that failed meanwhile is told there.
    synced_by: Arc<dyn OsFile>,
    number: u64,
    known: Known,
}

/// The next segment, while it is being written.
struct Successor {
    file: Arc<dyn OsFile>,
    path: PathBuf,
    number: u64,
    header: Header,
    /// Where the written part ends.
    tip: Tip,
    buffer: Vec<u8>,
    /// Where in `buffer` the last frame begins.
    last: usize,
    synced: u64,
    /// Whether a seal may name it.
    named: bool,
}

impl Successor {
    /// Makes the file, under a number that no file has, and writes its header.
    fn create(journal: &FileJournal, old: &Old, history: History) -> Result<Successor, Error> {
        let place = &journal.place;
        let Some(known) = old.known.header() else {
            return Err(place.not_found());
        };
        let numbers = segment::list(&*journal.os, &journal.path).map_err(place.io("list the folder of"))?;
        let mut number = numbers.first().copied().unwrap_or(0).max(old.number) + 1;
        let (path, file) = loop {
            let path = segment::path_of(&journal.path, number);
            match journal.os.open(&path, Access::New) {
                Ok(file) => break (path, file),
                // The list was older than the file.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(place.io("make the next segment of")(error)),
            }
        };
        let Link { seq, crc } = old.known.tip().link;
        let header = Header {
            flags: if history == History::Folded { FLAG_FOLDED } else { 0 },
            log_id: known.log_id,
            first_seq: seq,
            created_us: journal.os.wall_us(),
            chain_start: crc,
        };
        let tip = Tip { offset: HEADER_BYTES as u64, link: header.link(), last: 0 };
        let written = write_full(&*file, 0, &header.encode());
        let new =
            Successor { file, path, number, header, tip, buffer: Vec::new(), last: 0, synced: 0, named: false };
        written.map(|()| new).map_err(place.io("write the next segment of"))
    }

    fn push(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        self.last = self.buffer.len();
        frame::push_unsealed(&mut self.buffer, kind, payload);
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.len() < FRAME_HEADER_BYTES {
            return Ok(());
        }
        // All of it is on stable storage before a seal leads anybody here.
        let link = frame::seal(&mut self.buffer, self.tip.link, u64::MAX);
        write_full(&*self.file, self.tip.offset, &self.buffer)?;
        let last = self.tip.offset + self.last as u64;
        self.tip = Tip { offset: self.tip.offset + self.buffer.len() as u64, link, last };
        self.buffer.clear();
        if self.tip.offset - self.synced >= SYNC_BYTES {
            self.synced = self.tip.offset;
            self.file.sync_data()?;
        }
        Ok(())
    }
}
