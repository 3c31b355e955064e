//! door: finds ONNX Runtime, keeps its one environment, and runs the small models that hearing needs
//!
//! In: the folder of the models. Out: sessions ([`Onnx::session`]) set up the one way that does not burn a core, and the
//! voice activity of many calls from one warm thread ([`VadWorker`]). Never: knows what is said, or by whom.

mod environment;
mod vad;

pub use environment::{LIBRARY, Onnx, OnnxError};
pub use vad::{CHUNK, VAD_MODEL, VadError, VadSeat, VadWorker};
