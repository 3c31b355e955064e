//! door: every metric's name, help, unit and buckets; nothing else names one
//!
//! [`Metrics`] is a cheap handle on one registry, passed in (no global). Labels come from closed enums. Gauges that
//! count living things are guards: they go down in `Drop`.

mod labels;
pub mod names;
mod process;
mod registry;

pub use labels::{Class, LaneName, RejectReason, Stage};
pub use registry::{Guard, Metrics};
