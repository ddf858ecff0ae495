//! A walk over the bytes of one file of a log that does not stop at damage: what verifies, in the order of the log, and
//! what does not. What records mean is not known here, and nothing is written. How files follow one another is
//! `source.rs`'s concern.
//!
//! Up to the first damage this is the reader of `docs/format.md`. Behind it every frame that verifies in itself is
//! collected, wherever it stands, and put in order again by its seq and by the checksum of its predecessor. All work
//! is bounded: a search hashes at most sixteen times what there is to search, and memory holds one entry a frame.

use std::io;
use std::ops::{ControlFlow, Range};

use trialog_journal::RECORD_BYTES_MAX;
use trialog_journal::frame::{
    self, Check, Claim, FRAME_HEADER_BYTES, Frame, KIND_RECORD, KIND_SEAL, KIND_SKIPPABLE_MIN, KIND_SNAPSHOT, Link,
    ReadAt,
};
use trialog_journal::header::{HEADER_BYTES, HeaderCheck, check_header};
use trialog_journal::seal::Seal;

use crate::mend::{Checksum, mend, mend_part};
use crate::repair::UNFINISHED;
use crate::window::Window;

const BUDGET_FACTOR: u64 = 16;
const BUDGET_BYTES_MIN: u64 = 1 << 20;
/// The longest part of a snapshot that one frame has: so much is looked at to mend one.
const PART_BYTES_MAX: usize = (1 << 20) + FRAME_HEADER_BYTES;
/// How far ahead a seq may lie to be searched for, beyond what the file has room for: so many records may have been cut
/// out. A tighter bound is what keeps bytes of payloads from looking like frames.
const SEQS_AHEAD_MAX: u64 = 1 << 16;
/// How much of a file is looked at to say what it is.
const START_BYTES: usize = 512;

/// A stretch of a log that does not verify, or records that are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The number of the segment that it is in: 0 for the file by which the log is opened.
    pub segment: u64,
    /// Where it begins, in bytes from the start of the file: where a reader stops, if it is the first.
    pub offset: u64,
    /// How many bytes do not verify there; 0 if records were cut out cleanly.
    pub bytes: u64,
    /// The records that are lost: none where bytes were too many, or where all could be mended.
    pub lost: Range<u64>,
    /// What it looks like.
    pub kind: DamageKind,
    /// Records out of the stretch that could be restored, proven by their checksum.
    pub mended: u64,
    /// True if the checksums that frames repeat of their predecessors run on across the damage: what follows belongs to
    /// the same history for certain.
    pub continuous: bool,
    /// Lost records that their successors knew to be on stable storage: a loss of power does not explain them.
    pub lost_stable: u64,
}

/// What damage looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DamageKind {
    /// The header of the file does not verify.
    Header,
    /// Bytes do not verify, and valid frames of later records follow.
    Overwritten,
    /// Bytes that are no frames stand between frames that follow one another: nothing is lost.
    Inserted,
    /// Frames of records that were there before.
    Doubled,
    /// A valid frame of a later record follows directly: what was between was cut out.
    CutOut,
    /// Valid frames of another history: spliced in from another log, or written by two writers at one place.
    OtherHistory,
    /// A record whose frame verifies and whose content cannot be read.
    Unreadable,
    /// So many places look like frames that the search was given up; somebody made them on purpose.
    Unsearched,
    /// The snapshot that a later segment begins with does not verify, cannot be read, or contradicts the records.
    Base,
    /// The seal that ends a segment does not verify, though a later segment goes on behind it.
    Seal,
    /// The segment that a seal names is missing, or is not the one that was sealed for.
    Successor,
}

/// Bytes behind the last record that are no frame: a write that is going on or was cut short. Not damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// Where it begins.
    pub offset: u64,
    /// How many bytes it has.
    pub bytes: u64,
    /// True if it is a whole record but for a single bit: no write that was cut short, and it can be mended.
    pub mendable: bool,
}

