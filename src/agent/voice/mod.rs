//! door: words become speech, seconds ahead
//!
//! In: utterances, one per turn, word by word ([`crate::agent::flow::Say`]); the floor. Out: one recital per turn, to the stage and
//! (shedding) to the face. [`task`] speaks up to two turns at once, over [`tts`], a connection each; [`speakable`] makes text
//! fit to be spoken; [`assembly`] puts sound, words and phones together.
//! Never: paces anything (the lanes do), resamples, or knows who listens.

pub mod assembly;
pub mod speakable;
pub mod task;
pub mod tts;
