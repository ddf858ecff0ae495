//! What a parameter is drawn from: floats, integers and categories, with Optuna's rules of validity, rounding
//! and compatibility. Unlike there, categorical choices are told apart by type: `true`, `1` and `1.0` differ.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::decimal;

/// Integers reach from `-INT_MAX` to `INT_MAX`: those that a double holds exactly.
pub const INT_MAX: i64 = 1 << 53;

/// What a parameter is drawn from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Distribution {
    /// Real numbers.
    Float(FloatDistribution),
    /// Whole numbers.
    Int(IntDistribution),
    /// One of a list.
    Categorical(CategoricalDistribution),
}

impl Distribution {
    /// Reals in `[low, high]`.
    ///
    /// # Errors
    /// See [`FloatDistribution::new`].
    pub fn float(low: f64, high: f64) -> Result<Distribution, DistributionError> {
        FloatDistribution::new(low, high, false, None).map(Distribution::Float)
    }

    /// Whole numbers in `[low, high]`.
    ///
    /// # Errors
    /// See [`IntDistribution::new`].
    pub fn int(low: i64, high: i64) -> Result<Distribution, DistributionError> {
        IntDistribution::new(low, high, false, 1).map(Distribution::Int)
    }

    /// One of the choices.
    ///
    /// # Errors
    /// See [`CategoricalDistribution::new`].
    pub fn categorical(
        choices: impl IntoIterator<Item = impl Into<Choice>>,
    ) -> Result<Distribution, DistributionError> {
        CategoricalDistribution::new(choices).map(Distribution::Categorical)
    }

    /// True if only one value can be drawn.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.single().is_some()
    }

    /// The only value that can be drawn, in internal form, if there is just one.
    #[must_use]
    pub fn single(&self) -> Option<f64> {
        match self {
            Distribution::Float(d) => {
                let narrow = d.step.is_some_and(|step| decimal::narrower_than_a_step(d.low, d.high, step));
                (d.low == d.high || narrow).then_some(d.low)
            }
            Distribution::Int(d) => {
                (d.low == d.high || (!d.log && d.high - d.low < d.step)).then_some(d.low as f64)
            }
            Distribution::Categorical(d) => (d.choices.len() == 1).then_some(0.0),
        }
    }

    /// True if the internal value can be drawn.
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        match self {
            Distribution::Float(d) => {
                let on_grid = |step: f64| {
                    let k = (value - d.low) / step;
                    (k - k.round()).abs() < 1e-8
                };
                d.low <= value && value <= d.high && d.step.is_none_or(on_grid)
            }
            Distribution::Int(d) => {
                let (low, high) = (d.low as f64, d.high as f64);
                // The difference of two such numbers may be more than a double holds exactly.
                low <= value && value <= high && value.fract() == 0.0 && (value as i64 - d.low) % d.step == 0
            }
            Distribution::Categorical(d) => value >= 0.0 && value < d.choices.len() as f64 && value.fract() == 0.0,
        }
    }

    /// True if a study may use both for one parameter: the same kind, the same `log`, and for categories the
    /// same choices. Ranges and steps may change.
    #[must_use]
    pub fn is_compatible(&self, other: &Distribution) -> bool {
        match (self, other) {
            (Distribution::Float(a), Distribution::Float(b)) => a.log == b.log,
            (Distribution::Int(a), Distribution::Int(b)) => a.log == b.log,
            (Distribution::Categorical(a), Distribution::Categorical(b)) => a == b,
            _ => false,
        }
    }

    /// The value that people see for an internal one. A categorical index outside the choices gives `null`.
    #[must_use]
    pub fn to_external(&self, value: f64) -> ParamValue {
        match self {
            Distribution::Float(_) => ParamValue::Float(value),
            Distribution::Int(_) => ParamValue::Int(value as i64),
            Distribution::Categorical(d) => {
                let choice = if value >= 0.0 { d.choices.get(value as usize) } else { None };
                ParamValue::Categorical(choice.cloned().unwrap_or(Choice::Null))
            }
        }
    }

    /// The internal form of a value, or `None` if its type does not fit or it is no choice. Whole numbers do
    /// for floats, and whole floats for integers; the range is not checked.
    #[must_use]
    pub fn to_internal(&self, value: &ParamValue) -> Option<f64> {
        let choice = value.as_choice();
        match (self, &choice) {
            (Distribution::Categorical(d), _) => d.index_of(&choice).map(|index| index as f64),
            (_, Choice::Int(v)) => (v.abs() <= INT_MAX).then_some(*v as f64),
            (Distribution::Float(_), Choice::Float(v)) => (!v.is_nan()).then_some(*v),
            (Distribution::Int(_), Choice::Float(v)) => {
                (v.fract() == 0.0 && v.abs() <= INT_MAX as f64).then_some(*v)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Distribution::Float(d) => {
                write!(f, "float {:?}..{:?}", d.low, d.high)?;
                if let Some(step) = d.step {
                    write!(f, " step {step:?}")?;
                }
                f.write_str(if d.log { " log" } else { "" })
            }
            Distribution::Int(d) => {
                write!(f, "int {}..{}", d.low, d.high)?;
                if d.step != 1 {
                    write!(f, " step {}", d.step)?;
                }
                f.write_str(if d.log { " log" } else { "" })
            }
            Distribution::Categorical(d) => {
                f.write_str("one of ")?;
                for (i, choice) in d.choices.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{choice}")?;
                }
                Ok(())
            }
        }
    }
}

