//! The other side of the doctor's probes: another process, spoken to in lines, or a second descriptor in this one.

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use trialog_journal_file::RealOs;
use trialog_journal_file::os::{Access, Os as _, OsFile};

use crate::doctor::Spawner;

/// What begins each answer, so that it can be told from what else a helper prints.
const ANSWER: &str = "trialog-doctor:";
/// How long an answer may take; a network file system can be slow.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);

/// Somebody else who has the file open.
pub(crate) trait Peer {
    fn open(&mut self, path: &Path) -> Result<(), String>;
    fn try_lock(&mut self) -> Result<bool, String>;
    fn unlock(&mut self) -> Result<(), String>;
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), String>;
    fn read(&mut self, offset: u64, bytes: usize) -> Result<Vec<u8>, String>;
    /// Ends it without any chance to clean up; false where that cannot be.
    fn kill(&mut self) -> bool;
}

/// A second descriptor in this process.
#[derive(Debug, Default)]
pub(crate) struct InProcess {
    file: Option<Arc<dyn OsFile>>,
}

impl InProcess {
    fn file(&self) -> Result<&dyn OsFile, String> {
        self.file.as_deref().ok_or_else(|| String::from("no file is open"))
    }
}

impl Peer for InProcess {
    fn open(&mut self, path: &Path) -> Result<(), String> {
        self.file = Some(RealOs::default().open(path, Access::Write).map_err(|error| error.to_string())?);
        Ok(())
    }

    fn try_lock(&mut self) -> Result<bool, String> {
        self.file()?.try_lock().map_err(|error| error.to_string())
    }

    fn unlock(&mut self) -> Result<(), String> {
        self.file()?.unlock().map_err(|error| error.to_string())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), String> {
        match self.file()?.write_at(offset, bytes) {
            Ok(n) if n == bytes.len() => Ok(()),
            Ok(n) => Err(format!("only {n} bytes were written")),
            Err(error) => Err(error.to_string()),
        }
    }

    fn read(&mut self, offset: u64, bytes: usize) -> Result<Vec<u8>, String> {
        let mut buf = vec![0; bytes];
        let got = self.file()?.read_at(offset, &mut buf).map_err(|error| error.to_string())?;
        buf.truncate(got);
        Ok(buf)
    }

    fn kill(&mut self) -> bool {
        // The descriptor goes, which frees the lock; that proves nothing about processes.
        self.file = None;
        false
    }
}

/// Another process, which runs [`doctor_helper`].
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    answers: Receiver<String>,
}

impl Process {
    /// Starts the helper, if the spawner has one.
    pub(crate) fn start(spawner: &dyn Spawner) -> io::Result<Option<Process>> {
        let Some(mut command) = spawner.helper() else {
            return Ok(None);
        };
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("the helper has no pipes"));
        };
        let (sender, answers) = channel();
        // A helper that says nothing must not keep the doctor waiting, and a pipe has no timeout. The thread ends with the
        // helper's output.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some((_, answer)) = line.split_once(ANSWER)
                    && sender.send(String::from(answer.trim())).is_err()
                {
                    return;
                }
            }
        });
        let mut process = Process { child, input, answers };
        process.ask("hello").map_err(io::Error::other)?;
        Ok(Some(process))
    }

    fn ask(&mut self, question: &str) -> Result<String, String> {
        writeln!(self.input, "{question}")
            .and_then(|()| self.input.flush())
            .map_err(|error| format!("the helper is gone: {error}"))?;
        let answer =
            self.answers.recv_timeout(ANSWER_WAIT_MAX).map_err(|_| String::from("the helper is silent"))?;
        match answer.split_once(' ').unwrap_or((&answer, "")) {
            ("ok", value) => Ok(value.into()),
            (_, error) => Err(error.into()),
        }
    }
}

impl Peer for Process {
    fn open(&mut self, path: &Path) -> Result<(), String> {
        self.ask(&format!("open {}", hex(path.as_os_str().as_encoded_bytes()))).map(drop)
    }

    fn try_lock(&mut self) -> Result<bool, String> {
        self.ask("lock").map(|answer| answer == "true")
    }

    fn unlock(&mut self) -> Result<(), String> {
        self.ask("unlock").map(drop)
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), String> {
        self.ask(&format!("write {offset} {}", hex(bytes))).map(drop)
    }

    fn read(&mut self, offset: u64, bytes: usize) -> Result<Vec<u8>, String> {
        let answer = self.ask(&format!("read {offset} {bytes}"))?;
        unhex(&answer).ok_or_else(|| String::from("the helper's answer cannot be read"))
    }

    fn kill(&mut self) -> bool {
        self.child.kill().is_ok() && self.child.wait().is_ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The whole life of a doctor's helper process: answers questions from `input` on `output` until there are no more.
///
/// # Errors
/// When it can no longer read or write them.
pub fn doctor_helper(input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    let mut file = InProcess::default();
    for question in input.lines() {
        let answer = match answer(&mut file, &question?) {
            Ok(value) => format!("ok {value}"),
            Err(error) => format!("error {}", error.replace('\n', " ")),
        };
        writeln!(output, "\n{ANSWER} {answer}")?;
        output.flush()?;
    }
    Ok(())
}

fn answer(file: &mut InProcess, question: &str) -> Result<String, String> {
    let nonsense = || format!("the helper does not understand {question:?}");
    let words: Vec<&str> = question.split_whitespace().collect();
    match *words.as_slice() {
        ["hello"] => Ok(String::new()),
        ["open", path] => file.open(&path_of(&unhex(path).ok_or_else(nonsense)?)?).map(|()| String::new()),
        ["lock"] => file.try_lock().map(|got| got.to_string()),
        ["unlock"] => file.unlock().map(|()| String::new()),
        ["write", offset, bytes] => {
            let offset = offset.parse().map_err(|_| nonsense())?;
            file.write(offset, &unhex(bytes).ok_or_else(nonsense)?).map(|()| String::new())
        }
        ["read", offset, bytes] => {
            let (offset, bytes) = (offset.parse().map_err(|_| nonsense())?, bytes.parse().map_err(|_| nonsense())?);
            file.read(offset, usize::min(bytes, 1 << 16)).map(|bytes| hex(&bytes))
        }
        _ => Err(nonsense()),
    }
}

#[cfg(unix)]
fn path_of(bytes: &[u8]) -> Result<std::path::PathBuf, String> {
    use std::os::unix::ffi::OsStrExt as _;
    Ok(std::ffi::OsStr::from_bytes(bytes).into())
}

#[cfg(not(unix))]
fn path_of(bytes: &[u8]) -> Result<std::path::PathBuf, String> {
    std::str::from_utf8(bytes).map(Into::into).map_err(|error| error.to_string())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}
