//! Snapshots and bases: objects of their own, named by the records they cover. And space that is given back.

use std::io;
use std::time::Duration;

use trialog_journal::{Error, History, Seq, SnapshotSource};

use crate::known::BaseAt;
use crate::object::{HEADER_BYTES, Header, Kind, Point};
use crate::store::{Created, Found};
use crate::{SlotJournal, lock, slot_key};

/// Under what snapshots are.
const SNAPSHOTS: &str = "snapshots";
/// Under what the bases are that stand in the place of records.
const BASES: &str = "bases";
/// Under what the bases are whose records are kept.
const KEPT: &str = "kept";

fn key_of(under: &str, seq: u64) -> String {
    format!("{under}/{seq:020}")
}

impl SlotJournal {
    /// The newest snapshot or base that verifies and belongs to what the log holds now.
    pub(crate) fn newest_snapshot(&self) -> Option<(Seq, Vec<u8>)> {
        let mut found = Vec::new();
        for under in [SNAPSHOTS, BASES, KEPT] {
            found.extend(self.covered(under).ok()?.into_iter().map(|seq| (seq, under)));
        }
        found.sort_unstable();
        found.into_iter().rev().find_map(|(seq, under)| {
            let (header, body) = self.load(under, seq).ok()??;
            self.check_before(header.at).ok()?;
            let mut known = self.known();
            if known.is_fresh() {
                known.resume(header.at);
            }
            if under != SNAPSHOTS {
                known.learn_base(BaseAt { point: header.at, seq, bytes: header.body_bytes() });
            }
            Some((Seq(seq), body))
        })
    }

    /// The newest base that stands in the place of records.
    pub(crate) fn newest_base(&self) -> Result<Option<(Seq, Vec<u8>)>, Error> {
        let mut gone = None;
        loop {
            let Some(seq) = self.covered(BASES)?.pop() else { return Ok(None) };
            if let Some((header, body)) = self.load(BASES, seq)? {
                self.known().learn_base(BaseAt { point: header.at, seq, bytes: header.body_bytes() });
                return Ok(Some((Seq(seq), body)));
            }
            // It is gone if a newer one came between the two requests, which is then named in its place.
            if gone.replace(seq) == Some(seq) {
                return Err(self.corrupt(&key_of(BASES, seq), seq, 0, "it is named and not there"));
            }
        }
    }

    /// How many records each object under a name covers, in order.
    fn covered(&self, under: &str) -> Result<Vec<u64>, Error> {
        Ok(self.store.list(under)?.iter().filter_map(|listed| listed.name.parse().ok()).collect())
    }

    fn load(&self, under: &str, seq: u64) -> Result<Option<(Header, Vec<u8>)>, Error> {
        let key = key_of(under, seq);
        let Found::Bytes(mut bytes) = self.store.get(&key)? else { return Ok(None) };
        let (header, _, rest) = Header::split(&bytes).map_err(|flaw| self.flaw(&key, seq, 0, &flaw))?;
        let kind = if under == SNAPSHOTS { Kind::Snapshot } else { Kind::Base };
        let covers = header.at.seq.checked_add(header.count);
        if header.kind != kind || header.log_id != self.log_id || covers != Some(seq) || !rest.is_empty() {
            return Err(self.corrupt(&key, seq, 0, "it is not the snapshot it should be"));
        }
        bytes.drain(..HEADER_BYTES);
        Ok(Some((header, bytes)))
    }

    pub(crate) fn store_snapshot(&self, at: u64, source: &mut SnapshotSource<'_>) -> Result<bool, Error> {
        let newest = self.covered(SNAPSHOTS)?.last().copied();
        let base = self.known().base.map(|base| base.seq);
        if at == 0 || newest.max(base).is_some_and(|newest| newest >= at) {
            return Ok(false);
        }
        Ok(self.store_covering(SNAPSHOTS, Kind::Snapshot, at, source)?.is_some())
    }

    pub(crate) fn store_base(
        &self,
        at: u64,
        source: &mut SnapshotSource<'_>,
        history: History,
    ) -> Result<bool, Error> {
        let under = if history == History::Folded { BASES } else { KEPT };
        let newest = self.covered(under)?.last().copied();
        if at == 0 || newest.is_some_and(|newest| newest >= at) {
            // So that what there is to compact is counted from there.
            self.newest_base()?;
            return Ok(false);
        }
        let Some((point, bytes)) = self.store_covering(under, Kind::Base, at, source)? else { return Ok(false) };
        self.known().learn_base(BaseAt { point, seq: at, bytes });
        self.delete_before(SNAPSHOTS, at + 1)?;
        Ok(true)
    }

