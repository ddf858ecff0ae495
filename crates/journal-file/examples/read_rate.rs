//! Measures reading a log from its beginning: `read_rate PATH`.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::time::Instant;
use trialog_journal::{Journal, Seq};
use trialog_journal_file::{FileJournal, Options};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: read_rate PATH")?;
    let journal = FileJournal::open(path, &Options { read_only: true, ..Options::default() })?;
    for pass in ["first", "second"] {
        let start = Instant::now();
        let mut bytes = 0;
        let records = journal.read(Seq(0), &mut |_, record| {
            bytes += record.len();
            ControlFlow::Continue(())
        })?;
        let each_ns = start.elapsed().as_secs_f64() * 1e9 / records.0.max(1) as f64;
        writeln!(
            std::io::stdout(),
            "{pass} read: {records} records, {bytes} bytes, {each_ns:.1} ns for each record"
        )?;
    }
    Ok(())
}
