//! What a handle knows of its log: how far it has verified it, where records lie, and the last stretch of bytes,
//! so that a record just written or just seen is not read from the file again.

use crate::hole;
use crate::os::OsFile;
use crate::place::{Place, Reading};
use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use trialog_journal::frame::{
    self, Ahead, Check, Frame, KIND_RECORD, KIND_SEAL, KIND_SKIPPABLE_MIN, KIND_SNAPSHOT, Link, Search,
};
use trialog_journal::header::{HEADER_BYTES, Header, HeaderCheck, check_header};
use trialog_journal::seal::Seal;
use trialog_journal::{Error, Seq, Visitor};

/// How much of the log's end stays in memory; for a moment it may be twice as much.
const TAIL_BYTES_MAX: usize = 1 << 20;
/// How much of what an append came past stays in memory until it is read: others may fold it meanwhile, and the verdict on
/// a record depends on all before it. As much as a log has before it is compacted by itself.
const UNREAD_BYTES_MAX: usize = 64 << 20;
/// How much is read from the file at a time.
const READ_BYTES: usize = 256 << 10;
/// How much is handed over under one hold of the handle's lock.
const VISIT_BYTES: u64 = 64 << 10;
/// One record in so many has its offset kept for good.
const INDEX_RECORDS: u64 = 4096;
/// How much of a file is looked at to say what it is.
const START_BYTES: usize = 512;

/// The verified part of a log, and a copy of its end.
#[derive(Debug, Default)]
pub(crate) struct Known {
    header: Option<Header>,
    tip: Tip,
    /// How many records are known to be on stable storage.
    stable: u64,
    index: Vec<Mark>,
    /// Where this handle began, which is behind the start if it had a snapshot.
    origin: Tip,
    /// Where the frames behind the snapshot begin that a later segment begins with.
    base: Option<Mark>,
    tail: Tail,
    /// Where the last read began or has come to, if there was one: what lies before it is no longer waited for.
    reader: Option<u64>,
    /// The place and the file's length at which a torn tail was found, so as not to search it again.
    torn: Option<(u64, u64)>,
}

/// Where the verified part ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tip {
    pub(crate) offset: u64,
    pub(crate) link: Link,
    /// Where the last frame begins; 0 while there is only a header.
    pub(crate) last: u64,
}

impl Default for Tip {
    fn default() -> Tip {
        Tip { offset: 0, link: Link { seq: 0, crc: 0 }, last: 0 }
    }
}

/// A place from which verification can start.
#[derive(Clone, Copy, Debug)]
struct Mark {
    offset: u64,
    link: Link,
}

/// The last bytes before the tip: whole frames.
#[derive(Debug, Default)]
struct Tail {
    bytes: Vec<u8>,
    /// Where in the file `bytes` begins.
    offset: u64,
    /// The seq of the first record in `records`.
    first: u64,
    records: VecDeque<Payload>,
}

#[derive(Clone, Copy, Debug)]
struct Payload {
    offset: u64,
    bytes: u32,
}

/// What a look at the file behind the tip found.
#[derive(Debug)]
pub(crate) enum Step {
    /// Frames, and there is more.
    More,
    /// The end of the file, right behind the last frame.
    End,
    /// Bytes that are no frame yet, and may never become one.
    Torn,
    /// The segment's last frame: the log goes on elsewhere.
    Sealed(Seal),
    /// What would be damage, if it stays that way: a reader without the lock may just see pages out of order.
    Suspect(Error),
    /// The same where a write that was lost in part explains it, and nothing else does: nobody was promised what is behind.
    Hole(Error),
}

/// A stretch of the log before the copy of its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Past {
    from: Mark,
    end: u64,
    /// What stands at the end, if that is known.
    link: Option<Link>,
}

impl Known {
    /// A log of which nothing is known, not even that it is one.
    pub(crate) fn new() -> Known {
        Known::default()
    }

    /// The number of records known.
    pub(crate) fn records(&self) -> u64 {
        self.tip.link.seq
    }

    pub(crate) fn tip(&self) -> Tip {
        self.tip
    }

