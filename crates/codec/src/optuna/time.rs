//! Times as Optuna writes them: ISO 8601 with an offset, and without one before version 5.

use trialog_ops::Timestamp;

/// A time as it stands in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// With its offset from UTC.
    Utc(Timestamp),
    /// Without: microseconds since 1970 on the clock of whoever wrote it.
    Local(i64),
}

const DAY_S: i64 = 86_400;

/// Days since 1970 of a date, by Howard Hinnant's algorithm for the proleptic Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

impl Time {
    /// What a text says, if it is a time.
    pub(crate) fn parse(text: &str) -> Option<Time> {
        let bytes = text.as_bytes();
        let number = |from: usize, to: usize| -> Option<i64> {
            let digits = bytes.get(from..to).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
            Some(digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
        };
        let is = |at: usize, wanted: &[u8]| bytes.get(at).is_some_and(|byte| wanted.contains(byte));
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        if !is(4, b"-") || !is(7, b"-") || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        let mut at = 10;
        let (mut seconds, mut micros) = (days(year, month, day) * DAY_S, 0);
        if is(at, b"T ") {
            let (hour, minute) = (number(11, 13)?, number(14, 16)?);
            if !is(13, b":") || hour > 23 || minute > 59 {
                return None;
            }
            seconds += hour * 3600 + minute * 60;
            at = 16;
            if is(at, b":") {
                seconds += number(17, 19).filter(|second| *second < 60)?;
                at = 19;
                if is(at, b".,") {
                    let digits = bytes[20..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                    let used = digits.min(6);
                    micros = number(20, 20 + used)? * 10_i64.pow(6 - used as u32);
                    at = 20 + digits;
                }
            }
        }
        let local = seconds.checked_mul(1_000_000)?.checked_add(micros)?;
        match bytes.get(at) {
            None => Some(Time::Local(local)),
            Some(b'Z') if bytes.len() == at + 1 => Some(Time::Utc(Timestamp(local))),
            Some(sign @ (b'+' | b'-')) => {
                let mut offset = number(at + 1, at + 3)? * 3600;
                let colon = usize::from(is(at + 3, b":"));
                if bytes.len() > at + 3 {
                    offset += number(at + 3 + colon, at + 5 + colon)? * 60;
                }
                if bytes.len() > at + 5 + colon {
                    offset += number(at + 6 + colon, at + 8 + colon)?;
                }
                let offset = if *sign == b'-' { -offset } else { offset };
                Some(Time::Utc(Timestamp(local - offset * 1_000_000)))
            }
            Some(_) => None,
        }
    }

    /// As Python's `isoformat(timespec="microseconds")` has it.
    pub(crate) fn push(self, out: &mut String) {
        let (micros, offset) = match self {
            Time::Utc(Timestamp(micros)) => (micros, "+00:00"),
            Time::Local(micros) => (micros, ""),
        };
        let (seconds, micros) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
        let (year, month, day) = date(seconds.div_euclid(DAY_S));
        let second = seconds.rem_euclid(DAY_S);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        out.push_str(&format!(
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}{offset}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written_as_python_does() {
        let text = |time: Time| {
            let mut out = String::new();
            time.push(&mut out);
            out
        };
        for (written, micros) in [
            ("2026-11-22T00:22:09.222324+00:00", 1_795_306_929_222_324),
            ("1970-01-01T00:00:00.000000+00:00", 0),
            ("1969-12-31T23:59:59.999999+00:00", -1),
            ("2000-02-29T12:00:00.000001+00:00", 951_825_600_000_001),
        ] {
            assert_eq!(Time::parse(written), Some(Time::Utc(Timestamp(micros))), "{written}");
            assert_eq!(text(Time::Utc(Timestamp(micros))), written);
        }
        assert_eq!(Time::parse("1970-01-01T00:00:01"), Some(Time::Local(1_000_000)));
        assert_eq!(Time::parse("1970-01-01 01:00:00.5+01:00"), Some(Time::Utc(Timestamp(500_000))));
        assert_eq!(Time::parse("1970-01-01T00:00Z"), Some(Time::Utc(Timestamp(0))));
        assert_eq!(text(Time::Local(1_000_000)), "1970-01-01T00:00:01.000000");
        for wrong in ["", "1970", "1970-13-01", "1970-01-01T25:00", "1970-01-01T00:00:00x", "1970-01-01T00:00:00+"]
        {
            assert_eq!(Time::parse(wrong), None, "{wrong}");
        }
    }
}