    /// Stores what covers the first `at` records, and deletes what covers less. Where reading goes on behind it, and how long it
    /// is; `None` if somebody else was first.
    fn store_covering(
        &self,
        under: &str,
        kind: Kind,
        at: u64,
        source: &mut SnapshotSource<'_>,
    ) -> Result<Option<(Point, u64)>, Error> {
        let Some(point) = self.place_of(at)? else { return Ok(None) };
        let mut body = Vec::new();
        let written = source(&mut |piece| {
            body.extend_from_slice(piece);
            Ok(())
        });
        written.map_err(|source: io::Error| Error::Io {
            location: self.store.location.clone(),
            action: "write a snapshot of",
            source,
        })?;
        let token = *lock(&self.writer);
        let header = Header::new(kind, self.log_id, point, at - point.seq, token, &body);
        let key = key_of(under, at);
        match self.store.create(&key, header.with(&body)) {
            Ok(Created::New) => {}
            Ok(Created::Exists) => return Ok(None),
            // The reply may have been lost.
            Err(error) => match self.load(under, at) {
                Ok(Some((stored, _))) if stored == header => self.store.sync(under)?,
                _ => return Err(error),
            },
        }
        self.delete_before(under, at)?;
        Ok(Some((point, body.len() as u64)))
    }

    fn delete_before(&self, under: &str, seq: u64) -> Result<(), Error> {
        let older = self.covered(under)?.into_iter().filter(|&covers| covers < seq);
        older.into_iter().try_for_each(|covers| self.store.delete(&key_of(under, covers)))
    }

    /// Where reading has to begin to see all records from `seq` on. `None` if there are not so many.
    fn place_of(&self, seq: u64) -> Result<Option<Point>, Error> {
        let known = self.known();
        if let Some(point) = known.boundary(seq) {
            return Ok(Some(point));
        }
        if seq > known.tip().seq {
            return Ok(None);
        }
        let mut at = known.point_before(seq);
        drop(known);
        loop {
            let slots = self.slots_seen_before(at)?;
            let Some(last) = slots.last() else { return Ok(None) };
            at = last.end;
            if let Some(slot) = slots.iter().find(|slot| slot.at.seq <= seq && seq < slot.end.seq) {
                return Ok(Some(slot.at));
            }
            if at.seq == seq {
                return Ok(Some(at));
            }
        }
    }

    /// Empties the slots that a base or a segment has stood for since `grace`, and deletes the segments that a base stands for.
    /// Names of slots stay: a writer that slept through this must find its slot taken.
    pub(crate) fn give_back(&self, grace: Duration) -> Result<(), Error> {
        let base = self.store.list(BASES)?.pop().filter(|listed| listed.age >= grace);
        let mut limit = 0;
        if let Some(seq) = base.and_then(|listed| listed.name.parse::<u64>().ok())
            && let Found::Bytes(bytes) = self.store.head(&key_of(BASES, seq), HEADER_BYTES)?
            && let Ok(header) = Header::parse(&bytes)
            && header.kind == Kind::Base
            && header.log_id == self.log_id
        {
            // The slot before it stays, so that a log's last slot is never empty.
            limit = header.at.slot.saturating_sub(1);
        }
        let segments = self.segments_stored()?;
        let mut run = 0;
        while SlotJournal::slots_of(run).start < limit {
            let slots = SlotJournal::slots_of(run);
            self.empty_slots(slots.start..slots.end.min(limit))?;
            run += 1;
        }
        for (number, age) in segments {
            let slots = SlotJournal::slots_of(number);
            if slots.end <= limit {
                self.delete_segment(number)?;
            } else if age >= grace {
                self.empty_slots(slots)?;
            }
        }
        Ok(())
    }

    /// Empties slots of one run, in order: if the last is empty, all are.
    fn empty_slots(&self, slots: std::ops::Range<u64>) -> Result<(), Error> {
        if self.is_empty(slots.end - 1)? {
            return Ok(());
        }
        for slot in slots {
            if !self.is_empty(slot)? {
                self.store.empty(&slot_key(slot))?;
            }
        }
        Ok(())
    }

    fn is_empty(&self, slot: u64) -> Result<bool, Error> {
        match self.store.size(&slot_key(slot))? {
            Some(bytes) => Ok(bytes == 0),
            None => Err(self.corrupt(&slot_key(slot), 0, 0, "it is missing, and later ones are there")),
        }
    }
}