/// A record that verifies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) seq: u64,
    pub(crate) frame_bytes: usize,
    pub(crate) payload: &'a [u8],
    /// Restored from damaged bytes.
    pub(crate) mended: bool,
}

/// What the walk meets, in the order of the log.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    Record(Found<'a>),
    /// A frame that is no record and may be passed over.
    Other {
        payload: &'a [u8],
    },
    /// What a later segment begins with, if it verifies.
    Base(Base<'a>),
    Damage(Damage),
}

/// The snapshot of a later segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Base<'a> {
    /// How many records it covers.
    pub(crate) seq: u64,
    /// Where the frames behind it begin.
    pub(crate) end: u64,
    /// Its bytes, or where its frames do not verify.
    pub(crate) bytes: Result<&'a [u8], u64>,
    /// When the segment was made, if its header can be read.
    pub(crate) created_us: Option<i64>,
}

/// One file of a log.
pub(crate) struct Part<'a> {
    pub(crate) source: &'a dyn ReadAt,
    /// How much of it there is.
    pub(crate) end: u64,
    /// The number of the segment.
    pub(crate) number: u64,
    /// The seal that leads here, and how many records precede it.
    pub(crate) sealed_by: Option<(Seal, u64)>,
}

/// How a walk went.
#[derive(Clone, Debug, Default)]
pub(crate) struct Walk {
    pub(crate) file_bytes: u64,
    pub(crate) created_us: Option<i64>,
    pub(crate) log_id: Option<[u8; 16]>,
    pub(crate) frames: u64,
    pub(crate) tail: Option<TornTail>,
    /// The file is empty, or its header was never finished.
    pub(crate) unfinished: bool,
    /// The seal that it ends with, and how many records precede that.
    pub(crate) sealed: Option<(Seal, u64)>,
    /// How many records precede the end.
    pub(crate) records: u64,
    /// Somebody appended to it who was no compactor: those know all that they copy to be stable.
    pub(crate) grown: bool,
}

/// Why a walk could not begin or go on.
#[derive(Debug)]
pub(crate) enum Stop {
    NotALog(String),
    Newer(String),
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Io(error)
    }
}

/// What the walk hands each thing to; `Break` ends it.
pub(crate) type Visit<'a> = dyn FnMut(Event<'_>) -> ControlFlow<()> + 'a;

/// Walks over one file of a log.
pub(crate) fn walk(part: &Part<'_>, visit: &mut Visit<'_>) -> Result<Walk, Stop> {
    let Part { source, end, number, sealed_by } = *part;
    let mut walk = Walk { file_bytes: end, ..Walk::default() };
    let mut start = [0; START_BYTES];
    let want = usize::try_from(end).map_or(START_BYTES, |end| end.min(START_BYTES));
    let got = frame::read_full(source, 0, &mut start[..want])?;
    let mut window = Window { source, end, at: 0, buf: Vec::new(), segment: number };
    match check_header(&start[..got], end) {
        HeaderCheck::Valid(header) if header.is_later_segment() != (number > 0) => {
            return Err(Stop::NotALog(String::from("it is another segment of its log than its name says")));
        }
        HeaderCheck::Valid(header) => {
            walk.created_us = Some(header.created_us);
            walk.log_id = Some(header.log_id);
            let tip = if number > 0 {
                base(&mut window, header.link(), Some(header.created_us), sealed_by, visit)?
            } else {
                Some(Tip { offset: HEADER_BYTES as u64, link: header.link() })
            };
            if let Some(tip) = tip {
                walk.records = tip.link.seq;
                main_run(&mut window, tip, &mut walk, visit)?;
            }
        }
        HeaderCheck::Newer { found } => return Err(Stop::Newer(found)),
        // Its snapshot cannot be told from others' any more; the records can.
        _ if number > 0 => without_base(&mut window, sealed_by, &mut walk, visit)?,
        HeaderCheck::Unfinished => {
            walk.unfinished = true;
            walk.tail = (end > 0).then_some(TornTail { offset: 0, bytes: end, mendable: false });
        }
        HeaderCheck::Damaged { .. } => without_header(&mut window, &mut walk, visit)?,
        HeaderCheck::Foreign { found } if start.starts_with(UNFINISHED) => return Err(Stop::NotALog(found)),
        HeaderCheck::Foreign { found } => {
            // A lost first sector leaves a log that nothing but its frames gives away.
            let begins = collect(&mut window, HEADER_BYTES as u64, 0, end)?;
            if !begins.frames.iter().any(|frame| frame.kind == KIND_RECORD) {
                return Err(Stop::NotALog(found));
            }
            without_header(&mut window, &mut walk, visit)?;
        }
    }
    Ok(walk)
}

