//! door: the callers: synthetic people who know only the public protocols
//!
//! [`Caller`] joins a call over WebRTC as a browser would, speaks recorded speech ([`Utterance`]) and keeps what comes back
//! ([`Recording`]): sound on its RTP clock, frames, events, sender reports. Tests, the soak and the load tool stand on it.
//! Nothing here imports the agent: the two meet on the wire.

pub mod caller;
pub mod crowd;
pub mod ear;
pub mod figure;
pub mod host;
pub mod outcome;
mod person;
mod phone;
pub mod plan;
pub mod reach;
pub mod recording;
pub mod report;
pub mod run;
pub mod scenario;
pub mod search;
pub mod speech;
pub mod spread;
pub mod tally;
pub mod target;
pub mod utterance;

pub use caller::{CallSettings, Caller, CallerError, Saying};
pub use recording::{EventNote, FrameNote, Recording};
pub use utterance::Utterance;
