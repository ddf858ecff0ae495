//! Trialog's ops to bytes and back: format versions and golden files.
