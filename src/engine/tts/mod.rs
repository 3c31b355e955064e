//! door: text to speech
