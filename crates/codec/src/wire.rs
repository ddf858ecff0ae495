//! The meeting of bincode and the vocabulary: reading with offsets, sequences whose lengths are checked before
//! memory is taken, and the forms of everything smaller than an op.

use std::borrow::Cow;
use std::sync::Arc;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::de::read::{BorrowReader, Reader};
use bincode::de::{BorrowDecode, BorrowDecoder, Decoder, DecoderImpl};
use bincode::enc::write::Writer;
use bincode::enc::{Encode, Encoder, EncoderImpl};
use bincode::error::{DecodeError, EncodeError};
use trialog_ops::{
    CategoricalDistribution, Choice, ComponentSpec, Direction, Distribution, FinalState, FloatDistribution,
    IntDistribution, Json, MetricKey, MetricRef, MetricSeries, MetricValue, Param, ParamDef, ParamKey, ParamRef,
    StudyConfig, Timestamp, TrialState,
};

use crate::RECORD_BYTES_MAX;

/// bincode charges what a value takes in memory, at most eight bytes for one on the wire. The limit stops
/// lengths beyond any record at once; the finer check, against the body's own length, is in [`Many`].
const CHARGE_MAX: usize = 8 * (RECORD_BYTES_MAX + 1);

type Standard = Configuration<LittleEndian, Varint, Limit<CHARGE_MAX>>;
const STANDARD: Standard = bincode::config::standard().with_limit::<CHARGE_MAX>();

/// The most elements that memory is taken for before they are read.
pub(crate) const RESERVE_MAX: u64 = 1 << 10;

/// Why encoding cannot fail: the vocabulary holds no cell, lock or clock, and a vector takes what it is given.
pub(crate) const WRITES: &str = "plain values are written to a vector";

pub(crate) type BytesDecoder<'a> = DecoderImpl<Bytes<'a>, Standard, ()>;

pub(crate) fn encoder(out: &mut Vec<u8>) -> EncoderImpl<Out<'_>, Standard> {
    EncoderImpl::new(Out(out), STANDARD)
}

pub(crate) fn decoder(bytes: &[u8]) -> BytesDecoder<'_> {
    DecoderImpl::new(Bytes { bytes, at: 0, field_at: 0 }, STANDARD, ())
}

pub(crate) struct Out<'a>(&'a mut Vec<u8>);

impl Writer for Out<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// A reader that remembers where the last field began, so that an error can say so.
pub(crate) struct Bytes<'a> {
    bytes: &'a [u8],
    at: usize,
    field_at: usize,
}

impl<'a> Bytes<'a> {
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// From here on, the bytes end there.
    pub(crate) fn end_at(&mut self, bytes: &'a [u8]) {
        self.bytes = bytes;
    }

    pub(crate) fn go_to(&mut self, at: usize) {
        self.at = at;
    }

    pub(crate) fn rest(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// A varint of at most 32 bits, as nearly all are; `None` leaves the position alone.
    #[inline]
    pub(crate) fn short_varint(&mut self) -> Option<u64> {
        let (value, width) = match self.bytes[self.at..] {
            [byte @ 0..=250, ..] => (u64::from(byte), 1),
            [251, a, b, ..] => (u16::from_le_bytes([a, b]).into(), 3),
            [252, a, b, c, d, ..] => (u32::from_le_bytes([a, b, c, d]).into(), 5),
            _ => return None,
        };
        self.consume(width);
        Some(value)
    }

    /// The next bytes, if there are so many.
    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let array = *self.bytes[self.at..].first_chunk()?;
        self.consume(N);
        Some(array)
    }

    /// What bincode complains of, in our words and with the offset.
    #[cold]
    pub(crate) fn explain(&self, cause: DecodeError) -> crate::DecodeError {
        let offset = self.field_at;
        let invalid = |what| crate::DecodeError::Invalid { offset, what };
        match cause {
            DecodeError::UnexpectedEnd { .. } => crate::DecodeError::Truncated { offset },
            DecodeError::LimitExceeded | DecodeError::OutsideUsizeRange(_) => crate::DecodeError::Limit { offset },
            DecodeError::Other(what) => invalid(what.to_owned()),
            DecodeError::OtherString(what) => invalid(what),
            DecodeError::Utf8 { .. } => invalid("text that is not UTF-8".to_owned()),
            DecodeError::InvalidBooleanValue(byte) => invalid(format!("{byte} is neither false (0) nor true (1)")),
            DecodeError::UnexpectedVariant { found, .. } => {
                invalid(format!("{found} is neither absent (0) nor present (1)"))
            }
            DecodeError::InvalidIntegerType { .. } => invalid("an integer too wide for its field".to_owned()),
            other => invalid(other.to_string()),
        }
    }
}

