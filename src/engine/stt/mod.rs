//! door: speech to text
//!
//! In: a caller's sound, chunk by chunk. Out: words. [`listener`] decides what is transcribed when; [`service`] keeps the
//! recognizer behind one queue and counts the seats before it. The recognizer is [`whisper`], whose decoder [`gate`] keeps
//! on its way, or a script. Never: transcribes silence; knows why it was asked.

#[cfg(feature = "embedded-speech")]
pub mod gate;
pub mod listener;
#[cfg(feature = "embedded-speech")]
pub mod mel;
mod piece;
pub mod service;
#[cfg(feature = "embedded-speech")]
mod vocabulary;
#[cfg(feature = "embedded-speech")]
pub mod whisper;

pub use service::{Ear, Seat, SttEngine};
