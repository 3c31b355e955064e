//! door: speech to text
//!
//! In: a caller's sound, chunk by chunk. Out: words. [`listener`] decides what is transcribed when; [`service`] keeps the
//! recognizer behind one queue and counts the seats before it. The recognizer is Whisper or a script. Never: transcribes
//! silence; knows why it was asked.

pub mod listener;
mod piece;
pub mod service;

pub use service::{Ear, Seat, SttEngine};
