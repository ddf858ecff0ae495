//! Taking the lock on the log, with patience that ends.

use crate::os::{Os, OsFile};
use crate::place::Place;
use std::io;
use std::time::Duration;
use trialog_journal::Error;

/// Attempts that only let others run before the next. A holder on a local disk needs a few microseconds.
const YIELDS: u32 = 2;
const PAUSE_MIN: Duration = Duration::from_micros(20);
const PAUSE_MAX: Duration = Duration::from_millis(4);

/// The lock, while it is held.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    file: Option<&'a dyn OsFile>,
}

impl Held<'_> {
    /// Gives the lock back, and says whether that went well.
    pub(crate) fn release(mut self) -> io::Result<()> {
        self.file.take().map_or(Ok(()), OsFile::unlock)
    }
}

impl Drop for Held<'_> {
    /// The way out after an error, which says more than a failure here would.
    fn drop(&mut self) {
        if let Some(file) = self.file {
            let _ = file.unlock();
        }
    }
}

/// Takes the lock, asking again and again for at most `wait_max`.
///
/// Asking is better than queueing in the kernel: a queued request cannot be given up, over NFS it may never be
/// answered, and a sleeping loser lets the winner do many rounds without a change of process.
pub(crate) fn acquire<'a>(
    os: &dyn Os,
    file: &'a dyn OsFile,
    wait_max: Duration,
    place: &Place,
) -> Result<Held<'a>, Error> {
    if try_lock(file, place)? {
        return Ok(Held { file: Some(file) });
    }
    let start = os.monotonic();
    let mut random = start.as_nanos() as u64 ^ u64::from(os.process_id()) << 32 | 1;
    let mut pause = PAUSE_MIN;
    let mut attempt = 0;
    loop {
        let waited = os.monotonic().saturating_sub(start);
        let Some(rest) = wait_max.checked_sub(waited).filter(|rest| !rest.is_zero()) else {
            return Err(Error::Locked { location: place.location.clone(), waited, holder: file.lock_holder() });
        };
        if attempt < YIELDS {
            attempt += 1;
            os.sleep(Duration::ZERO);
        } else {
            // Between half and all of the pause, so that those who lost together do not return together.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            os.sleep((pause / 2 + pause.mul_f64((random % 1024) as f64 / 2048.0)).min(rest));
            pause = (pause * 3 / 2).min(PAUSE_MAX);
        }
        if try_lock(file, place)? {
            return Ok(Held { file: Some(file) });
        }
    }
}

fn try_lock(file: &dyn OsFile, place: &Place) -> Result<bool, Error> {
    file.try_lock().map_err(|error| match error.kind() {
        io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput => {
            place.unsupported(format!("its file system has no locks ({error})"))
        }
        _ if error.raw_os_error() == Some(NO_LOCKS) => {
            place.unsupported(format!("its file system gives no locks ({error})"))
        }
        _ => place.io("lock")(error),
    })
}

/// ENOLCK, which the standard library has no name for.
const NO_LOCKS: i32 = if cfg!(target_os = "linux") { 37 } else { 77 };
