//! A log to look at: opened for reading only, through the one door to the operating system.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use trialog_journal::frame::ReadAt;
use trialog_journal_file::FileJournal;
use trialog_journal_file::os::{Access, Os, OsFile, PathKind};

use crate::error::Error;
use crate::scan::{self, Visit, Walk};

/// How often a look that ends at damage begins anew, since a writer may be at work, and for how long it waits
/// before the first time; each further wait is twice as long.
pub(crate) const LOOKS_AGAIN: u32 = 4;
pub(crate) const LOOK_AGAIN_PAUSE: Duration = Duration::from_millis(2);

/// An open log.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) location: String,
    file: Arc<dyn OsFile>,
}

impl ReadAt for Source {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buf)
    }
}

impl Source {
    pub(crate) fn open(os: &dyn Os, path: &Path) -> Result<Source, Error> {
        let location = path.display().to_string();
        let not_a_log = |found: &str| Error::NotALog { location: location.clone(), found: found.into() };
        match os.path_kind(path).map_err(Error::io(&location, "look at"))? {
            PathKind::Missing => return Err(Error::NotFound { location }),
            PathKind::Directory => return Err(not_a_log("it is a directory")),
            PathKind::Other => return Err(not_a_log("it is not a regular file")),
            PathKind::File => {}
        }
        let file = os.open(path, Access::Read).map_err(Error::io(&location, "open"))?;
        // Its old part alone would look like a whole log.
        if FileJournal::goes_on_elsewhere(os, path).map_err(Error::io(&location, "open"))? {
            let found = String::from("several files, since it was compacted, and this tool reads logs of one file");
            return Err(Error::NewerFormat { location, found });
        }
        Ok(Source { location, file })
    }

    pub(crate) fn bytes(&self) -> Result<u64, Error> {
        Ok(self.file.stat().map_err(Error::io(&self.location, "look at"))?.bytes)
    }

    /// Walks over what the file holds up to `end`.
    pub(crate) fn walk(&self, end: u64, visit: &mut Visit<'_>) -> Result<Walk, Error> {
        scan::walk(self, end, visit).map_err(|stop| Error::stop(&self.location, stop))
    }
}
