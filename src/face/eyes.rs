//! core: when the eyes blink and where they look
//!
//! In: the time and the mood. Out: how far the lids are closed, the direction of the gaze.
//! Law: asked with rising times. Never: two blinks run into each other and leave the eyes shut.

use fastrand::Rng;

use super::animator::Mood;
use super::expression::smoothstep;

/// Blinks: 12–25 a minute, some double, one with each change of mood.
#[derive(Clone, Debug)]
pub struct Blinks {
    began: f64,
    next: f64,
}

impl Blinks {
    pub fn new(rng: &mut Rng, now: f64) -> Self {
        Self { began: f64::NEG_INFINITY, next: now + 0.8 + rng.f64() * 2.0 }
    }

    /// A change of mood is a good moment to blink, unless one has just been or is about to be.
    pub fn nudge(&mut self, now: f64) {
        if now - self.began > 0.7 && self.next - now > 0.4 {
            self.next = now + 0.05;
        }
    }

    /// 0 open … 1 closed at `now`.
    pub fn lid(&mut self, rng: &mut Rng, now: f64) -> f32 {
        if now >= self.next {
            // After a gap in the questions the blink begins now, not in the past.
            self.began = if now - self.next > 0.3 { now } else { self.next };
            self.next = self.began + if rng.f32() < 0.12 { 0.42 } else { 2.0 + rng.f64() * 3.0 };
        }
        let since = (now - self.began) as f32;
        if since < CLOSING { smoothstep(since / CLOSING) } else { 1.0 - smoothstep((since - CLOSING - SHUT) / OPENING) }
    }
}

/// Seconds: of a spontaneous blink, a little slow so that 15 pictures a second show it whole.
const CLOSING: f32 = 0.09;
const SHUT: f32 = 0.05;
const OPENING: f32 = 0.16;

/// The gaze: mostly on the viewer, in small jumps; away while thinking.
#[derive(Clone, Debug)]
pub struct Gaze {
    from: (f32, f32),
    to: (f32, f32),
    moved: f64,
    until: f64,
}

impl Gaze {
    pub fn new(now: f64) -> Self {
        Self { from: (0.0, 0.0), to: (0.0, 0.0), moved: f64::NEG_INFINITY, until: now + 1.0 }
    }

    /// A change of mood moves the gaze soon.
    pub fn nudge(&mut self, now: f64) {
        self.until = self.until.min(now + 0.1);
    }

    /// (−1 left … +1 right, −1 down … +1 up) at `now`.
    pub fn direction(&mut self, rng: &mut Rng, mood: Mood, now: f64) -> (f32, f32) {
        if now >= self.until {
            self.from = self.at(now);
            self.moved = now;
            let (target, hold) = choose(rng, mood);
            (self.to, self.until) = (target, now + hold);
        }
        self.at(now)
    }

    fn at(&self, now: f64) -> (f32, f32) {
        let share = smoothstep((now - self.moved) as f32 / SACCADE);
        let mix = |from: f32, to: f32| from + (to - from) * share;
        (mix(self.from.0, self.to.0), mix(self.from.1, self.to.1))
    }
}

/// Where to look next, and for how many seconds.
fn choose(rng: &mut Rng, mood: Mood) -> ((f32, f32), f64) {
    let mut around = |spread: f32| (rng.f32() - 0.5) * spread;
    let near = (around(0.22), around(0.14));
    let away = (0.75 + around(0.3), 0.75 + around(0.3));
    let glance = (around(1.0), -0.15 + around(0.4));
    let short = 0.5 + rng.f64() * 0.5;
    let long = 0.9 + rng.f64() * 1.3;
    match mood {
        Mood::Thinking => (away, long),
        // Speakers look aside now and then, as if for a word; listeners hardly ever.
        Mood::Speaking if rng.f32() < 0.15 => (glance, short),
        Mood::Idle if rng.f32() < 0.2 => (glance, short),
        _ => (near, long),
    }
}

/// Seconds of a jump of the eyes: faster than a picture lasts.
const SACCADE: f32 = 0.06;

#[cfg(test)]
mod tests {
    use super::*;

    /// Liveness: 12–25 blinks a minute in every mood with changes, never shut for more than three pictures at 15 fps.
    #[test]
    fn blinks_are_as_many_and_as_short_as_peoples() {
        for seed in 0..20 {
            let mut rng = Rng::with_seed(seed);
            let mut blinks = Blinks::new(&mut rng, 0.0);
            let (mut count, mut shut, mut longest, mut was_open) = (0, 0, 0, true);
            for frame in 0..15 * 300 {
                let now = f64::from(frame) / 15.0;
                if frame % 97 == 0 {
                    blinks.nudge(now);
                }
                let lid = blinks.lid(&mut rng, now);
                assert!((0.0..=1.0).contains(&lid));
                count += usize::from(was_open && lid > 0.5);
                was_open = lid <= 0.5;
                shut = if lid > 0.8 { shut + 1 } else { 0 };
                longest = longest.max(shut);
            }
            assert!((60..=125).contains(&count), "{count} blinks in five minutes");
            assert!(longest <= 3, "shut for {longest} pictures");
        }
    }

    #[test]
    fn thinking_looks_away_and_listening_does_not() {
        let mut rng = Rng::with_seed(1);
        let mut gaze = Gaze::new(0.0);
        let mut mean = |mood, from: i32| {
            let mut sum = 0.0;
            for frame in from..from + 150 {
                sum += gaze.direction(&mut rng, mood, f64::from(frame) / 15.0).1;
            }
            sum / 150.0
        };
        assert!(mean(Mood::Listening, 0).abs() < 0.15);
        assert!(mean(Mood::Thinking, 150) > 0.5);
    }
}
