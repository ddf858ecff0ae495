//! A log to look at: its files, opened for reading only through the one door to the operating system, and how they
//! follow one another. What lies in one file is `scan.rs`'s concern.
//!
//! A look begins with the last segment before which all was folded, or with the first file. Records that a compaction
//! copied are seen once. Where records are lost and a later segment begins with a whole snapshot, that makes up for them:
//! the state is known again from there on, and only its history is not.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use trialog_journal::frame::ReadAt;
use trialog_journal::header::{FLAG_FOLDED, HEADER_BYTES, Header};
use trialog_journal::seal::{SEAL_FRAME_BYTES, Seal};
use trialog_journal_file::files::{header_of, looks_like_seal, seal_of, segment_numbers, segment_path};
use trialog_journal_file::os::{Access, Os, OsFile, PathKind};
use trialog_replay::{SnapshotError, State};

use crate::error::Error;
use crate::scan::{self, Base, Damage, DamageKind, Event, Found, Part, Walk};

/// How often a look that ends at damage begins anew, since a writer may be at work, and for how long it waits
/// before the first time; each further wait is twice as long.
pub(crate) const LOOKS_AGAIN: u32 = 4;
pub(crate) const LOOK_AGAIN_PAUSE: Duration = Duration::from_millis(2);

/// An open log.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) location: String,
    /// The chain, the first file that there is first.
    chain: Vec<Segment>,
    /// Where in the chain a look begins.
    begin: usize,
    /// The entry, if it is not in the chain any more: the log is opened by it all the same.
    entry: Option<Segment>,
    /// Files that are called like segments and are none: a compaction that came to nothing, or one that goes on.
    pub(crate) orphans: Vec<u64>,
}

/// A file of the log.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    file: Arc<dyn OsFile>,
    header: Option<Header>,
    seal: Option<(Seal, u64)>,
}

impl ReadAt for Segment {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buf)
    }
}

impl Segment {
    fn open(os: &dyn Os, log: &Path, number: u64) -> io::Result<Segment> {
        let path = segment_path(log, number);
        let file = os.open(&path, Access::Read)?;
        // What a network client has of a page may be older than the file's length, and would look like damage.
        if file.file_system().is_ok_and(|on| on.network) {
            let _ = file.forget(0);
        }
        let bytes = file.stat()?.bytes;
        Ok(Segment { number, path, bytes, header: header_of(&*file), seal: seal_of(&*file), file })
    }

    fn log_id(&self) -> Option<[u8; 16]> {
        self.header.map(|header| header.log_id).or(self.seal.map(|(seal, _)| seal.log_id))
    }

    fn part(&self, sealed_by: Option<(Seal, u64)>) -> Part<'_> {
        Part { source: self, end: self.bytes, number: self.number, sealed_by }
    }

    /// A look at all of it by itself.
    fn end(&self) -> Option<Walk> {
        scan::walk(&self.part(None), &mut |_| ControlFlow::Continue(())).ok()
    }

    /// Whether the bytes behind its last frame are a seal that was damaged.
    fn has_damaged_seal(&self, walk: &Walk) -> bool {
        let at = walk.tail.map_or(self.bytes, |tail| tail.offset);
        self.log_id().is_some_and(|log_id| looks_like_seal(&*self.file, at, self.bytes, &log_id))
    }

    /// Whether the snapshot that it begins with can be gone on from.
    fn has_base(&self) -> bool {
        let mut whole = false;
        let _ = scan::walk(&self.part(None), &mut |event| {
            if let Event::Base(base) = event {
                whole = state_of(&base).is_ok();
            }
            ControlFlow::Break(())
        });
        whole
    }
}

/// A file of a log and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFile {
    /// The segment's number; 0 is the file by which the log is opened.
    pub number: u64,
    /// Its length. What was given back of it counts, though it takes no space.
    pub bytes: u64,
}

/// What a look at all files meets.
#[derive(Debug)]
pub(crate) enum Seen<'a> {
    Record(Found<'a>),
    /// A record that was seen in the segment before.
    Copy {
        frame_bytes: usize,
    },
    /// A frame that is no record and may be passed over.
    Other {
        payload: &'a [u8],
    },
    Base(Box<Restored>),
    Damage(Damage),
}

/// A whole snapshot at the beginning of a segment.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) segment: u64,
    pub(crate) state: State,
    pub(crate) bytes: u64,
    pub(crate) created_us: Option<i64>,
    /// True if what follows goes on from it, since what precedes it is folded or lost.
    pub(crate) counts: bool,
}

/// What a look hands each thing to; `Break` ends it.
pub(crate) type Look<'a> = dyn FnMut(Seen<'_>) -> ControlFlow<()> + 'a;

