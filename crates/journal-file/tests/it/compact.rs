//! Compaction: the log goes on in another file, whoever dies at whichever step, and nobody loses or doubles a record.

use crate::support::{PATH, append, open, open_as, open_read_only, read_all};
use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;
use trialog_journal::conformance;
use trialog_journal::{Durability, Error, History, Journal, Seq};
use trialog_journal_file::{FileJournal, Options};
use trialog_testkit::{Call, Failure, FakeOs, Lie, Survival};

const SECOND: &str = "/study.tlog.000001";
const THIRD: &str = "/study.tlog.000002";

fn record(seq: u64) -> Vec<u8> {
    format!("record {seq}").repeat(1 + seq as usize % 3).into_bytes()
}

/// What stands for the state of the first `at` records.
fn state(at: u64) -> Vec<u8> {
    (0..at).flat_map(record).collect()
}

fn fill(journal: &dyn Journal, seqs: std::ops::Range<u64>) {
    for seq in seqs {
        assert_eq!(append(journal, &record(seq)).unwrap(), Seq(seq));
    }
}

fn try_compact(journal: &dyn Journal, at: u64, history: History) -> Result<bool, Error> {
    let bytes = state(at);
    let mut source = |sink: &mut dyn FnMut(&[u8]) -> io::Result<()>| bytes.chunks(7000).try_for_each(&mut *sink);
    journal.compact(Seq(at), &mut source, history)
}

fn compact(journal: &dyn Journal, at: u64, history: History) {
    assert!(try_compact(journal, at, history).unwrap(), "compaction at {at}");
}

/// Reads from `from` on and checks every record; where it ended.
fn read(journal: &dyn Journal, from: u64) -> Result<u64, Error> {
    let mut next = from;
    let end = journal.read(Seq(from), &mut |seq, bytes| {
        assert_eq!((seq.0, bytes), (next, record(next).as_slice()));
        next += 1;
        ControlFlow::Continue(())
    })?;
    assert_eq!(end, Seq(next));
    Ok(next)
}

/// As a storage does it: from the beginning, or from the snapshot if the beginning was folded; how many records the log
/// has, all of which are as they should be.
fn replay(journal: &dyn Journal) -> Result<u64, Error> {
    match read(journal, 0) {
        Err(Error::Folded { .. }) => {
            let (at, bytes) = journal.load_base()?.expect("what is folded is in a snapshot");
            assert_eq!(bytes, state(at.0), "the snapshot at {at}");
            read(journal, at.0)
        }
        other => other,
    }
}

#[test]
fn the_log_goes_on_in_another_file() {
    let os = FakeOs::new();
    let journal = open(&os).unwrap();
    fill(&journal, 0..500);
    let reader = open_read_only(&os).unwrap();
    assert_eq!(read(&reader, 0).unwrap(), 500);
    compact(&journal, 400, History::Kept);
    let first = os.file(PATH).unwrap();
    fill(&journal, 500..600);
    assert_eq!(os.file(PATH).unwrap(), first, "nothing is written behind a seal");
    assert_eq!(read(&reader, 450).unwrap(), 600);
    assert_eq!(read(&reader, 0).unwrap(), 600);
    let late = open_as(&os, 2).unwrap();
    assert_eq!(late.load_snapshot(), Some((Seq(400), state(400))));
    assert_eq!(read(&late, 400).unwrap(), 600);
    for from in [0, 1, 399, 400, 401, 499, 500, 501, 600] {
        assert_eq!(read(&late, from).unwrap(), 600, "from {from}");
        assert_eq!(read(&open_as(&os, 3).unwrap(), from).unwrap(), 600, "from {from}");
    }
    fill(&late, 600..610);
    assert_eq!(read(&journal, 0).unwrap(), 610);
    assert!(matches!(read(&late, 611), Err(Error::Regressed { seen: 611, found: 610, .. })));
}

