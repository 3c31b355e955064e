//! door: clients of the engines' own doors: many at once, each asking again as soon as it was answered
//!
//! [`Engine`] is what is asked: texts to speak ([`tts`]), speech to write down ([`stt`]), questions to answer ([`llm`]).
//! [`Clients`] ask it for as long as a step lasts. They speak what every server of the kind speaks, ours or another's.

mod clients;
mod listener;
pub mod llm;
mod socket;
pub mod stt;
mod texts;
pub mod tts;

pub use clients::{Clients, Engine};
