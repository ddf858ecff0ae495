//! Where Trialog's log and state meet: append and replay, views, verdicts.
