//! door: a caller's sound becomes words and pauses

pub mod stt;
