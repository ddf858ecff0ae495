//! What it costs to derive all suggestions of a study again, by the number of its trials: five floats, in memory.
//!
//! ```text
//! cargo run --release -p trialog --example rederive_cost [NAME...]
//! ```
//!
//! Processor time of the thread where Linux tells it, and otherwise what the clock says.

use std::time::Instant;

use trialog::{ComponentSpec, Json, Storage};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut wanted: Vec<String> = std::env::args().skip(1).collect();
    if wanted.is_empty() {
        wanted = ["random", "tpe", "cmaes", "qmc"].map(str::to_owned).to_vec();
    }
    let clock = Clock(Instant::now());
    for name in wanted {
        let (name, options) = name.split_once(':').unwrap_or((&name, "{}"));
        let spec = ComponentSpec { name: name.to_owned(), version: 1, options: Json::parse(options)? };
        for trials in [1_000, 10_000, 40_000] {
            let study = Storage::in_memory()?.study("s").seed(3).sampler_named(&spec)?.create()?;
            let begun = clock.seconds();
            study.optimize(trials, |trial| {
                let mut sum = 0.0;
                for name in ["a", "b", "c", "d", "e"] {
                    sum += trial.suggest_float(name, -5.0..=5.0)?.powi(2);
                }
                Ok(sum)
            })?;
            let run = clock.seconds() - begun;
            let begun = clock.seconds();
            let derived = study.rederive()?;
            let again = clock.seconds() - begun;
            let micros = |seconds: f64| seconds * 1e6 / trials as f64;
            println!(
                "{name} {options}: {trials} trials ran in {run:.2} s, {:.1} microseconds each, and came out {} in {again:.2} s, {:.1} each",
                micros(run),
                if derived.is_same() && derived.unknown == 0 { "the same" } else { "otherwise" },
                micros(again),
            );
        }
    }
    Ok(())
}

struct Clock(Instant);

impl Clock {
    fn seconds(&self) -> f64 {
        let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
        let nanos = told.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
        nanos.map_or_else(|| self.0.elapsed().as_secs_f64(), |nanos| nanos / 1e9)
    }
}