#[test]
fn folded_records_give_their_space_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tlog");
    let open = || FileJournal::open(&path, &Options::default()).unwrap();
    let journal = open();
    let behind = open();
    let big = vec![b'x'; 1 << 20];
    for _ in 0..8 {
        append(&journal, &big).unwrap();
    }
    assert_eq!(behind.read(Seq(0), &mut |_, _| ControlFlow::Break(())).unwrap(), Seq(1));
    let mut empty = |sink: &mut dyn FnMut(&[u8]) -> io::Result<()>| sink(b"all of it");
    assert!(journal.compact(Seq(8), &mut empty, History::Folded).unwrap());
    assert!(space(folder.path()) > 8 << 20, "the grace is not over");
    journal.reclaim(Duration::from_secs(3600)).unwrap();
    assert!(space(folder.path()) > 8 << 20, "the grace is not over");
    journal.reclaim(Duration::ZERO).unwrap();
    if cfg!(target_os = "linux") {
        assert!(space(folder.path()) < 1 << 20, "{} bytes are left", space(folder.path()));
    }
    // Whoever was in the middle of it hears that it is gone, not that it is damaged, and goes on.
    let error = behind.read(Seq(1), &mut |_, _| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, Error::Folded { first: 8, .. }), "{error}");
    assert_eq!(behind.load_base().unwrap(), Some((Seq(8), b"all of it".to_vec())));
    assert_eq!(append(&behind, b"on").unwrap(), Seq(8));
    assert_eq!(open().read(Seq(8), &mut |_, _| ControlFlow::Continue(())).unwrap(), Seq(9));
}

#[cfg(unix)]
fn space(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let files = std::fs::read_dir(folder).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().blocks() * 512).sum()
}

