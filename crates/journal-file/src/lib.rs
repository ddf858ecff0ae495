//! Trialog's journal on one file that many processes share.
