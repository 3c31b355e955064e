//! door: the only reader of configuration: files, the environment, flags
//!
//! ```text
//! configs/visavis.toml ─┐
//! the user's file ──────┤   layers: which value wins,      settings: typed values that
//! VISAVIS_*, OPENAI_… ──┼─► and where it came from    ───► need no further checks
//! flags ────────────────┘   (unknown keys refused)         (every problem is reported, not only the first)
//! ```
//! In: [`Sources`]. Out: [`Config`], or a [`ConfigError`] that names file, line, key and what is allowed; the command line
//! turns it into exit code 64. The defaults are the shipped `configs/visavis.toml` itself, compiled in, so file and program
//! cannot drift apart; a test checks that each of its keys is read and commented. Who can speak stands in
//! `voices.yaml` ([`voices`]). Never: touches a socket; lets a secret into a log or a `Debug`.

#![allow(clippy::disallowed_methods, reason = "this is the room that reads the environment")]

mod effective;
mod error;
mod layers;
pub mod models;
mod reader;
mod settings;
mod sources;
pub mod voices;

pub use error::{ConfigError, Origin, Problem};
pub use settings::*;
pub use sources::{Flag, Loaded, Sources};
