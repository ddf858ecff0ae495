//! File headers: what a file begins with.

use trialog_journal::header::{HEADER_BYTES, HeaderCheck, check_header};

use crate::memory::in_proportion;

/// Looks at the bytes as a whole file, and as the beginning of a longer one.
pub fn run(bytes: &[u8]) {
    in_proportion(bytes.len(), 4, || {
        for behind in [0, 1, u64::from(u32::MAX)] {
            look(bytes, bytes.len() as u64 + behind);
        }
    });
}

fn look(start: &[u8], file_bytes: u64) {
    match check_header(start, file_bytes) {
        HeaderCheck::Valid(header) => {
            assert_eq!(header.encode(), start[..HEADER_BYTES], "a header is written again as it was");
            assert_eq!(header.link().seq, header.first_seq);
        }
        HeaderCheck::Unfinished => assert!(file_bytes <= HEADER_BYTES as u64, "frames may follow"),
        HeaderCheck::Newer { found: words }
        | HeaderCheck::Damaged { detail: words }
        | HeaderCheck::Foreign { found: words } => {
            // These words reach a terminal.
            assert!(!words.is_empty() && words.len() < 1000 && !words.contains(char::is_control), "{words:?}");
        }
    }
}
