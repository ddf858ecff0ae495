//! Trialog's chores.

fn main() {}
