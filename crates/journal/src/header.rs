//! The header of a log file: what says that a file is a log, and which one.
//!
//! `docs/format.md`, section "Header", owns the layout. What to do about a file that is none is the medium's concern.

use crate::Field;
use crate::frame::{Link, u32_at, u64_at};

/// The first bytes of every log. The first is no character, and a line end of each kind is there to be
/// spoiled, so that a transfer as text is noticed.
pub const MAGIC: [u8; 8] = *b"\x94TLOG\r\n\x1a";
/// The newest format version known here.
pub const VERSION: u32 = 1;

const MAGIC_AT: usize = 0;
const VERSION_AT: usize = MAGIC_AT + 8;
const FLAGS: usize = VERSION_AT + 4;
const LOG_ID: usize = FLAGS + 4;
const FIRST_SEQ: usize = LOG_ID + 16;
const CREATED: usize = FIRST_SEQ + 8;
const CHAIN_START: usize = CREATED + 8;
const RESERVED: usize = CHAIN_START + 4;
const CRC: usize = RESERVED + 8;
/// The length of the header.
pub const HEADER_BYTES: usize = CRC + 4;

const _: () = assert!(HEADER_BYTES == 64);

/// A flag that a reader may ignore: the records before this segment's `first seq` were given up.
pub const FLAG_FOLDED: u32 = 1 << 16;

/// Flags that a reader must know. The others may be ignored.
const FLAGS_ESSENTIAL: u32 = 0x0000_ffff;

/// The layout of the header, for the table in `docs/format.md`.
pub const HEADER_FIELDS: [Field; 9] = [
    Field::new(MAGIC_AT, VERSION_AT, "magic", "`94 54 4c 4f 47 0d 0a 1a`"),
    Field::new(VERSION_AT, FLAGS, "version", "1"),
    Field::new(FLAGS, LOG_ID, "flags", "0, or the bits below"),
    Field::new(LOG_ID, FIRST_SEQ, "log id", "random; tells this log from all others"),
    Field::new(FIRST_SEQ, CREATED, "first seq", "how many records this segment's snapshot covers; 0 in the first"),
    Field::new(CREATED, CHAIN_START, "created", "microseconds since 1970-01-01 UTC, signed"),
    Field::new(
        CHAIN_START,
        RESERVED,
        "chain start",
        "`crc` of the frame before record `first seq` in the segment before; 0 in the first",
    ),
    Field::new(RESERVED, CRC, "reserved", "0"),
    Field::new(CRC, HEADER_BYTES, "crc", "CRC-32 of the bytes before it"),
];

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Flags: 0 or [`FLAG_FOLDED`].
    pub flags: u32,
    /// Tells this log from all others.
    pub log_id: [u8; 16],
    /// How many records the snapshot covers that this segment begins with.
    pub first_seq: u64,
    /// When the file was made, in microseconds since 1970 UTC.
    pub created_us: i64,
    /// The checksum of the frame before record `first_seq` in the segment before; 0 in the first.
    pub chain_start: u32,
}

impl Header {
    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[MAGIC_AT..VERSION_AT].copy_from_slice(&MAGIC);
        bytes[VERSION_AT..FLAGS].copy_from_slice(&VERSION.to_le_bytes());
        bytes[FLAGS..LOG_ID].copy_from_slice(&self.flags.to_le_bytes());
        bytes[LOG_ID..FIRST_SEQ].copy_from_slice(&self.log_id);
        bytes[FIRST_SEQ..CREATED].copy_from_slice(&self.first_seq.to_le_bytes());
        bytes[CREATED..CHAIN_START].copy_from_slice(&self.created_us.to_le_bytes());
        bytes[CHAIN_START..RESERVED].copy_from_slice(&self.chain_start.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..CRC]);
        bytes[CRC..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// What the first frame after the header `bytes` must continue.
    #[must_use]
    pub fn link(&self) -> Link {
        Link { seq: self.first_seq, crc: u32_at(&self.encode(), CRC) }
    }

    /// Whether this is a segment behind the first.
    #[must_use]
    pub fn is_later_segment(&self) -> bool {
        self.first_seq != 0
    }

    fn decode(bytes: &[u8; HEADER_BYTES]) -> Header {
        let mut log_id = [0; 16];
        log_id.copy_from_slice(&bytes[LOG_ID..FIRST_SEQ]);
        Header {
            flags: u32_at(bytes, FLAGS),
            log_id,
            first_seq: u64_at(bytes, FIRST_SEQ),
            created_us: u64_at(bytes, CREATED).cast_signed(),
            chain_start: u32_at(bytes, CHAIN_START),
        }
    }
}

/// What the beginning of a file turns out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderCheck {
    /// A log.
    Valid(Header),
    /// Nothing yet: the file is empty, or whoever made it died while writing its header.
    Unfinished,
    /// A log of a later format.
    Newer {
        /// What is not known here, such as `format version 2`.
        found: String,
    },
    /// A log whose header is damaged.
    Damaged {
        /// What is wrong with it.
        detail: String,
    },
    /// Something else.
    Foreign {
        /// What it seems to be.
        found: String,
    },
}

