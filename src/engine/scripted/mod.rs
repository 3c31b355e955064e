//! door: deterministic engines behind the same doors, for tests and load
