//! Bytes as sections, and sections as numbers, texts and columns. Nothing that they claim is believed before it is
//! checked: not a length before so many bytes are there.

use trialog_ops::Json;

use super::index::{self, Mask};
use super::{
    BLOCK, BLOCK_ALL, BLOCK_NONE, BLOCK_SOME, Cell, HEADER_LEN, MAGIC, SECTION_HEADER_LEN, Section, SnapshotError,
    VERSION, VERSION_WITHOUT_ORDER, block_mask, width_of,
};
use crate::column::Column;

pub(super) type Read<T> = Result<T, SnapshotError>;

/// What has not been read yet, section by section.
pub(super) struct Sections<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
    /// Of the section before, or of the header.
    crc: u32,
    pub(super) version: u32,
}

impl<'a> Sections<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Read<(Sections<'a>, u64)> {
        let mut header = Payload { bytes: bytes.get(..HEADER_LEN).unwrap_or(bytes), start: 0, at: 0 };
        if header.array::<8>() != Ok(MAGIC) {
            return Err(SnapshotError::NotASnapshot);
        }
        // The rest of the header is only known to be where we look for it if the version is ours.
        let version = header.u32()?;
        if version > VERSION {
            return Err(SnapshotError::NewerVersion { version });
        }
        let (flags, records, reserved) = (header.u32()?, header.u64()?, header.u32()?);
        let checked = crc32fast::hash(&header.bytes[..header.at]);
        let crc = header.u32()?;
        if crc != checked {
            return Err(header.damaged("the header's checksum is wrong"));
        }
        if !(VERSION_WITHOUT_ORDER..=VERSION).contains(&version) || (flags, reserved) != (0, 0) {
            return Err(header.damaged("the header says what it cannot say"));
        }
        Ok((Sections { bytes, at: HEADER_LEN, crc, version }, records))
    }

    pub(super) fn damaged(&self, detail: &'static str) -> SnapshotError {
        SnapshotError::Damaged { offset: self.at as u64, detail }
    }

    /// Reads the next section, which must be of this kind and hold just what `read` takes from it.
    pub(super) fn read<T>(&mut self, kind: Section, read: impl FnOnce(&mut Payload<'a>) -> Read<T>) -> Read<T> {
        let rest = &self.bytes[self.at..];
        let mut header = Payload { bytes: rest, start: self.at, at: 0 };
        let (crc, found, len) = (header.u32()?, header.u32()?, header.length()?);
        let bytes = header.take(len)?;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.crc.to_le_bytes());
        hasher.update(&rest[4..header.at]);
        if crc != hasher.finalize() {
            return Err(self.damaged("a section's checksum is wrong"));
        }
        if found != kind as u32 {
            return Err(self.damaged("another section should be here"));
        }
        let mut payload = Payload { bytes, start: self.at + SECTION_HEADER_LEN, at: 0 };
        let value = read(&mut payload)?;
        if payload.at < bytes.len() {
            return Err(payload.damaged("a section is longer than what it holds"));
        }
        (self.crc, self.at) = (crc, payload.start + bytes.len());
        Ok(value)
    }
}

/// Bytes that are read from front to back.
pub(super) struct Payload<'a> {
    bytes: &'a [u8],
    /// Where in the snapshot they begin.
    start: usize,
    at: usize,
}

impl<'a> Payload<'a> {
    pub(super) fn damaged(&self, detail: &'static str) -> SnapshotError {
        SnapshotError::Damaged { offset: (self.start + self.at) as u64, detail }
    }

    pub(super) fn check(&self, fact: bool, detail: &'static str) -> Read<()> {
        if fact { Ok(()) } else { Err(self.damaged(detail)) }
    }

