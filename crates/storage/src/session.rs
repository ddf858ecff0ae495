//! Sessions: each is one sequential writer, so a process has as many as threads that commit at the same time.

use rand::TryRng;
use rand::rngs::SysRng;
use trialog_codec::{decode_record, encode_record};
use trialog_journal::RECORD_BYTES_MAX;
use trialog_ops::{Record, SessionId, WorkerId};

use crate::Error;

/// One sequential writer, lent to one commit at a time.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    /// The counter of its last record.
    pub(crate) counter: u64,
    /// The bytes of its last record, kept for their capacity.
    pub(crate) buffer: Vec<u8>,
}

/// The sessions that nobody uses now.
#[derive(Default)]
pub(crate) struct Sessions {
    idle: Vec<Session>,
    /// This process as the writer of all its sessions, and the slot of its next one; none is used twice.
    worker: Option<(WorkerId, u32)>,
}

impl Sessions {
    /// An idle session, or a new one.
    pub(crate) fn take(&mut self) -> Result<Session, Error> {
        if let Some(session) = self.idle.pop() {
            return Ok(session);
        }
        let (worker, slot) = self.worker_and_slot()?;
        // A process that used up four thousand million slots goes on as another worker.
        self.worker = slot.checked_add(1).map(|next| (worker, next));
        Ok(Session { id: SessionId::new(worker, slot), counter: 0, buffer: Vec::new() })
    }

    /// The id of this process as a worker.
    pub(crate) fn worker(&mut self) -> Result<WorkerId, Error> {
        Ok(self.worker_and_slot()?.0)
    }

    fn worker_and_slot(&mut self) -> Result<(WorkerId, u32), Error> {
        if let Some(known) = self.worker {
            return Ok(known);
        }
        let mut id = [0; 12];
        SysRng.try_fill_bytes(&mut id).map_err(|error| Error::NoEntropy { detail: error.to_string() })?;
        Ok(*self.worker.insert((WorkerId(id), 0)))
    }

    pub(crate) fn put_back(&mut self, session: Session) {
        self.idle.push(session);
    }

    /// Drops what a forked child inherits: it belongs to the parent, and the child is a worker of its own.
    pub(crate) fn disown(&mut self) {
        self.idle.clear();
        self.worker = None;
    }
}

impl Session {
    /// Puts the record's bytes into the buffer and counts it. What nobody could read must not get into a log that is
    /// kept for ever (a NaN as a final value, say), and is refused here.
    pub(crate) fn encode(&mut self, record: &Record) -> Result<(), Error> {
        self.buffer.clear();
        encode_record(record, &mut self.buffer);
        if self.buffer.len() > RECORD_BYTES_MAX {
            let bytes = self.buffer.len();
            self.buffer = Vec::new();
            return Err(trialog_journal::Error::TooLarge { bytes }.into());
        }
        decode_record(&self.buffer).map_err(|source| Error::Refused { source })?;
        self.counter = record.counter;
        Ok(())
    }
}
