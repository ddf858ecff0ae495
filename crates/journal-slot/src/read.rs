//! Finding and checking what others wrote: the next slot, the end of the log, and records that are not in memory any more.

use std::ops::ControlFlow;
use std::time::Duration;

use trialog_journal::{Error, Seq, Visitor};

use crate::known::Slot;
use crate::object::{self, Flaw, HEADER_BYTES, Header, Kind, Point, Token, VERSION};
use crate::store::Found;
use crate::{ATTEMPTS, Flow, PAUSE, SlotJournal, slot_key};

/// How many slots a segment takes. Fixed, so that everybody makes the same segments under the same names.
const SEGMENT_SLOTS: u64 = 256;
/// Slots that are longer than that together stay as they are: they are few requests for their length anyway.
const SEGMENT_BYTES_MAX: usize = 32 << 20;

const _: () = assert!(SEGMENT_SLOTS > 1);

/// Under what the segments are.
const SEGMENTS: &str = "segments";

fn segment_key(number: u64) -> String {
    format!("{SEGMENTS}/{number:020}")
}

impl SlotJournal {
    /// Learns the slots that come after what is known. False if there are none.
    pub(crate) fn fetch(&self) -> Result<bool, Error> {
        let known = self.known();
        let (tip, behind) = (known.tip(), known.behind);
        drop(known);
        let slots = self.slots_at(tip, behind)?;
        if slots.is_empty() {
            self.check_before(tip)?;
        }
        let mut known = self.known();
        known.behind = !slots.is_empty();
        let found = !slots.is_empty() || known.tip() != tip;
        slots.into_iter().for_each(|slot| known.push(slot));
        Ok(found)
    }

    /// The slots from a place on, as many as one or two requests give. None if there are none yet.
    fn slots_at(&self, at: Point, behind: bool) -> Result<Vec<Slot>, Error> {
        if behind && at.slot.is_multiple_of(SEGMENT_SLOTS) {
            let slots = self.segment_at(at)?;
            if !slots.is_empty() {
                return Ok(slots);
            }
        }
        let key = slot_key(at.slot);
        match self.store.get(&key)? {
            Found::Missing => Ok(Vec::new()),
            Found::Bytes(bytes) => Ok(vec![self.checked(&key, at, 0, bytes)?]),
            Found::Emptied => {
                let slots = self.segment_at(at)?;
                if slots.is_empty() {
                    return Err(self.folded(at.seq));
                }
                Ok(slots)
            }
        }
    }

    /// The slots from a place on that its segment has.
    fn segment_at(&self, at: Point) -> Result<Vec<Slot>, Error> {
        let number = at.slot / SEGMENT_SLOTS;
        let key = segment_key(number);
        let Found::Bytes(bytes) = self.store.get(&key)? else { return Ok(Vec::new()) };
        let (header, body, rest) = Header::split(&bytes).map_err(|flaw| self.flaw(&key, at.seq, 0, &flaw))?;
        if header.kind != Kind::Segment || header.log_id != self.log_id || !rest.is_empty() {
            return Err(self.corrupt(&key, at.seq, 0, "it is not the segment it should be"));
        }
        let (mut slots, mut at, mut rest) = (Vec::new(), at, body);
        for slot in number * SEGMENT_SLOTS..(number + 1) * SEGMENT_SLOTS {
            let offset = (bytes.len() - rest.len()) as u64;
            let (_, body, after) = Header::split(rest).map_err(|flaw| self.flaw(&key, at.seq, offset, &flaw))?;
            let whole = &rest[..HEADER_BYTES + body.len()];
            if slot == at.slot {
                let checked = self.checked(&key, at, offset, whole.to_vec())?;
                at = checked.end;
                slots.push(checked);
            }
            rest = after;
        }
        Ok(slots)
    }

    /// The object of the slot at a place, if it is that.
    fn checked(&self, key: &str, at: Point, offset: u64, bytes: Vec<u8>) -> Result<Slot, Error> {
        let (header, _, rest) = Header::split(&bytes).map_err(|flaw| self.flaw(key, at.seq, offset, &flaw))?;
        if header.kind != Kind::Records || header.log_id != self.log_id || !rest.is_empty() {
            return Err(self.corrupt(key, at.seq, offset, "it is not a slot of this log"));
        }
        if header.at != at {
            // Either it was written after something else than what we saw, or what we saw is gone.
            self.check_before(at)?;
            return Err(self.corrupt(key, at.seq, offset, "it does not follow on the slot before it"));
        }
        let end = header.end().ok_or_else(|| self.full())?;
        Ok(Slot { at, end, bytes })
    }

    pub(crate) fn flaw(&self, key: &str, seq: u64, offset: u64, flaw: &Flaw) -> Error {
        match *flaw {
            Flaw::Foreign => self.corrupt(key, seq, offset, "it is none of Trialog's objects"),
            Flaw::Newer(version) => Error::NewerFormat {
                location: self.key_location(key),
                found: format!("format version {version}"),
                supported: VERSION,
            },
            Flaw::Damaged(at, detail) => self.corrupt(key, seq, offset + at, detail),
        }
    }

    pub(crate) fn corrupt(&self, key: &str, seq: u64, offset: u64, detail: &str) -> Error {
        Error::Corrupt { location: self.key_location(key), offset, seq, detail: detail.to_owned() }
    }

    /// The records from `asked` on were given up.
    fn folded(&self, asked: u64) -> Error {
        if let Err(error) = self.newest_base() {
            return error;
        }
        match self.known().base {
            Some(base) if base.seq > asked => {
                Error::Folded { location: self.store.location.clone(), asked, first: base.seq }
            }
            _ => {
                self.corrupt(SEGMENTS, asked, 0, "a slot is empty, and neither a segment nor a base stands for it")
            }
        }
    }

