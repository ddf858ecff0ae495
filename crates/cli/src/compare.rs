//! Two studies, or many seeds of each: how far apart, how sure, and an honest word when the data cannot tell.
//!
//! Each side is a sample of runs, and what is compared is the best value of a run after so many trials. The shift between the
//! sides is the Hodges-Lehmann estimate, the median of all pairwise differences; its interval is the exact one that inverts the
//! Wilcoxon rank-sum test (Hollander, Wolfe and Chicken, *Nonparametric Statistical Methods*, 3rd ed., sections 4.2 and
//! 4.3), which assumes no distribution. The probability that a run of one side beats one of the other is Vargha and
//! Delaney's A (2000).

use serde_json::{Value, json};
use trialog::{Direction, Study};

use crate::args;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{bold, number, short};
use crate::studies::{best_so_far, or_dash};

/// Beyond this the exact distribution is replaced by the normal one, whose error is far below the data's.
const EXACT_MAX: usize = 60;

struct Side {
    name: String,
    runs: Vec<Vec<f64>>,
    direction: Direction,
}

/// One line of the answer.
struct Row {
    at: usize,
    left: Vec<f64>,
    right: Vec<f64>,
    shift: Option<f64>,
    interval: Option<(f64, f64)>,
    better: Option<f64>,
    word: String,
}

pub(crate) fn main(args: &args::Compare) -> Outcome {
    if !(0.5..1.0).contains(&args.confidence) {
        return Err(Failure::usage("--confidence lies between 0.5 and 1, such as 0.95"));
    }
    let (left, right) = (side(&args.left)?, side(&args.right)?);
    if left.direction != right.direction {
        return Err(Failure::invalid(format!(
            "{} is to {}, and {} to {}",
            left.name, left.direction, right.name, right.direction
        )));
    }
    let shortest = left.runs.iter().chain(&right.runs).map(Vec::len).min().unwrap_or(0);
    let at = if args.at.is_empty() {
        let mut quarters: Vec<usize> = (1..=4).map(|quarter| shortest * quarter / 4).filter(|at| *at > 0).collect();
        quarters.dedup();
        quarters
    } else {
        args.at.clone()
    };
    if at.is_empty() {
        return Err(Failure::new(Exit::NotFound, "a study without a complete trial cannot be compared"));
    }
    let rows: Vec<Row> = at.iter().map(|at| row(*at, &left, &right, args.confidence)).collect();
    let json = json!({
        "left": left.name, "right": right.name, "runs": [left.runs.len(), right.runs.len()],
        "direction": left.direction.to_string(), "confidence": args.confidence,
        "at": rows.iter().map(row_json).collect::<Vec<_>>(),
    });
    args.format.print(&json, |out| {
        let runs = |side: &Side| format!("{} ({} runs)", bold(&side.name), side.runs.len());
        writeln!(out, "{} against {}: best value, to {}", runs(&left), runs(&right), left.direction)?;
        for row in &rows {
            let interval =
                row.interval.map_or_else(String::new, |(low, high)| format!(" [{}, {}]", short(low), short(high)));
            writeln!(
                out,
                "  after {} trials: {} against {}, shift {}{interval}",
                row.at,
                or_dash(median(&row.left)),
                or_dash(median(&row.right)),
                or_dash(row.shift),
            )?;
            writeln!(out, "    {}", row.word)?;
        }
        Ok(())
    })
}

fn row_json(row: &Row) -> Value {
    let optional = |value: Option<f64>| value.map_or(Value::Null, number);
    json!({
        "trials": row.at, "runs": [row.left.len(), row.right.len()], "left": optional(median(&row.left)),
        "right": optional(median(&row.right)), "shift": optional(row.shift),
        "interval": row.interval.map(|(low, high)| json!([number(low), number(high)])),
        "probability_left_better": optional(row.better), "verdict": row.word,
    })
}

/// `runs.tlog`, `runs.tlog#study` or `runs.tlog#prefix*`.
fn side(text: &str) -> Outcome<Side> {
    let (url, pattern) = text.rsplit_once('#').map_or((text, None), |(url, pattern)| (url, Some(pattern)));
    let storage = trialog::OpenOptions::new().read_only(true).open(url)?;
    let names = storage.study_names()?;
    let chosen: Vec<String> = match pattern {
        Some(pattern) => match pattern.strip_suffix('*') {
            Some(prefix) => names.into_iter().filter(|name| name.starts_with(prefix)).collect(),
            None => vec![pattern.to_owned()],
        },
        None => names,
    };
    let mut runs = Vec::new();
    let mut direction = None;
    for name in chosen {
        let study: Study = storage.study(name.as_str()).load()?;
        let directions = study.directions()?;
        let [one] = *directions else {
            return Err(Failure::invalid(format!(
                "study {name:?} has several objectives, which have no single best value"
            )));
        };
        if *direction.get_or_insert(one) != one {
            return Err(Failure::invalid(format!("the studies of {text} have different directions")));
        }
        runs.push(best_so_far(&study, one == Direction::Maximize)?);
    }
    let Some(direction) = direction else {
        return Err(Failure::new(Exit::NotFound, format!("{text} names no study")));
    };
    Ok(Side { name: text.to_owned(), runs, direction })
}

