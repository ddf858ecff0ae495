//! A state as bytes and back, so that opening a long log costs a snapshot and the records after it. A snapshot is a
//! cache: whoever cannot read one ignores it and replays the log. `docs/format-snapshot.md` owns the bytes.

mod index;
mod metrics;
mod payload;
mod read;
mod write;

use std::fmt;

use crate::column::Column;
use crate::state::State;
use crate::study::NEVER;

/// What every snapshot begins with: `TSNP`, dressed as the log's own magic is.
const MAGIC: [u8; 8] = [0x94, b'T', b'S', b'N', b'P', 0x0d, 0x0a, 0x1a];

/// Rises with every change of the bytes.
const VERSION: u32 = 4;

/// The version before, which has no named metrics. Where there are none, an earlier one is written, so that older
/// programs can read it.
const VERSION_WITHOUT_METRICS: u32 = 3;

/// The version before that, which cannot say that trials were changed after their end. Where none was, this one is written,
/// so that older programs can read it.
const VERSION_WITHOUT_CHANGES: u32 = 2;

/// The first version, which did not say in which order trials had ended.
const VERSION_WITHOUT_ORDER: u32 = 1;

/// Bytes of the header: magic, version, flags, records, reserved, CRC-32.
const HEADER_LEN: usize = 8 + 4 + 4 + 8 + 4 + 4;

/// Bytes before the payload of a section: CRC-32, kind, length.
const SECTION_HEADER_LEN: usize = 4 + 4 + 8;

/// The parts of a snapshot, in the order in which they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Section {
    Sessions = 1,
    Params = 2,
    Index = 3,
    Study = 4,
    Trials = 5,
    Objective = 6,
    Param = 7,
    Reports = 8,
    Attributes = 9,
    Front = 10,
    Workers = 11,
    End = 12,
    /// Since version 3, behind the front of each study.
    Changes = 13,
    /// Since version 4, behind the parameters.
    Metrics = 14,
    /// Since version 4, behind the changes of each study.
    MetricReports = 15,
}

/// Trials per block of a column.
const BLOCK: usize = 128;

// A block becomes a chunk as it stands.
const _: () = assert!(BLOCK == Column::<f64>::CHUNK && BLOCK == u128::BITS as usize);

/// What a block of a column says of its trials.
const BLOCK_NONE: u8 = 0;
const BLOCK_ALL: u8 = 1;
const BLOCK_SOME: u8 = 2;

/// The bits of the trials that a block has.
fn block_mask(trials: usize, block: usize) -> u128 {
    match trials.saturating_sub(block * BLOCK) {
        0 => 0,
        rest => u128::MAX >> (BLOCK - rest.min(BLOCK)),
    }
}

/// An entry of a column: eight bytes, and one value that says that there is none.
trait Cell: Copy {
    const ABSENT: Self;
    fn is_present(self) -> bool;
    fn encode(self) -> [u8; 8];
    fn decode(bytes: [u8; 8]) -> Self;
}

impl Cell for f64 {
    const ABSENT: f64 = f64::NAN;

    fn is_present(self) -> bool {
        !self.is_nan()
    }

    fn encode(self) -> [u8; 8] {
        self.to_le_bytes()
    }

    fn decode(bytes: [u8; 8]) -> f64 {
        f64::from_le_bytes(bytes)
    }
}

impl Cell for i64 {
    const ABSENT: i64 = NEVER;

    fn is_present(self) -> bool {
        self != NEVER
    }

    fn encode(self) -> [u8; 8] {
        self.to_le_bytes()
    }

    fn decode(bytes: [u8; 8]) -> i64 {
        i64::from_le_bytes(bytes)
    }
}

/// The fewest bytes, of 0, 1, 2, 4 and 8, that hold the integer.
fn width_of(largest: u64) -> u8 {
    match largest {
        0 => 0,
        1..0x100 => 1,
        0x100..0x1_0000 => 2,
        0x1_0000..0x1_0000_0000 => 4,
        _ => 8,
    }
}

/// Why some bytes give no state. Whatever it is, the log still has everything.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The bytes do not begin as a snapshot does.
    NotASnapshot,
    /// A later version of Trialog wrote it.
    NewerVersion {
        /// Its version of the format.
        version: u32,
    },
    /// The bytes are not those that were written.
    Damaged {
        /// Where the trouble was seen, in bytes from the beginning.
        offset: u64,
        /// What is wrong there.
        detail: &'static str,
    },
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotError::NotASnapshot => f.write_str("these bytes are no snapshot; replay the log instead"),
            SnapshotError::NewerVersion { version } => write!(
                f,
                "the snapshot has version {version} of the format and this program reads up to {VERSION}; \
                 replay the log instead"
            ),
            SnapshotError::Damaged { offset, detail } => {
                write!(f, "the snapshot is damaged at byte {offset}: {detail}; replay the log instead")
            }
        }
    }
}