    /// Hands over records that are not in memory, from `next` to `until`.
    pub(crate) fn visit_stored(&self, next: &mut u64, until: u64, visit: &mut Visitor<'_>) -> Result<Flow, Error> {
        let mut at = self.known().point_before(*next);
        while at.seq < until {
            let slots = self.slots_seen_before(at).map_err(|error| match error {
                Error::Folded { location, first, .. } => Error::Folded { location, asked: *next, first },
                error => error,
            })?;
            let Some(last) = slots.last() else {
                let location = self.store.location.clone();
                return Err(Error::Regressed { location, seen: until, found: at.seq });
            };
            at = last.end;
            self.known().note(at);
            for slot in &slots {
                for (seq, record) in object::records(slot.at.seq, &slot.bytes[HEADER_BYTES..], *next) {
                    if seq >= until {
                        return Ok(ControlFlow::Continue(()));
                    }
                    *next = seq + 1;
                    if visit(Seq(seq), record).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The slots from a place on at which there were some. A store that says otherwise is asked again.
    pub(crate) fn slots_seen_before(&self, at: Point) -> Result<Vec<Slot>, Error> {
        for attempt in 1..ATTEMPTS {
            let slots = self.slots_at(at, true)?;
            if !slots.is_empty() {
                return Ok(slots);
            }
            std::thread::sleep(PAUSE * (1 << attempt));
        }
        self.slots_at(at, true)
    }

    /// Goes to the end of a log of which nothing was read.
    pub(crate) fn seek_end(&self) -> Result<(), Error> {
        let start = self.known().tip();
        let end = self.end_after(start)?;
        self.known().resume(end);
        self.catch_up()
    }

    /// Learns all that there is, or as much of it as was not given up.
    pub(crate) fn catch_up(&self) -> Result<(), Error> {
        loop {
            match self.fetch() {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(Error::Folded { .. }) if self.skip_to_base() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Goes on behind the records that a base stands for. False if that is not ahead.
    pub(crate) fn skip_to_base(&self) -> bool {
        let mut known = self.known();
        let ahead = known.base.filter(|base| base.point.slot > known.tip().slot);
        if let Some(base) = ahead {
            known.resume(base.point);
        }
        ahead.is_some()
    }

    /// The end of the log, or a place shortly before it, by steps that double and then halve: names of slots are never
    /// free again, so that they are there up to the end and not beyond.
    pub(crate) fn end_after(&self, start: Point) -> Result<Point, Error> {
        let is_there = |slot: u64| self.store.size(&slot_key(slot)).map(|size| size.is_some());
        if !is_there(start.slot)? {
            return Ok(start);
        }
        let (mut low, mut step) = (start.slot, 1_u64);
        let mut high = loop {
            let slot = low.saturating_add(step);
            if !is_there(slot)? {
                break slot;
            }
            (low, step) = (slot, step.saturating_mul(2));
        };
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if is_there(middle)? { low = middle } else { high = middle }
        }
        let key = slot_key(low);
        let Found::Bytes(bytes) = self.store.head(&key, HEADER_BYTES)? else {
            // The last slot is never emptied: somebody was faster than we looked, or it is missing now.
            return Ok(start);
        };
        let header = Header::parse(&bytes).map_err(|flaw| self.flaw(&key, start.seq, 0, &flaw))?;
        if header.kind != Kind::Records || header.log_id != self.log_id || header.at.slot != low {
            return Err(self.corrupt(&key, header.at.seq, 0, "it is not a slot of this log"));
        }
        header.end().ok_or_else(|| self.full())
    }

    /// Makes the segment of the slots before one at which a run of them ends, if it does and they are at hand.
    pub(crate) fn fold_before(&self, slot: u64) -> Result<(), Error> {
        // One run later, so that those who follow the log have read it as slots.
        if !slot.is_multiple_of(SEGMENT_SLOTS) || slot < 2 * SEGMENT_SLOTS {
            return Ok(());
        }
        let number = slot / SEGMENT_SLOTS - 2;
        let run = number * SEGMENT_SLOTS..(number + 1) * SEGMENT_SLOTS;
        let known = self.known();
        let at_hand: Option<Vec<_>> = run.map(|slot| known.tail_slot(slot)).collect();
        drop(known);
        let Some(slots) = at_hand else { return Ok(()) };
        let bytes: usize = slots.iter().map(|slot| slot.bytes.len()).sum();
        if bytes > SEGMENT_BYTES_MAX {
            return Ok(());
        }
        let body: Vec<u8> = slots.iter().flat_map(|slot| slot.bytes.iter().copied()).collect();
        // The same bytes whoever makes it.
        let token = Token { writer: [0; 16], counter: 0 };
        let header = Header::new(Kind::Segment, self.log_id, slots[0].at, SEGMENT_SLOTS, token, &body);
        self.store.create(&segment_key(number), header.with(&body)).map(drop)
    }

    /// The runs of slots that segments stand for, and for how long they have.
    pub(crate) fn segments_stored(&self) -> Result<Vec<(u64, Duration)>, Error> {
        let listed = self.store.list(SEGMENTS)?;
        Ok(listed.iter().filter_map(|listed| Some((listed.name.parse().ok()?, listed.age))).collect())
    }

    /// The slots of a run.
    pub(crate) fn slots_of(number: u64) -> std::ops::Range<u64> {
        number.saturating_mul(SEGMENT_SLOTS)..number.saturating_add(1).saturating_mul(SEGMENT_SLOTS)
    }

    pub(crate) fn delete_segment(&self, number: u64) -> Result<(), Error> {
        self.store.delete(&segment_key(number))
    }
}
