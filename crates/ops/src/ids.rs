//! Identifiers, positions and times, each a type of its own so that they cannot be mistaken for one another.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A study of one log: studies are numbered from 0 in the order in which the log accepted them, and a
    /// number is never used again.
    StudyId(u32)
}
id! {
    /// A trial of one log: trials are numbered from 0 over all studies in log order.
    TrialId(u64)
}
id! {
    /// A trial's place in its study, from 0 in log order. This is the number that people see.
    TrialNumber(u32)
}
id! {
    /// A parameter's name and distribution, numbered from 0 over the log in the order of first use.
    ParamKey(u32)
}
id! {
    /// The name of a metric, numbered from 0 over the log in the order of first use.
    MetricKey(u32)
}
id! {
    /// A session, numbered from 0 over the log in the order of first records.
    SessionKey(u32)
}
id! {
    /// A worker, numbered from 0 over the log in the order of first records.
    WorkerKey(u32)
}
id! {
    /// A moment: microseconds since 1970-01-01T00:00:00 UTC, written into an op by its author.
    Timestamp(i64)
}

/// One sequential writer: its worker's id, and a slot of the worker, since a worker writes from as many sessions as
/// it has threads that commit at once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub [u8; 16]);

/// One process with one handle on the log: 96 random bits, drawn anew by every handle and after a fork.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub [u8; 12]);

impl SessionId {
    /// The session of a worker in one of its slots.
    #[must_use]
    pub fn new(worker: WorkerId, slot: u32) -> SessionId {
        let mut id = [0; 16];
        id[..12].copy_from_slice(&worker.0);
        id[12..].copy_from_slice(&slot.to_le_bytes());
        SessionId(id)
    }

    /// The worker that writes in this session: the first 12 bytes.
    #[must_use]
    pub fn worker(&self) -> WorkerId {
        let mut id = [0; 12];
        id.copy_from_slice(&self.0[..12]);
        WorkerId(id)
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorkerId({self})")
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

impl TrialNumber {
    /// The number as an index into columns.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}
