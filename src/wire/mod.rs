//! door: messages between processes as plain data; golden-tested
//!
//! Data only: no socket, no clock. [`moshi`] is what the speech engines speak (Kyutai's moshi-server protocol with our opt-ins),
//! [`realtime`] what the callers speak (OpenAI's Realtime, with our extensions).

pub mod moshi;
pub mod realtime;
