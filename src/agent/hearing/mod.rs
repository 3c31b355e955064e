//! door: a caller's sound becomes words and pauses
//!
//! In: `Mic`, the settings. Out: `Heard`, and the notices that go with it. [`inlet`] and [`ear`] make sound of packets,
//! the VAD's probabilities go to [`endpoint`], which says where speech begins, pauses and ends; [`stt`] is the client
//! of the engine that writes it down, [`marks`] how long it takes; [`task`] joins them.
//! Never: decides whose turn it is.

mod ear;
pub mod endpoint;
mod inlet;
mod marks;
pub mod stt;
pub mod task;
pub mod transcript;
