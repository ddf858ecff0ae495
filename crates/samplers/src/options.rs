//! Reading a sampler's options: each is taken by name, and what is left over is an error.

pub(crate) use trialog_ops::OptionReader as Reader;
