//! Where to look next: Trialog's samplers.
