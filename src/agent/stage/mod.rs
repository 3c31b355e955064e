//! door: performs sound and picture on one clock
//!
//! In: speech, seconds ahead, a queue per turn; the floor. Out: one `Sound` every 20 ms, silence included; a `Cue` for the
//! face on the video grid; `Progress`: what was really played. Never: lets a frame of an old or a held turn out.

pub mod playout;
mod recital;
mod task;

pub use playout::{Input, Output, Playout};
pub use task::{Lanes, run};
