//! core: what a caller sees, without decoding it: pictures per second, freezes, and whether lips and voice keep together
//! In:    pictures and packets of sound with their RTP times and arrivals; sender reports of both tracks.
//! Out:   [`Seen`].
//! Never: counts a picture that could not be decoded.
//!
//! A freeze is what a browser's statistics call one (W3C webrtc-stats, `freezeCount`): two pictures that are shown after one
//! another at least max(3 · d, d + 150 ms) apart, where d is the mean of the last 30 such distances.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::rtc::{SenderReport, Track};

use super::medians::Medians;

/// What a caller saw of a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    pub pictures: u64,
    /// From the first picture to the end of the call.
    pub fps: f64,
    pub freezes: u64,
    pub frozen: Duration,
    /// How much later a picture came than the sound that belongs to it, in seconds: the median of every five.
    pub skew_s: Vec<f64>,
}

/// See the file's head.
#[derive(Default)]
pub struct Sight {
    pictures: u64,
    first: Option<Instant>,
    last: Option<Instant>,
    /// Distances of the last pictures.
    distances: VecDeque<Duration>,
    freezes: u64,
    frozen: Duration,
    audio: Option<SenderReport>,
    video: Option<SenderReport>,
    /// What came of sound lately: RTP time and arrival.
    sound: VecDeque<(u32, Instant)>,
    /// Pictures whose sound has not come: arrival, and the RTP time of that sound.
    ahead: VecDeque<(Instant, u32)>,
    skew: Medians,
}

impl Sight {
    /// A picture that could be decoded has come, whole.
    pub fn picture(&mut self, arrival: Instant, rtp: u32) {
        self.pictures += 1;
        self.first.get_or_insert(arrival);
        if let Some(last) = self.last {
            let distance = arrival.saturating_duration_since(last);
            if self.is_freeze(distance) {
                self.freezes += 1;
                self.frozen += distance;
            }
            if self.distances.len() == AVERAGED {
                self.distances.pop_front();
            }
            self.distances.push_back(distance);
        }
        self.last = self.last.max(Some(arrival));
        if let Some(sound) = self.sound_of(rtp)
            && !self.compare(arrival, sound)
        {
            if self.ahead.len() == MOST_AHEAD {
                self.ahead.pop_front();
            }
            self.ahead.push_back((arrival, sound));
        }
    }

    fn is_freeze(&self, distance: Duration) -> bool {
        let count = self.distances.len() as u32;
        if count == 0 {
            return false;
        }
        let mean = self.distances.iter().sum::<Duration>() / count;
        distance >= (3 * mean).max(mean + FREEZE)
    }

    /// A packet of sound has come.
    pub fn sound(&mut self, arrival: Instant, rtp: u32) {
        if self.sound.len() == SOUND_KEPT {
            self.sound.pop_front();
        }
        self.sound.push_back((rtp, arrival));
        for _ in 0..self.ahead.len() {
            let Some((seen, sound)) = self.ahead.pop_front() else { break };
            if !self.compare(seen, sound) {
                self.ahead.push_back((seen, sound));
            }
        }
    }

    /// A sender report has come. One that was sent before its track's first packet claims RTP time 0.
    pub fn report(&mut self, report: SenderReport) {
        let of = match report.track {
            Track::Audio => &mut self.audio,
            Track::Video => &mut self.video,
        };
        *of = Some(report).filter(|report| report.rtp != 0).or(*of);
    }

    /// The RTP time of the sound that belongs to a picture, once both tracks have been reported on.
    fn sound_of(&self, picture: u32) -> Option<u32> {
        let (audio, video) = (self.audio?, self.video?);
        let since_report = video.wall_of(picture) - audio.wall.as_secs_f64();
        let ticks = (since_report * f64::from(Track::Audio.clock_hz())).round() as i64;
        Some(audio.rtp.wrapping_add(ticks as u32))
    }

    /// Whether the sound of RTP time `sound` has come, to be compared with its picture.
    fn compare(&mut self, seen: Instant, sound: u32) -> bool {
        let packet = self.sound.iter().rev().find(|(rtp, _)| (0..PACKET_TICKS).contains(&sound.wrapping_sub(*rtp)));
        let Some(&(rtp, arrival)) = packet else { return false };
        // What lies later in a packet is heard that much later.
        let heard = arrival + Duration::from_secs(sound.wrapping_sub(rtp).into()) / Track::Audio.clock_hz();
        let late = seen.saturating_duration_since(heard).as_secs_f64();
        self.skew.note(seen, late - heard.saturating_duration_since(seen).as_secs_f64());
        true
    }

