//! Sessions: each is one sequential writer, so a process has as many as threads that commit at the same time.

use rand::TryRng;
use rand::rngs::SysRng;
use trialog_codec::{decode_record, encode_record};
use trialog_journal::RECORD_BYTES_MAX;
use trialog_ops::{Record, SessionId};

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
}

impl Sessions {
    /// An idle session, or a new one.
    pub(crate) fn take(&mut self) -> Result<Session, Error> {
        self.idle.pop().map_or_else(Session::new, Ok)
    }

    pub(crate) fn put_back(&mut self, session: Session) {
        self.idle.push(session);
    }

    /// Drops what a forked child inherits: it belongs to the parent.
    pub(crate) fn disown(&mut self) {
        self.idle.clear();
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

    pub(crate) fn new() -> Result<Session, Error> {
        let mut id = [0; 16];
        SysRng.try_fill_bytes(&mut id).map_err(|error| Error::NoEntropy { detail: error.to_string() })?;
        Ok(Session { id: SessionId(id), counter: 0, buffer: Vec::new() })
    }
}