fn row(at: usize, left: &Side, right: &Side, confidence: f64) -> Row {
    let best = |side: &Side| -> Vec<f64> { side.runs.iter().filter_map(|run| run.get(at - 1).copied()).collect() };
    let (a, b) = (best(left), best(right));
    let short_runs = (left.runs.len() - a.len()) + (right.runs.len() - b.len());
    let is_maximized = left.direction == Direction::Maximize;
    let differences = differences(&a, &b);
    let shift = median(&differences);
    let interval = interval(&differences, a.len(), b.len(), confidence);
    let better = probability_better(&a, &b, is_maximized);
    let mut word = match interval {
        _ if a.is_empty() || b.is_empty() => "no run of one side has so many complete trials".to_owned(),
        None => format!(
            "too few runs to tell at {}: {} against {} leave every shift possible; run more seeds",
            percent(confidence),
            a.len(),
            b.len()
        ),
        Some((low, high)) if low <= 0.0 && high >= 0.0 => {
            format!("the data cannot tell at {}: no difference is possible", percent(confidence))
        }
        Some((low, _)) => {
            let left_is_better = (low > 0.0) == is_maximized;
            let winner = if left_is_better { &left.name } else { &right.name };
            format!("{winner} is better at {}", percent(confidence))
        }
    };
    if short_runs > 0 && !(a.is_empty() || b.is_empty()) {
        word += &format!("; {short_runs} shorter runs are left out");
    }
    Row { at, left: a, right: b, shift, interval, better, word }
}

fn percent(confidence: f64) -> String {
    format!("{}%", short(confidence * 100.0))
}

/// All pairwise differences, rising. Two infinities of one sign differ by nothing.
fn differences(a: &[f64], b: &[f64]) -> Vec<f64> {
    let difference = |a: f64, b: f64| if a == b { 0.0 } else { a - b };
    let mut all: Vec<f64> = a.iter().flat_map(|a| b.iter().map(move |b| difference(*a, *b))).collect();
    all.sort_by(f64::total_cmp);
    all
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ if sorted[middle - 1] == sorted[middle] => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

/// The interval between the k-th smallest and the k-th largest difference, with the largest k that keeps the confidence.
fn interval(differences: &[f64], m: usize, n: usize, confidence: f64) -> Option<(f64, f64)> {
    let k = rank(m, n, (1.0 - confidence) / 2.0)?;
    Some((differences[k - 1], differences[differences.len() - k]))
}

/// The largest k from 1 with P(U <= k - 1) <= `tail`, for U the rank-sum statistic of m and n runs that do not differ.
fn rank(m: usize, n: usize, tail: f64) -> Option<usize> {
    if m == 0 || n == 0 {
        return None;
    }
    if m.max(n) > EXACT_MAX {
        let (m, n) = (m as f64, n as f64);
        let deviation = (m * n * (m + n + 1.0) / 12.0).sqrt();
        let k = m * n / 2.0 + trialog_numerics::ndtri(tail) * deviation;
        return (k >= 1.0).then_some(k as usize);
    }
    // The share of all arrangements of i and j runs that have each value of U, for j from 0 up: the largest run is of the
    // one side or of the other.
    let mut shares: Vec<Vec<f64>> = vec![vec![1.0]; m + 1];
    for j in 1..=n {
        for i in 1..=m {
            let (of_i, of_j) = (i as f64 / (i + j) as f64, j as f64 / (i + j) as f64);
            let share = |u: usize| {
                let with_i = u.checked_sub(j).and_then(|u| shares[i - 1].get(u));
                of_i * with_i.unwrap_or(&0.0) + of_j * shares[i].get(u).unwrap_or(&0.0)
            };
            let all = (0..=i * j).map(share).collect();
            shares[i] = all;
        }
    }
    let mut sum = 0.0;
    let mut k = 0;
    for share in &shares[m] {
        sum += share;
        if sum > tail {
            break;
        }
        k += 1;
    }
    (k > 0).then_some(k)
}

/// The share of pairs in which the left run is better; ties count half.
fn probability_better(a: &[f64], b: &[f64], is_maximized: bool) -> Option<f64> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let score = |a: f64, b: f64| match a.total_cmp(&b) {
        std::cmp::Ordering::Equal => 0.5,
        order => f64::from(u8::from((order == std::cmp::Ordering::Greater) == is_maximized)),
    };
    let sum: f64 = a.iter().flat_map(|a| b.iter().map(move |b| score(*a, *b))).sum();
    Some(sum / (a.len() * b.len()) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: the published tables of critical values of U at 0.05, two-sided, of Mann and Whitney; k is one more.
    #[test]
    fn ranks_are_those_of_the_exact_distribution() {
        for (m, n, k) in [(3, 3, 0), (4, 4, 1), (5, 5, 3), (6, 4, 3), (8, 8, 14), (10, 10, 24), (20, 20, 128)] {
            assert_eq!(rank(m, n, 0.025).unwrap_or(0), k, "{m} {n}");
        }
    }

    #[test]
    fn the_normal_approximation_continues_the_exact_ranks() {
        let exact = rank(60, 60, 0.025).unwrap() as f64;
        let (m, n) = (60.0f64, 60.0f64);
        let normal = m * n / 2.0 + trialog_numerics::ndtri(0.025) * (m * n * (m + n + 1.0) / 12.0).sqrt();
        assert!((exact - normal).abs() / exact < 0.01, "{exact} {normal}");
    }

    #[test]
    fn shifts_and_intervals() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0], [11.0, 12.0, 13.0, 14.0]);
        let all = differences(&a, &b);
        assert_eq!(median(&all), Some(-10.0));
        assert_eq!(interval(&all, 4, 4, 0.95), Some((-13.0, -7.0)));
        assert_eq!(interval(&differences(&a[..3], &b[..3]), 3, 3, 0.95), None, "three runs cannot tell");
        assert_eq!(probability_better(&a, &b, false), Some(1.0));
        assert_eq!(probability_better(&a, &a, true), Some(0.5));
    }
}
