//! Exact decimal steps: `low + k * step` on the numbers as people print them, so that 0.1 three times is 0.3.

/// A finite number as `digits * 10^exponent`, read off its shortest decimal form.
#[derive(Clone, Copy)]
struct Decimal {
    digits: i128,
    exponent: i32,
}

impl Decimal {
    fn of(value: f64) -> Option<Decimal> {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e')?;
        let fraction = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        let digits = mantissa.replace('.', "").parse().ok()?;
        Some(Decimal { digits, exponent: exponent.parse::<i32>().ok()? - i32::try_from(fraction).ok()? })
    }

    fn scaled(self, exponent: i32) -> Option<i128> {
        let power = u32::try_from(self.exponent - exponent).ok()?;
        self.digits.checked_mul(10i128.checked_pow(power)?)
    }
}

/// The three numbers as integers over a common power of ten; `None` if they lie too many orders apart.
fn common(low: f64, high: f64, step: f64) -> Option<([i128; 3], i32)> {
    let all = [Decimal::of(low)?, Decimal::of(high)?, Decimal::of(step)?];
    let exponent = all.iter().filter(|d| d.digits != 0).map(|d| d.exponent).min()?;
    let scale = |d: Decimal| if d.digits == 0 { Some(0) } else { d.scaled(exponent) };
    Some(([scale(all[0])?, scale(all[1])?, scale(all[2])?], exponent))
}

/// Up to here a double counts the points of a grid one by one, with a bit to spare.
const POINTS_EXACT: f64 = (1u64 << 52) as f64;

/// The largest `low + k * step` that does not exceed `high`. A `high` that is the double of such a point is
/// one itself, wherever its own decimals lie, so that the answer given back as `high` stays as it is.
pub(crate) fn last_on_grid(low: f64, high: f64, step: f64) -> f64 {
    match common(low, high, step) {
        Some(([l, h, s], exponent)) => {
            let Some(span) = h.checked_sub(l) else { return high };
            let point = |k: i128| -> Option<f64> {
                format!("{}e{exponent}", k.checked_mul(s)?.checked_add(l)?).parse().ok()
            };
            let k = span / s;
            if span % s == 0 || point(k.saturating_add(1)) == Some(high) { high } else { point(k).unwrap_or(high) }
        }
        // Orders of magnitude apart: binary arithmetic is as good as it gets.
        None => {
            let k = ((high - low) / step).floor();
            let point = |k: f64| low + k * step;
            // A grid finer than doubles has a point wherever high is.
            if k >= POINTS_EXACT || point(k - 1.0) == high || point(k + 1.0) == high {
                return high;
            }
            let end = point(k).min(high);
            // Decimals have the last word where the end, unlike high, is near enough for them.
            if common(low, end, step).is_some() { last_on_grid(low, end, step) } else { end }
        }
    }
}

/// True if not even one step fits between the bounds.
pub(crate) fn narrower_than_a_step(low: f64, high: f64, step: f64) -> bool {
    match common(low, high, step) {
        Some(([l, h, s], _)) => h.checked_sub(l).is_some_and(|span| span < s),
        None => high - low < step,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_decimal() {
        assert_eq!(last_on_grid(0.0, 1.0, 0.1), 1.0);
        assert_eq!(last_on_grid(0.0, 1.0, 0.3), 0.9);
        assert_eq!(last_on_grid(0.1, 0.75, 0.2), 0.7);
        assert_eq!(last_on_grid(-1.0, 1.0, 0.7), 0.4);
        assert_eq!(last_on_grid(0.0, 1e300, 1e-300), 1e300);
        assert_eq!(last_on_grid(1e-7, 5e-7, 2e-7), 5e-7);
        assert!(narrower_than_a_step(0.0, 0.2, 0.3));
        assert!(!narrower_than_a_step(0.0, 0.3, 0.3));
    }

    /// Each of these once came down another step, or one unit in the last place, when its end was given back.
    #[test]
    fn an_end_given_back_stays() {
        for (low, high, step) in [
            (-49.999999994133006, 10.593439258721645, 0.005236224943222167),
            (-0.0019466203088252464, 0.5352675911888757, 0.10606039633759023),
            (-5.405008824202787e191, 1e-5, 3.7259026175209524e190),
            (1.1755997827390752e29, 4.2809126214560255e29, 3.8865164694629484),
        ] {
            let end = last_on_grid(low, high, step);
            assert_eq!(last_on_grid(low, end, step), end);
        }
    }
}
