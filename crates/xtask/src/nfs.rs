//! Real NFS on one machine: boots a Linux that runs as an ordinary process, with a kernel's server and two of its
//! clients in it, and has it run the program in `tests/nfs`. What happens in there is that program's business; a machine
//! that cannot boot it is an error.

use std::fs;
use std::io::{BufRead, BufReader};
#[cfg(unix)]
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::needs;
use crate::shell::{self, Outcome};

/// The versions of the protocol, and the one of the short case.
const VERSIONS: &str = "3,4.2";
const VERSION_QUICK: &str = "4.2";

/// How long it may take until the machine is ended from outside.
const PATIENCE: Duration = Duration::from_secs(1800);
const PATIENCE_QUICK: Duration = Duration::from_secs(400);

/// The machine's memory, which is taken as it is used, and its disk.
const MEMORY: &str = "mem=768M";
const DISK_BYTES: u64 = 96 << 20;

/// What the kernel says of itself each time, whatever it was told about being quiet, and what is said elsewhere.
const USUAL: &[&str] = &["SELinux:", "mmapper_init", "sysrq:", "reboot:", "verdict:"];

/// What a machine is to do.
struct Task {
    versions: String,
    quick: bool,
}

/// All versions or one; `quick` makes it short.
pub(crate) fn run(quick: bool, version: Option<&str>) -> Outcome {
    needs::ensure("nfs")?;
    let root = shell::root()?;
    let program = build(&root)?;
    let home = shell::target(&root)?.join("nfs");
    let default = if quick { VERSION_QUICK } else { VERSIONS };
    let task = Task { versions: version.unwrap_or(default).to_owned(), quick };
    let host = empty(&home.join("host"))?;
    let disk = make_disk(&home)?;
    println!("    booting a machine with a server and two clients; NFS {}", task.versions);
    boot(&home, &program, &disk, &host, &task)?;
    let verdict = fs::read_to_string(host.join("verdict"));
    match verdict.as_deref() {
        Ok("ok") => Ok(()),
        Ok(problem) => Err(format!("{problem}\n  logs and diaries are in {}", host.display())),
        Err(_) => {
            Err("the machine ended without a verdict: it could not be booted here, or its kernel fell over; \
                       what it said is above"
                .to_owned())
        }
    }
}

/// The program, built to be fast: what is measured in there counts.
fn build(root: &Path) -> Outcome<PathBuf> {
    let example = ["--package", "trialog-tests", "--example", "nfs"];
    shell::run(shell::cargo(root).args(["build", "--quiet", "--release"]).args(example))?;
    Ok(shell::target(root)?.join("release").join("examples").join("nfs"))
}

fn empty(folder: &Path) -> Outcome<PathBuf> {
    let unusable = |error| format!("cannot use {}: {error}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(unusable)?;
    }
    fs::create_dir_all(folder).map_err(unusable)?;
    Ok(folder.to_path_buf())
}

/// A fresh disk. None of it is kept for the superuser, so that a full one is full for everybody.
fn make_disk(home: &Path) -> Outcome<PathBuf> {
    let path = home.join("disk.img");
    let file = fs::File::create(&path).and_then(|file| file.set_len(DISK_BYTES));
    file.map_err(|error| format!("cannot make {}: {error}", path.display()))?;
    shell::run(Command::new("/sbin/mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&path))?;
    Ok(path)
}

/// Runs the machine to its end, with what it says on our output.
fn boot(home: &Path, program: &Path, disk: &Path, host: &Path, task: &Task) -> Outcome {
    let mut machine = Command::new("linux.uml");
    // Its root is ours, to be read only; what the guest writes, it writes to its own memory, its disk and `host`.
    machine.args([MEMORY, "rootfstype=hostfs", "rootflags=/", "ro", "quiet", "con=null", "con0=null,fd:1"]);
    machine.arg(format!("ubd0={}", disk.display())).arg(format!("uml_dir={}", home.display()));
    machine.arg(format!("init={}", program.display()));
    // The kernel hands what it does not know to its first process as environment.
    machine.arg(format!("TRIALOG_NFS_HOST={}", host.display()));
    machine.arg(format!("TRIALOG_NFS_VERSIONS={}", task.versions));
    if task.quick {
        machine.arg("TRIALOG_NFS_QUICK=1");
    }
    machine.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    // A group of its own, so that all of its processes can be ended.
    #[cfg(unix)]
    machine.process_group(0);
    let mut machine = machine.spawn().map_err(|error| format!("cannot start `linux.uml`: {error}"))?;
    let patience = if task.quick { PATIENCE_QUICK } else { PATIENCE };
    let outcome = watch(&mut machine, patience);
    end(&mut machine);
    outcome
}

/// Keeps the machine's clock going. On a busy host such a kernel loses an alarm now and then, and with it all of its
/// timers, for as long as one of its processes works without a pause: another alarm sets it right. One that comes before the
/// kernel expects any would end it.
fn wind(machine: &Child) -> Outcome<Child> {
    let script = format!("while kill -ALRM {}; do sleep 0.1; done", machine.id());
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.spawn().map_err(|error| format!("cannot start `sh`: {error}"))
}

fn watch(machine: &mut Child, patience: Duration) -> Outcome {
    let Some(output) = machine.stdout.take() else { return Ok(()) };
    let (sender, lines) = channel();
    let reader = std::thread::spawn(move || read(BufReader::new(output), &sender));
    let deadline = Instant::now() + patience;
    let mut clock = None;
    let outcome = loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) if USUAL.iter().any(|usual| line.starts_with(usual)) => {}
            Ok(line) => {
                println!("    {}", line.trim_end());
                if clock.is_none() {
                    clock = Some(wind(machine)?);
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                break Err(format!("the machine was not done after {} s", patience.as_secs()));
            }
            Err(RecvTimeoutError::Disconnected) => break Ok(()),
        }
    };
    if let Some(mut clock) = clock {
        let _ = clock.kill();
        let _ = clock.wait();
    }
    if outcome.is_ok() {
        let _ = reader.join();
    }
    outcome
}

fn read(output: impl BufRead, lines: &Sender<String>) {
    for line in output.split(b'\n').map_while(Result::ok) {
        if lines.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
            return;
        }
    }
}

/// Ends whatever of the machine is still there.
fn end(machine: &mut Child) {
    let group = format!("-{}", machine.id());
    let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
    let _ = machine.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn lines_arrive_and_a_machine_that_hangs_is_ended() {
        let start = |script: &str| {
            let mut shell = Command::new("sh");
            shell.args(["-c", script]).process_group(0).stdin(Stdio::null()).stdout(Stdio::piped());
            shell.spawn().unwrap()
        };
        let mut machine = start("trap : ALRM; echo one; echo two");
        assert_eq!(watch(&mut machine, Duration::from_secs(30)), Ok(()));
        end(&mut machine);
        let mut machine = start("sleep 100 & sleep 100");
        assert!(watch(&mut machine, Duration::from_millis(50)).unwrap_err().contains("not done"));
        end(&mut machine);
        assert!(machine.try_wait().unwrap().is_some());
    }

    #[test]
    fn the_short_case_is_one_of_the_versions() {
        assert!(VERSIONS.split(',').any(|version| version == VERSION_QUICK));
    }
}
