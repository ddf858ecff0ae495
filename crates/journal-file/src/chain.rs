//! How a handle goes from segment to segment: behind a seal, to the newest one when its own is gone, and back to
//! earlier ones for old records.

use crate::known::{Known, Past};
use crate::os::Access;
use crate::place::Place;
use crate::segment;
use crate::{FileJournal, LOOK_AGAIN_PAUSE, LOOKS_AGAIN, Opened, write_full};
use std::ops::ControlFlow;
use std::sync::Arc;

use trialog_journal::header::FLAG_FOLDED;
use trialog_journal::seal::Seal;
use trialog_journal::{Error, Seq, Visitor};

/// A snapshot and its position, if there is one.
type Base = Option<(Seq, Vec<u8>)>;

impl FileJournal {
    /// On opening: the entry file says by its last bytes whether the log has gone on elsewhere.
    pub(crate) fn go_to_newest(&self) -> Result<(), Error> {
        let opened = self.opened();
        let Some(header) = opened.known.header() else {
            return Ok(());
        };
        if header.is_later_segment() {
            let found = "it is a later segment of a log: open the file whose name lacks the number";
            return Err(self.place.not_a_log(found));
        }
        let log_id = header.log_id;
        drop(opened);
        if segment::sealed(&*self.os, &self.path, 0, &log_id).is_none() {
            return Ok(());
        }
        // If this comes to nothing, reading meets the seal and says what is wrong.
        self.relocate(0).map(drop)
    }

    /// Goes to the newest segment if that is a later one than `number`; false if it is not.
    fn relocate(&self, number: u64) -> Result<bool, Error> {
        let opened = self.opened();
        if opened.number != number {
            return Ok(true);
        }
        let Some(log_id) = opened.known.header().map(|header| header.log_id) else {
            return Ok(false);
        };
        drop(opened);
        for look in 0..=LOOKS_AGAIN {
            if let Ok(Some(last)) = segment::last_sealed(&*self.os, &self.path, &log_id) {
                if last.seal.number <= number {
                    return Ok(false);
                }
                if let Some(next) = self.open_successor(last.number, &last.seal, last.seq) {
                    self.go_over(number, next);
                    return Ok(true);
                }
            }
            // Between a list of the files and a look at them, all may have been folded. But without a first seal
            // there is only one.
            if look == LOOKS_AGAIN || segment::sealed(&*self.os, &self.path, 0, &log_id).is_none() {
                break;
            }
            self.os.sleep(LOOK_AGAIN_PAUSE * (1 << look));
        }
        Ok(false)
    }

    /// After trouble with segment `number`: whatever it was, it matters no more if the log goes on elsewhere.
    pub(crate) fn relocate_after(&self, number: u64, error: Error) -> Result<(), Error> {
        let is_final = matches!(error, Error::Locked { .. } | Error::NewerFormat { .. } | Error::Poisoned { .. });
        if is_final || self.poison.get().is_some() || !self.relocate(number)? { Err(error) } else { Ok(()) }
    }

    /// Goes on where the seal of segment `number` says, behind `seq` records.
    pub(crate) fn follow(&self, number: u64, seal: &Seal, seq: u64) -> Result<(), Error> {
        for look in 0..=LOOKS_AGAIN {
            // Makes a network client see the new name.
            let _ = self.os.list_dir(segment::folder_of(&self.path));
            if let Some(next) = self.open_successor(number, seal, seq) {
                self.go_over(number, next);
                return Ok(());
            }
            // The successor may be folded already.
            if self.relocate(number)? {
                return Ok(());
            }
            if look < LOOKS_AGAIN {
                self.os.sleep(LOOK_AGAIN_PAUSE * (1 << look));
            }
        }
        let missing = segment::path_of(&self.path, seal.number);
        let detail = format!(
            "the log goes on in {}, which is missing or is not what was written: a log is copied and moved with all its \
             files",
            missing.display()
        );
        Err(self.place.corrupt(seal.at, seq, detail))
    }

    fn open_successor(&self, number: u64, seal: &Seal, seq: u64) -> Option<Opened> {
        let path = segment::path_of(&self.path, seal.number);
        let access = if self.writable { Access::Write } else { Access::Read };
        let file = self.os.open(&path, access).ok()?;
        let mut known = Known::new();
        let is_it = known.load_header(&*file, &self.place).ok()? && known.resume_behind(seal, seq, &*file);
        is_it.then_some(())?;
        let identity = file.stat().ok()?.identity;
        let unsettled = self.writable.then_some(number);
        Some(Opened {
            file,
            known,
            number: seal.number,
            path,
            identity,
            rewritten: false,
            unsettled,
            seen: 0,
            before: None,
        })
    }

