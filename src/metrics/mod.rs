//! door: every metric's name, help, unit and buckets; nothing else names one
//!
//! [`Metrics`] is a cheap handle on one registry, passed in (no global). Labels come from closed sets, whose children are
//! resolved once: recording is an index and an atomic. Gauges that count living things are guards: they go down in `Drop`.
//! By topic: `calls` (who comes and goes), `turns` (how long callers wait), `engines`, `media` (codecs and the wire), `house`
//! (what saturates), `process`. `docs/metrics.md` lists them all, and a test compares it with what is registered.

mod buckets;
mod calls;
mod engines;
mod house;
mod labels;
mod media;
pub mod names;
mod process;
mod registry;
mod shelf;
mod turns;

pub use engines::{BatchMeter, QueueMeter, Seats};
pub use labels::{
    BatchedStage, Class, Codec, Direction, Door, EndReason, Interruption, LaneName, Object, QueuedStage, RejectReason,
    ReplyOutcome, Segment, SpeechStage, Stage,
};
pub use registry::{Guard, Metrics};
pub use turns::Segments;
