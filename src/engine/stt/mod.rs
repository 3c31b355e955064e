//! door: speech to text