/// Reals from `low` to `high`, both included, on a logarithmic scale or a grid if asked for.
#[derive(Clone, Copy, Debug)]
pub struct FloatDistribution {
    low: f64,
    high: f64,
    log: bool,
    step: Option<f64>,
}

impl FloatDistribution {
    /// Checks the bounds. With a step, `high` comes down to the last point of the grid, by decimal arithmetic
    /// on the numbers as they are printed.
    ///
    /// # Errors
    /// Bounds that are not finite or not in order, `log` with `low <= 0`, a step that is not positive, `log`
    /// together with a step.
    pub fn new(low: f64, high: f64, log: bool, step: Option<f64>) -> Result<FloatDistribution, DistributionError> {
        if !low.is_finite() || !high.is_finite() {
            return Err(DistributionError::NotFinite { low, high });
        }
        // Adding zero turns -0.0 into 0.0, so that equal ranges have equal bits.
        let (low, high) = (low + 0.0, high + 0.0);
        if low > high {
            return Err(DistributionError::OutOfOrder { low, high });
        }
        if log && low <= 0.0 {
            return Err(DistributionError::LogOfNonPositive { low });
        }
        let Some(step) = step else { return Ok(FloatDistribution { low, high, log, step: None }) };
        if log {
            return Err(DistributionError::StepWithLog);
        }
        if !step.is_finite() || step <= 0.0 {
            return Err(DistributionError::BadStep { step });
        }
        let high = decimal::last_on_grid(low, high, step);
        Ok(FloatDistribution { low, high, log, step: Some(step) })
    }

    /// The smallest value.
    #[must_use]
    pub fn low(&self) -> f64 {
        self.low
    }

    /// The largest value.
    #[must_use]
    pub fn high(&self) -> f64 {
        self.high
    }

    /// True if equal ratios are equally likely.
    #[must_use]
    pub fn is_log(&self) -> bool {
        self.log
    }

    /// The distance of the grid's points, if there is a grid.
    #[must_use]
    pub fn step(&self) -> Option<f64> {
        self.step
    }

    fn key(&self) -> (u64, u64, bool, Option<u64>) {
        (order_bits(self.low), order_bits(self.high), self.log, self.step.map(order_bits))
    }
}

impl PartialEq for FloatDistribution {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for FloatDistribution {}

impl PartialOrd for FloatDistribution {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for FloatDistribution {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// Whole numbers from `low` to `high`, both included, on a logarithmic scale or a grid if asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IntDistribution {
    low: i64,
    high: i64,
    log: bool,
    step: i64,
}

impl IntDistribution {
    /// Checks the bounds. With a step, `high` comes down to the last point of the grid.
    ///
    /// # Errors
    /// Bounds beyond [`INT_MAX`] or not in order, `log` with `low < 1`, a step that is not positive, `log`
    /// together with a step other than 1.
    pub fn new(low: i64, high: i64, log: bool, step: i64) -> Result<IntDistribution, DistributionError> {
        if [low, high].iter().any(|bound| bound.unsigned_abs() > INT_MAX.unsigned_abs()) {
            return Err(DistributionError::IntTooLarge { low, high });
        }
        if low > high {
            return Err(DistributionError::OutOfOrder { low: low as f64, high: high as f64 });
        }
        if log && low < 1 {
            return Err(DistributionError::LogOfNonPositive { low: low as f64 });
        }
        if step < 1 {
            return Err(DistributionError::BadStep { step: step as f64 });
        }
        if log && step != 1 {
            return Err(DistributionError::StepWithLog);
        }
        Ok(IntDistribution { low, high: high - (high - low) % step, log, step })
    }