fn state_of(base: &Base<'_>) -> Result<State, Unusable> {
    let bytes = base.bytes.map_err(|at| Unusable::Damaged { at })?;
    match State::read_snapshot(bytes) {
        Ok(state) if state.records() == base.seq => Ok(state),
        Err(SnapshotError::NewerVersion { version }) => Err(Unusable::Newer(version)),
        _ => Err(Unusable::Damaged { at: HEADER_BYTES as u64 }),
    }
}

enum Unusable {
    Newer(u32),
    Damaged { at: u64 },
}

impl Source {
    pub(crate) fn open(os: &dyn Os, path: &Path) -> Result<Source, Error> {
        let location = path.display().to_string();
        let not_a_log = |found: &str| Error::NotALog { location: location.clone(), found: found.into() };
        match os.path_kind(path).map_err(Error::io(&location, "look at"))? {
            PathKind::Missing => return Err(Error::NotFound { location }),
            PathKind::Directory => return Err(not_a_log("it is a directory")),
            PathKind::Other => return Err(not_a_log("it is not a regular file")),
            PathKind::File => {}
        }
        let entry = Segment::open(os, path, 0).map_err(Error::io(&location, "open"))?;
        let numbers = match segment_numbers(os, path) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Vec::new(),
            listed => listed.map_err(Error::io(&location, "list the folder of"))?,
        };
        if numbers.is_empty() {
            return Ok(Source { location, chain: vec![entry], begin: 0, entry: None, orphans: Vec::new() });
        }
        let log_id = entry.log_id();
        let others = numbers.iter().filter_map(|&number| Segment::open(os, path, number).ok());
        let mut files: Vec<Segment> =
            others.filter(|file| log_id.is_none() || file.log_id().is_none() || file.log_id() == log_id).collect();
        files.push(entry);
        files.reverse();
        let mut source = Source { location, chain: chain_of(&files), begin: 0, entry: None, orphans: Vec::new() };
        source.go_on_behind_lost_seals(&files);
        let is_in = |number: u64| source.chain.iter().any(|segment| segment.number == number);
        source.orphans = numbers.iter().copied().filter(|&number| !is_in(number)).collect();
        // What was folded before the chain's first file is no orphan.
        let first = source.chain[0].number;
        source.orphans.retain(|&number| number > first);
        source.entry = files.into_iter().find(|file| file.number == 0 && !is_in(0));
        source.begin = source.first_to_read();
        Ok(source)
    }

    /// A seal that was damaged or lost leads nowhere, but nobody goes on in a file that no seal named: one with a seal of its
    /// own, or with more records than the one before it, is the successor. (It must have been written to by others than
    /// the compactor, who may have died after the power took records that it had copied.) Where the successor is missing, a
    /// later file may begin with a snapshot.
    fn go_on_behind_lost_seals(&mut self, files: &[Segment]) {
        while let Some(last) = self.chain.last() {
            let mut later =
                files.iter().filter(|file| file.number > last.number && file.header.is_some()).peekable();
            if later.peek().is_none() {
                return;
            }
            let end = if last.seal.is_some() { Walk::default() } else { last.end().unwrap_or_default() };
            let damaged = last.has_damaged_seal(&end);
            let goes_on = |file: &&Segment| match last.seal.or(end.sealed) {
                Some((seal, _)) => file.number >= seal.number && file.has_base(),
                None => file.end().is_some_and(|next| {
                    next.sealed.is_some() || next.records > end.records && (damaged || next.grown)
                }),
            };
            let Some(next) = later.find(goes_on).cloned() else {
                return;
            };
            self.chain.push(next);
            while let Some(next) = successor(files, &self.chain) {
                self.chain.push(next);
            }
        }
    }

    /// The last segment before which all is folded, if its snapshot can be read; else an earlier one.
    fn first_to_read(&self) -> usize {
        let is_folded = |segment: &Segment| segment.header.is_some_and(|header| header.flags & FLAG_FOLDED != 0);
        let folded: Vec<usize> = (0..self.chain.len()).filter(|&at| is_folded(&self.chain[at])).collect();
        let first = self.chain.first().map_or(0, |first| first.number);
        let usable = folded.iter().rev().copied().find(|&at| self.chain[at].has_base());
        match (usable, folded.last()) {
            (Some(at), _) => at,
            // Its records may all be there still, if nobody gave them back.
            (None, Some(_)) if first == 0 => 0,
            (None, Some(&last)) => last,
            (None, None) => 0,
        }
    }

    /// Looks from a later segment on, whose snapshot makes up for what is lost before.
    pub(crate) fn begin_at(&mut self, number: u64) {
        self.begin = self.chain.iter().position(|segment| segment.number == number).unwrap_or(self.begin);
    }

    /// The files that a look goes through.
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.chain[self.begin..]
    }

    /// Files of the chain that are passed over, and the entry: what is told of them is their length.
    pub(crate) fn passed(&self) -> impl Iterator<Item = &Segment> {
        self.entry.iter().chain(&self.chain[..self.begin])
    }

    /// All files of the log.
    pub(crate) fn files(&self) -> Vec<SegmentFile> {
        let all = self.passed().chain(self.segments());
        all.map(|&Segment { number, bytes, .. }| SegmentFile { number, bytes }).collect()
    }

    /// The length of the files that are passed over.
    pub(crate) fn passed_bytes(&self) -> u64 {
        self.passed().map(|segment| segment.bytes).sum()
    }

    /// Whether there is only one file to look at, so that nothing can make up for damage in it.
    pub(crate) fn is_single(&self) -> bool {
        self.segments().len() == 1
    }

    /// What a look does at damage that only a later snapshot could make up for.
    pub(crate) fn or_end(&self) -> ControlFlow<()> {
        if self.is_single() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Bytes of the seals of the files that are looked at.
    pub(crate) fn seal_bytes(&self) -> u64 {
        self.segments().iter().filter(|segment| segment.seal.is_some()).count() as u64 * SEAL_FRAME_BYTES as u64
    }

    /// The length of all files, for a comparison with a later look.
    pub(crate) fn bytes(&self) -> Vec<u64> {
        self.passed().chain(self.segments()).map(|segment| segment.bytes).collect()
    }

    /// The numbers of records that later segments' snapshots cover.
    pub(crate) fn bases(&self) -> Vec<u64> {
        self.segments().iter().filter_map(|segment| segment.header.map(|header| header.first_seq)).collect()
    }

    /// Looks at all files in their order.
    pub(crate) fn walk(&self, look: &mut Look<'_>) -> Result<Walk, Error> {
        let mut filter = Filter { look, next: 0, lossy: false, is_over: false, newer: None, marked: false };
        self.check_entry(&mut filter);
        let mut sum = Walk::default();
        let mut sealed_by = self.begin.checked_sub(1).and_then(|before| self.chain[before].seal);
        for (index, segment) in self.segments().iter().enumerate() {
            if filter.is_over {
                break;
            }
            filter.marked = false;
            let is_first = index == 0;
            let walk =
                scan::walk(&segment.part(sealed_by), &mut |event| filter.meet(segment.number, is_first, event))
                    .map_err(|stop| Error::stop(&segment.path.display().to_string(), stop))?;
            if let Some(version) = filter.newer {
                let found = format!("a snapshot of version {version}");
                return Err(Error::NewerFormat { location: segment.path.display().to_string(), found });
            }
            sum.file_bytes += walk.file_bytes;
            sum.frames += walk.frames;
            sum.created_us = if is_first { walk.created_us } else { sum.created_us };
            sum.log_id = sum.log_id.or(walk.log_id);
            sum.unfinished |= walk.unfinished;
            if !filter.is_over {
                filter.check_length(segment, &walk, sealed_by);
                let next = self.segments().get(index + 1);
                filter.check_end(segment, &walk, next);
                sum.tail = walk.tail.filter(|_| next.is_none());
            }
            let next = self.segments().get(index + 1);
            sealed_by = walk.sealed.filter(|(seal, _)| next.is_some_and(|next| next.number == seal.number));
        }
        sum.file_bytes += self.passed_bytes();
        sum.records = filter.next;
        Ok(sum)
    }

    /// A log is opened by its first file, also if all in it was folded.
    fn check_entry(&self, filter: &mut Filter<'_, '_>) {
        for segment in self.passed().filter(|segment| segment.number == 0) {
            let bytes = HEADER_BYTES as u64;
            if segment.header.is_none() {
                filter.note(DamageKind::Header, segment.number, 0, bytes);
            }
            if segment.seal.is_none() {
                filter.note(DamageKind::Seal, segment.number, segment.bytes, 0);
            }
        }
    }
}

