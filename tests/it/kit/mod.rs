//! door: what the integration tests are made of: a lossy link between two endpoints, recorded speech, servers, a whole house

pub mod allocations;
pub mod compose;
pub mod echo;
pub mod house;
pub mod link;
pub mod program;
pub mod script;
pub mod server;
pub mod setup;
pub mod speech;
pub mod talk;
pub mod wire;
