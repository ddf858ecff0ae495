//! A neural network that reads handwritten digits: `digits [ACTIVATION..]` trains one with that many hidden layers.

mod data;
mod network;
mod random;
mod train;

use std::ops::ControlFlow;
use std::process::ExitCode;

use network::Activation;
use train::Params;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let hidden: Option<Vec<_>> = words.iter().map(|word| Some((50, Activation::from_name(word)?))).collect();
    let Some(hidden) = hidden else {
        eprintln!("digits: an activation is one of {}", Activation::NAMES.join(", "));
        return ExitCode::FAILURE;
    };
    let params = Params { hidden, lr: 1e-2, momentum: 0.9, batch_size: 32, epochs: 20, seed: 1 };
    train::train(&data::load(), &params, |epoch, accuracy| {
        println!("epoch {epoch:>2}: accuracy {accuracy:.4}");
        ControlFlow::Continue(())
    });
    ExitCode::SUCCESS
}