/// Hands over the snapshot that a later segment begins with, and says where its records begin.
fn base(
    window: &mut Window<'_>,
    link: Link,
    created_us: Option<i64>,
    sealed_by: Option<(Seal, u64)>,
    visit: &mut Visit<'_>,
) -> Result<Option<Tip>, Stop> {
    let mut bytes = Vec::new();
    let seq = link.seq;
    let mut tip = Tip { offset: HEADER_BYTES as u64, link };
    loop {
        let mut want = FRAME_HEADER_BYTES;
        let room = window.end - tip.offset;
        let frame = loop {
            match frame::check(window.bytes(tip.offset, want)?, tip.link) {
                Check::Short { need } if need > want && need as u64 <= room => want = need,
                Check::Valid(frame) if frame.kind == KIND_SNAPSHOT => break Some(frame),
                _ => break None,
            }
        };
        if let Some(frame) = frame {
            bytes.extend_from_slice(frame.payload);
            tip = Tip { offset: tip.offset + frame.len() as u64, link: frame.next() };
            continue;
        }
        // The end of the snapshot, or a part of it that is damaged.
        if sealed_by.is_none_or(|(seal, _)| tip.offset >= seal.base) {
            break;
        }
        let len = (PART_BYTES_MAX as u64).min(room) as usize;
        let Some(part) = mend_part(&window.exactly(tip.offset, len)?, tip.link) else {
            break;
        };
        bytes.extend_from_slice(&part[FRAME_HEADER_BYTES..]);
        let damage = Damage {
            segment: window.segment,
            offset: tip.offset,
            bytes: part.len() as u64,
            lost: seq..seq,
            kind: DamageKind::Base,
            mended: 1,
            continuous: true,
            lost_stable: 0,
        };
        if visit(Event::Damage(damage)).is_break() {
            return Ok(None);
        }
        let next = frame::check(&part, tip.link);
        if let Check::Valid(frame) = next {
            tip = Tip { offset: tip.offset + part.len() as u64, link: frame.next() };
        } else {
            break;
        }
    }
    let stop = tip.offset;
    let begins = match sealed_by {
        Some((seal, _)) => Some(Tip { offset: seal.base, link: Link { seq, crc: seal.base_crc } }),
        None => first_behind(window, tip)?,
    };
    let end = begins.map_or(window.end, |tip| tip.offset);
    let whole = begins.is_some_and(|begins| begins.offset == stop && begins.link == tip.link);
    let bytes = if whole { Ok(bytes.as_slice()) } else { Err(stop.min(end)) };
    let base = Base { seq, end, bytes, created_us };
    Ok(if visit(Event::Base(base)).is_break() { None } else { begins.filter(|tip| tip.offset <= window.end) })
}

/// Where records begin behind a snapshot that ends at `tip`, or should: if nothing that belongs there does, at the first
/// record that has the seq for it.
fn first_behind(window: &mut Window<'_>, tip: Tip) -> Result<Option<Tip>, Stop> {
    let found = collect(window, tip.offset, tip.link.seq, window.end)?;
    let first = found.frames.iter().find(|piece| piece.seq == tip.link.seq);
    Ok(match first {
        Some(piece) if !piece.continues(tip.link) => {
            Some(Tip { offset: piece.offset, link: Link { seq: piece.seq, crc: piece.prev } })
        }
        _ => Some(tip),
    })
}

