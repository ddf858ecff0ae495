//! Whether to go on: Trialog's pruners.
