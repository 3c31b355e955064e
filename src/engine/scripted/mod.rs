//! door: deterministic engines behind the same doors, for tests and load

pub mod llm;
pub mod stt;
pub mod tts;
