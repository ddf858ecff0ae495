//! Faked operating systems and generators for Trialog's tests.
