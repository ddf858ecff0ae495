//! The shortest study: the x at which (x - 2)^2 is smallest.

use trialog::Study;

fn main() -> trialog::Result<()> {
    tracing_subscriber::fmt().with_target(false).init(); // a line for each trial
    let study = Study::in_memory()?;
    study.optimize(100, |trial| {
        let x = trial.suggest_float("x", -100.0..=100.0)?;
        Ok((x - 2.0).powi(2))
    })?;
    println!("best value {} at {}", study.best_value()?, study.best_params()?);
    Ok(())
}
