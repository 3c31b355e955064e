//! door: learns the speech that is coming, and draws the moment that a cue asks for
//!
//! In: `script` (the voice's speech, ahead of time), `cue` (which moment to show: latest wins). Out: `picture`.
//! Never: makes sound wait. A full script lane sheds and the lips fall back to loudness; a full picture lane loses its
//! oldest picture, before it is encoded. [`task`] joins the lanes; what a face does is in the leaf `face`.

pub mod task;
