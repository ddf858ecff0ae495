//! Studies from any storage to any other: copy, convert, import, merge.
