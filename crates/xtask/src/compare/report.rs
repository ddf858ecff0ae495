//! Figures set side by side, as a table for people and as JSON for programs.

use std::path::Path;

use serde_json::{Value, json};

use super::{Better, Figure};
use crate::shell::Outcome;

/// One measurement against one peer.
pub(super) struct Row {
    name: String,
    unit: String,
    ours: f64,
    peer: String,
    peer_figure: f64,
    /// Above one, we are better, whichever way the figure is good.
    ratio: f64,
    /// What a reader of the row should know.
    pub(super) note: Option<String>,
}

impl Row {
    /// Sets our figure against a peer's; they have to be in one unit.
    pub(super) fn new(name: &str, ours: &Figure, peer: &str, theirs: &Figure, better: Better) -> Outcome<Row> {
        if ours.unit != theirs.unit {
            return Err(format!("{name}: ours is in {}, that of {peer} in {}", ours.unit, theirs.unit));
        }
        let ratio = match better {
            Better::Higher => ours.value / theirs.value,
            Better::Lower => theirs.value / ours.value,
        };
        let notes = [ours.note.as_ref(), theirs.note.as_ref().filter(|note| Some(*note) != ours.note.as_ref())];
        let notes: Vec<&str> = notes.into_iter().flatten().map(String::as_str).collect();
        Ok(Row {
            name: name.to_string(),
            unit: ours.unit.clone(),
            ours: ours.value,
            peer: peer.to_string(),
            peer_figure: theirs.value,
            ratio,
            note: (!notes.is_empty()).then(|| notes.join("; ")),
        })
    }

    fn to_json(&self) -> Value {
        let mut row = json!({
            "name": self.name, "unit": self.unit, "ours": self.ours,
            "peer": self.peer, "peer_figure": self.peer_figure, "ratio": self.ratio,
        });
        if let Some(note) = &self.note {
            row["note"] = json!(note);
        }
        row
    }
}

/// The best of several repetitions. Other work on the machine only ever makes a run slower, so the best one says most
/// about the program, and the same goes for all.
pub(super) fn best(figures: &[Figure], better: Better) -> Outcome<&Figure> {
    let by_value = |one: &&Figure, other: &&Figure| one.value.total_cmp(&other.value);
    let best = match better {
        Better::Higher => figures.iter().max_by(by_value),
        Better::Lower => figures.iter().min_by(by_value),
    };
    best.ok_or_else(|| "no figure at all".to_string())
}

/// The table for people.
pub(super) fn print(rows: &[Row]) {
    println!("\n{:<26} {:>9} {:>12}  {:<20} {:>12} {:>8}", "", "unit", "Trialog", "peer", "", "ratio");
    for row in rows {
        let (ours, theirs) = (shown(row.ours), shown(row.peer_figure));
        let note = row.note.as_ref().map_or(String::new(), |note| format!("  {note}"));
        println!(
            "{:<26} {:>9} {ours:>12}  {:<20} {theirs:>12} {:>8}{note}",
            row.name,
            row.unit,
            row.peer,
            format!("{}x", shown(row.ratio))
        );
    }
    println!("\nratio: how many times better Trialog is; below 1 it is worse");
}

/// Three digits that matter, or all those before the point.
fn shown(value: f64) -> String {
    let magnitude = value.abs().log10().floor();
    let decimals = if magnitude.is_finite() { (2.0 - magnitude).clamp(0.0, 9.0) as usize } else { 0 };
    format!("{value:.decimals$}")
}

/// The list for programs.
pub(super) fn write_json(path: &Path, rows: &[Row]) -> Outcome {
    let list = Value::Array(rows.iter().map(Row::to_json).collect());
    std::fs::write(path, format!("{list:#}\n")).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(unit: &str, value: f64, note: Option<&str>) -> Figure {
        Figure { unit: unit.into(), value, note: note.map(String::from) }
    }

    #[test]
    fn a_ratio_above_one_means_better_both_ways() {
        let faster =
            Row::new("rate", &figure("1/s", 100.0, None), "peer", &figure("1/s", 50.0, None), Better::Higher);
        let shorter = Row::new("time", &figure("s", 1.0, None), "peer", &figure("s", 2.0, None), Better::Lower);
        assert_eq!(faster.unwrap().ratio, 2.0);
        assert_eq!(shorter.unwrap().ratio, 2.0);
    }

    #[test]
    fn figures_in_two_units_are_not_compared() {
        let row = Row::new("time", &figure("s", 1.0, None), "peer", &figure("us", 2.0, None), Better::Lower);
        assert!(row.is_err());
    }

    #[test]
    fn three_digits_are_shown() {
        let shown: Vec<String> = [5678.9, 56.78, 1.0, 0.98765, 0.00012345, 0.0].map(shown).to_vec();
        assert_eq!(shown, ["5679", "56.8", "1.00", "0.988", "0.000123", "0"]);
    }

    #[test]
    fn the_best_repetition_counts() {
        let figures = [figure("s", 3.0, None), figure("s", 1.0, None), figure("s", 2.0, None)];
        assert_eq!(best(&figures, Better::Lower).unwrap().value, 1.0);
        assert_eq!(best(&figures, Better::Higher).unwrap().value, 3.0);
        assert!(best(&[], Better::Lower).is_err());
    }

    #[test]
    fn rows_carry_their_notes() {
        let scaled = figure("s", 2.0, Some("scaled"));
        let row = Row::new("replay", &figure("s", 1.0, None), "peer", &scaled, Better::Lower).unwrap();
        let json = row.to_json();
        assert_eq!((json["note"].as_str(), json["ratio"].as_f64()), (Some("scaled"), Some(2.0)));
    }
}