    /// The smallest value.
    #[must_use]
    pub fn low(&self) -> i64 {
        self.low
    }

    /// The largest value.
    #[must_use]
    pub fn high(&self) -> i64 {
        self.high
    }

    /// True if equal ratios are equally likely.
    #[must_use]
    pub fn is_log(&self) -> bool {
        self.log
    }

    /// The distance of the grid's points, 1 unless asked otherwise.
    #[must_use]
    pub fn step(&self) -> i64 {
        self.step
    }
}

/// One of a list of choices, in their order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CategoricalDistribution {
    choices: Arc<[Choice]>,
}

impl CategoricalDistribution {
    /// Checks the choices.
    ///
    /// # Errors
    /// No choice at all, one that is there twice, an integer beyond [`INT_MAX`].
    pub fn new(
        choices: impl IntoIterator<Item = impl Into<Choice>>,
    ) -> Result<CategoricalDistribution, DistributionError> {
        let choices: Arc<[Choice]> = choices.into_iter().map(Into::into).collect();
        if choices.is_empty() {
            return Err(DistributionError::NoChoices);
        }
        for choice in &*choices {
            if let Choice::Int(v) = choice
                && v.unsigned_abs() > INT_MAX.unsigned_abs()
            {
                return Err(DistributionError::IntTooLarge { low: *v, high: *v });
            }
        }
        let mut sorted: Vec<&Choice> = choices.iter().collect();
        sorted.sort();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(DistributionError::RepeatedChoice { choice: pair[0].clone() });
        }
        Ok(CategoricalDistribution { choices })
    }

    /// The choices.
    #[must_use]
    pub fn choices(&self) -> &[Choice] {
        &self.choices
    }

    /// Where a choice stands, by type and value.
    #[must_use]
    pub fn index_of(&self, choice: &Choice) -> Option<usize> {
        self.choices.iter().position(|candidate| candidate == choice)
    }
}

/// A categorical choice: a JSON scalar. Equal means the same type and the same value; floats by their bits.
#[derive(Clone, Debug)]
pub enum Choice {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A real number, possibly not finite.
    Float(f64),
    /// A text.
    Str(Arc<str>),
}

impl Choice {
    fn key(&self) -> (u8, u64, &str) {
        match self {
            Choice::Null => (0, 0, ""),
            Choice::Bool(v) => (1, u64::from(*v), ""),
            Choice::Int(v) => (2, v.cast_unsigned() ^ 1 << 63, ""),
            Choice::Float(v) => (3, order_bits(*v), ""),
            Choice::Str(v) => (4, 0, v),
        }
    }
}

impl PartialEq for Choice {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Choice {}

impl PartialOrd for Choice {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Choice {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl Hash for Choice {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Choice::Null => f.write_str("null"),
            Choice::Bool(v) => v.fmt(f),
            Choice::Int(v) => v.fmt(f),
            Choice::Float(v) => write!(f, "{v:?}"),
            Choice::Str(v) => v.fmt(f),
        }
    }
}

impl From<bool> for Choice {
    fn from(value: bool) -> Choice {
        Choice::Bool(value)
    }
}

impl From<i64> for Choice {
    fn from(value: i64) -> Choice {
        Choice::Int(value)
    }
}

impl From<i32> for Choice {
    fn from(value: i32) -> Choice {
        Choice::Int(i64::from(value))
    }
}

impl From<f64> for Choice {
    fn from(value: f64) -> Choice {
        Choice::Float(value)
    }
}

impl From<&str> for Choice {
    fn from(value: &str) -> Choice {
        Choice::Str(Arc::from(value))
    }
}

impl From<&&str> for Choice {
    fn from(value: &&str) -> Choice {
        Choice::Str(Arc::from(*value))
    }
}

impl From<String> for Choice {
    fn from(value: String) -> Choice {
        Choice::Str(Arc::from(value))
    }
}

impl From<&Choice> for Choice {
    fn from(value: &Choice) -> Choice {
        value.clone()
    }
}

/// A parameter's value as people see it.
#[derive(Clone, Debug, PartialEq)]
pub enum ParamValue {
    /// Of a float distribution.
    Float(f64),
    /// Of an int distribution.
    Int(i64),
    /// Of a categorical distribution.
    Categorical(Choice),
}

impl ParamValue {
    /// The value as a scalar.
    #[must_use]
    pub fn as_choice(&self) -> Choice {
        match self {
            ParamValue::Float(v) => Choice::Float(*v),
            ParamValue::Int(v) => Choice::Int(*v),
            ParamValue::Categorical(choice) => choice.clone(),
        }
    }
}

impl fmt::Display for ParamValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_choice().fmt(f)
    }
}