/// A file whose header is no header.
fn header_is_gone(window: &Window<'_>) -> Damage {
    Damage {
        segment: window.segment,
        offset: 0,
        bytes: HEADER_BYTES as u64,
        lost: 0..0,
        kind: DamageKind::Header,
        mended: 0,
        continuous: true,
        lost_stable: 0,
    }
}

/// A later segment whose header is gone, and with it what its snapshot continues.
fn without_base(
    window: &mut Window<'_>,
    sealed_by: Option<(Seal, u64)>,
    walk: &mut Walk,
    visit: &mut Visit<'_>,
) -> Result<(), Stop> {
    let begin = HEADER_BYTES as u64;
    if visit(Event::Damage(header_is_gone(window))).is_break() {
        return Ok(());
    }
    // The first frame says what the header's checksum was, and so does the seal that leads here.
    let claim = frame::claim(window.bytes(begin, FRAME_HEADER_BYTES)?).filter(|claim| {
        claim.kind == KIND_SNAPSHOT && sealed_by.is_none_or(|(seal, _)| seal.header_crc == claim.prev)
    });
    let tip = match claim {
        Some(Claim { seq, prev, .. }) => base(window, Link { seq, crc: prev }, None, sealed_by, visit)?,
        None => {
            let found = collect(window, begin, 0, window.end)?;
            let at_base = |piece: &&Piece| sealed_by.is_none_or(|(seal, _)| piece.offset >= seal.base);
            let tip = match (found.frames.iter().find(at_base), sealed_by) {
                (Some(piece), _) => Tip { offset: piece.offset, link: Link { seq: piece.seq, crc: piece.prev } },
                (None, Some((seal, seq))) => Tip { offset: seal.base, link: Link { seq, crc: seal.base_crc } },
                (None, None) => Tip { offset: window.end, link: Link { seq: 0, crc: 0 } },
            };
            let base = Base { seq: tip.link.seq, end: tip.offset, bytes: Err(begin), created_us: None };
            (visit(Event::Base(base)).is_continue() && tip.offset <= window.end).then_some(tip)
        }
    };
    let Some(tip) = tip else {
        return Ok(());
    };
    walk.records = tip.link.seq;
    main_run(window, tip, walk, visit)
}

/// A place in the file, and what a frame there must continue.
#[derive(Clone, Copy, Debug)]
struct Tip {
    offset: u64,
    link: Link,
}

/// Reads as any reader does, up to the end or to the first damage.
fn main_run(window: &mut Window<'_>, mut tip: Tip, walk: &mut Walk, visit: &mut Visit<'_>) -> Result<(), Stop> {
    let segment = window.segment;
    loop {
        let mut want = FRAME_HEADER_BYTES;
        let room = window.end - tip.offset;
        let frame = loop {
            let bytes = window.bytes(tip.offset, want)?;
            match frame::check(bytes, tip.link) {
                Check::Valid(frame) => break Some(frame),
                Check::Short { need } if need > want && need as u64 <= room => want = need,
                Check::Short { .. } | Check::Broken | Check::Misfit(_) => break None,
            }
        };
        let Some(frame) = frame else {
            break;
        };
        walk.frames += 1;
        if frame.kind == KIND_SEAL
            && let Some(seal) = seal_at(&frame, tip.offset)
        {
            walk.sealed = Some((seal, frame.seq));
            return Ok(());
        }
        if frame.kind != KIND_RECORD && frame.kind < KIND_SKIPPABLE_MIN {
            return Err(Stop::Newer(format!("a frame of kind {}", frame.kind)));
        }
        let (offset, next) = (tip.offset, frame.next());
        tip = Tip { offset: offset + frame.len() as u64, link: next };
        walk.records = next.seq;
        walk.grown |= frame.kind == KIND_RECORD && frame.unsynced > 0;
        if visit(event(&frame, offset, segment)).is_break() {
            return Ok(());
        }
    }
    if tip.offset < window.end { behind_damage(window, tip, walk, visit) } else { Ok(()) }
}

