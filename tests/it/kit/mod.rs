//! door: what the integration tests are made of: a lossy link between two endpoints

pub mod link;