/// The files that seals link, from the first on that there is to the newest. All have the same id.
fn chain_of(files: &[Segment]) -> Vec<Segment> {
    let find = |number: u64| files.iter().find(|file| file.number == number);
    let named =
        |file: &Segment| file.seal.filter(|(seal, _)| seal.number > file.number).map(|(seal, _)| seal.number);
    let newest = files.iter().rev().find_map(|file| find(named(file)?)).unwrap_or(&files[0]);
    let mut chain = vec![newest.clone()];
    while let Some(before) = files.iter().find(|file| named(file) == Some(chain[0].number)) {
        chain.insert(0, before.clone());
    }
    chain
}

fn successor(files: &[Segment], chain: &[Segment]) -> Option<Segment> {
    let last = chain.last()?;
    let (seal, _) = last.seal?;
    files.iter().find(|file| file.number == seal.number && seal.number > last.number).cloned()
}

/// Sees to it that each record is handed over once.
struct Filter<'a, 'b> {
    look: &'a mut Look<'b>,
    /// The next record to hand over.
    next: u64,
    /// Whether records before `next` are lost.
    lossy: bool,
    is_over: bool,
    newer: Option<u32>,
    /// Whether there was damage in this segment.
    marked: bool,
}

impl Filter<'_, '_> {
    fn hand_over(&mut self, seen: Seen<'_>) -> ControlFlow<()> {
        let flow = (self.look)(seen);
        self.is_over |= flow.is_break();
        flow
    }

