//! door: language models
