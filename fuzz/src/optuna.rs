//! Lines of Optuna's journals.

use trialog_codec::optuna::{Reader, Spacing, write_line};

use crate::memory::in_proportion;

/// Reads each line of the input. What is read can be written, and the same is read from that again.
pub fn run(bytes: &[u8]) {
    in_proportion(bytes.len(), 256, || {
        let mut reader = Reader::default();
        for line in bytes.split(|byte| *byte == b'\n') {
            let Ok((session, said)) = reader.read(line) else { continue };
            let mut first = Vec::new();
            write_line(session, &said, Spacing::Compact, &mut first);
            assert!(first.is_ascii() && !first.contains(&b'\n'));
            let (_, again) = reader.read(&first).expect("what we write we read");
            let mut second = Vec::new();
            write_line(session, &again, Spacing::Compact, &mut second);
            assert_eq!(first, second);
        }
    });
}