/// Looks at the first bytes of a file of `file_bytes` bytes. More than a header's length helps to say what a
/// file is that is no log.
#[must_use]
pub fn check_header(start: &[u8], file_bytes: u64) -> HeaderCheck {
    match start.first_chunk::<HEADER_BYTES>() {
        Some(header) if is_whole(header) => check_whole(header),
        _ if is_unfinished(start, file_bytes) => HeaderCheck::Unfinished,
        _ if start.starts_with(&MAGIC) => check_magic_only(start),
        Some(header) if is_whole(&with_magic(header)) => HeaderCheck::Damaged {
            detail: String::from("the first eight bytes are damaged, the rest of the header verifies"),
        },
        _ => HeaderCheck::Foreign { found: describe(start) },
    }
}

fn is_whole(header: &[u8; HEADER_BYTES]) -> bool {
    header.starts_with(&MAGIC) && crc32fast::hash(&header[..CRC]) == u32_at(header, CRC)
}

fn with_magic(header: &[u8; HEADER_BYTES]) -> [u8; HEADER_BYTES] {
    let mut header = *header;
    header[..MAGIC.len()].copy_from_slice(&MAGIC);
    header
}

fn check_whole(bytes: &[u8; HEADER_BYTES]) -> HeaderCheck {
    let version = u32_at(bytes, VERSION_AT);
    let header = Header::decode(bytes);
    if version != VERSION {
        HeaderCheck::Newer { found: format!("format version {version}") }
    } else if header.flags & FLAGS_ESSENTIAL != 0 {
        HeaderCheck::Newer { found: format!("header flags {:#06x}", header.flags & FLAGS_ESSENTIAL) }
    } else if header.encode() != *bytes {
        HeaderCheck::Newer { found: String::from("header fields that were reserved") }
    } else {
        HeaderCheck::Valid(header)
    }
}

/// The header write of a creator that died: some prefix of it, with zeros behind where the file had grown before
/// its bytes arrived. Nothing can follow it, since frames are only written behind a whole header.
fn is_unfinished(start: &[u8], file_bytes: u64) -> bool {
    if file_bytes > HEADER_BYTES as u64 || start.len() as u64 != file_bytes {
        return false;
    }
    let written = start.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let magic = written.min(MAGIC.len());
    let version = [VERSION.to_le_bytes().as_slice(), &[0; 4]].concat();
    let fixed = written.clamp(VERSION_AT, LOG_ID) - VERSION_AT;
    written < HEADER_BYTES
        && start[..magic] == MAGIC[..magic]
        && (written <= VERSION_AT || start[VERSION_AT..VERSION_AT + fixed] == version[..fixed])
}

/// The header does not verify, though it begins like one. A later format may have another header: then its
/// version says so, unless the version is what is damaged.
fn check_magic_only(start: &[u8]) -> HeaderCheck {
    let version = start.get(VERSION_AT..FLAGS).map_or(VERSION, |_| u32_at(start, VERSION_AT));
    let damaged = |detail: &str| HeaderCheck::Damaged { detail: String::from(detail) };
    let Some(header) = start.first_chunk::<HEADER_BYTES>() else {
        return if version > VERSION {
            HeaderCheck::Newer { found: format!("format version {version}") }
        } else {
            damaged("the file ends within its header")
        };
    };
    let mut first_version = *header;
    first_version[VERSION_AT..FLAGS].copy_from_slice(&VERSION.to_le_bytes());
    if version > VERSION && !is_whole(&first_version) {
        HeaderCheck::Newer { found: format!("format version {version}") }
    } else {
        damaged("the file header does not match its checksum")
    }
}

/// Says what a file seems to be that is no log, for a message.
fn describe(start: &[u8]) -> String {
    const KNOWN: [(&[u8], &str); 8] = [
        (b"\x94TLOG", "a Trialog log that was damaged by a transfer as text"),
        (b"\xef\xbf\xbdTLOG", "a Trialog log that was damaged by a transfer as text"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"redb\x1a\x0a\xa9\x0d\x0a", "a redb database"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"\x28\xb5\x2f\xfd", "a zstd archive"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\x89PNG", "a PNG image"),
    ];
    if let Some((_, what)) = KNOWN.iter().find(|(magic, _)| start.starts_with(magic)) {
        return String::from(*what);
    }
    if start.starts_with(b"{") && contains(start, b"\"op_code\"") {
        return String::from("an Optuna journal in JSON lines");
    }
    if start.iter().all(|&byte| byte == 0) {
        return String::from("zero bytes where the header belongs");
    }
    let text = start.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let line: String = text.lines().next().unwrap_or_default().chars().take(40).collect();
    if text.len() + 3 >= start.len() && text.chars().all(|c| !c.is_control() || c.is_ascii_whitespace()) {
        return format!("text that begins with {line:?}");
    }
    let hex: Vec<String> = start.iter().take(MAGIC.len()).map(|byte| format!("{byte:02x}")).collect();
    format!("a file that begins with the bytes {}", hex.join(" "))
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}