    pub(super) fn take(&mut self, len: usize) -> Read<&'a [u8]> {
        let end = self.at.checked_add(len).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| self.damaged("less is there than was announced"))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let first = self.bytes[self.at..].first_chunk::<N>().copied();
        let array = first.ok_or_else(|| self.damaged("less is there than was announced"))?;
        self.at += N;
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Read<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Read<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Read<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// How many of something follow. No more than that is known: memory is taken for what is there.
    pub(super) fn length(&mut self) -> Read<usize> {
        let length = usize::try_from(self.u64()?);
        length.map_err(|_| self.damaged("more is announced than memory can hold"))
    }

    pub(super) fn flag(&mut self) -> Read<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.damaged("neither 0 nor 1")),
        }
    }

    pub(super) fn text_of(&mut self, len: usize) -> Read<&'a str> {
        let bytes = self.take(len)?;
        std::str::from_utf8(bytes).map_err(|_| self.damaged("a text is not UTF-8"))
    }

    pub(super) fn text(&mut self) -> Read<&'a str> {
        let len = self.length()?;
        self.text_of(len)
    }

    pub(super) fn json_of(&mut self, len: usize) -> Read<Json> {
        let text = self.text_of(len)?;
        Json::parse(text).map_err(|_| self.damaged("an attribute is not JSON"))
    }

    pub(super) fn json(&mut self) -> Read<Json> {
        let len = self.length()?;
        self.json_of(len)
    }

    pub(super) fn cell<T: Cell>(&mut self) -> Read<T> {
        self.array().map(T::decode)
    }

    pub(super) fn cells<T: Cell>(
        &mut self,
        count: usize,
    ) -> Read<impl ExactSizeIterator<Item = T> + Clone + use<'a, T>> {
        let bytes = self.take(count.saturating_mul(8))?;
        Ok(bytes.as_chunks().0.iter().map(|bytes| T::decode(*bytes)))
    }

    pub(super) fn ints(&mut self, count: usize) -> Read<Ints<'a>> {
        self.ints_at_least(0, count)
    }

    pub(super) fn ints_at_least(&mut self, least: u8, count: usize) -> Read<Ints<'a>> {
        let width = self.u8()?;
        self.check(matches!(width, 0 | 1 | 2 | 4 | 8), "integers of no known width")?;
        let bytes = self.take(count.saturating_mul(usize::from(width)))?;
        let ints = Ints { width, bytes, count };
        let largest = if width == 0 { 0 } else { ints.iter().max().unwrap_or(0) };
        self.check(width == width_of(largest).max(least), "integers are wider than they need to be")?;
        Ok(ints)
    }

    pub(super) fn column<T: Cell>(&mut self, trials: usize) -> Read<(Column<T>, Mask)> {
        let kinds = self.take(trials.div_ceil(BLOCK))?;
        let mut column = Column::new(T::ABSENT);
        let mut mask = Mask::with_capacity(kinds.len());
        for (block, kind) in kinds.iter().enumerate() {
            let all = block_mask(trials, block);
            let present = match *kind {
                BLOCK_NONE => 0,
                BLOCK_ALL => all,
                BLOCK_SOME => u128::from_le_bytes(self.array()?),
                _ => return Err(self.damaged("a block of no known kind")),
            };
            let some = present != 0 && present != all && present & !all == 0;
            self.check(some || *kind != BLOCK_SOME, "a block of another kind than it says")?;
            mask.push(present);
            if present == 0 {
                continue;
            }
            let cells = self.cells::<T>(present.count_ones() as usize)?;
            let absent = cells.clone().filter(|value| !value.is_present()).count();
            self.check(absent == 0, "a value that should be there is not")?;
            let values = if present == all {
                cells.collect()
            } else {
                let mut values = vec![T::ABSENT; BLOCK - present.leading_zeros() as usize];
                index::numbers(&[present]).zip(cells).for_each(|(at, value)| values[at] = value);
                values
            };
            column.set_chunk(block, values);
        }
        Ok((column, mask))
    }
}

/// Integers of one width.
#[derive(Clone, Copy)]
pub(super) struct Ints<'a> {
    width: u8,
    bytes: &'a [u8],
    /// As many as there are; only with a width of 0 are there no bytes for them.
    pub(super) count: usize,
}

impl<'a> Ints<'a> {
    /// True if all of them are 0.
    pub(super) fn is_zero(self) -> bool {
        self.width == 0
    }

    pub(super) fn get(self, at: usize) -> u64 {
        let width = usize::from(self.width);
        let bytes = self.bytes.get(at * width..(at + 1) * width).unwrap_or(&[]);
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(wide)
    }

    pub(super) fn iter(self) -> impl Iterator<Item = u64> + Clone + use<'a> {
        (0..self.count).map(move |at| match self.width {
            0 => 0,
            1 => u64::from(self.bytes[at]),
            _ => self.get(at),
        })
    }

    pub(super) fn sum(self) -> Option<usize> {
        if self.is_zero() {
            return Some(0);
        }
        self.iter().try_fold(0_usize, |sum, int| sum.checked_add(usize::try_from(int).ok()?))
    }
}
