//! door: messages between processes as plain data; golden-tested
//!
//! Data only: no socket, no clock. [`moshi`] is what the speech engines speak (Kyutai's moshi-server protocol with our opt-ins),
//! [`chat`] what the language models do (OpenAI chat completions), [`realtime`] what the callers do (OpenAI's Realtime,
//! with our extensions).

pub mod chat;
pub mod moshi;
pub mod realtime;
