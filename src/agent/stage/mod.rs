//! door: performs sound and picture on one clock