    /// Another thread may have been there first.
    fn go_over(&self, number: u64, next: Opened) {
        let mut opened = self.opened();
        if opened.number == number {
            let seen = opened.seen.max(opened.known.records());
            let last = std::mem::replace(&mut *opened, Opened { seen, ..next });
            opened.known.note_reader(last.known.reader());
            opened.before = if last.known.is_fresh() { last.before } else { Some(last.known) };
        }
    }

    /// Before anything is written that a seal leads to: makes that seal durable. Its writer does so too, under the
    /// lock, but it may have died in between.
    pub(crate) fn settle(&self) -> Result<(), Error> {
        let unsettled = self.opened().unsettled;
        let Some(number) = unsettled else {
            return Ok(());
        };
        self.settle_segment(number)?;
        let mut opened = self.opened();
        if opened.unsettled == Some(number) {
            opened.unsettled = None;
        }
        Ok(())
    }

    pub(crate) fn settle_segment(&self, number: u64) -> Result<(), Error> {
        let path = segment::path_of(&self.path, number);
        let file = match self.os.open(&path, Access::Write) {
            Ok(file) => file,
            // Whoever unlinked it had settled it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(self.place.io("open")(error)),
        };
        let held = self.lock(&*file)?;
        // Of what a dead client wrote, a server may forget what nobody else writes again; and a disk has nothing of what it
        // once failed to sync.
        let log_id = self.log_id().unwrap_or_default();
        if let Some((seal, frame)) = segment::seal_frame(&*file, &log_id) {
            write_full(&*file, seal.at, &frame).map_err(self.poisoning("write to"))?;
        }
        file.sync_data().map_err(self.poisoning("sync"))?;
        held.release().map_err(self.place.io("unlock"))
    }

    /// The snapshot that the segment begins with, and the segment's number.
    pub(crate) fn read_base(&self) -> (u64, Result<Base, Error>) {
        let opened = self.opened();
        let (file, number) = (Arc::clone(&opened.file), opened.number);
        let header = opened.known.header().copied().filter(|_| number > 0);
        let base = opened.known.base_offset();
        drop(opened);
        let Some(header) = header else {
            return (number, Ok(None));
        };
        let mut bytes = Vec::new();
        let parts = Past::whole(&header, base).walk(&*file, &self.place, &mut |_, frame| {
            bytes.extend_from_slice(frame.payload);
            ControlFlow::Continue(())
        });
        let base = parts.and_then(|walked| walked).map(|_| Some((Seq(header.first_seq), bytes)));
        (number, base)
    }

    /// Hands over records that lie before segment `number`.
    pub(crate) fn read_earlier(
        &self,
        number: u64,
        next: &mut u64,
        visit: &mut Visitor<'_>,
    ) -> Result<ControlFlow<()>, Error> {
        let opened = self.opened();
        if opened.number != number {
            return Ok(ControlFlow::Continue(()));
        }
        let Some(header) = opened.known.header().copied() else {
            return Ok(ControlFlow::Continue(()));
        };
        drop(opened);
        let numbers = segment::list(&*self.os, &self.path).map_err(self.place.io("list the folder of"))?;
        let mut target = (number, header);
        // What precedes a folded segment was given up with it, whatever its own compaction meant to keep.
        let mut folded = None;
        loop {
            let (number, header) = target;
            if header.flags & FLAG_FOLDED != 0 {
                folded = folded.or(Some(header.first_seq));
            }
            let gone = |detail: &str| {
                if let Some(first) = folded {
                    self.place.folded(*next, first)
                } else {
                    self.place.corrupt(0, *next, format!("the segment before number {number} {detail}"))
                }
            };
            let before = segment::before(&*self.os, &self.path, &numbers, number, &header.log_id);
            let Some(before) = before.map_err(self.place.io("read the segments of"))? else {
                return Err(gone("is missing"));
            };
            if before.header.first_seq > *next {
                target = (before.number, before.header);
                continue;
            }
            let from = *next;
            let place = Place { location: segment::path_of(&self.path, before.number).display().to_string() };
            let walked = Past::whole(&before.header, before.seal.at).visit(&*before.file, &place, next, visit);
            return match walked {
                Ok(Ok(flow)) if flow.is_break() || *next > from => Ok(flow),
                // What is given back reads as zeros; what lies before the hole is as good as ever, and may reach into the
                // next segment.
                Ok(Err(_)) if folded.is_some() && *next > from => Ok(ControlFlow::Continue(())),
                Ok(Ok(_) | Err(_)) if let Some(first) = folded => Err(self.place.folded(*next, first)),
                Ok(Ok(_)) => Err(self.place.corrupt(0, *next, String::from("the segment before ends too early"))),
                Ok(Err(error)) | Err(error) => Err(error),
            };
        }
    }
}
