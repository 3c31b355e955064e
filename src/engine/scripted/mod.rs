//! door: deterministic engines behind the same doors, for tests and load

pub mod stt;
pub mod tts;