/// Maps doubles to integers of the same order, all NaNs to one.
fn order_bits(value: f64) -> u64 {
    let bits = if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

/// A distribution that cannot be drawn from.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum DistributionError {
    /// A bound is NaN or infinite.
    NotFinite {
        /// The lower bound given.
        low: f64,
        /// The upper bound given.
        high: f64,
    },
    /// `low` lies above `high`.
    OutOfOrder {
        /// The lower bound given.
        low: f64,
        /// The upper bound given.
        high: f64,
    },
    /// A logarithmic scale that begins at zero or below.
    LogOfNonPositive {
        /// The lower bound given.
        low: f64,
    },
    /// A step that is not a positive number.
    BadStep {
        /// The step given.
        step: f64,
    },
    /// A step on a logarithmic scale.
    StepWithLog,
    /// An integer that a double cannot hold exactly.
    IntTooLarge {
        /// The lower bound, or the choice, given.
        low: i64,
        /// The upper bound, or the choice, given.
        high: i64,
    },
    /// An empty list of choices.
    NoChoices,
    /// A choice that is there twice.
    RepeatedChoice {
        /// Which one.
        choice: Choice,
    },
}

impl fmt::Display for DistributionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DistributionError::NotFinite { low, high } => {
                write!(f, "bounds must be finite numbers, not {low:?} and {high:?}")
            }
            DistributionError::OutOfOrder { low, high } => {
                write!(f, "low must not exceed high, but {low:?} > {high:?}")
            }
            DistributionError::LogOfNonPositive { low } => {
                write!(f, "a log scale needs low above 0 (at least 1 for integers), not {low:?}")
            }
            DistributionError::BadStep { step } => write!(f, "step must be a positive number, not {step:?}"),
            DistributionError::StepWithLog => f.write_str("step and log exclude each other: drop one of them"),
            DistributionError::IntTooLarge { low, high } => {
                write!(f, "integers must stay within -2^53 and 2^53, but {low}..{high} does not")
            }
            DistributionError::NoChoices => f.write_str("a categorical parameter needs at least one choice"),
            DistributionError::RepeatedChoice { choice } => write!(f, "the choice {choice} is there twice"),
        }
    }
}

