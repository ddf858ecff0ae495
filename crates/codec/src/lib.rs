//! Trialog's ops to bytes and back: the native dialect, version 1, of a record's payload. This crate never
//! touches a file, a lock or a clock; frames and their checksums belong to the journals.
//!
//! `docs/format-records.md` owns the bytes; tests compare it with [`OPS`] and with what this crate writes.
//! The form is stateless: decoding needs no dictionary, because keys stay keys and replay resolves them.

mod body;
mod error;
mod table;
mod wire;

use bincode::Encode;
use bincode::de::{BorrowDecode, Decoder};
use trialog_ops::{Op, Record, SessionId, SessionKey, SessionRef};

pub use error::DecodeError;
pub use table::{OPS, OpSpec, SKIPPABLE, code_of};

use wire::{RESERVE_MAX, WRITES, decoder, encoder, keyed};

/// The version of the record format that this crate writes, and the newest that it reads.
pub const FORMAT_VERSION: u16 = 1;

/// The longest payload that a frame can carry, and that [`decode_record`] accepts.
pub const RECORD_BYTES_MAX: usize = (1 << 24) - 1;

/// The bytes of the smallest op: its code and the length of an empty body.
const OP_BYTES_MIN: usize = 2;

/// Appends a record's payload to `out`.
///
/// The types of the vocabulary guarantee nearly all that [`decode_record`] checks. What they leave to the caller, before
/// anything is appended to a log: no NaN where an op forbids it, and no more than [`RECORD_BYTES_MAX`] bytes in
/// all. An [`Op::Skipped`] is written with its code and an empty body, since its content is gone; a code that
/// no reader could skip is first moved into the skippable range.
pub fn encode_record(record: &Record, out: &mut Vec<u8>) {
    let mut e = encoder(out);
    match record.session {
        SessionRef::Id(SessionId(id)) => (0u64, id).encode(&mut e),
        SessionRef::Key(SessionKey(key)) => keyed::number(key).encode(&mut e),
    }
    .and_then(|()| (record.counter, record.ops.len() as u64).encode(&mut e))
    .expect(WRITES);
    for op in &record.ops {
        encode_op(op, out);
    }
}

/// Reads a record's payload, all of it.
///
/// # Errors
/// See [`DecodeError`]. No input panics, and memory stays in proportion to the input's length.
pub fn decode_record(bytes: &[u8]) -> Result<Record, DecodeError> {
    if bytes.len() > RECORD_BYTES_MAX {
        return Err(DecodeError::Limit { offset: RECORD_BYTES_MAX });
    }
    let mut d = decoder(bytes, 0);
    let (session, counter, count) = head(&mut d).map_err(|cause| d.reader().explain(cause))?;
    let mut at = d.reader().at();
    if count > ((bytes.len() - at) / OP_BYTES_MIN) as u64 {
        return Err(DecodeError::Truncated { offset: bytes.len() });
    }
    let mut ops = Vec::with_capacity(count.min(RESERVE_MAX) as usize);
    for _ in 0..count {
        let (op, end) = op_at(bytes, at)?;
        ops.push(op);
        at = end;
    }
    if at < bytes.len() {
        return Err(DecodeError::Trailing { offset: at });
    }
    Ok(Record { session, counter, ops })
}

/// Appends one op to `out` as it stands in a record: code, length, body.
pub fn encode_op(op: &Op, out: &mut Vec<u8>) {
    out.push(code_of(op));
    let length_at = out.len();
    // Nearly every body is shorter than 251 bytes, and its length then takes this one byte.
    out.push(0);
    body::encode(op, &mut encoder(out)).expect(WRITES);
    let length = out.len() - length_at - 1;
    if let Ok(byte @ 0..=250) = u8::try_from(length) {
        out[length_at] = byte;
    } else {
        let mut varint = [0; 9];
        let written = bincode::encode_into_slice(length as u64, &mut varint, bincode::config::standard());
        let width = written.expect("nine bytes hold any varint of 64 bits");
        out.splice(length_at..=length_at, varint[..width].iter().copied());
    }
}

/// Reads one op as [`encode_op`] writes it, all of `bytes`.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode_op(bytes: &[u8]) -> Result<Op, DecodeError> {
    if bytes.len() > RECORD_BYTES_MAX {
        return Err(DecodeError::Limit { offset: RECORD_BYTES_MAX });
    }
    match op_at(bytes, 0)? {
        (op, end) if end == bytes.len() => Ok(op),
        (_, end) => Err(DecodeError::Trailing { offset: end }),
    }
}

fn head<'a>(d: &mut wire::BytesDecoder<'a>) -> Result<(SessionRef, u64, u64), bincode::error::DecodeError> {
    let session = match u64::borrow_decode(d)? {
        0 => SessionRef::Id(SessionId(<[u8; 16]>::borrow_decode(d)?)),
        number => SessionRef::Key(SessionKey(keyed::key(number)?)),
    };
    Ok((session, u64::borrow_decode(d)?, u64::borrow_decode(d)?))
}

/// The op that begins at `at`, and where it ends.
fn op_at(bytes: &[u8], at: usize) -> Result<(Op, usize), DecodeError> {
    let mut d = decoder(bytes, at);
    let (code, length) = <(u8, u64)>::borrow_decode(&mut d).map_err(|cause| d.reader().explain(cause))?;
    let begin = d.reader().at();
    if length > (bytes.len() - begin) as u64 {
        return Err(DecodeError::Truncated { offset: bytes.len() });
    }
    let end = begin + length as usize;
    if code >= SKIPPABLE {
        return Ok((Op::Skipped { code }, end));
    }
    let mut d = decoder(&bytes[..end], begin);
    match body::decode(code, &mut d) {
        Ok(None) => Err(DecodeError::UnknownOp { code, offset: at }),
        Ok(Some(_)) if d.reader().at() < end => Err(DecodeError::UnknownFields { code, offset: d.reader().at() }),
        Ok(Some(op)) => Ok((op, end)),
        Err(cause) => Err(d.reader().explain(cause)),
    }
}
