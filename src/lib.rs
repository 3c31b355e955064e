//! door: Visavis, a real-time voice agent orchestrator with a face
//!
//! Three rooms with people in them, which meet only on the wire: [`agent`] (the orchestrator), [`engine`] (the model
//! servers) and [`load`] (the callers). Below them the leaves, which know nothing of a conversation. Dependencies point
//! down only; `tests/it/architecture.rs` holds the rules. Read `agent/flow.rs` next, then `agent/session/line.rs`.

pub mod app;

pub mod agent;
pub mod engine;
pub mod load;

pub mod face;
pub mod onnx;
pub mod rtc;
pub mod wire;

pub mod config;
pub mod runtime;

pub mod media;
pub mod metrics;