    fn meet(&mut self, segment: u64, is_first: bool, event: Event<'_>) -> ControlFlow<()> {
        match event {
            Event::Record(found) if found.seq < self.next => {
                let frame_bytes = found.frame_bytes;
                self.hand_over(Seen::Copy { frame_bytes })
            }
            Event::Record(found) => {
                self.next = found.seq + 1;
                self.hand_over(Seen::Record(found))
            }
            Event::Other { payload } => self.hand_over(Seen::Other { payload }),
            Event::Damage(damage) => self.damage(damage),
            Event::Base(base) => self.base(segment, is_first, &base),
        }
    }

    /// What is lost twice is lost once, and what was seen before is not lost at all.
    fn damage(&mut self, mut damage: Damage) -> ControlFlow<()> {
        self.marked = true;
        damage.lost = damage.lost.start.max(self.next)..damage.lost.end.max(self.next);
        damage.lost_stable = damage.lost_stable.min(damage.lost.end - damage.lost.start);
        self.next = damage.lost.end;
        let cut = [DamageKind::OtherHistory, DamageKind::Unsearched].contains(&damage.kind);
        self.lossy |= cut || !damage.lost.is_empty();
        self.hand_over(Seen::Damage(damage))
    }

    fn base(&mut self, segment: u64, is_first: bool, base: &Base<'_>) -> ControlFlow<()> {
        match state_of(base) {
            Ok(state) => {
                let counts = is_first || self.lossy || base.seq > self.next;
                if counts {
                    self.next = base.seq;
                    self.lossy = false;
                }
                let (bytes, created_us) = (base.end - HEADER_BYTES as u64, base.created_us);
                self.hand_over(Seen::Base(Box::new(Restored { segment, state, bytes, created_us, counts })))
            }
            Err(Unusable::Newer(version)) => {
                self.newer = Some(version);
                self.is_over = true;
                ControlFlow::Break(())
            }
            // Without the records that it stands for they are lost.
            Err(Unusable::Damaged { at }) => self.damage(Damage {
                segment,
                offset: at,
                bytes: base.end.saturating_sub(at),
                lost: 0..base.seq,
                kind: DamageKind::Base,
                mended: 0,
                continuous: false,
                lost_stable: base.seq,
            }),
        }
    }

    /// Damage that costs no record by itself.
    fn note(&mut self, kind: DamageKind, segment: u64, offset: u64, bytes: u64) {
        let lost = self.next..self.next;
        let damage = Damage { segment, offset, bytes, lost, kind, mended: 0, continuous: true, lost_stable: 0 };
        let _ = self.damage(damage);
    }

    /// The seal that leads to a segment was written when so many records were durable there.
    fn check_length(&mut self, segment: &Segment, walk: &Walk, sealed_by: Option<(Seal, u64)>) {
        let Some((_, records)) = sealed_by.filter(|(_, records)| walk.records < *records && !self.marked) else {
            return;
        };
        let offset = walk.tail.map_or(segment.bytes, |tail| tail.offset);
        let _ = self.damage(Damage {
            segment: segment.number,
            offset,
            bytes: segment.bytes - offset,
            lost: walk.records..records,
            kind: DamageKind::CutOut,
            mended: 0,
            continuous: false,
            lost_stable: records - walk.records,
        });
    }

    /// A segment's end must lead to the next one.
    fn check_end(&mut self, segment: &Segment, walk: &Walk, next: Option<&Segment>) {
        let end = walk.tail.map_or(segment.bytes, |tail| tail.offset);
        match (walk.sealed, next) {
            (None, None) => {}
            (None, Some(_)) => self.note(DamageKind::Seal, segment.number, end, segment.bytes - end),
            (Some((seal, _)), None) => self.note(DamageKind::Successor, segment.number, seal.at, 0),
            (Some((seal, _)), Some(next)) => {
                let is_it = next.header.is_none_or(|header| header.link().crc == seal.header_crc);
                if next.number != seal.number || !is_it {
                    self.note(DamageKind::Successor, segment.number, seal.at, 0);
                }
            }
        }
    }
}
