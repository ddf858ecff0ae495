//! What several of these tests need.

use std::ops::ControlFlow;
use std::sync::Arc;
use trialog_journal::{Durability, Error, Journal, Seq};
use trialog_journal_file::{FileJournal, Options};
use trialog_testkit::FakeOs;

/// The path of the log on a faked machine.
pub(crate) const PATH: &str = "/study.tlog";

pub(crate) fn open(os: &FakeOs) -> Result<FileJournal, Error> {
    open_as(os, 1)
}

pub(crate) fn open_as(os: &FakeOs, process: u32) -> Result<FileJournal, Error> {
    FileJournal::open_on(Arc::new(os.process(process)), PATH, &Options::default())
}

pub(crate) fn open_read_only(os: &FakeOs) -> Result<FileJournal, Error> {
    let options = Options { read_only: true, ..Options::default() };
    FileJournal::open_on(Arc::new(os.process(1)), PATH, &options)
}

/// All records that can be read, and the error at which reading ended.
pub(crate) fn read_all(journal: &dyn Journal) -> (Vec<Vec<u8>>, Option<Error>) {
    let mut records = Vec::new();
    let result = journal.read(Seq(0), &mut |seq, record| {
        assert_eq!(seq.0, records.len() as u64);
        records.push(record.to_vec());
        ControlFlow::Continue(())
    });
    (records, result.err())
}

pub(crate) fn append(journal: &dyn Journal, record: &[u8]) -> Result<Seq, Error> {
    journal.append(&[record], Durability::Process)
}

/// A log of `count` records of various lengths, and where each frame begins and the last one ends.
pub(crate) fn sample(count: u64) -> (FakeOs, Vec<u8>, Vec<Vec<u8>>, Vec<usize>) {
    let os = FakeOs::new();
    let journal = open(&os).unwrap();
    let mut ends = vec![64];
    let mut records = Vec::new();
    for i in 0..count {
        let record: Vec<u8> = (0..i * 7 % 40).map(|j| (i * j) as u8).collect();
        let durability = if i % 3 == 0 { Durability::Power } else { Durability::Process };
        journal.append(&[&record], durability).unwrap();
        ends.push(ends[i as usize] + 24 + record.len());
        records.push(record);
    }
    let bytes = os.file(PATH).unwrap();
    assert_eq!(bytes.len(), ends[count as usize]);
    (os, bytes, records, ends)
}
