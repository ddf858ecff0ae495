//! `trialog`, the command line.

fn main() {}