impl Reader for Bytes<'_> {
    #[inline]
    fn read(&mut self, bytes: &mut [u8]) -> Result<(), DecodeError> {
        bytes.copy_from_slice(self.take_bytes(bytes.len())?);
        Ok(())
    }

    #[inline]
    fn peek_read(&mut self, n: usize) -> Option<&[u8]> {
        self.field_at = self.at;
        self.bytes[self.at..].get(..n)
    }

    #[inline]
    fn consume(&mut self, n: usize) {
        self.field_at = self.at;
        self.at = self.bytes.len().min(self.at + n);
    }
}

impl<'a> BorrowReader<'a> for Bytes<'a> {
    #[inline]
    fn take_bytes(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        self.field_at = self.at;
        let rest = &self.bytes[self.at..];
        let Some(taken) = rest.get(..length) else {
            return Err(DecodeError::UnexpectedEnd { additional: length - rest.len() });
        };
        self.at += length;
        Ok(taken)
    }
}

/// A field of the payload outside the bodies: short varints here, all others by bincode.
#[inline]
pub(crate) fn varint(d: &mut BytesDecoder<'_>) -> Result<u64, crate::DecodeError> {
    match d.reader().short_varint() {
        Some(value) => Ok(value),
        None => field(d),
    }
}

/// A value that bincode reads, with our error.
pub(crate) fn field<'a, T: BorrowDecode<'a, ()>>(d: &mut BytesDecoder<'a>) -> Result<T, crate::DecodeError> {
    T::borrow_decode(d).map_err(|cause| d.reader().explain(cause))
}

/// Keys on the wire: 0 is free to mean "in full", and key `k` is written as `k + 1`.
pub(crate) mod keyed {
    use bincode::error::DecodeError;

    pub(crate) fn number(key: u32) -> u64 {
        u64::from(key) + 1
    }

    #[inline]
    pub(crate) fn key(number: u64) -> Result<u32, DecodeError> {
        u32::try_from(number.wrapping_sub(1)).map_err(|_| DecodeError::Other("a key beyond 2^32 - 1"))
    }
}

/// A part of the vocabulary with a form on the wire. bincode's own traits cannot be implemented for types of
/// another crate.
pub(crate) trait Form: Clone {
    /// The fewest bytes a value takes.
    const BYTES_MIN: usize;

    fn put<E: Encoder>(&self, e: &mut E) -> Result<(), EncodeError>;

    fn take<'de, D: BorrowDecoder<'de>>(d: &mut D) -> Result<Self, DecodeError>;
}

/// One value: borrowed on the way out, owned on the way in.
pub(crate) struct One<'a, T: Form>(pub(crate) Cow<'a, T>);

impl<'a, T: Form> One<'a, T> {
    pub(crate) fn of(value: &'a T) -> One<'a, T> {
        One(Cow::Borrowed(value))
    }

    pub(crate) fn into_inner(self) -> T {
        self.0.into_owned()
    }
}

impl<T: Form> Encode for One<'_, T> {
    fn encode<E: Encoder>(&self, e: &mut E) -> Result<(), EncodeError> {
        self.0.put(e)
    }
}

impl<'de, C, T: Form> BorrowDecode<'de, C> for One<'_, T> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(d: &mut D) -> Result<Self, DecodeError> {
        T::take(d).map(|value| One(Cow::Owned(value)))
    }
}

/// A sequence: borrowed on the way out, owned on the way in. bincode's `Vec` would take memory for whatever
/// length the wire claims; this one first looks whether so many elements can still follow.
pub(crate) struct Many<'a, T: Form>(pub(crate) Cow<'a, [T]>);

impl<'a, T: Form> Many<'a, T> {
    pub(crate) fn of(values: &'a [T]) -> Many<'a, T> {
        Many(Cow::Borrowed(values))
    }

    pub(crate) fn into_inner(self) -> Vec<T> {
        self.0.into_owned()
    }
}

impl<T: Form> Encode for Many<'_, T> {
    fn encode<E: Encoder>(&self, e: &mut E) -> Result<(), EncodeError> {
        (self.0.len() as u64).encode(e)?;
        self.0.iter().try_for_each(|value| value.put(e))
    }
}

