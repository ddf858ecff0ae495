//! Trialog's ops to bytes and back: the native dialect, version 1, of a record's payload. This crate never
//! touches a file, a lock or a clock; frames and their checksums belong to the journals.
//!
//! `docs/format-records.md` owns the bytes; tests compare it with [`OPS`] and with what this crate writes.
//! The form is stateless: decoding needs no dictionary, because keys stay keys and replay resolves them.

mod body;
mod error;
pub mod optuna;
mod table;
mod wire;

use bincode::Encode;
use bincode::de::Decoder;
use trialog_ops::{Op, Record, SessionId, SessionKey, SessionRef};

pub use error::DecodeError;
pub use table::{OPS, OpSpec, SKIPPABLE, code_of};

use wire::{BytesDecoder, RESERVE_MAX, WRITES, decoder, encoder, field, keyed, varint};

/// The version of the record format that this crate writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// The longest payload that a frame can carry, and that [`decode_record`] accepts.
pub const RECORD_BYTES_MAX: usize = (1 << 24) - 1;

/// The bytes of the smallest op: its code and the length of an empty body.
const OP_BYTES_MIN: usize = 2;

/// Appends a record's payload to `out`.
///
/// The types of the vocabulary guarantee nearly all that [`decode_record`] checks. What they leave to the
/// caller, before anything is appended to a log: no NaN where an op forbids it, no JSON made from a value that
/// nests too deep, and no more than [`RECORD_BYTES_MAX`] bytes in all.
///
/// An [`Op::Skipped`] is written with its code and an empty body, since its content is gone; a code that
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
    let mut d = decoder(bytes);
    let session = session(&mut d)?;
    let counter = varint(&mut d)?;
    let count = varint(&mut d)?;
    if count > (d.reader().rest() / OP_BYTES_MIN) as u64 {
        return Err(DecodeError::Truncated { offset: bytes.len() });
    }
    let mut ops = Vec::with_capacity(count.min(RESERVE_MAX) as usize);
    for _ in 0..count {
        read_op(&mut d, bytes, &mut ops)?;
    }
    match d.reader().rest() {
        0 => Ok(Record { session, counter, ops }),
        _ => Err(DecodeError::Trailing { offset: d.reader().at() }),
    }
}

/// Appends one op as it stands in a record: code, length, body.
fn encode_op(op: &Op, out: &mut Vec<u8>) {
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

// Inlined for the same reason that ops go straight to their place, see `read_op`.
#[inline(always)]
fn session(d: &mut BytesDecoder<'_>) -> Result<SessionRef, DecodeError> {
    match varint(d)? {
        0 => Ok(SessionRef::Id(SessionId(field(d)?))),
        number => match keyed::key(number) {
            Ok(key) => Ok(SessionRef::Key(SessionKey(key))),
            Err(cause) => Err(d.reader().explain(cause)),
        },
    }
}

/// Reads the op that begins where the decoder stands in `bytes`. It goes straight to its place: passing an op
/// from hand to hand costs more than reading it.
fn read_op<'a>(d: &mut BytesDecoder<'a>, bytes: &'a [u8], ops: &mut Vec<Op>) -> Result<(), DecodeError> {
    let offset = d.reader().at();
    let Some([code]) = d.reader().array() else { return Err(DecodeError::Truncated { offset }) };
    let length = varint(d)?;
    if length > d.reader().rest() as u64 {
        return Err(DecodeError::Truncated { offset: bytes.len() });
    }
    let end = d.reader().at() + length as usize;
    // One that is known may have been passed on by a program that did not know it, without its body.
    if code >= SKIPPABLE && (code != table::code::SAMPLED_AT || length == 0) {
        d.reader().go_to(end);
        ops.push(Op::Skipped { code });
        return Ok(());
    }
    // A field cannot reach beyond its own body.
    d.reader().end_at(&bytes[..end]);
    let begin = d.reader().at();
    if body::decode_plain(code, d.reader(), ops).is_none() {
        d.reader().go_to(begin);
        match body::decode(code, d) {
            Ok(Some(op)) => ops.push(op),
            Ok(None) => return Err(DecodeError::UnknownOp { code, offset }),
            Err(cause) => return Err(d.reader().explain(cause)),
        }
    }
    if d.reader().rest() > 0 {
        return Err(DecodeError::UnknownFields { code, offset: d.reader().at() });
    }
    d.reader().end_at(bytes);
    Ok(())
}