    pub(crate) fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// The first record that this segment can have.
    pub(crate) fn first(&self) -> u64 {
        self.header.as_ref().map_or(0, |header| header.first_seq)
    }

    /// Whether nothing was read yet but the header, or what a seal says of the log's end.
    pub(crate) fn is_fresh(&self) -> bool {
        self.tip == self.origin
    }

    /// Where records begin.
    pub(crate) fn base_offset(&self) -> u64 {
        self.base.map_or(HEADER_BYTES as u64, |base| base.offset)
    }

    /// The same log, known up to `tip` only.
    pub(crate) fn begun_at(&self, tip: Tip) -> Known {
        let mut known = Known { header: self.header, base: self.base, ..Known::default() };
        known.resume(tip);
        known
    }

    /// Goes on where a seal says, in a handle that has read nothing but the header. Says whether the file is the one
    /// that the seal means, and holds what it says.
    pub(crate) fn resume_behind(&mut self, seal: &Seal, seq: u64, file: &dyn OsFile) -> bool {
        let Some(header) = &self.header else {
            return false;
        };
        let tip = Tip { offset: seal.tip, link: seal.tip_link(seq), last: seal.last };
        let link = header.link();
        let fits = header.log_id == seal.log_id && link.crc == seal.header_crc && link.seq <= seq;
        if !fits || !file.stat().is_ok_and(|stat| stat.bytes >= tip.offset) || !self.holds(file, tip) {
            return false;
        }
        self.base = Some(Mark { offset: seal.base, link: Link { seq: link.seq, crc: seal.base_crc } });
        // Its writer synced all of it before the seal.
        self.note_stable(seq);
        self.resume(tip);
        true
    }

