//! data: a conversation's setup with scripts for engines

use visavis::agent::transport::realtime::{Link, Setup};

/// Over WebRTC, with Theo.
pub fn scripted() -> Setup {
    Setup {
        link: Link::WebRtc,
        seed: 1,
        model: "scripted".into(),
        transcription_model: "scripted".into(),
        person: "theo".into(),
        persons: vec!["theo".into()],
        expires_at_unix_s: 0,
        turn_detection: Default::default(),
    }
}
