//! door: what a load run says at its end
//!
//! A [`Run`] holds what was asked and what came of each step ([`Row`]). From it, each by a pure function: a table for the
//! terminal and one for a note ([`table`]), JSON for a machine ([`json`]), and one HTML page with plots that needs nothing
//! but a browser. Nothing here measures, prints or writes a file.

mod charts;
mod columns;
pub mod html;
pub mod json;
mod markup;
mod number;
mod plot;
mod run;
#[cfg(test)]
mod sample;
mod stages;
pub mod table;
mod words;

pub use run::{Asked, Kind, Maximum, Row, Run};
pub use stages::{Stage, StageTimes};