impl std::error::Error for DistributionError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn float(low: f64, high: f64, log: bool, step: Option<f64>) -> Result<FloatDistribution, DistributionError> {
        FloatDistribution::new(low, high, log, step)
    }

    #[test]
    fn bad_ranges_are_named() {
        use DistributionError as E;
        assert_eq!(float(2.0, 1.0, false, None), Err(E::OutOfOrder { low: 2.0, high: 1.0 }));
        assert!(matches!(float(f64::NAN, 1.0, false, None), Err(E::NotFinite { .. })));
        assert!(matches!(float(0.0, f64::INFINITY, false, None), Err(E::NotFinite { .. })));
        assert_eq!(float(0.0, 1.0, true, None), Err(E::LogOfNonPositive { low: 0.0 }));
        assert_eq!(float(0.0, 1.0, false, Some(0.0)), Err(E::BadStep { step: 0.0 }));
        assert_eq!(float(1.0, 2.0, true, Some(0.5)), Err(E::StepWithLog));
        assert_eq!(IntDistribution::new(0, 5, true, 1), Err(E::LogOfNonPositive { low: 0.0 }));
        assert_eq!(IntDistribution::new(0, 5, false, 0), Err(E::BadStep { step: 0.0 }));
        assert_eq!(IntDistribution::new(1, 5, true, 2), Err(E::StepWithLog));
        assert!(matches!(IntDistribution::new(0, INT_MAX + 1, false, 1), Err(E::IntTooLarge { .. })));
        assert!(matches!(IntDistribution::new(i64::MIN, 0, false, 1), Err(E::IntTooLarge { .. })));
        assert_eq!(CategoricalDistribution::new(Vec::<Choice>::new()), Err(E::NoChoices));
        assert_eq!(CategoricalDistribution::new(["a", "a"]), Err(E::RepeatedChoice { choice: "a".into() }));
    }

    #[test]
    fn high_comes_down_to_the_grid() {
        assert_eq!(float(0.0, 1.0, false, Some(0.3)).map(|d| d.high()), Ok(0.9));
        assert_eq!(IntDistribution::new(1, 10, false, 4).map(|d| d.high()), Ok(9));
    }

    #[test]
    fn choices_differ_by_type() {
        let choices = [Choice::Bool(true), Choice::Int(1), Choice::Float(1.0), Choice::Null, "1".into()];
        let d = CategoricalDistribution::new(choices.clone()).expect("five different choices");
        for (index, choice) in choices.iter().enumerate() {
            assert_eq!(d.index_of(choice), Some(index));
        }
        assert_eq!(d.index_of(&Choice::Int(2)), None);
        let nan = Distribution::categorical([Choice::Float(f64::NAN)]).expect("one choice");
        assert_eq!(nan.to_internal(&ParamValue::Categorical(Choice::Float(-f64::NAN))), Some(0.0));
    }

    #[test]
    fn compatibility_follows_kind_scale_and_choices() {
        let f = |log| Distribution::Float(float(1.0, 2.0, log, None).expect("valid"));
        let wide = Distribution::float(-5.0, 5.0).expect("valid");
        let int = Distribution::int(1, 2).expect("valid");
        let (ab, ac) = (Distribution::categorical(["a", "b"]), Distribution::categorical(["a", "c"]));
        assert!(f(false).is_compatible(&wide));
        assert!(!f(true).is_compatible(&wide));
        assert!(!int.is_compatible(&wide));
        assert!(!ab.expect("valid").is_compatible(&ac.expect("valid")));
    }

    #[test]
    fn single_points_are_seen() {
        assert_eq!(Distribution::float(3.0, 3.0).map(|d| d.single()), Ok(Some(3.0)));
        assert_eq!(float(0.0, 0.2, false, Some(0.3)).map(|d| Distribution::Float(d).single()), Ok(Some(0.0)));
        assert_eq!(IntDistribution::new(2, 3, false, 5).map(|d| Distribution::Int(d).single()), Ok(Some(2.0)));
        assert_eq!(Distribution::categorical(["a"]).map(|d| d.single()), Ok(Some(0.0)));
        assert_eq!(Distribution::int(1, 2).map(|d| d.single()), Ok(None));
    }

    #[test]
    fn containment_knows_the_grid() {
        let d = Distribution::Float(float(0.0, 1.0, false, Some(0.1)).expect("valid"));
        assert!(
            d.contains(0.3)
                && d.contains(0.1 + 0.2)
                && !d.contains(0.35)
                && !d.contains(1.1)
                && !d.contains(f64::NAN)
        );
        let d = Distribution::Int(IntDistribution::new(1, 9, false, 4).expect("valid"));
        assert!(d.contains(5.0) && !d.contains(4.0) && !d.contains(5.5));
        let wide = IntDistribution::new(-INT_MAX, INT_MAX, false, 3).expect("valid");
        let on_grid = (-INT_MAX + 3 * (INT_MAX / 2)) as f64;
        assert!(Distribution::Int(wide).contains(on_grid) && !Distribution::Int(wide).contains(on_grid + 1.0));
        let d = Distribution::categorical(["a", "b"]).expect("valid");
        assert!(d.contains(1.0) && !d.contains(2.0) && !d.contains(0.5) && !d.contains(-1.0));
    }

    proptest! {
        #[test]
        fn external_and_internal_are_inverse(low in -1000i64..1000, span in 0i64..1000, step in 1i64..50) {
            let d = Distribution::Int(IntDistribution::new(low, low + span, false, step).expect("valid"));
            for value in (low..=low + span).step_by(usize::try_from(step).expect("positive")) {
                let internal = d.to_internal(&ParamValue::Int(value)).expect("fits");
                prop_assert!(d.contains(internal));
                prop_assert_eq!(d.to_external(internal), ParamValue::Int(value));
            }
        }

        #[test]
        fn the_end_of_a_grid_stays_where_it_is(
            low in -10.0f64..10.0, high in -10.0f64..10.0, step in 0.001f64..3.0,
            exponents in [-40i32..40, -40i32..40, -40i32..40],
        ) {
            let [low, high, step] = [(low, 0), (high, 1), (step, 2)].map(|(v, i)| v * 10f64.powi(exponents[i]));
            let once = float(low.min(high), low.max(high), false, Some(step)).expect("valid");
            prop_assert_eq!(float(once.low(), once.high(), false, once.step()), Ok(once));
        }

        #[test]
        fn the_grid_ends_inside(low in -10.0f64..10.0, span in 0.0f64..10.0, step in 0.001f64..3.0) {
            let d = float(low, low + span, false, Some(step)).expect("valid");
            prop_assert!(d.high() <= low + span && d.high() >= low);
            prop_assert!(Distribution::Float(d).contains(d.high()));
        }
    }
}
