//! Holes that a loss of power left are gone on behind, and what is behind them is set aside; damage is left alone. And what
//! a handle does with bytes that another one failed to sync.

use crate::support::{PATH, append, open, open_as, open_read_only, read_all};
use std::io;
use std::ops::ControlFlow;
use trialog_journal::{Durability, Error, History, Journal, Seq};
use trialog_journal_file::files;
use trialog_testkit::{Call, Failure, FakeOs, Survival};

const SECTOR: usize = 512;

/// Twelve records of which the first six are safe, and where their frames begin.
fn log() -> (FakeOs, Vec<u8>, Vec<usize>) {
    let os = FakeOs::new();
    let journal = open(&os).unwrap();
    let mut ends = vec![64];
    for n in 0..12_usize {
        let durability = if n == 5 { Durability::Power } else { Durability::Process };
        let record = vec![n as u8 + 1; 100 + 37 * n];
        journal.append(&[&record], durability).unwrap();
        ends.push(ends[n] + 24 + record.len());
    }
    (os.process(1), os.file(PATH).unwrap(), ends)
}

/// The sectors of the records that nobody was promised, each lost alone.
#[test]
fn a_lost_sector_is_gone_on_behind() {
    let (_, good, ends) = log();
    let mut holes = 0;
    for sector in ends[6].div_ceil(SECTOR)..good.len() / SECTOR {
        let (from, to) = (sector * SECTOR, (sector + 1) * SECTOR);
        let hit = ends.iter().rposition(|&end| end <= from).unwrap();
        // The end of the log is a torn tail.
        if to > ends[11] {
            continue;
        }
        let os = FakeOs::new();
        let mut bytes = good.clone();
        bytes[from..to].fill(0);
        os.put(PATH, &bytes);
        let reader = open_read_only(&os).unwrap();
        let (records, error) = read_all(&reader);
        assert!(matches!(error, Some(Error::Corrupt { seq, .. }) if seq == hit as u64), "{error:?}");
        assert_eq!(records.len(), hit);
        assert_eq!(os.file(PATH).unwrap(), bytes, "a reader changes nothing");
        let journal = open(&os).unwrap();
        let (records, error) = read_all(&journal);
        assert!(error.is_none() && records.len() == hit, "{error:?}");
        let aside = journal.set_aside().unwrap().to_path_buf();
        assert_eq!(os.file(&aside).unwrap(), bytes[ends[hit]..], "nothing is dropped");
        assert_eq!(files::set_aside(&os, PATH.as_ref()).unwrap(), [aside]);
        assert_eq!(append(&journal, b"on").unwrap(), Seq(hit as u64));
        // The power goes once more: the cut is there to stay, before anything is written behind it.
        os.power_cut(Survival::Some(sector as u64));
        let (records, error) = read_all(&open(&os).unwrap());
        assert!(error.is_none() && records.len() >= hit, "{error:?}");
        holes += 1;
    }
    assert!(holes >= 3, "only {holes} holes were made");
}

/// The same sectors where a later writer knew them to be safe, and flipped bits anywhere.
#[test]
fn damage_is_left_alone() {
    let (_, good, ends) = log();
    let check = |bytes: &[u8], what: &str| {
        let os = FakeOs::new();
        os.put(PATH, bytes);
        let Ok(journal) = open(&os) else { return };
        let (_, error) = read_all(&journal);
        let refused = append(&journal, b"on");
        assert!(matches!(error, Some(Error::Corrupt { .. })), "{what}: {error:?}");
        assert!(matches!(refused, Err(Error::Corrupt { .. })), "{what}: {refused:?}");
        assert_eq!(os.file(PATH).unwrap(), bytes, "{what}");
        assert_eq!(files::set_aside(&os, PATH.as_ref()).unwrap(), Vec::<std::path::PathBuf>::new());
    };
    let mut bytes = good.clone();
    bytes[SECTOR..2 * SECTOR].fill(0);
    check(&bytes, "a sector of records that were known to be safe");
    for at in (ends[6]..ends[11]).step_by(11) {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        check(&bytes, "a flipped bit");
    }
}

