//! door: text to speech
//!
//! In: words as they come, over `serve/tts.rs`. Out: 24 kHz sound faster than real time, with the times of words and phones.
//! [`TtsEngine`] hands out seats; a [`Stream`] is one seat: its [`clauses`] cut the words, and whoever makes the sound
//! ([`speaker`]; for us [`piper`] on a thread of its own) serves all streams piece by piece, the one whose listener runs dry first before the others.
//! Never: knows what a conversation is.

pub mod clauses;
#[cfg(feature = "embedded-speech")]
pub mod espeak;
pub mod normalise;
pub mod numbers;
#[cfg(feature = "embedded-speech")]
pub mod phonemes;
#[cfg(feature = "embedded-speech")]
pub mod piper;
mod quantities;
mod speaker;
mod stream;
pub mod words;

pub use speaker::{Sounding, Speaker, TtsEngine};
pub use stream::{Stream, Voiced};