impl<'de, C, T: Form> BorrowDecode<'de, C> for Many<'_, T> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(d: &mut D) -> Result<Self, DecodeError> {
        const { assert!(T::BYTES_MIN > 0, "a sequence of nothing could be as long as it says") };
        let claimed = u64::borrow_decode(d)?;
        let bytes = usize::try_from(claimed).ok().and_then(|count| count.checked_mul(T::BYTES_MIN));
        let fits = claimed == 0 || bytes.is_some_and(|bytes| d.reader().peek_read(bytes).is_some());
        if !fits {
            return Err(DecodeError::UnexpectedEnd { additional: 1 });
        }
        let mut values = Vec::with_capacity(claimed.min(RESERVE_MAX) as usize);
        for _ in 0..claimed {
            values.push(T::take(d)?);
        }
        Ok(Many(Cow::Owned(values)))
    }
}

/// A moment, always eight bytes: as a varint today's microseconds would take nine.
#[derive(bincode::Encode, bincode::BorrowDecode)]
pub(crate) struct Time([u8; 8]);

impl From<Timestamp> for Time {
    fn from(time: Timestamp) -> Time {
        Time(time.0.to_le_bytes())
    }
}

impl From<Time> for Timestamp {
    fn from(time: Time) -> Timestamp {
        Timestamp(i64::from_le_bytes(time.0))
    }
}

#[cold]
fn invalid(what: &impl ToString) -> DecodeError {
    DecodeError::OtherString(what.to_string())
}

fn text<'de, D: BorrowDecoder<'de>>(d: &mut D) -> Result<&'de str, DecodeError> {
    <&str>::borrow_decode(d)
}

/// A float in the places where NaN is forbidden.
impl Form for f64 {
    const BYTES_MIN: usize = 8;

    fn put<E: Encoder>(&self, e: &mut E) -> Result<(), EncodeError> {
        self.encode(e)
    }

    fn take<'de, D: BorrowDecoder<'de>>(d: &mut D) -> Result<f64, DecodeError> {
        let value = f64::borrow_decode(d)?;
        if value.is_nan() { Err(DecodeError::Other("NaN where it is forbidden")) } else { Ok(value) }
    }
}

impl Form for String {
    const BYTES_MIN: usize = 1;

    fn put<E: Encoder>(&self, e: &mut E) -> Result<(), EncodeError> {
        self.as_str().encode(e)
    }

    fn take<'de, D: BorrowDecoder<'de>>(d: &mut D) -> Result<String, DecodeError> {
        text(d).map(str::to_owned)
    }
}

impl Form for Json {
    const BYTES_MIN: usize = 2;

    fn put<E: Encoder>(&self, e: &mut E) -> Result<(), EncodeError> {
        self.as_str().encode(e)
    }

    fn take<'de, D: BorrowDecoder<'de>>(d: &mut D) -> Result<Json, DecodeError> {
        Json::parse(text(d)?).map_err(|e| invalid(&e))
    }
}

impl Form for Direction {
    const BYTES_MIN: usize = 1;

    fn put<E: Encoder>(&self, e: &mut E) -> Result<(), EncodeError> {
        match self {
            Direction::Minimize => 0u8,
            Direction::Maximize => 1,
        }
        .encode(e)
    }

    fn take<'de, D: BorrowDecoder<'de>>(d: &mut D) -> Result<Direction, DecodeError> {
        match u8::borrow_decode(d)? {
            0 => Ok(Direction::Minimize),
            1 => Ok(Direction::Maximize),
            number => Err(invalid(&format!("{number} is no direction"))),
        }
    }
}

impl Form for TrialState {
    const BYTES_MIN: usize = 1;

    fn put<E: Encoder>(&self, e: &mut E) -> Result<(), EncodeError> {
        (*self as u8).encode(e)
    }

    fn take<'de, D: BorrowDecoder<'de>>(d: &mut D) -> Result<TrialState, DecodeError> {
        let number = u8::borrow_decode(d)?;
        TrialState::from_number(number).ok_or_else(|| invalid(&format!("{number} is no trial state")))
    }
}

/// A final state by the number of the trial state that it is.
pub(crate) fn final_state(number: u8) -> Option<FinalState> {
    [FinalState::Complete, FinalState::Pruned, FinalState::Fail]
        .into_iter()
        .find(|state| TrialState::from(*state) as u8 == number)
}

