//! Trialog's state machine: apply, verdicts, views and digests.
