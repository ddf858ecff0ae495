//! What replay notes on trials that were lost, came back late or are tried again: system attributes, so that copies,
//! tables and other tools have it without further ado. `failed_trial` and `retry_history` are Optuna's names.

use trialog_ops::{FinalState, Json, Timestamp, TrialState};

/// On a trial whose worker was declared lost.
pub(crate) const LOST: &str = "trialog:lost";

/// On a lost trial that is tried again: the number of the next attempt.
pub(crate) const RETRIED_BY: &str = "trialog:retried_by";

/// On a lost trial whose end was told after another attempt had begun.
pub(crate) const LATE: &str = "trialog:late";

/// On an attempt that nobody had begun when a lost trial came back.
pub(crate) const WITHDRAWN: &str = "trialog:withdrawn";

/// On a further attempt: the number of the first one.
pub(crate) const FAILED_TRIAL: &str = "failed_trial";

/// On a further attempt: the numbers of all that were before.
pub(crate) const RETRY_HISTORY: &str = "retry_history";

/// Parameters that a waiting trial must use; every attempt has them.
pub(crate) const FIXED_PARAMS: &str = "fixed_params";

/// How a lost trial ended after all, when that could no longer count.
#[derive(Clone, Debug, PartialEq)]
pub struct Late {
    /// How it ended.
    pub state: TrialState,
    /// With which values.
    pub values: Vec<f64>,
    /// When.
    pub end: Timestamp,
}

impl Late {
    pub(crate) fn to_json(state: FinalState, values: &[f64], end: Timestamp) -> Json {
        let state = TrialState::from(state);
        let values: Vec<String> = values.iter().map(|value| Json::from(*value).to_string()).collect();
        json(&format!(r#"{{"state":"{state}","values":[{}],"end":{end}}}"#, values.join(",")))
    }

    /// What [`Late::to_json`] wrote; anything else is none.
    pub(crate) fn from_json(json: &Json) -> Option<Late> {
        let rest = json.as_str().strip_prefix(r#"{"state":""#)?;
        let (state, rest) = rest.split_once(r#"","values":["#)?;
        let (values, end) = rest.split_once(r#"],"end":"#)?;
        let state = TrialState::ALL.into_iter().find(|known| known.is_finished() && known.to_string() == state)?;
        Some(Late { state, values: list(values)?, end: Timestamp(end.strip_suffix('}')?.parse().ok()?) })
    }
}

/// A list of numbers.
pub(crate) fn numbers(numbers: &[u32]) -> Json {
    let words: Vec<String> = numbers.iter().map(u32::to_string).collect();
    json(&format!("[{}]", words.join(",")))
}

/// What [`numbers`] or Optuna wrote.
pub(crate) fn to_numbers(json: &Json) -> Option<Vec<u32>> {
    list(json.as_str().strip_prefix('[')?.strip_suffix(']')?)
}

fn list<T: std::str::FromStr>(text: &str) -> Option<Vec<T>> {
    if text.trim().is_empty() {
        return Some(Vec::new());
    }
    text.split(',').map(|word| word.trim().parse().ok()).collect()
}

fn json(text: &str) -> Json {
    // It is put together from numbers and fixed words.
    Json::parse(text).unwrap_or_else(|_| Json::null())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_end_is_kept_to_the_bit() {
        let values = [0.1 + 0.2, -0.0, f64::INFINITY, f64::NEG_INFINITY, 5e-324, f64::MAX, 1e21];
        for (state, values) in
            [(FinalState::Complete, &values[..]), (FinalState::Fail, &[]), (FinalState::Pruned, &[1.0])]
        {
            let end = Timestamp(-1);
            let read = Late::from_json(&Late::to_json(state, values, end)).expect("what was written");
            assert_eq!((read.state, read.end), (state.into(), end));
            let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&read.values), bits(values));
        }
    }

    #[test]
    fn other_json_is_no_late_end() {
        for text in
            ["null", "{}", r#"{"state":"running","values":[],"end":1}"#, r#"{"state":"fail","values":[x],"end":1}"#]
        {
            assert_eq!(Json::parse(text).ok().as_ref().and_then(Late::from_json), None, "{text}");
        }
    }

    #[test]
    fn lists_of_numbers() {
        for list in [&[][..], &[7], &[0, u32::MAX]] {
            assert_eq!(to_numbers(&numbers(list)).as_deref(), Some(list));
        }
        assert_eq!(Json::parse("[1, 2]").ok().as_ref().and_then(to_numbers), Some(vec![1, 2]));
        assert_eq!(Json::parse("[1.5]").ok().as_ref().and_then(to_numbers), None);
    }
}
