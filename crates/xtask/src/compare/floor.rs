//! What the disk itself allows: a loop that writes a trial's worth of bytes and waits until they are safe.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use crate::shell::Outcome;

/// About what a finished trial of five floats takes in a log.
const BYTES: usize = 200;

/// How many writes of [`BYTES`], each followed by an fdatasync, the disk takes in a second.
pub(super) fn syncs_per_second(folder: &Path, n: u32) -> Outcome<f64> {
    let path = folder.join("floor");
    let measured = measure(&path, n).map_err(|error| format!("cannot write {}: {error}", path.display()));
    let removed = std::fs::remove_file(&path).map_err(|error| format!("cannot remove {}: {error}", path.display()));
    measured.and_then(|rate| removed.map(|()| rate))
}

fn measure(path: &Path, n: u32) -> std::io::Result<f64> {
    let mut file = File::create(path)?;
    let started = Instant::now();
    for _ in 0..n {
        file.write_all(&[b'x'; BYTES])?;
        file.sync_data()?;
    }
    Ok(f64::from(n) / started.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_cannot_be_written_is_an_error() {
        assert!(syncs_per_second(Path::new("no-such-folder-here"), 1).is_err());
    }
}