    /// Where record `seq` of the verified part begins.
    pub(crate) fn locate(&self, file: &dyn OsFile, place: &Place, seq: u64) -> Result<Option<Tip>, Error> {
        if seq == self.tip.link.seq {
            return Ok(Some(self.tip));
        }
        let Some(past) = self.past(seq).filter(|past| past.from.link.seq <= seq && seq < self.records()) else {
            return Ok(None);
        };
        if past.from.link.seq == seq {
            let Mark { offset, link } = past.from;
            return Ok(Some(Tip { offset, link, last: 0 }));
        }
        let mut found = None;
        let _stopped = past.walk(file, place, &mut |at, frame| {
            if frame.next().seq == seq && found.is_none() {
                let offset = at + frame.len() as u64;
                found = Some(Tip { offset, link: frame.next(), last: at });
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })??;
        Ok(found)
    }

    /// The verified frames from `offset` on, if the copy of the log's end still has them.
    pub(crate) fn frames_from(&self, offset: u64) -> Option<&[u8]> {
        self.tail.bytes.get(usize::try_from(offset.checked_sub(self.tail.offset)?).ok()?..)
    }

    pub(crate) fn stable(&self) -> u64 {
        self.stable
    }

    pub(crate) fn note_stable(&mut self, records: u64) {
        self.stable = self.stable.max(records);
    }

    /// The bytes before the tip that may never become durable though they can be read, since a dead writer left them in
    /// the memory of a server, or a sync failed before the file was opened here: the frames that nobody is known to have made
    /// durable, as far as they are in memory, or the header if there are no frames.
    pub(crate) fn unproven(&self) -> Vec<u8> {
        if let (0, Some(header)) = (self.tip.last, &self.header) {
            return header.encode().to_vec();
        }
        let first = self.stable.saturating_sub(self.tail.first);
        let record = usize::try_from(first).ok().and_then(|first| self.tail.records.get(first));
        record.map_or_else(Vec::new, |record| {
            let from = record.offset - frame::FRAME_HEADER_BYTES as u64 - self.tail.offset;
            self.tail.bytes[from as usize..].to_vec()
        })
    }

    /// Reads the header if the file has one by now, and says whether it has. For who does not hold the lock.
    pub(crate) fn load_header(&mut self, file: &dyn OsFile, place: &Place) -> Result<bool, Error> {
        match self.load_header_locked(file, place) {
            // Nothing follows it, so that nothing is lost with it: perhaps it is what a dead creator left, with a part of
            // what another puts in its place. Who holds the lock can tell.
            Err(Error::Corrupt { .. }) if file.stat().is_ok_and(|stat| stat.bytes <= HEADER_BYTES as u64) => {
                Ok(false)
            }
            other => other,
        }
    }

    /// As [`Known::load_header`], while nobody else writes one.
    pub(crate) fn load_header_locked(&mut self, file: &dyn OsFile, place: &Place) -> Result<bool, Error> {
        if self.header.is_some() {
            return Ok(true);
        }
        // A creator may be at work: what is put together from before and after its write looks like nothing that was
        // ever there. So no refusal is believed before a second look has seen the same bytes.
        let mut before: Option<Vec<u8>> = None;
        loop {
            let mut start = [0; START_BYTES];
            let bytes = file.stat().map_err(place.io("look at"))?.bytes;
            let got = frame::read_full(&Reading(file), 0, &mut start).map_err(place.io("read"))?;
            let start = &start[..got];
            // The length may be older than the bytes.
            let refusal = match check_header(start, bytes.max(got as u64)) {
                HeaderCheck::Valid(header) => {
                    self.begin(header);
                    return Ok(true);
                }
                HeaderCheck::Unfinished => return Ok(false),
                HeaderCheck::Newer { found } => place.newer(found),
                HeaderCheck::Foreign { found } => place.not_a_log(found),
                HeaderCheck::Damaged { detail } => place.corrupt(0, 0, detail),
            };
            if before.as_deref() == Some(start) {
                return Err(refusal);
            }
            before = Some(start.to_vec());
        }
    }

    fn begin(&mut self, header: Header) {
        self.tip = Tip { offset: HEADER_BYTES as u64, link: header.link(), last: 0 };
        self.origin = self.tip;
        self.tail.offset = self.tip.offset;
        self.header = Some(header);
    }

    /// Goes on from a snapshot, in a handle that has read nothing but the header.
    pub(crate) fn resume(&mut self, tip: Tip) {
        self.tip = tip;
        self.origin = tip;
        self.tail.offset = tip.offset;
    }

    /// Verifies what stands behind the tip in a file of `file_bytes` bytes, a stretch at a time.
    pub(crate) fn advance(&mut self, file: &dyn OsFile, place: &Place, file_bytes: u64) -> Result<Step, Error> {
        if self.header.is_none() && !self.load_header(file, place)? {
            return Ok(Step::End);
        }
        match file_bytes.cmp(&self.tip.offset) {
            std::cmp::Ordering::Equal => Ok(Step::End),
            std::cmp::Ordering::Greater => self.read_behind_tip(file, place, file_bytes),
            // The length may have been asked for before the header was there; frames were seen later than that.
            std::cmp::Ordering::Less if self.tip.last == 0 && self.still_there(file, place)? => Ok(Step::End),
            std::cmp::Ordering::Less => Err(self.regressed(file, place)),
        }
    }

    fn read_behind_tip(&mut self, file: &dyn OsFile, place: &Place, file_bytes: u64) -> Result<Step, Error> {
        let from = self.tip.offset;
        let kept = self.tail.bytes.len();
        let room = file_bytes - from;
        let mut want = room.min(READ_BYTES as u64) as usize;
        loop {
            self.tail.bytes.resize(kept + want, 0);
            let got = frame::read_full(&Reading(file), from, &mut self.tail.bytes[kept..]);
            self.tail.bytes.truncate(kept + got.as_ref().map_or(0, |&got| got));
            let got = got.map_err(place.io("read"))?;
            let stop = self.absorb(kept);
            self.tail.bytes.truncate(kept + (self.tip.offset - from) as usize);
            if self.tip.offset > from {
                self.trim();
                return Ok(if self.tip.offset == file_bytes { Step::End } else { Step::More });
            }
            match stop {
                // A frame longer than one read. The file has room for it, so memory may be spent on it.
                Stop::Short { need } if got == want && need > want && need as u64 <= room => want = need,
                Stop::Short { .. } | Stop::Broken => return self.judge(file, place, file_bytes),
                Stop::Misfit { seq } => {
                    return Ok(Step::Suspect(self.suspect(file, place, misfit(seq, self.tip))?));
                }
                Stop::Sealed(seal) => return Ok(Step::Sealed(seal)),
                Stop::Unknown { kind } => return Err(place.newer(format!("a frame of kind {kind}"))),
            }
        }
    }

    /// Takes over the frames in the tail's bytes from `at` on, as far as they verify.
    fn absorb(&mut self, mut at: usize) -> Stop {
        loop {
            let frame = match frame::check(&self.tail.bytes[at..], self.tip.link) {
                Check::Valid(frame) if self.is_known(&frame) => frame,
                Check::Valid(frame) if frame.kind == KIND_SEAL => return self.sealed(&frame),
                Check::Valid(frame) => return Stop::Unknown { kind: frame.kind },
                Check::Short { need } => return Stop::Short { need },
                Check::Broken => return Stop::Broken,
                Check::Misfit(frame) => return Stop::Misfit { seq: frame.seq },
            };
            at += frame.len();
            let (bytes, stable, next) = (frame.len(), frame.stable(), frame.next());
            self.take(bytes, next);
            self.note_stable(stable);
        }
    }

    /// Whether a reader may go on behind the frame. Only a later segment has a snapshot, and only before its first
    /// record.
    fn is_known(&self, frame: &Frame<'_>) -> bool {
        let begins = |header: &Header| header.is_later_segment() && header.first_seq == frame.seq;
        match frame.kind {
            KIND_SNAPSHOT => self.header.as_ref().is_some_and(begins),
            kind => kind == KIND_RECORD || kind >= KIND_SKIPPABLE_MIN,
        }
    }

    /// A seal stays before the tip: whoever comes here again meets it again.
    fn sealed(&self, frame: &Frame<'_>) -> Stop {
        let seal = Seal::decode(frame.payload);
        let is_ours = |seal: &Seal| {
            seal.at == self.tip.offset && self.header.as_ref().is_some_and(|header| header.log_id == seal.log_id)
        };
        seal.filter(is_ours).map_or(Stop::Unknown { kind: frame.kind }, Stop::Sealed)
    }

    /// Takes over frames that this handle wrote at `offset`. A reader of the same handle may have come first.
    pub(crate) fn adopt(&mut self, frames: &[u8], offset: u64) {
        let Some(known) = self.tip.offset.checked_sub(offset) else {
            return;
        };
        let mut rest = frames.get(known as usize..).unwrap_or_default();
        while let Some(frame) = Frame::trusted(rest) {
            let (bytes, next) = (frame.len(), frame.next());
            self.tail.bytes.extend_from_slice(&rest[..bytes]);
            self.take(bytes, next);
            rest = &rest[bytes..];
        }
        self.trim();
    }

    /// Moves the tip over a frame whose bytes are in the tail.
    fn take(&mut self, frame_bytes: usize, next: Link) {
        let Tip { offset, link, .. } = self.tip;
        if next.seq > link.seq {
            if link.seq.is_multiple_of(INDEX_RECORDS) {
                self.index.push(Mark { offset, link });
            }
            if self.tail.records.is_empty() {
                self.tail.first = link.seq;
            }
            let bytes = (frame_bytes - frame::FRAME_HEADER_BYTES) as u32;
            let offset = offset + frame::FRAME_HEADER_BYTES as u64;
            self.tail.records.push_back(Payload { offset, bytes });
        }
        self.tip = Tip { offset: offset + frame_bytes as u64, link: next, last: offset };
    }

    /// Where the last read began or has come to.
    pub(crate) fn reader(&self) -> Option<u64> {
        self.reader
    }

    /// A read begins or goes on here, and waits for nothing before.
    pub(crate) fn note_reader(&mut self, next: Option<u64>) {
        self.reader = next;
    }

    /// How many bytes of frames there are in memory that nobody has read yet.
    fn unread_bytes(&self) -> usize {
        let tail = &self.tail;
        let Some(next) = self.reader else {
            return 0;
        };
        let skip = usize::try_from(next.saturating_sub(tail.first)).ok();
        let record = skip.and_then(|skip| tail.records.get(skip));
        record.map_or(0, |record| (self.tip.offset - record.offset) as usize + frame::FRAME_HEADER_BYTES)
    }

    /// Drops old bytes once there are twice as many as are kept, so that each is moved once.
    pub(crate) fn trim(&mut self) {
        if self.tail.bytes.len() <= 2 * TAIL_BYTES_MAX {
            return;
        }
        let unread = Some(self.unread_bytes()).filter(|&bytes| bytes <= UNREAD_BYTES_MAX);
        let keep = unread.unwrap_or(0).max(TAIL_BYTES_MAX);
        let tail = &mut self.tail;
        if tail.bytes.len() <= 2 * keep {
            return;
        }
        let keep_from = self.tip.offset - keep as u64;
        let header = frame::FRAME_HEADER_BYTES as u64;
        let drop = tail.records.partition_point(|record| record.offset - header < keep_from);
        // One record stays, however long it is: its writer is about to read it.
        let drop = drop.min(tail.records.len().saturating_sub(1));
        let Some(oldest) = tail.records.get(drop).map(|record| record.offset - header) else {
            tail.bytes.clear();
            tail.offset = self.tip.offset;
            return;
        };
        tail.bytes.drain(..(oldest - tail.offset) as usize);
        tail.records.drain(..drop);
        tail.offset = oldest;
        tail.first += drop as u64;
        // A long record has come and gone.
        tail.bytes.shrink_to(4 * TAIL_BYTES_MAX);
    }

    /// Hands over known records from `from` on if the copy of the log's end has them: `None` if it does not,
    /// else where it stopped. May stop early for others' sake.
    pub(crate) fn visit_tail(&self, from: u64, visit: &mut Visitor<'_>) -> Option<(u64, ControlFlow<()>)> {
        let tail = &self.tail;
        let begin = usize::try_from(from.checked_sub(tail.first)?).ok()?;
        let offset = tail.records.get(begin)?.offset;
        let mut seq = from;
        for record in tail.records.range(begin..) {
            if record.offset - offset > VISIT_BYTES {
                break;
            }
            let at = (record.offset - tail.offset) as usize;
            let flow = visit(Seq(seq), &tail.bytes[at..at + record.bytes as usize]);
            seq += 1;
            if flow.is_break() {
                return Some((seq, flow));
            }
        }
        Some((seq, ControlFlow::Continue(())))
    }

    /// The stretch of the file to read for records from `from` on that the tail does not have.
    pub(crate) fn past(&self, from: u64) -> Option<Past> {
        let Tip { offset, link, .. } = self.origin;
        // Marks from the origin on; what lies before a snapshot is read from the start, which is asked for rarely.
        let from = if from < link.seq {
            let header = self.header.as_ref()?;
            self.base.unwrap_or(Mark { offset: HEADER_BYTES as u64, link: header.link() })
        } else {
            let after = self.index.partition_point(|mark| mark.link.seq <= from);
            after.checked_sub(1).map_or(Mark { offset, link }, |at| self.index[at])
        };
        Some(Past { from, end: self.tip.offset, link: Some(self.tip.link) })
    }

    /// Bytes behind the tip do not verify: a torn tail, unless frames follow.
    fn judge(&mut self, file: &dyn OsFile, place: &Place, file_bytes: u64) -> Result<Step, Error> {
        let Tip { offset, link, .. } = self.tip;
        if self.torn == Some((offset, file_bytes)) {
            return Ok(Step::Torn);
        }
        let mut search = Search::new(offset, file_bytes, link);
        let ahead = search.next(&Reading(file)).map_err(place.io("read"))?;
        let detail = match ahead {
            Ahead::Nothing if !self.still_there(file, place)? => return Err(self.regressed(file, place)),
            Ahead::Nothing => {
                self.torn = Some((offset, file_bytes));
                return Ok(Step::Torn);
            }
            Ahead::Frame { offset, seq, stable } if stable > link.seq => format!(
                "the bytes there do not verify, a valid frame of record {seq} follows at byte {offset}, and its \
                 writer knew the damaged ones to be on stable storage: the medium or another program damaged them"
            ),
            Ahead::Frame { offset: next, seq, .. } => {
                let detail = format!(
                    "the bytes there do not verify, a valid frame of record {seq} follows at byte {next}, and its \
                     writer did not know the damaged ones to be on stable storage: a loss of power explains it"
                );
                if hole::is_explained(&Reading(file), self.tip.offset, next, link.seq, &mut search)
                    .map_err(place.io("read"))?
                    && self.still_there(file, place)?
                {
                    return Ok(Step::Hole(place.corrupt(self.tip.offset, self.records(), detail)));
                }
                detail
            }
            Ahead::GaveUp => String::from(
                "the bytes there do not verify, and too many places behind them look like frames to search them all",
            ),
        };
        Ok(Step::Suspect(self.suspect(file, place, detail)?))
    }

    /// Forgets that a tail was torn: before it is cut, it is to be searched once more.
    pub(crate) fn forget_torn(&mut self) {
        self.torn = None;
    }

    /// Damage behind the tip, unless what is before it is no longer what was verified.
    fn suspect(&self, file: &dyn OsFile, place: &Place, detail: String) -> Result<Error, Error> {
        Ok(if self.still_there(file, place)? {
            place.corrupt(self.tip.offset, self.records(), detail)
        } else {
            self.regressed(file, place)
        })
    }

    /// Whether the file still begins with this log's header and has its last known frame where it was. That it cannot be
    /// read proves neither.
    pub(crate) fn still_there(&self, file: &dyn OsFile, place: &Place) -> Result<bool, Error> {
        let Some(header) = &self.header else {
            return Ok(true);
        };
        let Tip { last: offset, link, .. } = self.tip;
        let mut start = [0; HEADER_BYTES];
        let mut last = [0; 4];
        let mut same = || -> io::Result<bool> {
            Ok(has(file, 0, &mut start)?
                && start == header.encode()
                && (offset == 0 || has(file, offset, &mut last)? && last == link.crc.to_le_bytes()))
        };
        same().map_err(place.io("read"))
    }

    /// Whether `tip` is a place between two frames of this log, as far as the frame before it tells: a snapshot may
    /// say anything, and a writer would cut the log there.
    pub(crate) fn holds(&self, file: &dyn OsFile, tip: Tip) -> bool {
        let Some(header) = &self.header else {
            return false;
        };
        if tip.last == 0 {
            return tip == Tip { offset: HEADER_BYTES as u64, link: header.link(), last: 0 };
        }
        let has = |offset, buf: &mut [u8]| has(file, offset, buf).unwrap_or(false);
        let mut start = [0; frame::FRAME_HEADER_BYTES];
        if !has(tip.last, &mut start) {
            return false;
        }
        let claim = frame::claim(&start).filter(|claim| tip.last.checked_add(claim.len as u64) == Some(tip.offset));
        let Some(claim) = claim else {
            return false;
        };
        // The file reaches as far as the tip, or nobody would ask, so this is memory for bytes that are there.
        let mut bytes = vec![0; claim.len];
        let link = Link { seq: claim.seq, crc: claim.prev };
        has(tip.last, &mut bytes)
            && matches!(frame::check(&bytes, link), Check::Valid(frame) if self.is_known(&frame) && frame.next() == tip.link)
    }

    /// Counts what is left, for the message.
    pub(crate) fn regressed(&self, file: &dyn OsFile, place: &Place) -> Error {
        let mut found = Known::new();
        if file.stat().is_ok_and(|stat| stat.bytes > 0) && found.load_header(file, place).unwrap_or(false) {
            while let Ok(bytes) = file.stat().map(|stat| stat.bytes)
                && bytes > found.tip.offset
                && matches!(found.read_behind_tip(file, place, bytes), Ok(Step::More))
            {}
        }
        place.regressed(self.records(), found.records())
    }
}

/// Whether the file has bytes for all of `buf`, which they are read into.
fn has(file: &dyn OsFile, offset: u64, buf: &mut [u8]) -> io::Result<bool> {
    Ok(frame::read_full(&Reading(file), offset, buf)? == buf.len())
}

/// Why [`Known::absorb`] went no further.
#[derive(Clone, Copy, Debug)]
enum Stop {
    Short { need: usize },
    Broken,
    Misfit { seq: u64 },
    Sealed(Seal),
    Unknown { kind: u8 },
}

fn misfit(seq: u64, tip: Tip) -> String {
    let expected = tip.link.seq;
    match seq.cmp(&expected) {
        std::cmp::Ordering::Less => format!(
            "a valid frame of record {seq} stands where record {expected} belongs: a stretch was doubled or an old \
             one written over newer ones"
        ),
        std::cmp::Ordering::Greater => format!(
            "a valid frame of record {seq} stands where record {expected} belongs: the records between were cut out"
        ),
        std::cmp::Ordering::Equal => String::from(
            "the frame is valid, but continues another history: it was spliced in from another log, or two writers \
             wrote at one place",
        ),
    }
}

impl Past {
    /// All of a file of so many bytes, from its header on.
    pub(crate) fn whole(header: &Header, file_bytes: u64) -> Past {
        Past { from: Mark { offset: HEADER_BYTES as u64, link: header.link() }, end: file_bytes, link: None }
    }

