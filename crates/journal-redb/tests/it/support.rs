//! What several of these tests need.

use std::ops::ControlFlow;
use std::path::Path;

use trialog_journal::{Durability, Error, Journal, Seq};
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

pub(crate) fn read(journal: &dyn Journal, from: u64) -> Result<Vec<Vec<u8>>, Error> {
    let mut records = Vec::new();
    journal.read(Seq(from), &mut |_, record| {
        records.push(record.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok(records)
}