impl Form for FinalState {
    const BYTES_MIN: usize = 1;

    fn put<E: Encoder>(&self, e: &mut E) -> Result<(), EncodeError> {
        TrialState::from(*self).put(e)
    }

    fn take<'de, D: BorrowDecoder<'de>>(d: &mut D) -> Result<FinalState, DecodeError> {
        let number = u8::borrow_decode(d)?;
        final_state(number).ok_or_else(|| invalid(&format!("{number} is no final state")))
    }
}

impl Form for ParamKey {
    const BYTES_MIN: usize = 1;

    fn put<E: Encoder>(&self, e: &mut E) -> Result<(), EncodeError> {
        self.0.encode(e)
    }

    fn take<'de, D: BorrowDecoder<'de>>(d: &mut D) -> Result<ParamKey, DecodeError> {
        u32::borrow_decode(d).map(ParamKey)
    }
}

impl Form for Param {
    const BYTES_MIN: usize = 9;

    fn put<E: Encoder>(&self, e: &mut E) -> Result<(), EncodeError> {
        match &self.param {
            ParamRef::Key(key) => keyed::number(key.0).encode(e)?,
            ParamRef::Def(def) => {
                0u64.encode(e)?;
                def.name.put(e)?;
                def.distribution.put(e)?;
            }
        }
        self.value.put(e)
    }

    fn take<'de, D: BorrowDecoder<'de>>(d: &mut D) -> Result<Param, DecodeError> {
        let param = match u64::borrow_decode(d)? {
            0 => {
                let (name, distribution) = (String::take(d)?, Distribution::take(d)?);
                ParamRef::Def(Box::new(ParamDef { name, distribution }))
            }
            number => ParamRef::Key(ParamKey(keyed::key(number)?)),
        };
        Ok(Param { param, value: f64::take(d)? })
    }
}

impl Form for MetricRef {
    const BYTES_MIN: usize = 1;

    fn put<E: Encoder>(&self, e: &mut E) -> Result<(), EncodeError> {
        match self {
            MetricRef::Key(key) => keyed::number(key.0).encode(e),
            MetricRef::Name(name) => {
                0u64.encode(e)?;
                name.put(e)
            }
        }
    }

    fn take<'de, D: BorrowDecoder<'de>>(d: &mut D) -> Result<MetricRef, DecodeError> {
        Ok(match u64::borrow_decode(d)? {
            0 => MetricRef::Name(String::take(d)?),
            number => MetricRef::Key(MetricKey(keyed::key(number)?)),
        })
    }
}

/// A metric and what was reported of it, NaN included.
impl Form for MetricValue {
    const BYTES_MIN: usize = MetricRef::BYTES_MIN + 8;

    fn put<E: Encoder>(&self, e: &mut E) -> Result<(), EncodeError> {
        self.metric.put(e)?;
        self.value.encode(e)
    }

    fn take<'de, D: BorrowDecoder<'de>>(d: &mut D) -> Result<MetricValue, DecodeError> {
        Ok(MetricValue { metric: MetricRef::take(d)?, value: f64::borrow_decode(d)? })
    }
}

impl Form for MetricSeries {
    const BYTES_MIN: usize = MetricRef::BYTES_MIN + 1;

    fn put<E: Encoder>(&self, e: &mut E) -> Result<(), EncodeError> {
        self.metric.put(e)?;
        Many::of(&self.reports).encode(e)
    }

    fn take<'de, D: BorrowDecoder<'de>>(d: &mut D) -> Result<MetricSeries, DecodeError> {
        Ok(MetricSeries { metric: MetricRef::take(d)?, reports: Many::borrow_decode(d)?.into_inner() })
    }
}

impl Form for Distribution {
    const BYTES_MIN: usize = 3;

    fn put<E: Encoder>(&self, e: &mut E) -> Result<(), EncodeError> {
        match self {
            Distribution::Float(f) => (0u8, f.low(), f.high(), f.is_log(), f.step()).encode(e),
            Distribution::Int(i) => (1u8, i.low(), i.high(), i.is_log(), i.step()).encode(e),
            Distribution::Categorical(c) => (2u8, Many::of(c.choices())).encode(e),
        }
    }