    /// What was seen until the call's end.
    pub fn seen(&self, end: Instant) -> Seen {
        let mut seen = Seen {
            pictures: self.pictures,
            fps: 0.0,
            freezes: self.freezes,
            frozen: self.frozen,
            skew_s: self.skew.values(),
        };
        if let (Some(first), Some(last)) = (self.first, self.last) {
            let lasted = end.saturating_duration_since(first).as_secs_f64();
            // The picture that still stands at the end is half a distance short of its length, on the average.
            seen.fps = if lasted > 0.0 { (self.pictures - 1) as f64 / lasted } else { 0.0 };
            let standing = end.saturating_duration_since(last);
            if self.is_freeze(standing) {
                seen.freezes += 1;
                seen.frozen += standing;
            }
        }
        seen
    }
}

/// W3C webrtc-stats, `freezeCount`.
const AVERAGED: usize = 30;
const FREEZE: Duration = Duration::from_millis(150);

/// Opus packets of a WebRTC call last 20 ms.
const PACKET_TICKS: u32 = 960;

/// 2.5 s: a picture that comes later after its sound than that is no longer compared.
const SOUND_KEPT: usize = 128;

/// One second of pictures before their sound.
const MOST_AHEAD: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn watch(arrivals: impl IntoIterator<Item = u64>, end: u64) -> Seen {
        let t0 = Instant::now();
        let mut sight = Sight::default();
        for (n, at) in arrivals.into_iter().enumerate() {
            sight.picture(t0 + ms(at), 6_000 * n as u32);
        }
        sight.seen(t0 + ms(end))
    }

    /// Twenty-five pictures a second: 40 ms apart, a freeze begins at 190 ms. The end of the call counts too.
    #[test]
    fn freezes_are_those_of_the_browsers() {
        let steady = |stop: u64| (0..stop).map(|n| 40 * n);
        let seen = watch(steady(101), 4_000);
        assert_eq!((seen.pictures, seen.freezes, seen.fps), (101, 0, 25.0));
        for (hole, freezes) in [(189, 0), (190, 1)] {
            let seen = watch(steady(51).chain((0..50).map(|n| 2_000 + hole + 40 * n)), 3_960 + hole);
            assert_eq!((seen.freezes, seen.frozen), (freezes, ms(hole * freezes)), "{hole} ms");
        }
        let dead = watch(steady(51), 10_000);
        assert_eq!((dead.freezes, dead.frozen, dead.fps), (1, ms(8_000), 5.0));
    }

    /// A slow film is none that freezes: with 120 ms between pictures, only three times that is one.
    #[test]
    fn a_freeze_is_relative_to_the_film() {
        let film = |hole: u64| (0..20).map(move |n| 120 * n + if n >= 10 { hole } else { 0 });
        assert_eq!(watch(film(0), 19 * 120).freezes, 0);
        assert_eq!(watch(film(239), 19 * 120).freezes, 0, "359 ms");
        assert_eq!(watch(film(240), 19 * 120 + 240).freezes, 1, "360 ms");
        assert_eq!(watch([], 1_000), Seen::default());
    }

    /// The tracks' clocks begin anywhere; only the reports join them. A picture 35 ms behind its sound is found 35 ms late,
    /// whether the sound comes before it or after.
    #[test]
    fn lips_are_judged_against_the_voice() {
        for (picture_ms, sound_ms, skew_s) in [(35, 0, 0.035), (0, 0, 0.0), (0, 80, -0.08), (0, 700, -0.7)] {
            let t0 = Instant::now();
            let mut sight = Sight::default();
            let report =
                |track, rtp| SenderReport { track, wall: Duration::from_secs(1_700_000_000), rtp, arrival: t0 };
            sight.report(report(Track::Audio, u32::MAX - 4_799));
            sight.report(report(Track::Video, 77_000));
            sight.report(report(Track::Video, 0));
            // Media time 0 is 100 ms after the reports; events in the order of their arrival.
            let sounds = (0..100).map(|n| (20 * n + sound_ms, true, 20 * n));
            let pictures = (0..15).map(|n| (66 * n + picture_ms, false, 66 * n));
            let mut events: Vec<(u64, bool, u64)> = sounds.chain(pictures).collect();
            events.sort();
            for (at, is_sound, media_ms) in events {
                match is_sound {
                    true => sight.sound(t0 + ms(at), (48 * media_ms) as u32),
                    false => sight.picture(t0 + ms(at), 77_000 + 9_000 + 90 * media_ms as u32),
                }
            }
            let seen = sight.seen(t0 + ms(2_000));
            assert_eq!(seen.skew_s.len(), 1);
            assert!((seen.skew_s[0] - skew_s).abs() < 1e-4, "{skew_s}: {:?}", seen.skew_s);
        }
    }
}
