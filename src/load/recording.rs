//! core: what a call left behind, and which picture belongs to which sound

use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use crate::media::picture::I420;
use crate::media::time::MediaTime;
use crate::media::vp8;
use crate::rtc::{Gone, SenderReport, Track};

use super::ear::Tape;

/// Everything that came to a caller, in order. Grows with the call.
#[derive(Default)]
pub struct Recording {
    pub connected: Option<Instant>,
    pub channel_open: Option<Instant>,
    pub tape: Tape,
    pub frames: Vec<FrameNote>,
    pub reports: Vec<SenderReport>,
    pub events: Vec<EventNote>,
    /// Texts on the data channel that were no JSON.
    pub rubbish: Vec<String>,
    pub ended: Option<(Instant, Gone)>,
}

/// One VP8 frame, still encoded.
#[derive(Clone, Debug)]
pub struct FrameNote {
    /// 90 kHz.
    pub rtp: u32,
    pub arrival: Instant,
    pub keyframe: bool,
    /// Nothing is missing between the frame before and this one.
    pub contiguous: bool,
    pub bytes: Arc<[u8]>,
}

/// One event of the data channel.
#[derive(Clone, Debug)]
pub struct EventNote {
    pub arrival: Instant,
    pub value: Value,
}

impl EventNote {
    /// Its `type`; empty when it has none.
    pub fn kind(&self) -> &str {
        self.value["type"].as_str().unwrap_or_default()
    }
}

impl Recording {
    /// Where in the sound (seconds of [`Tape::sound`]) the video RTP time `rtp` falls, by the sender reports of both tracks.
    /// May be negative. `None` until both tracks have been reported on truly and sound has come.
    pub fn second_of_sound(&self, rtp: u32) -> Option<f64> {
        // A report that was sent before its track's first packet claims RTP time 0.
        let last = |track| self.reports.iter().rev().find(|r| r.track == track && r.rtp != 0);
        let (audio, video) = (last(Track::Audio)?, last(Track::Video)?);
        Some(video.wall_of(rtp) - audio.wall_of(self.tape.first_rtp?))
    }

    /// The sound between two seconds of the timeline; less where there is less.
    pub fn sound_between(&self, from: f64, to: f64) -> &[f32] {
        let at = |second| MediaTime::from_secs_f64(second).0 as usize;
        let sound = &self.tape.sound;
        let (from, to) = (at(from).min(sound.len()), at(to).min(sound.len()));
        &sound[from..to.max(from)]
    }

    /// Decodes all frames and shows each to `see`. Frames that cannot be decoded rightly (before the first keyframe, after a
    /// loss until the next) are skipped. Gives how many were shown.
    pub fn watch(&self, mut see: impl FnMut(&FrameNote, &I420)) -> Result<usize, vp8::Vp8Error> {
        let mut decoder = vp8::Decoder::new()?;
        let mut picture = I420::black(2, 2);
        let (mut whole, mut shown) = (false, 0);
        for frame in &self.frames {
            whole = frame.keyframe || (whole && frame.contiguous);
            if whole {
                decoder.decode(&frame.bytes, &mut picture)?;
                see(frame, &picture);
                shown += 1;
            }
        }
        Ok(shown)
    }

    /// The events of one type, in order.
    pub fn events_of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a EventNote> {
        self.events.iter().filter(move |event| event.kind() == kind)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The tracks' RTP clocks begin anywhere; only the reports say what belongs together.
    #[test]
    fn pictures_find_their_sound_by_the_reports() {
        let mut recording = Recording::default();
        recording.tape.first_rtp = Some(u32::MAX - 10);
        assert_eq!(recording.second_of_sound(5_000), None);
        let report = |track, wall_ms: u64, rtp| SenderReport {
            track,
            wall: Duration::from_millis(1_700_000_000_000 + wall_ms),
            rtp,
            arrival: Instant::now(),
        };
        recording.reports = vec![
            // The first packet of sound left at 1.0 s, so this one, 2 s later, has wrapped.
            report(Track::Audio, 3_000, (u32::MAX - 10).wrapping_add(96_000)),
            report(Track::Video, 2_000, 9_000),
            report(Track::Video, 2_000, 0),
        ];
        let second = recording.second_of_sound(9_000 + 45_000).unwrap();
        assert!((second - 1.5).abs() < 1e-3, "{second}");
    }
}
