//! door: the model servers: they know nothing of conversations
//!
//! In: requests on sockets (`serve/`). Out: words, sound, tokens. A model implements a trait of [`model`]; a [`worker`]
//! owns it on a thread of its own. Never: imports the agent; any engine can be replaced by any server that speaks the wire.

pub mod model;
pub mod worker;

pub mod llm;
pub mod scripted;
pub mod serve;
pub mod stt;
pub mod tts;
