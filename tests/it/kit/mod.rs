//! door: what the integration tests are made of: a lossy link between two endpoints, recorded speech, servers

pub mod echo;
pub mod link;
pub mod server;
pub mod speech;
