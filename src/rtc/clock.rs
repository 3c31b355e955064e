//! core: the one rule that ties media time to RTP time and to the wall
//! In:    the media time of what is written, and now.
//! Out:   its RTP time, `base + t · clock`, and its wall time, `t0 + t`, the same `t0` for both tracks.
//! Never: names a wall time ahead of now (the stack would then report RTP time 0 to the peer); gives the two tracks
//!        different clocks.

use std::time::Instant;

use crate::media::time::MediaTime;

use super::event::Track;

/// RTP times begin here, and not at the same number for both tracks, so that a receiver which forgets the sender reports is
/// found out. (A random start, RFC 3550 section 5.1, hindered attacks on ciphers that SRTP does not use.)
pub const AUDIO_RTP_BASE: u64 = 0x1000_0000;
/// See [`AUDIO_RTP_BASE`].
pub const VIDEO_RTP_BASE: u64 = 0x2000_0000;

/// The clock of one call.
#[derive(Debug, Default)]
pub(super) struct MediaClock {
    /// The wall time of media time zero: the earliest that anything written so far proves. Media is written at its due time
    /// or a little later, so this settles within the first packets and then stands.
    t0: Option<Instant>,
}

impl MediaClock {
    /// The wall time of media time `t`, which is being written now.
    pub(super) fn wall(&mut self, now: Instant, t: MediaTime) -> Instant {
        let Some(proven) = now.checked_sub(t.as_duration()) else {
            // Only for a media time before this machine was started.
            return now;
        };
        let t0 = self.t0.map_or(proven, |t0| t0.min(proven));
        self.t0 = Some(t0);
        (t0 + t.as_duration()).min(now)
    }

    /// The RTP time of media time `t`, not yet wrapped to 32 bits.
    pub(super) fn rtp(track: Track, t: MediaTime) -> u64 {
        match track {
            Track::Audio => AUDIO_RTP_BASE + t.at_rate::<48_000>().0,
            Track::Video => VIDEO_RTP_BASE + t.at_rate::<90_000>().0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Written late by any jitter: never ahead of now, and both tracks mean the same wall time by the same media time.
        #[test]
        fn one_wall_for_both_tracks(jitters in proptest::collection::vec(0u64..50, 1..200)) {
            let start = Instant::now() + Duration::from_secs(1000);
            let mut clock = MediaClock::default();
            for (n, &jitter) in jitters.iter().enumerate() {
                let t = MediaTime::from_ms(20 * n as u64);
                let now = start + t.as_duration() + Duration::from_millis(jitter);
                let audio = clock.wall(now, t);
                let video = clock.wall(now, t);
                prop_assert!(audio <= now);
                prop_assert_eq!(audio, video);
            }
            // What is due at n · 20 ms is never proven to lie before the start by punctual or late writes.
            prop_assert!(clock.t0.expect("written") >= start);
        }
    }

    #[test]
    fn rtp_clocks_run_at_their_rates() {
        let t = MediaTime::from_ms(1000);
        assert_eq!(MediaClock::rtp(Track::Audio, t) - AUDIO_RTP_BASE, 48_000);
        assert_eq!(MediaClock::rtp(Track::Video, t) - VIDEO_RTP_BASE, 90_000);
    }
}
