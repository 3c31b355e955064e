//! door: the orchestrator: one conversation is one straight line of rooms
//!
//! In: a caller's offer and sound. Out: the agent's sound and picture. Each room translates one language into the next
//! and shares only [`flow`] with the others; `session/line.rs` alone knows them all. Never: imports an engine.

pub mod flow;

pub mod avatar;
pub mod dialogue;
pub mod hearing;
pub mod server;
pub mod session;
pub mod stage;
pub mod transport;
pub mod voice;
