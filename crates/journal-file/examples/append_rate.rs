//! Measures appends: `append_rate PATH PROCESSES APPENDS [power]`; each append is read back, as a study does.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::process::Command;
use std::time::Instant;
use trialog_journal::{Durability, Journal, MemoryJournal, Seq};
use trialog_journal_file::{FileJournal, Options};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [path, processes, appends, rest @ ..] = args.as_slice() else {
        return Err("usage: append_rate PATH PROCESSES APPENDS [power]".into());
    };
    let (processes, appends): (u32, u32) = (processes.parse()?, appends.parse()?);
    let power = rest.iter().any(|word| word == "power");
    let durability = if power { Durability::Power } else { Durability::Process };
    let start = Instant::now();
    if processes == 1 {
        if path == "memory:" {
            work(&MemoryJournal::new(), appends, durability)?;
        } else {
            work(&FileJournal::open(path, &Options::default())?, appends, durability)?;
        }
    } else {
        let program = std::env::current_exe()?;
        let share = (appends / processes).to_string();
        let mut children = Vec::new();
        for _ in 0..processes {
            let mut command = Command::new(&program);
            command.args([path.as_str(), "1", &share]).args(rest).arg("quiet");
            children.push(command.spawn()?);
        }
        for mut child in children {
            child.wait()?;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    if !rest.iter().any(|word| word == "quiet") {
        let each_us = seconds * 1e6 / f64::from(appends);
        writeln!(std::io::stdout(), "{processes} processes: {each_us:.3} us for each append and read")?;
    }
    Ok(())
}

fn work(journal: &dyn Journal, appends: u32, durability: Durability) -> Result<(), trialog_journal::Error> {
    let record = [7; 60];
    let mut next = Seq(0);
    for _ in 0..appends {
        let own = journal.append(&[&record], durability)?;
        next = journal.read(next, &mut |seq, _| {
            if seq == own { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
    }
    Ok(())
}