    fn take<'de, D: BorrowDecoder<'de>>(d: &mut D) -> Result<Distribution, DecodeError> {
        match u8::borrow_decode(d)? {
            0 => {
                let (low, high, log, step) = <(f64, f64, bool, Option<f64>)>::borrow_decode(d)?;
                FloatDistribution::new(low, high, log, step).map(Distribution::Float)
            }
            1 => {
                let (low, high, log, step) = <(i64, i64, bool, i64)>::borrow_decode(d)?;
                IntDistribution::new(low, high, log, step).map(Distribution::Int)
            }
            2 => {
                let choices = Many::<Choice>::borrow_decode(d)?.into_inner();
                CategoricalDistribution::new(choices).map(Distribution::Categorical)
            }
            number => return Err(invalid(&format!("{number} is no kind of distribution"))),
        }
        .map_err(|e| invalid(&e))
    }
}

impl Form for Choice {
    const BYTES_MIN: usize = 1;

    fn put<E: Encoder>(&self, e: &mut E) -> Result<(), EncodeError> {
        match self {
            Choice::Null => 0u8.encode(e),
            Choice::Bool(value) => (1u8, value).encode(e),
            Choice::Int(value) => (2u8, value).encode(e),
            Choice::Float(value) => (3u8, value).encode(e),
            Choice::Str(value) => (4u8, &**value).encode(e),
        }
    }

    fn take<'de, D: BorrowDecoder<'de>>(d: &mut D) -> Result<Choice, DecodeError> {
        Ok(match u8::borrow_decode(d)? {
            0 => Choice::Null,
            1 => Choice::Bool(bool::borrow_decode(d)?),
            2 => Choice::Int(i64::borrow_decode(d)?),
            3 => Choice::Float(f64::borrow_decode(d)?),
            4 => Choice::Str(Arc::from(text(d)?)),
            number => return Err(invalid(&format!("{number} is no kind of choice"))),
        })
    }
}

impl Form for ComponentSpec {
    const BYTES_MIN: usize = 4;

    fn put<E: Encoder>(&self, e: &mut E) -> Result<(), EncodeError> {
        self.name.put(e)?;
        self.version.encode(e)?;
        self.options.put(e)
    }

    fn take<'de, D: BorrowDecoder<'de>>(d: &mut D) -> Result<ComponentSpec, DecodeError> {
        Ok(ComponentSpec { name: String::take(d)?, version: u32::borrow_decode(d)?, options: Json::take(d)? })
    }
}

impl Form for StudyConfig {
    const BYTES_MIN: usize = 9;

    fn put<E: Encoder>(&self, e: &mut E) -> Result<(), EncodeError> {
        self.sampler.put(e)?;
        self.pruner.put(e)?;
        self.seed.encode(e)
    }

    fn take<'de, D: BorrowDecoder<'de>>(d: &mut D) -> Result<StudyConfig, DecodeError> {
        let (sampler, pruner) = (ComponentSpec::take(d)?, ComponentSpec::take(d)?);
        Ok(StudyConfig { sampler, pruner, seed: u64::borrow_decode(d)? })
    }
}

/// An attribute or a constraint: a name and its value.
impl<T: Form> Form for (String, T) {
    const BYTES_MIN: usize = 1 + T::BYTES_MIN;

    fn put<E: Encoder>(&self, e: &mut E) -> Result<(), EncodeError> {
        self.0.put(e)?;
        self.1.put(e)
    }

    fn take<'de, D: BorrowDecoder<'de>>(d: &mut D) -> Result<(String, T), DecodeError> {
        Ok((String::take(d)?, T::take(d)?))
    }
}

impl<T: Form> Form for Option<T> {
    const BYTES_MIN: usize = 1;

    fn put<E: Encoder>(&self, e: &mut E) -> Result<(), EncodeError> {
        self.as_ref().map(One::of).encode(e)
    }

    fn take<'de, D: BorrowDecoder<'de>>(d: &mut D) -> Result<Option<T>, DecodeError> {
        Ok(Option::<One<'_, T>>::borrow_decode(d)?.map(One::into_inner))
    }
}

/// A step and what was reported there, NaN included.
impl Form for (u64, f64) {
    const BYTES_MIN: usize = 9;

    fn put<E: Encoder>(&self, e: &mut E) -> Result<(), EncodeError> {
        self.encode(e)
    }

    fn take<'de, D: BorrowDecoder<'de>>(d: &mut D) -> Result<(u64, f64), DecodeError> {
        <(u64, f64)>::borrow_decode(d)
    }
}