/// The seal in a frame, which says where it stands.
fn seal_at(frame: &Frame<'_>, offset: u64) -> Option<Seal> {
    Seal::decode(frame.payload).filter(|seal| seal.at == offset)
}

fn event<'a>(frame: &Frame<'a>, offset: u64, segment: u64) -> Event<'a> {
    let Frame { kind, seq, payload, .. } = *frame;
    if kind == KIND_RECORD {
        Event::Record(Found { segment, offset, seq, frame_bytes: frame.len(), payload, mended: false })
    } else {
        Event::Other { payload }
    }
}

/// The header is gone, and with it the checksum that the first frame must continue.
fn without_header(window: &mut Window<'_>, walk: &mut Walk, visit: &mut Visit<'_>) -> Result<(), Stop> {
    if visit(Event::Damage(header_is_gone(window))).is_break() {
        return Ok(());
    }
    let begin = HEADER_BYTES as u64;
    let claim = frame::claim(window.bytes(begin, FRAME_HEADER_BYTES)?);
    // The first frame says what the header's checksum was. A frame of record 0 can follow nothing else.
    let crc = claim.filter(|claim| claim.seq == 0).map(|claim| claim.prev);
    let tip = Tip { offset: begin, link: Link { seq: 0, crc: crc.unwrap_or_default() } };
    if crc.is_some() { main_run(window, tip, walk, visit) } else { behind_damage(window, tip, walk, visit) }
}

/// A frame that verifies in itself, found behind damage.
#[derive(Clone, Copy, Debug)]
struct Piece {
    offset: u64,
    len: usize,
    kind: u8,
    seq: u64,
    crc: u32,
    prev: u32,
    unsynced: u32,
}

impl Piece {
    fn end(&self) -> u64 {
        self.offset + self.len as u64
    }

    fn next(&self) -> Link {
        Link { seq: self.seq + u64::from(self.kind == KIND_RECORD), crc: self.crc }
    }

    fn continues(&self, link: Link) -> bool {
        self.seq == link.seq && self.prev == link.crc
    }
}

#[derive(Debug, Default)]
struct Collected {
    frames: Vec<Piece>,
    /// Where the search was given up.
    gave_up: Option<u64>,
}

/// Every frame from `from` on that verifies in itself.
fn collect(window: &mut Window<'_>, from: u64, seq: u64, end: u64) -> Result<Collected, Stop> {
    let mut budget = end.saturating_sub(from).saturating_mul(BUDGET_FACTOR).saturating_add(BUDGET_BYTES_MIN);
    let ahead = SEQS_AHEAD_MAX.saturating_add(end / FRAME_HEADER_BYTES as u64);
    let mut found = Collected::default();
    let mut at = from;
    // Right behind a frame any other may follow, whatever its seq.
    let mut seq_max = u64::MAX;
    let mut seq_last = seq;
    while at + FRAME_HEADER_BYTES as u64 <= end {
        let bytes = window.bytes(at, FRAME_HEADER_BYTES)?;
        let Some(claim) = frame::claim(bytes) else {
            break;
        };
        if !is_plausible(&claim, seq_max, end - at) {
            // Lost blocks read as zeros, and there can be gigabytes of them.
            let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
            at += (zeros.saturating_sub(FRAME_HEADER_BYTES) + 1) as u64;
            seq_max = seq_last.saturating_add(ahead);
            continue;
        }
        let Some(rest) = budget.checked_sub(claim.len as u64) else {
            found.gave_up = Some(at);
            break;
        };
        let whole = window.bytes(at, claim.len)?;
        // What it continues does not matter here, only whether it is whole.
        let (Check::Valid(frame) | Check::Misfit(frame)) = frame::check(whole, Link { seq: 0, crc: 0 }) else {
            budget = rest;
            at += 1;
            seq_max = seq_last.saturating_add(ahead);
            continue;
        };
        if frame.kind == KIND_SEAL && seal_at(&frame, at).is_none() {
            budget = rest;
            at += 1;
            seq_max = seq_last.saturating_add(ahead);
            continue;
        }
        let Frame { kind, seq, crc, prev, unsynced, .. } = frame;
        found.frames.push(Piece { offset: at, len: claim.len, kind, seq, crc, prev, unsynced });
        at += claim.len as u64;
        seq_max = u64::MAX;
        if seq <= seq_last.saturating_add(ahead) {
            seq_last = seq_last.max(seq);
        }
    }
    Ok(found)
}

