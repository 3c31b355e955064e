//! door: the cores of the OpenAI Realtime protocol, shared by every transport
//!
//! ```text
//! client's JSON ─► command ─► protocol ─► Ask, Mic, Settings, sound
//!                               │  session   what the client may set
//!                               │  items     ids and order of the conversation
//!                               │  user      the user's turns as events
//!                               │  response  one reply as events, in order
//! Floor, Notice ─► gate ────────┘           ─► server events, as JSON
//! ```
//! In: [`Input`]: what the client sends, what the rooms tell, where the floor is. Out: [`Output`].
//! Law: after every `handle`, `poll` until `None`. When the floor has changed, hand in every notice that waits *before* the
//! floor itself: what led to the change was told before it, and the client should hear it in that order.
//! Never: touches a socket or a clock; panics from input; lets a fact about a held turn out.

mod command;
mod gate;
mod ids;
mod items;
mod notices;
mod protocol;
mod refusal;
mod requests;
mod response;
mod session;
mod user;

pub use protocol::{Input, Link, Output, Protocol, Setup};
pub use refusal::Refusal;
