//! door: the integration tests, one binary

mod kit;
mod rtc;
