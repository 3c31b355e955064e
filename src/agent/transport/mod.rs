//! door: datagrams and events on one side, the session's language on the other
//!
//! In: datagrams of one call; `Sound`, `Picture`, `Notice`, the floor. Out: `Mic`, `Ask`, `Settings`; datagrams. [`webrtc`] drives
//! the call's endpoint, [`encode`] makes Opus of sound, [`projector`] and [`film`] make VP8 of pictures ([`shutter`] decides which),
//! [`realtime`] is the protocol. Never: paces anything; the stage does.

pub mod encode;
pub mod film;
pub mod projector;
pub mod realtime;
pub mod shutter;
pub mod webrtc;
