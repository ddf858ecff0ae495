//! The vocabulary of Trialog: ids, directions, distributions, trial states and [`Op`], the closed list of what
//! can happen to a study. This crate validates what it names and does nothing else; it never touches I/O.

mod config;
mod decimal;
mod distribution;
mod ids;
mod json;
mod op;
mod options;
mod registry;
mod trial;

pub use config::{Budget, ComponentSpec, RETRIES_MAX, RetryPolicy, StudyConfig};
pub use distribution::{
    CategoricalDistribution, Choice, Distribution, DistributionError, FloatDistribution, INT_MAX, IntDistribution,
    ParamValue,
};
pub use ids::{
    MetricKey, ParamKey, SessionId, SessionKey, StudyId, Timestamp, TrialId, TrialNumber, WorkerId, WorkerKey,
};
pub use json::{Json, JsonError, JsonScan, MAX_JSON_DEPTH};
pub use op::{
    Amendment, METRIC_NAME_BYTES_MAX, MetricRef, MetricSeries, MetricValue, Note, Op, Param, ParamDef, ParamRef,
    Record, SessionRef, TrialTemplate,
};
pub use options::OptionReader;
pub use registry::{Entry, Options, SpecError};
pub use trial::{Direction, FinalState, TrialState};
