//! Runs the simulator over many seeds, and keeps what is needed to understand one that fails.

use std::path::PathBuf;
use std::process::ExitCode;
use trialog_testkit::sim::{self, Campaign};

const USAGE: &str = "usage: simulate [--seeds N] [--seed S] [--images N] [--long] [--keep FOLDER]";

fn main() -> ExitCode {
    match campaign(std::env::args().skip(1)) {
        Ok(campaign) => {
            let report = sim::campaign(&campaign);
            println!("{report}");
            if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(problem) => {
            eprintln!("{problem}\n{USAGE}");
            ExitCode::FAILURE
        }
    }
}

fn campaign(words: impl Iterator<Item = String>) -> Result<Campaign, String> {
    let mut campaign = Campaign::default();
    let mut words = words;
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} wants a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text:?} is no number"));
        match word.as_str() {
            "--seeds" => campaign.seeds = number(value()?)?,
            "--seed" => campaign.only = Some(number(value()?)?),
            "--first" => campaign.first = number(value()?)?,
            "--images" => campaign.images = number(value()?)?,
            "--keep" => campaign.keep = PathBuf::from(value()?),
            "--long" => campaign.long = true,
            _ => return Err(format!("{word:?} is not known")),
        }
    }
    Ok(campaign)
}
