//! door: the integration tests, one binary
