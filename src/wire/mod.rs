//! door: messages between processes as plain data; golden-tested
//!
//! Data only: no socket, no clock. [`moshi`] is what the speech engines speak (Kyutai's moshi-server protocol with our opt-ins).

pub mod moshi;
