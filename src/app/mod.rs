//! door: puts a server together: what `visavis serve` runs, and what the tests run in their own process
//!
//! In: a [`Config`](crate::config::Config) and a listener. Out: a [`House`]: engines behind loopback ports ([`loopback`]),
//! the agent that dials them (`services`: from settings to what calls need), the desk in front; it drains when it is told to. [`catalogue`] knows
//! the model files. The only place that knows agent and engine both; they meet on the wire all the same. Never: decides
//! anything about a call.

pub mod catalogue;
pub mod engines;
mod house;
pub mod loopback;
mod services;

pub use house::{House, OpenError, RunError};