/// A writer that was 8 MiB behind, and whose record was folded before it had read it: it heard that its record vanished,
/// since what lay before the record was no longer to be had.
#[test]
fn what_an_append_came_past_is_read_though_others_fold_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tlog");
    let open = || FileJournal::open(&path, &Options::default()).unwrap();
    let (journal, behind) = (open(), open());
    let big = |seq: u64| vec![b'a' + seq as u8; 1 << 20];
    let compact = |at: u64| {
        let mut state = |sink: &mut dyn FnMut(&[u8]) -> io::Result<()>| sink(b"all of it");
        assert!(journal.compact(Seq(at), &mut state, History::Folded).unwrap());
        journal.reclaim(Duration::ZERO).unwrap();
    };
    let read_back = |from: u64, own: u64| {
        let mut next = from;
        let end = behind.read(Seq(from), &mut |seq, bytes| {
            assert_eq!(seq, Seq(next));
            assert_eq!(bytes, if seq.0 == own { b"own".to_vec() } else { big(seq.0) });
            next += 1;
            if seq.0 == own { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        end.map(|end| end.0)
    };
    append(&journal, &big(0)).unwrap();
    assert_eq!(behind.read(Seq(0), &mut |_, _| ControlFlow::Continue(())).unwrap(), Seq(1));
    for seq in 1..9 {
        append(&journal, &big(seq)).unwrap();
    }
    assert_eq!(append(&behind, b"own").unwrap(), Seq(9));
    compact(10);
    assert_eq!(read_back(1, 9).unwrap(), 10);
    // The same where the log has gone on elsewhere between what was not read and the record.
    for seq in 10..14 {
        append(&journal, &big(seq)).unwrap();
    }
    let mut state = |sink: &mut dyn FnMut(&[u8]) -> io::Result<()>| sink(b"all of it");
    assert!(journal.compact(Seq(13), &mut state, History::Folded).unwrap());
    for seq in 14..18 {
        append(&journal, &big(seq)).unwrap();
    }
    assert_eq!(append(&behind, b"own").unwrap(), Seq(18));
    compact(19);
    assert_eq!(read_back(10, 18).unwrap(), 19);
    // The canary: there is an end to it. What took 64 MiB and more is not kept, and nobody reads wrong records.
    for seq in 19..90 {
        append(&journal, &big(seq)).unwrap();
    }
    assert_eq!(append(&behind, b"own").unwrap(), Seq(90));
    compact(91);
    let error = read_back(19, 90).unwrap_err();
    assert!(matches!(error, Error::Folded { first: 91, .. }), "{error}");
    assert_eq!(behind.load_base().unwrap(), Some((Seq(91), b"all of it".to_vec())));
}

/// A reader and a writer that slept through two compactions, after which the file they know is a hole or has no name.
#[test]
fn handles_survive_two_compactions_in_their_sleep() {
    for asleep_at in [0, 300, 700] {
        let os = FakeOs::new();
        let journal = open(&os).unwrap();
        let (mut reader, mut writer) = (None, None);
        let mut wake_up_at = |at: u64| {
            if at == asleep_at {
                reader = Some(open_read_only(&os).unwrap());
                writer = Some(open_as(&os, 2).unwrap());
                assert_eq!(replay(reader.as_ref().unwrap()).unwrap(), at);
                assert_eq!(replay(writer.as_ref().unwrap()).unwrap(), at);
            }
        };
        wake_up_at(0);
        fill(&journal, 0..300);
        wake_up_at(300);
        fill(&journal, 300..600);
        compact(&journal, 600, History::Folded);
        fill(&journal, 600..700);
        wake_up_at(700);
        fill(&journal, 700..900);
        compact(&journal, 900, History::Folded);
        fill(&journal, 900..950);
        compact(&journal, 950, History::Folded);
        journal.reclaim(Duration::ZERO).unwrap();
        assert!(os.file(SECOND).is_none(), "a middle segment is given up");
        assert!(os.file(THIRD).is_some(), "the last but one stays, for its seal");
        let (reader, writer) = (reader.unwrap(), writer.unwrap());
        assert_eq!(append(&writer, &record(950)).unwrap(), Seq(950));
        for handle in [&reader, &writer] {
            match read(handle, asleep_at) {
                // Who still has an unlinked segment open reads it to its seal.
                Ok(951) => {}
                Err(Error::Folded { first: 900.., .. }) => assert_eq!(replay(handle).unwrap(), 951),
                other => panic!("asleep at {asleep_at}: {other:?}"),
            }
        }
    }
}

#[test]
fn nothing_to_gain_is_nothing_done() {
    let os = FakeOs::new();
    let journal = open(&os).unwrap();
    assert!(!try_compact(&journal, 0, History::Kept).unwrap(), "an empty log");
    fill(&journal, 0..10);
    assert!(!try_compact(&journal, 11, History::Kept).unwrap(), "a state from the future");
    compact(&journal, 10, History::Kept);
    assert_eq!(read(&journal, 10).unwrap(), 10);
    assert!(!try_compact(&journal, 10, History::Kept).unwrap(), "nothing new");
    assert!(!try_compact(&open_read_only(&os).unwrap(), 10, History::Kept).unwrap(), "a reader");
    let side = os.process(9);
    let file = trialog_journal_file::os::Os::open(
        &side,
        Path::new("/study.tlog.compact"),
        trialog_journal_file::os::Access::Create,
    );
    assert!(file.as_ref().unwrap().try_lock().unwrap());
    fill(&journal, 10..20);
    assert!(!try_compact(&journal, 20, History::Kept).unwrap(), "somebody else is at it");
}

/// Nobody named it, so nobody goes there, and the next compaction takes another number.
#[test]
fn an_orphan_is_passed_over() {
    for orphan in [Vec::new(), vec![7; 5000]] {
        let os = FakeOs::new();
        let journal = open(&os).unwrap();
        fill(&journal, 0..50);
        os.put(SECOND, &orphan);
        assert_eq!(replay(&open(&os).unwrap()).unwrap(), 50);
        compact(&journal, 50, History::Folded);
        fill(&journal, 50..60);
        assert_eq!(os.file(SECOND).unwrap(), orphan);
        assert_eq!(replay(&open(&os).unwrap()).unwrap(), 60);
        journal.reclaim(Duration::ZERO).unwrap();
        assert!(os.file(SECOND).is_none(), "later it is swept away");
        assert_eq!(replay(&open(&os).unwrap()).unwrap(), 60);
    }
}

#[test]
fn a_log_without_its_successor_says_so() {
    let os = FakeOs::new();
    let journal = open(&os).unwrap();
    fill(&journal, 0..50);
    compact(&journal, 50, History::Kept);
    os.remove(SECOND);
    let late = open(&os).unwrap();
    let Err(Error::Corrupt { detail, seq: 50, .. }) = read(&late, 0) else { panic!("not noticed") };
    assert!(detail.contains("study.tlog.000001"), "{detail}");
    assert!(append(&late, b"x").is_err());
}

#[test]
fn a_later_segment_is_not_opened_by_itself() {
    let os = FakeOs::new();
    let journal = open(&os).unwrap();
    fill(&journal, 0..50);
    compact(&journal, 50, History::Kept);
    let opened = FileJournal::open_on(std::sync::Arc::new(os.process(1)), SECOND, &Options::default());
    assert!(matches!(opened, Err(Error::NotALog { .. })));
}

/// Cuts and flips in what a segment begins with: no other state than the right one ever comes out of it.
#[test]
fn a_damaged_base_is_corrupt_or_made_up_for() {
    for history in [History::Kept, History::Folded] {
        let os = FakeOs::new();
        let journal = open(&os).unwrap();
        fill(&journal, 0..50);
        compact(&journal, 50, history);
        journal.reclaim(Duration::ZERO).unwrap();
        let good = os.file(SECOND).unwrap();
        for at in 64..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            os.put(SECOND, &bad);
            let late = open(&os).unwrap();
            if let Some((at, bytes)) = late.load_snapshot() {
                assert_eq!(bytes, state(at.0));
            }
            assert!(!matches!(late.load_base(), Ok(Some((_, bytes))) if bytes != state(50)), "flip {at}");
        }
    }
}

/// What was told before, around and after a compaction.
#[derive(Default)]
struct Told {
    visible: u64,
    durable: u64,
    attempted: u64,
}

fn work(os: &FakeOs, history: History) -> Told {
    let mut told = Told::default();
    let Ok(journal) = open(os) else {
        return told;
    };
    let other = open_as(os, 2);
    let more = |journal: &FileJournal, count: u64, told: &mut Told| -> bool {
        for _ in 0..count {
            let durability = if told.attempted % 4 == 3 { Durability::Power } else { Durability::Process };
            told.attempted += 1;
            let Ok(seq) = journal.append(&[&record(told.attempted - 1)], durability) else {
                return false;
            };
            assert_eq!(seq.0 + 1, told.attempted);
            told.visible = told.attempted;
            if durability == Durability::Power {
                told.durable = told.attempted;
            }
        }
        true
    };
    for round in 0..2 {
        if !more(&journal, 6, &mut told) {
            return told;
        }
        let at = told.visible - 2;
        if try_compact(&journal, at, history).is_err() {
            return told;
        }
        // Another process is the first to write behind the seal.
        if let (0, Ok(other)) = (round, &other)
            && !more(other, 2, &mut told)
        {
            return told;
        }
        if !more(&journal, 2, &mut told) || journal.reclaim(Duration::ZERO).is_err() {
            return told;
        }
    }
    told
}

fn check(os: &FakeOs, told: &Told, promised: u64) -> Result<(), String> {
    let journal = open_as(os, 3).map_err(|error| format!("cannot be opened: {error}"))?;
    let found = match replay(&journal) {
        Ok(found) => found,
        // Unsynced sectors arrive in any order, so that there may be a hole; its cause must be told.
        Err(Error::Corrupt { detail, seq, .. })
            if detail.contains("a loss of power explains it") && seq >= promised =>
        {
            return Ok(());
        }
        Err(error) => return Err(format!("cannot be read: {error}")),
    };
    if found < promised || found > told.attempted {
        return Err(format!("{found} records; {promised} were promised and {} tried", told.attempted));
    }
    let next = append(&journal, &record(found)).map_err(|error| error.to_string())?;
    if next.0 != found {
        return Err(format!("goes on at {next}, not at {found}"));
    }
    // And a compaction works again.
    let compacted = try_compact(&journal, found + 1, History::Folded).map_err(|error| error.to_string())?;
    let again = replay(&open_as(os, 4).map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
    if compacted && again == found + 1 { Ok(()) } else { Err(format!("{again} records, compacted: {compacted}")) }
}

fn steps(history: History) -> usize {
    let os = FakeOs::new();
    let told = work(&os, history);
    assert_eq!((told.visible, told.attempted), (18, 18));
    assert!(os.file(THIRD).is_some(), "both compactions were done");
    check(&os, &told, told.visible).unwrap();
    os.calls().len()
}

#[test]
fn a_compactor_is_killed_at_every_call() {
    for history in [History::Kept, History::Folded] {
        for step in 0..=steps(history) {
            for bytes in [0, 1, 24, 80, usize::MAX] {
                let os = FakeOs::new();
                os.fail(None, step, Failure::Kill(bytes));
                let told = work(&os, history);
                os.heal();
                let os = os.process(5);
                check(&os, &told, told.visible)
                    .unwrap_or_else(|why| panic!("{history:?}, step {step}, {bytes} bytes: {why}"));
            }
        }
    }
}

fn cut_power_everywhere(lie: Option<Lie>) -> Result<(), String> {
    let mut survivals = vec![Survival::Nothing, Survival::Everything, Survival::Lengths];
    survivals.extend((0..5).map(Survival::Some));
    for history in [History::Kept, History::Folded] {
        for step in 0..=steps(history) {
            for &survival in &survivals {
                for bytes in [30, usize::MAX] {
                    let os = FakeOs::new();
                    if let Some(lie) = lie {
                        os.lie(lie);
                    }
                    os.fail(None, step, Failure::PowerCut(bytes, survival));
                    let told = work(&os, history);
                    if os.heal() {
                        os.lie_no_more();
                    } else {
                        os.power_cut(survival);
                    }
                    check(&os, &told, told.durable)
                        .map_err(|why| format!("{history:?}, step {step}, {survival:?}, {bytes}: {why}"))?;
                }
            }
        }
    }
    Ok(())
}

#[test]
fn power_is_cut_at_every_call_of_a_compaction() {
    cut_power_everywhere(None).unwrap();
}

/// The canary: a disk that lies about syncs must be noticed.
#[test]
fn syncs_that_do_nothing_are_noticed() {
    assert!(cut_power_everywhere(Some(Lie::SyncsDoNothing)).is_err());
}

/// Every call fails once, with what a full disk and a broken one say: the log stays what it was.
#[test]
fn a_call_that_fails_costs_the_compaction_at_most() {
    for errno in [28, 5] {
        for step in 0..=steps(History::Folded) {
            let os = FakeOs::new();
            os.fail(None, step, Failure::Errno(errno));
            let told = work(&os, History::Folded);
            os.heal();
            check(&os, &told, told.visible).unwrap_or_else(|why| panic!("errno {errno}, step {step}: {why}"));
        }
    }
}

#[test]
fn the_order_of_steps_is_the_documented_one() {
    let os = FakeOs::new();
    let journal = open(&os).unwrap();
    fill(&journal, 0..20);
    use Call::{SyncData, SyncDir, TryLock, Unlock, WriteAt};
    let before = os.calls().len();
    compact(&journal, 18, History::Folded);
    let calls = os.calls().split_off(before);
    let marks: Vec<Call> =
        calls.into_iter().filter(|call| [TryLock, Unlock, WriteAt, SyncData, SyncDir].contains(call)).collect();
    let expected = [
        TryLock, // the side file
        TryLock, Unlock, // a round in which nothing was left to be written again
        WriteAt, WriteAt, SyncData, // header and snapshot
        WriteAt, SyncData, SyncData, SyncDir, // copies, what they were copied from, and the name
        TryLock, // the living segment; nothing was left to copy
        WriteAt, SyncData, // the seal
        Unlock, Unlock,
    ];
    assert_eq!(marks, expected);
}

/// Journals that are compacted between any two calls keep the contract of every journal.
#[test]
fn a_log_that_is_always_being_compacted_conforms() {
    struct Restless(FileJournal);
    impl Journal for Restless {
        fn append(&self, records: &[&[u8]], durability: Durability) -> Result<Seq, Error> {
            let first = self.0.append(records, durability)?;
            let mut source = |sink: &mut dyn FnMut(&[u8]) -> io::Result<()>| sink(&[9; 3000]);
            if first.0 % 7 == 3 || first.0 % 1000 == 0 {
                let _ = self.0.compact(Seq(first.0 / 2 + 1), &mut source, History::Kept)?;
            }
            Ok(first)
        }

        fn read(&self, from: Seq, visit: &mut trialog_journal::Visitor<'_>) -> Result<Seq, Error> {
            self.0.read(from, visit)
        }

        fn location(&self) -> &str {
            self.0.location()
        }
    }
    conformance::run(&|| {
        let folder = tempfile::tempdir().unwrap();
        Box::new(move || {
            let journal = FileJournal::open(folder.path().join("a.tlog"), &Options::default())?;
            Ok(Box::new(Restless(journal)))
        })
    });
}

/// Threads append, read and compact through handles of their own and shared ones.
#[test]
fn writers_readers_and_compactors_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tlog");
    let open = || FileJournal::open(&path, &Options::default()).unwrap();
    let shared = open();
    let own = [open(), open()];
    let done = std::sync::atomic::AtomicBool::new(false);
    let compactions = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let journal = if thread < 2 { &shared } else { &own[thread as usize - 2] };
            scope.spawn(move || {
                for i in 0..400_u64 {
                    let durability = if i % 16 == 0 { Durability::Power } else { Durability::Process };
                    let bytes = (thread << 32 | i).to_le_bytes();
                    let seq = journal.append(&[&bytes], durability).unwrap();
                    let mut seen = false;
                    let result = journal.read(seq, &mut |at, found| {
                        seen = at == seq && found == bytes;
                        ControlFlow::Break(())
                    });
                    assert!(seen, "{result:?}");
                }
            });
        }
        let compactor = scope.spawn(|| {
            let journal = open();
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let end = journal.read(Seq(u64::MAX / 2), &mut |_, _| ControlFlow::Continue(()));
                let Err(Error::Regressed { found, .. }) = end else { panic!("{end:?}") };
                let mut source = |sink: &mut dyn FnMut(&[u8]) -> io::Result<()>| sink(&[1; 100_000]);
                if journal.compact(Seq(found), &mut source, History::Kept).unwrap() {
                    compactions.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            }
        });
        let late = open();
        while late.read(Seq(0), &mut |_, _| ControlFlow::Continue(())).unwrap().0 < 1600 {
            assert!(!compactor.is_finished());
            std::thread::sleep(Duration::from_millis(5));
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(compactions.into_inner() > 3, "the test must have compacted");
    let (records, error) = read_all(&open());
    assert!(error.is_none(), "{error:?}");
    assert_eq!(records.len(), 1600);
    assert_eq!(records.into_iter().collect::<BTreeSet<_>>().len(), 1600, "each record once");
}
