//! door: the only reader of configuration: files, environment, flags

pub mod models;
