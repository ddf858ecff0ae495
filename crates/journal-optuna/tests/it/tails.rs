//! What a worker that died in the middle of its write leaves behind, and how the next writer goes on.

use std::fs;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::Path;

use trialog_journal::{Durability, Error, Journal, Seq};
use trialog_journal_optuna::{Options, OptunaFile};

const LINE: &str = r#"{"op_code":2,"worker_id":"w-1","study_id":0,"user_attr":{"a":"}{\"é"}}"#;

fn open(path: &Path) -> OptunaFile {
    OptunaFile::open(path, &Options::default()).unwrap()
}

fn lines(journal: &OptunaFile) -> Vec<String> {
    let mut lines = Vec::new();
    let mut take = |_: Seq, line: &[u8]| {
        lines.push(String::from_utf8(line.to_vec()).unwrap());
        ControlFlow::Continue(())
    };
    journal.read(Seq(0), &mut take).unwrap();
    lines
}

/// Every place where a write may have broken off: whole lines stay, half a line is never seen and goes, and a line
/// that lacks its end gets one.
#[test]
fn a_tail_of_any_length_is_mended_before_the_next_line() {
    let folder = tempfile::tempdir().unwrap();
    for cut in 0..=LINE.len() {
        let path = folder.path().join(format!("{cut}.log"));
        fs::write(&path, format!("{LINE}\n{LINE}\r\n")).unwrap();
        let early = open(&path);
        assert_eq!(lines(&early).len(), 2);
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(&LINE.as_bytes()[..cut]).unwrap();
        let late = open(&path);
        assert_eq!((lines(&early).len(), lines(&late).len()), (2, 2), "half a line was seen");
        let whole = usize::from(cut == LINE.len());
        assert_eq!(late.append(&[b"{\"op_code\":10}"], Durability::Power).unwrap(), Seq(2 + whole as u64));
        for handle in [&early, &late, &open(&path)] {
            let seen = lines(handle);
            assert_eq!(seen.len(), 3 + whole, "cut at {cut}");
            assert!(seen[..2 + whole].iter().all(|line| line == LINE) && seen[2 + whole].contains("10"));
        }
        assert!(fs::read(&path).unwrap().ends_with(b"\n"));
    }
}

#[test]
fn zeros_that_a_power_cut_leaves_are_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.log");
    fs::write(&path, [format!("{LINE}\n").as_bytes(), &[0; 4000]].concat()).unwrap();
    let journal = open(&path);
    assert_eq!(lines(&journal).len(), 1);
    assert_eq!(journal.append(&[LINE.as_bytes()], Durability::Power).unwrap(), Seq(1));
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{LINE}\n{LINE}\n"));
}

#[test]
fn what_is_no_line_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.log");
    let journal = open(&path);
    for wrong in ["", "a\nb", "a\n", "a\r"] {
        let refused = journal.append(&[wrong.as_bytes()], Durability::Process);
        assert!(matches!(refused, Err(Error::Unsupported { .. })), "{wrong:?}");
    }
    assert_eq!(fs::read(&path).unwrap(), b"");
}

#[test]
fn other_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.log");
    let missing = OptunaFile::open(&path, &Options { create: false, ..Options::default() });
    assert!(matches!(missing, Err(Error::NotFound { .. })));
    fs::write(&path, b"\x94TLOG").unwrap();
    assert!(matches!(OptunaFile::open(&path, &Options::default()), Err(Error::NotALog { .. })));
    assert!(!OptunaFile::is_at(&path) && !OptunaFile::is_at(folder.path()) && !OptunaFile::is_at(&path.join("x")));
    fs::write(&path, format!("{LINE}\n")).unwrap();
    assert!(OptunaFile::is_at(&path));
    fs::write(&path, b"{\"a\": 1}\n").unwrap();
    assert!(!OptunaFile::is_at(&path), "any object will not do");
}

#[test]
fn a_file_that_was_cut_or_replaced_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.log");
    let journal = open(&path);
    journal.append(&[LINE.as_bytes(), LINE.as_bytes()], Durability::Process).unwrap();
    fs::write(&path, format!("{LINE}\n")).unwrap();
    assert!(matches!(journal.read(Seq(2), &mut |_, _| ControlFlow::Continue(())), Err(Error::Regressed { .. })));
    let journal = open(&path);
    fs::remove_file(&path).unwrap();
    fs::write(&path, b"").unwrap();
    assert!(matches!(journal.append(&[b"{}"], Durability::Process), Err(Error::Regressed { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"", "nothing was written into another file");
}

#[test]
fn long_journals_are_read_from_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.log");
    let line = |i: usize| format!("{{\"n\":{i},\"pad\":\"{}\"}}", "x".repeat(i % 3000));
    let text: String = (0..3000).map(|i| line(i) + "\n").collect();
    fs::write(&path, &text).unwrap();
    let journal = open(&path);
    assert_eq!(lines(&journal).len(), 3000);
    for from in [0, 1, 1500, 2999] {
        let mut next = from;
        let mut visit = |seq: Seq, found: &[u8]| {
            assert_eq!((seq.0 as usize, found), (next, line(next).as_bytes()));
            next += 1;
            if next == from + 900 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let end = journal.read(Seq(from as u64), &mut visit).unwrap();
        assert_eq!((end.0 as usize, next), ((from + 900).min(3000), (from + 900).min(3000)));
    }
}