fn is_plausible(claim: &Claim, seq_max: u64, room: u64) -> bool {
    let known = matches!(claim.kind, KIND_RECORD | KIND_SEAL) || claim.kind >= KIND_SKIPPABLE_MIN;
    known && claim.seq <= seq_max && claim.seq != u64::MAX && claim.len as u64 <= room
}

/// Everything from the first damage on.
fn behind_damage(
    window: &mut Window<'_>,
    mut tip: Tip,
    walk: &mut Walk,
    visit: &mut Visit<'_>,
) -> Result<(), Stop> {
    let end = window.end;
    let found = collect(window, tip.offset, tip.link.seq, end)?;
    let pieces = &found.frames;
    let misfit_here = pieces.first().is_some_and(|first| first.offset == tip.offset);
    if found.gave_up.is_none() && !misfit_here && !pieces.iter().any(|piece| piece.seq >= tip.link.seq) {
        return tail(window, tip, walk, visit);
    }
    let order = Order::new(pieces);
    // What has been made of each piece: it was taken, or told to be doubled.
    let mut settled = vec![false; pieces.len()];
    let mut taken = vec![false; pieces.len()];
    while let Some((at, step)) = order.next(pieces, &taken, tip) {
        let next = pieces[at];
        if step != Next::Adjacent {
            let Gap { damage, mended } = gap(window, pieces, tip, next, step)?;
            for (seq, (offset, bytes)) in (tip.link.seq..).zip(&mended) {
                walk.frames += 1;
                let payload = &bytes[FRAME_HEADER_BYTES..];
                let segment = window.segment;
                let found =
                    Found { segment, offset: *offset, seq, frame_bytes: bytes.len(), payload, mended: true };
                if visit(Event::Record(found)).is_break() {
                    return Ok(());
                }
            }
            if damage.kind == DamageKind::Doubled {
                let from = pieces.partition_point(|piece| piece.offset < tip.offset);
                let to = pieces.partition_point(|piece| piece.offset < next.offset);
                settled[from..to].fill(true);
            }
            // Nothing that continues another history can be told from it.
            let is_over = damage.kind == DamageKind::OtherHistory;
            if visit(Event::Damage(damage)).is_break() || is_over {
                return Ok(());
            }
        }
        settled[at] = true;
        taken[at] = true;
        let segment = window.segment;
        let bytes = window.bytes(next.offset, next.len)?;
        tip = Tip { offset: next.end(), link: next.next() };
        if let Check::Valid(frame) = frame::check(bytes, Link { seq: next.seq, crc: next.prev }) {
            walk.frames += 1;
            walk.records = tip.link.seq;
            // Nobody looks at what is behind a seal.
            if frame.kind == KIND_SEAL {
                walk.sealed = seal_at(&frame, next.offset).map(|seal| (seal, next.seq));
                return Ok(());
            }
            if visit(event(&frame, next.offset, segment)).is_break() {
                return Ok(());
            }
        }
    }
    let unsettled = settled.contains(&false);
    leftovers(window, &found, unsettled, tip, walk, visit)
}

/// How the next frame follows the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// It continues it, and stands right behind it.
    Adjacent,
    /// It continues it, and stands elsewhere.
    Chained,
    /// Records between them are missing.
    Gap,
    /// It has the next seq and continues another history.
    OtherHistory,
}

/// The pieces in orders that find the next one without a search: hostile logs have many with the same seq.
struct Order {
    by_seq: Vec<usize>,
    by_link: Vec<usize>,
}