/// Whoever dies while it sets something aside leaves a log that the next one goes on with, and loses nothing.
#[test]
fn setting_aside_survives_every_crash() {
    let (_, good, ends) = log();
    let sector = ends[8] / SECTOR;
    let mut bytes = good.clone();
    bytes[sector * SECTOR..(sector + 1) * SECTOR].fill(0);
    let hit = ends.iter().rposition(|&end| end <= sector * SECTOR).unwrap();
    let calls = {
        let os = FakeOs::new();
        os.put(PATH, &bytes);
        append(&open(&os).unwrap(), b"on").unwrap();
        os.calls().len()
    };
    for step in 0..=calls {
        for survival in
            [None, Some(Survival::Nothing), Some(Survival::Everything), Some(Survival::Some(step as u64))]
        {
            let os = FakeOs::new();
            os.put(PATH, &bytes);
            let failure = survival.map_or(Failure::Kill(7), |survival| Failure::PowerCut(7, survival));
            os.fail(None, step, failure);
            if let Ok(journal) = open(&os) {
                let _ = append(&journal, b"on");
            }
            os.heal();
            let os = os.process(5);
            let journal = open_as(&os, 5).unwrap();
            append(&journal, b"more").unwrap();
            let (records, error) = read_all(&journal);
            assert!(error.is_none() && records.len() > hit, "step {step}, {survival:?}: {error:?}");
            let kept = files::set_aside(&os, PATH.as_ref()).unwrap();
            let whole = kept.iter().any(|aside| os.file(aside).unwrap() == bytes[ends[hit]..]);
            assert!(whole, "step {step}, {survival:?}: what was behind the hole is gone");
        }
    }
}

/// A bit that flips in a seal makes it look like a torn tail; to cut it would leave behind all that came since.
#[test]
fn a_damaged_seal_is_not_cut_off() {
    let os = FakeOs::new();
    let journal = open(&os).unwrap();
    for _ in 0..5 {
        append(&journal, b"before").unwrap();
    }
    let mut source = |sink: &mut dyn FnMut(&[u8]) -> io::Result<()>| sink(b"the state");
    assert!(journal.compact(Seq(5), &mut source, History::Kept).unwrap());
    append(&journal, b"behind").unwrap();
    let good = os.file(PATH).unwrap();
    for bit in (good.len() - 92) * 8..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        os.put(PATH, &bytes);
        let late = open_as(&os, 2).unwrap();
        let refused = append(&late, b"lost");
        assert!(matches!(refused, Err(Error::Corrupt { seq: 5, .. })), "bit {bit}: {refused:?}");
        assert_eq!(os.file(PATH).unwrap(), bytes, "bit {bit}");
    }
}

/// What cannot be read is not gone.
#[test]
fn an_error_is_told_as_one() {
    let os = FakeOs::new();
    os.mount_network(None);
    let journal = open(&os).unwrap();
    append(&journal, b"a").unwrap();
    let reads = |os: &FakeOs| os.calls().iter().filter(|call| **call == Call::ReadAt).count();
    let before = reads(&os);
    append(&journal, b"b").unwrap();
    let each = reads(&os) - before;
    assert!(each > 0, "an append over the network looks whether the log is still there");
    for nth in 0..each {
        os.fail(Some(Call::ReadAt), nth, Failure::Errno(5));
        let error = append(&journal, b"c").unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        assert!(os.heal());
    }
    append(&journal, b"d").unwrap();
}

/// A sync that failed is told to whoever had the log open, and its bytes are still to be seen: who comes later writes
/// them again before it relies on them.
#[test]
fn bytes_of_a_failed_sync_are_written_again() {
    for compacts in [false, true] {
        let os = FakeOs::new();
        let first = open(&os).unwrap();
        first.append(&[b"safe"], Durability::Power).unwrap();
        os.fail(Some(Call::SyncData), 0, Failure::Errno(5));
        first.append(&[b"not safe"], Durability::Power).unwrap_err();
        let late = open_as(&os, 2).unwrap();
        if compacts {
            assert_eq!(late.read(Seq(0), &mut |_, _| ControlFlow::Continue(())).unwrap(), Seq(2));
            let mut source = |sink: &mut dyn FnMut(&[u8]) -> io::Result<()>| sink(b"the state");
            assert!(late.compact(Seq(1), &mut source, History::Kept).unwrap());
        }
        assert_eq!(late.append(&[b"behind"], Durability::Power).unwrap(), Seq(2));
        os.power_cut(Survival::Nothing);
        let (records, error) = read_all(&open(&os).unwrap());
        assert!(error.is_none(), "{error:?}");
        assert_eq!(records, [&b"safe"[..], b"not safe", b"behind"], "compacts: {compacts}");
    }
}

/// A creator that died leaves a header half done. Nothing follows it, so that a reader need not call it damaged.
#[test]
fn half_a_header_is_no_damage_to_a_reader() {
    let other = FakeOs::new();
    open(&other).unwrap();
    let header = other.file(PATH).unwrap();
    for mixed in 20..60 {
        let os = FakeOs::new();
        let mut bytes = header.clone();
        bytes[16..32].fill(0x5a);
        bytes.truncate(64);
        bytes[mixed..].copy_from_slice(&header[mixed..64]);
        os.put(PATH, &bytes);
        let (records, error) = read_all(&open_read_only(&os).unwrap());
        assert!(records.is_empty() && error.is_none(), "{error:?}");
    }
}
