//! Sessions: each is one sequential writer, so a process has as many as threads that commit at the same time.

use rand::TryRng;
use rand::rngs::SysRng;
use trialog_ops::SessionId;

use crate::Error;

/// One sequential writer, lent to one commit at a time.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    /// The counter of its last record.
    pub(crate) counter: u64,
    /// The bytes of its last record, kept for their capacity.
    pub(crate) buffer: Vec<u8>,
    process: u32,
}

/// The sessions that nobody uses now.
#[derive(Default)]
pub(crate) struct Sessions {
    idle: Vec<Session>,
}

impl Sessions {
    /// An idle session, or a new one. What a forked child inherits belongs to its parent and is dropped.
    pub(crate) fn take(&mut self) -> Result<Session, Error> {
        let process = std::process::id();
        while let Some(session) = self.idle.pop() {
            if session.process == process {
                return Ok(session);
            }
        }
        let mut id = [0; 16];
        SysRng.try_fill_bytes(&mut id).map_err(|error| Error::NoEntropy { detail: error.to_string() })?;
        Ok(Session { id: SessionId(id), counter: 0, buffer: Vec::new(), process })
    }

    pub(crate) fn put_back(&mut self, session: Session) {
        self.idle.push(session);
    }
}