impl Order {
    fn new(pieces: &[Piece]) -> Order {
        let mut by_seq: Vec<usize> = (0..pieces.len()).collect();
        let mut by_link = by_seq.clone();
        by_seq.sort_by_key(|&at| (pieces[at].seq, pieces[at].offset));
        by_link.sort_by_key(|&at| (pieces[at].seq, pieces[at].prev, pieces[at].offset));
        Order { by_seq, by_link }
    }

    /// The frame that comes next in the log, wherever it stands.
    fn next(&self, pieces: &[Piece], taken: &[bool], tip: Tip) -> Option<(usize, Next)> {
        let Tip { offset, link } = tip;
        // Frames that are no records can be made to continue one another in a circle.
        let place = |index: &usize| (pieces[*index].seq, pieces[*index].prev);
        let chain = self.by_link.partition_point(|at| place(at) < (link.seq, link.crc));
        let chain = &self.by_link[chain..];
        let ahead = chain.partition_point(|at| place(at) == (link.seq, link.crc) && pieces[*at].offset < offset);
        let chained = chain.get(ahead).filter(|at| pieces[**at].continues(link)).or_else(|| chain.first());
        if let Some(&at) = chained.filter(|at| pieces[**at].continues(link) && !taken[**at]) {
            return Some((at, if pieces[at].offset == offset { Next::Adjacent } else { Next::Chained }));
        }
        let first = self.by_seq.partition_point(|&at| pieces[at].seq < link.seq);
        let mut from = self.by_seq[first..].iter().copied();
        let other = from.find(|&at| pieces[at].seq > link.seq || pieces[at].kind == KIND_RECORD)?;
        Some((other, if pieces[other].seq > link.seq { Next::Gap } else { Next::OtherHistory }))
    }
}

struct Gap {
    damage: Damage,
    mended: Vec<(u64, Vec<u8>)>,
}

/// Describes what lies between the tip and the frame that comes next.
fn gap(window: &mut Window<'_>, pieces: &[Piece], tip: Tip, next: Piece, step: Next) -> Result<Gap, Stop> {
    let bytes = next.offset.saturating_sub(tip.offset);
    let doubled = pieces.iter().any(|piece| piece.offset >= tip.offset && piece.offset < next.offset);
    let mut damage = Damage {
        segment: window.segment,
        offset: tip.offset,
        bytes,
        lost: tip.link.seq..next.seq,
        kind: DamageKind::Overwritten,
        mended: 0,
        continuous: step == Next::Chained,
        lost_stable: 0,
    };
    let mut mended = Vec::new();
    match step {
        Next::Adjacent | Next::Chained => {
            damage.kind = if doubled { DamageKind::Doubled } else { DamageKind::Inserted };
        }
        Next::OtherHistory => {
            damage.kind = DamageKind::OtherHistory;
            damage.bytes = window.end.saturating_sub(tip.offset);
        }
        Next::Gap if next.offset <= tip.offset => damage.kind = DamageKind::CutOut,
        Next::Gap => {
            let result = mend_gap(window, tip, next)?;
            damage.continuous = result.continuous;
            damage.mended = result.frames.len() as u64;
            damage.lost = result.lost;
            mended = result.frames;
        }
    }
    let stable = next.seq.saturating_sub(u64::from(next.unsynced));
    damage.lost_stable = stable.min(damage.lost.end).saturating_sub(damage.lost.start);
    Ok(Gap { damage, mended })
}

struct Mended {
    frames: Vec<(u64, Vec<u8>)>,
    continuous: bool,
    lost: Range<u64>,
}

