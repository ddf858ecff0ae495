//! Real kernels: this program is process 1 of the machine that `cargo xtask nfs` boots, with a kernel's NFS server and
//! two of its clients in it, and every worker on them. It finds out whether what the workers were told is true after
//! cables were pulled, holders killed, the server restarted and the disk filled.

mod campaign;
mod check;
mod guest;
mod naive;
mod worker;

use std::process::ExitCode;

/// What went right, or a sentence about what did not.
type Outcome<T = ()> = Result<T, String>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if std::process::id() == 1 {
        guest::power_off_after(campaign::run);
    }
    match worker::play(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{}: {problem}", words.join(" "));
            ExitCode::FAILURE
        }
    }
}