impl std::error::Error for SnapshotError {}

impl State {
    /// Appends a snapshot of the state: equal records give equal bytes on every machine.
    pub fn write_snapshot(&self, out: &mut Vec<u8>) {
        let appended = self.stream_snapshot(|bytes| {
            out.extend_from_slice(bytes);
            Ok::<(), std::convert::Infallible>(())
        });
        let Ok(()) = appended;
    }

    /// The same bytes, handed over piece by piece, so that never more than one column of them is in memory.
    ///
    /// # Errors
    /// What the sink says, at once.
    pub fn stream_snapshot<E>(&self, sink: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        write::state(self, sink)
    }

    /// The state of which this is the snapshot. Records applied to it have the same verdicts and give the same
    /// digests as if the whole log had been replayed.
    ///
    /// # Errors
    /// Bytes that are not exactly one snapshot, in a version that this program knows.
    pub fn read_snapshot(bytes: &[u8]) -> Result<State, SnapshotError> {
        read::state(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = include_str!("../../../docs/format-snapshot.md");

    const SECTIONS: [Section; 15] = [
        Section::Sessions,
        Section::Params,
        Section::Index,
        Section::Study,
        Section::Trials,
        Section::Objective,
        Section::Param,
        Section::Reports,
        Section::Attributes,
        Section::Front,
        Section::Workers,
        Section::End,
        Section::Changes,
        Section::Metrics,
        Section::MetricReports,
    ];

    /// The cells of the rows of the first table after a heading that begins like this.
    fn table(heading: &str) -> Vec<Vec<&'static str>> {
        let (_, behind) = DOCUMENT.split_once(heading).unwrap_or_else(|| panic!("no {heading:?} in the document"));
        let rows =
            behind.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
        rows.skip(2).map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
    }

    fn assert_rows(heading: &str, rows: &[(&str, usize)]) {
        let mut at = 0;
        let expected = rows.iter().map(|&(field, bytes)| {
            at += bytes;
            vec![(at - bytes).to_string(), bytes.to_string(), field.to_owned()]
        });
        let found = table(heading);
        let found: Vec<Vec<&str>> = found.iter().map(|row| row[..3].to_vec()).collect();
        assert_eq!(found, expected.collect::<Vec<_>>());
    }

    #[test]
    fn the_document_has_our_headers() {
        let magic = MAGIC.map(|byte| format!("{byte:02x}")).join(" ");
        let header = table("## The whole");
        assert_eq!([header[0][3], header[1][3]], [format!("`{magic}`"), format!("1 to {VERSION}")]);
        assert!(DOCUMENT.starts_with(&format!("# The format of snapshots, version {VERSION}\n")));
        let fields = [("magic", 8), ("version", 4), ("flags", 4), ("records", 8), ("reserved", 4), ("crc", 4)];
        assert_rows("## The whole", &fields);
        assert_eq!(fields.iter().map(|(_, bytes)| bytes).sum::<usize>(), HEADER_LEN);
        let fields = [("crc", 4), ("kind", 4), ("length", 8)];
        assert_rows("Each section has", &fields);
        assert_eq!(fields.iter().map(|(_, bytes)| bytes).sum::<usize>(), SECTION_HEADER_LEN);
    }

    #[test]
    fn the_document_has_our_sections() {
        let ours = SECTIONS.map(|section| [(section as u32).to_string(), format!("{section:?}")]);
        let rows = table("<!-- sections -->");
        assert_eq!(rows.iter().map(|row| [row[0], row[1]]).collect::<Vec<_>>(), ours);
        let blocks = table("### Columns");
        let kinds = [BLOCK_NONE, BLOCK_ALL, BLOCK_SOME].map(|kind| kind.to_string());
        assert_eq!(blocks.iter().map(|row| row[0]).collect::<Vec<_>>(), kinds);
        assert!(DOCUMENT.contains(&format!("in blocks of {BLOCK}")));
    }

    #[test]
    #[should_panic(expected = "assertion")]
    fn canary_another_field_is_noticed() {
        assert_rows("Each section has", &[("crc", 4), ("kind", 4), ("length", 4)]);
    }

    #[test]
    fn widths_are_the_least_that_hold() {
        for (largest, width) in
            [(0, 0), (1, 1), (0xff, 1), (0x100, 2), (0x1_0000, 4), (u64::MAX >> 32, 4), (1 << 32, 8)]
        {
            assert_eq!(width_of(largest), width, "{largest}");
        }
    }
}