/// Walks over the lost frames by their headers. A header whose seq and predecessor's checksum are right is
/// genuine, whatever became of its payload; and the frame after the last one repeats that one's checksum.
fn mend_gap(window: &mut Window<'_>, tip: Tip, next: Piece) -> Result<Mended, Stop> {
    let mut result = Mended { frames: Vec::new(), continuous: false, lost: tip.link.seq..next.seq };
    let Tip { mut offset, mut link } = tip;
    let mut all = true;
    while link.seq < next.seq && offset + FRAME_HEADER_BYTES as u64 <= next.offset {
        let room = next.offset - offset;
        let Some(claim) = frame::claim(window.bytes(offset, FRAME_HEADER_BYTES)?) else {
            break;
        };
        let is_last = link.seq + 1 == next.seq;
        let genuine = claim.kind == KIND_RECORD && claim.seq == link.seq && claim.prev == link.crc;
        let fits = if is_last { claim.len as u64 == room } else { claim.len as u64 <= room };
        let crc_known = is_last.then_some(next.prev);
        if !(is_last || genuine && fits) {
            break;
        }
        let len = if is_last { room } else { claim.len as u64 };
        if len > (RECORD_BYTES_MAX + FRAME_HEADER_BYTES) as u64 {
            break;
        }
        let crc = crc_known.unwrap_or(claim.crc);
        let body = window.exactly(offset, len as usize)?;
        if is_last && (claim.crc == next.prev && genuine && fits) {
            result.continuous = true;
        }
        match mend(body, link, crc, Checksum::Certain) {
            Some(frame) => {
                result.continuous |= is_last;
                if all {
                    result.frames.push((offset, frame));
                    result.lost.start += 1;
                }
            }
            None => all = false,
        }
        offset += len;
        link = Link { seq: link.seq + 1, crc };
    }
    Ok(result)
}

/// What follows the last record: a torn tail, or what is left of other histories.
fn leftovers(
    window: &mut Window<'_>,
    found: &Collected,
    unsettled: bool,
    tip: Tip,
    walk: &mut Walk,
    visit: &mut Visit<'_>,
) -> Result<(), Stop> {
    let last = found.frames.iter().map(Piece::end).max().unwrap_or(tip.offset);
    if let Some(offset) = found.gave_up {
        let damage = Damage {
            segment: window.segment,
            offset,
            bytes: window.end - offset,
            lost: tip.link.seq..tip.link.seq,
            kind: DamageKind::Unsearched,
            mended: 0,
            continuous: false,
            lost_stable: 0,
        };
        let _ = visit(Event::Damage(damage));
        return Ok(());
    }
    // Frames behind the last record that add nothing: they repeat what was there before.
    if unsettled {
        let damage = Damage {
            segment: window.segment,
            offset: tip.offset,
            bytes: last.saturating_sub(tip.offset),
            lost: tip.link.seq..tip.link.seq,
            kind: DamageKind::Doubled,
            mended: 0,
            continuous: true,
            lost_stable: 0,
        };
        if visit(Event::Damage(damage)).is_break() {
            return Ok(());
        }
    }
    if last < window.end {
        let tip = Tip { offset: last, link: tip.link };
        return tail(window, tip, walk, visit);
    }
    Ok(())
}

/// Bytes behind the last frame that hold no other.
fn tail(window: &mut Window<'_>, tip: Tip, walk: &mut Walk, visit: &mut Visit<'_>) -> Result<(), Stop> {
    // A damaged file may be shorter than the header that it lacks.
    let Some(bytes) = window.end.checked_sub(tip.offset) else {
        return Ok(());
    };
    let mut torn = TornTail { offset: tip.offset, bytes, mendable: false };
    let mut mended = None;
    if bytes >= FRAME_HEADER_BYTES as u64 && bytes <= (RECORD_BYTES_MAX + FRAME_HEADER_BYTES) as u64 {
        let body = window.exactly(tip.offset, bytes as usize)?;
        if let Some(claim) = frame::claim(&body)
            && (claim.len == body.len() || claim.prev == tip.link.crc && claim.seq == tip.link.seq)
        {
            mended = mend(body, tip.link, claim.crc, Checksum::Doubtful);
        }
    }
    if let Some(bytes) = &mended {
        torn.mendable = true;
        walk.frames += 1;
        let payload = &bytes[FRAME_HEADER_BYTES..];
        let seq = tip.link.seq;
        let segment = window.segment;
        let found = Found { segment, offset: tip.offset, seq, frame_bytes: bytes.len(), payload, mended: true };
        walk.records = seq + 1;
        let _ = visit(Event::Record(found));
    }
    walk.tail = Some(torn);
    Ok(())
}