    /// Hands over the records of the stretch from `*next` on and moves `*next` along.
    pub(crate) fn visit(
        self,
        file: &dyn OsFile,
        place: &Place,
        next: &mut u64,
        visit: &mut Visitor<'_>,
    ) -> Result<Result<ControlFlow<()>, Error>, Error> {
        self.walk(file, place, &mut |_, frame| {
            if frame.kind == KIND_RECORD && frame.seq >= *next {
                *next = frame.seq + 1;
                return visit(Seq(frame.seq), frame.payload);
            }
            ControlFlow::Continue(())
        })
    }

    /// Hands over each frame of the stretch, with the place where it begins. The inner error is damage.
    pub(crate) fn walk(
        mut self,
        file: &dyn OsFile,
        place: &Place,
        visit: &mut dyn FnMut(u64, &Frame<'_>) -> ControlFlow<()>,
    ) -> Result<Result<ControlFlow<()>, Error>, Error> {
        let mut buf = Vec::new();
        let mut want = 16 << 10;
        while self.from.offset < self.end {
            let room = self.end - self.from.offset;
            buf.resize(room.min(want as u64) as usize, 0);
            let got = frame::read_full(&Reading(file), self.from.offset, &mut buf).map_err(place.io("read"))?;
            want = (2 * want).min(READ_BYTES);
            let mut at = 0;
            let need = loop {
                match frame::check(&buf[at..got], self.from.link) {
                    Check::Valid(frame) => {
                        at += frame.len();
                        let begin = self.from.offset;
                        self.from = Mark { offset: begin + frame.len() as u64, link: frame.next() };
                        if visit(begin, &frame).is_break() {
                            return Ok(Ok(ControlFlow::Break(())));
                        }
                    }
                    Check::Short { need } => break need,
                    Check::Broken | Check::Misfit(_) => return Ok(Err(self.damage(place))),
                }
            };
            if at == 0 {
                // The frame is longer than one read, or the bytes that were there are gone.
                if got < buf.len() || need as u64 > room {
                    return Ok(Err(self.damage(place)));
                }
                want = need;
            }
        }
        // Whoever asks again for what never comes would ask for ever.
        if self.link.is_none_or(|link| self.from.link == link) {
            Ok(Ok(ControlFlow::Continue(())))
        } else {
            Ok(Err(self.damage(place)))
        }
    }

    fn damage(&self, place: &Place) -> Error {
        let detail = String::from("the bytes there verified before and no longer do");
        place.corrupt(self.from.offset, self.from.link.seq, detail)
    }
}
