//! door: the front doors of the engines: one router each, onto the same queues
//!
//! In: WebSockets and requests of anybody who speaks the protocol and knows the token. Out: what the models answer.
//! Never: knows what a conversation is.

pub mod access;
pub mod chat;
pub mod stt;
pub mod tts;
