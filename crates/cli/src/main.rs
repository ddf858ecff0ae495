//! `trialog`, the command line: tune any program, look after any log. This file parses, dispatches and owns the end of the
//! process; every other one is a group of commands.

mod args;
mod bench;
mod compare;
mod exit;
mod history;
mod logs;
mod moves;
mod output;
mod run;
mod selftest;
mod session;
mod space;
mod studies;
mod study;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use args::{Cli, Command};
use exit::{Exit, Outcome};

fn main() -> ExitCode {
    let cli = Cli::parse();
    output::set_color(cli.color);
    init_log();
    match dispatch(&cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.exit == Exit::Failed && failure.message.is_empty() => {
            // Whoever read us has gone: a pipe into `head` is no failure.
            ExitCode::SUCCESS
        }
        Err(failure) => {
            if !failure.message.is_empty() {
                let _ = writeln!(std::io::stderr(), "trialog: {}", failure.message);
            }
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn dispatch(command: &Command) -> Outcome {
    match command {
        Command::Run(args) => run::main(args),
        Command::Ask(args) => session::ask(args),
        Command::Report(args) => session::report(args),
        Command::ShouldPrune(args) => session::should_prune(args),
        Command::Tell(args) => session::tell(args),
        Command::Enqueue(args) => session::enqueue(args),
        Command::Stdio(args) => session::stdio(args),
        Command::Space(args) => studies::space(args),
        Command::Create(args) => studies::create(args),
        Command::Delete(args) => studies::delete(args),
        Command::List(args) => studies::list(args),
        Command::Show(args) => studies::show(args),
        Command::Trials(args) => studies::trials(args),
        Command::Best(args) => studies::best(args),
        Command::BestTrials(args) => studies::best_trials(args),
        Command::Attr(args) => studies::attributes(args),
        Command::Budget(args) => studies::budget(args),
        Command::Retry(args) => studies::retry(args),
        Command::Void(args) => history::void(args, false),
        Command::Unvoid(args) => history::void(args, true),
        Command::Amend(args) => history::amend(args),
        Command::Tail(args) => history::tail(args),
        Command::Replay(args) => history::replay(args),
        Command::Explain(args) => history::explain(args),
        Command::Copy(args) => moves::copy(args),
        Command::Merge(args) => moves::merge(args),
        Command::Branch(args) => moves::branch(args),
        Command::Import(args) => moves::import(args),
        Command::Export(args) => moves::export(args),
        Command::Compare(args) => compare::main(args),
        Command::Stat(args) => logs::stat(args),
        Command::Verify(args) => logs::verify(args),
        Command::Repair(args) => logs::repair(args),
        Command::Compact(args) => logs::compact(args),
        Command::Doctor(args) => logs::doctor(args),
        Command::Digest(args) => logs::digest(args),
        Command::Selftest(args) => selftest::main(args),
        Command::Bench(args) => bench::main(args),
        Command::Completions(args) => completions(args),
        Command::Man(args) => man(args),
        Command::DoctorHelper => logs::doctor_helper(),
        Command::SelftestWorker(args) => selftest::worker(args),
    }
}

/// The library's warnings go to standard error; `TRIALOG_LOG` says which, as `info` or `trialog=debug`.
fn init_log() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("TRIALOG_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .without_time()
        .with_target(false)
        .init();
}

fn completions(args: &args::Completions) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "trialog", &mut script);
    Ok(std::io::stdout().write_all(&script)?)
}

fn man(args: &args::Man) -> Outcome {
    std::fs::create_dir_all(&args.folder)?;
    Ok(clap_mangen::generate_to(Cli::command(), &args.folder)?)
}
