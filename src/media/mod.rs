//! door: sound, picture and time, with their units in the types; the codecs
//!
//! A leaf: it knows nothing of calls, models or sockets. [`time`] counts in samples, [`sound`] carries them, [`picture`]
//! is what an encoder eats; [`resample`] changes rates where they differ. Nothing here touches a clock.

pub mod opus;
pub mod picture;
pub mod reorder;
pub mod resample;
pub mod sound;
pub mod time;
pub mod vp8;
