//! core: which pictures are encoded, which of them as keyframes, and at what bitrate
//!
//! In: each picture's time; a viewer's request for a keyframe; the estimate of the path; what waits to be sent.
//! Out: for each picture, skip it or take it and how.
//! Never: skips a picture because the encoder was slow (the lane does that), nor lets requests pile up keyframes.

use crate::media::time::MediaTime;

/// Limits of the video stream, in kilobits per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bitrates {
    /// Below this a face is mush: rather fewer pictures.
    pub min_kbps: u32,
    pub start_kbps: u32,
    /// Above this a 512-pixel face gains nothing that an eye sees.
    pub max_kbps: u32,
}

impl Default for Bitrates {
    fn default() -> Self {
        Self { min_kbps: 80, start_kbps: 300, max_kbps: 500 }
    }
}

impl Bitrates {
    /// The usual limits, and never more than `max_bps` bits per second.
    pub fn up_to(max_bps: u32) -> Self {
        let Self { min_kbps, start_kbps, .. } = Self::default();
        let max_kbps = (max_bps / 1000).max(min_kbps);
        Self { min_kbps, start_kbps: start_kbps.min(max_kbps), max_kbps }
    }
}

/// How to take a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exposure {
    pub keyframe: bool,
    pub kbps: u32,
}

pub struct Shutter {
    bitrates: Bitrates,
    kbps: u32,
    backlog_bytes: usize,
    keyframe_wanted: bool,
    last_keyframe: Option<MediaTime>,
    last: Option<MediaTime>,
}

impl Shutter {
    pub fn new(bitrates: Bitrates) -> Self {
        Self {
            bitrates,
            kbps: bitrates.start_kbps,
            backlog_bytes: 0,
            keyframe_wanted: true,
            last_keyframe: None,
            last: None,
        }
    }

    /// A viewer lost the picture (PLI or FIR).
    pub fn keyframe_wanted(&mut self) {
        self.keyframe_wanted = true;
    }

    /// What the path carries now, and how much of it the sound takes, in bits per second.
    pub fn estimated(&mut self, path_bps: u64, audio_bps: u64) {
        // 15 % stay for retransmission and for the estimate to be wrong.
        let video_bps = (path_bps * 85 / 100).saturating_sub(audio_bps);
        let kbps = u32::try_from(video_bps / 1000).unwrap_or(u32::MAX);
        self.kbps = kbps.clamp(self.bitrates.min_kbps, self.bitrates.max_kbps);
    }

    /// How much video has been encoded and not yet sent.
    pub fn backlog(&mut self, bytes: usize) {
        self.backlog_bytes = bytes;
    }

    /// Decides about the picture of `at`; `None`: skip it. Times that do not rise are skipped: an encoder cannot go back.
    pub fn decide(&mut self, at: MediaTime) -> Option<Exposure> {
        if self.last.is_some_and(|last| at <= last) {
            return None;
        }
        let limit = u64::from(self.kbps) * 1000 / 8 * LONGEST_BACKLOG.as_ms() / 1000;
        if self.backlog_bytes as u64 > limit {
            return None;
        }
        self.last = Some(at);
        let keyframe = self.keyframe_wanted && self.last_keyframe.is_none_or(|last| at - last >= KEYFRAMES_APART);
        if keyframe {
            self.keyframe_wanted = false;
            self.last_keyframe = Some(at);
        }
        Some(Exposure { keyframe, kbps: self.kbps })
    }
}

/// A browser repeats its PLI until a keyframe arrives; one keyframe answers them all. Each costs 15 kB, which at 300 kb/s
/// is 0.4 s of the path.
const KEYFRAMES_APART: MediaTime = MediaTime::from_ms(500);
/// Video this old makes what follows it late: longer than a keyframe needs, shorter than a viewer notices.
const LONGEST_BACKLOG: MediaTime = MediaTime::from_ms(600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::time::Samples;

    fn at(frame: u64) -> MediaTime {
        Samples(frame * 1_600)
    }

    /// A storm of PLIs, one per picture: a keyframe each half second, and the last request is not forgotten.
    #[test]
    fn keyframes_are_rate_limited_and_not_lost() {
        let mut shutter = Shutter::new(Bitrates::default());
        let mut keys = vec![];
        for frame in 0..60 {
            if frame > 0 && frame <= 20 {
                shutter.keyframe_wanted();
            }
            if shutter.decide(at(frame)).unwrap().keyframe {
                keys.push(frame);
            }
        }
        assert_eq!(keys, [0, 8, 16, 24]);
    }

    #[test]
    fn the_bitrate_follows_the_path_within_its_limits() {
        let mut shutter = Shutter::new(Bitrates::default());
        let mut kbps = |path: u64| {
            shutter.estimated(path, 40_000);
            let next = shutter.last.map_or(at(0), |last| last + at(1));
            shutter.decide(next).unwrap().kbps
        };
        assert_eq!((kbps(400_000), kbps(10_000), kbps(u64::MAX / 100), kbps(0)), (300, 80, 500, 80));
    }

    /// Pictures are skipped while the path is behind, and come again when it has caught up.
    #[test]
    fn a_backlog_skips_pictures_before_the_encoder() {
        let mut shutter = Shutter::new(Bitrates::default());
        assert!(shutter.decide(at(0)).is_some());
        shutter.backlog(16_000);
        assert!(shutter.decide(at(1)).is_some(), "a keyframe in flight is no reason to skip");
        shutter.backlog(30_000);
        assert!(shutter.decide(at(2)).is_none());
        shutter.backlog(1_000);
        assert!(shutter.decide(at(3)).is_some());
        assert!(shutter.decide(at(3)).is_none(), "time must rise");
    }
}
