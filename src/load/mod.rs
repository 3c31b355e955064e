//! door: the callers: synthetic people who know only the public protocols
//!
//! [`Caller`] joins a call over WebRTC as a browser would, speaks recorded speech ([`Utterance`]) and keeps what comes back
//! ([`Recording`]): sound on its RTP clock, frames, events, sender reports; or keeps nothing and only measures ([`Visit`]).
//! Tests, the soak and the load tool stand on it.
//! Nothing here imports the agent: the two meet on the wire.

mod answer;
pub mod caller;
pub mod crowd;
mod dial;
pub mod doors;
pub mod ear;
mod error;
pub mod figure;
pub mod host;
pub mod jitter;
mod link;
mod medians;
mod meter;
mod mouth;
pub mod outcome;
mod person;
mod phone;
pub mod plan;
pub mod process;
pub mod reach;
pub mod recording;
pub mod report;
pub mod run;
pub mod scenario;
pub mod search;
pub mod sight;
pub mod speech;
pub mod spread;
pub mod stream;
pub mod tally;
pub mod target;
mod told;
pub mod turns;
pub mod utterance;
pub mod work;

pub use caller::{CallSettings, Caller, Offering};
pub use dial::Dial;
pub use error::CallerError;
pub use link::Link;
pub use meter::Visit;
pub use mouth::Saying;
pub use recording::{EventNote, FrameNote, Recording};
/// What callers dial with; clones share its connections.
pub use reqwest::Client as HttpClient;
pub use utterance::Utterance;
