//! What several of these tests need.

use std::path::Path;

pub(crate) use trialog_journal::conformance::records as read;
use trialog_journal::{Durability, Error, Journal};
use trialog_journal_redb::{Options, RedbJournal};

pub(crate) fn open(path: &Path) -> Result<RedbJournal, Error> {
    RedbJournal::open(path, Options::default())
}

pub(crate) fn open_shared(path: &Path) -> Result<RedbJournal, Error> {
    RedbJournal::open(path, Options { multi_writer: true, ..Options::default() })
}

pub(crate) fn append(journal: &dyn Journal, record: &[u8], durability: Durability) -> u64 {
    journal.append(&[record], durability).unwrap().0
}
