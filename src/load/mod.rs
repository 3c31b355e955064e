//! door: the callers: synthetic people who know only the public protocols
