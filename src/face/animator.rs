//! core: what the whole face does at a moment
//!
//! In: the moment, the mood, and the script of the turn that is heard with the position in it. Out: an [`Expression`].
//! Law: asked once per picture, with rising times; a gap is bridged. The same seed and questions give the same answers.
//! Never: leaves the lips open more than two pictures (15 fps) after the voice has stopped.

use fastrand::Rng;

use super::expression::{Expression, Lips, Pose, smoothstep};
use super::eyes::{Blinks, Gaze};
use super::script::Script;
use super::sway::sway;

/// What the person is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Idle,
    Listening,
    Thinking,
    Speaking,
}

/// The voice at this moment: the script of the turn that is heard, and the position in it in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Voice<'a> {
    pub script: &'a Script,
    pub position: f32,
}

/// One person's behaviour. `Send`, small, no allocation after `new`.
#[derive(Clone, Debug)]
pub struct Animator {
    rng: Rng,
    seed: u64,
    now: Option<f64>,
    mood: Mood,
    /// How much of each mood shows, in the order of [`Mood`]; they sum to 1.
    shown: [f32; 4],
    blinks: Blinks,
    gaze: Gaze,
    /// When the next nod of a listener begins, and how deep it is.
    nod: (f64, f32),
    /// The lips last spoken, and how much of them still shows (falls when the voice stops).
    lips: Lips,
    voiced: f32,
}

impl Animator {
    /// Two people with different `seed`s do not move in step.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let blinks = Blinks::new(&mut rng, 0.0);
        Self {
            rng,
            seed,
            now: None,
            mood: Mood::Idle,
            shown: [1.0, 0.0, 0.0, 0.0],
            blinks,
            gaze: Gaze::new(0.0),
            nod: (2.0, 1.0),
            lips: Lips::REST,
            voiced: 0.0,
        }
    }

    /// The face at `now` (seconds of media time). `voice` is `None` when nothing is heard, be it that nobody speaks, or
    /// that the turn was paused or cut.
    pub fn express(&mut self, now: f64, mood: Mood, voice: Option<Voice<'_>>) -> Expression {
        let step = (now - self.now.unwrap_or(now)).clamp(0.0, 1.0) as f32;
        self.now = Some(now);
        if mood != self.mood {
            self.mood = mood;
            self.blinks.nudge(now);
            self.gaze.nudge(now);
        }
        for (n, shown) in self.shown.iter_mut().enumerate() {
            let target = if n == mood as usize { 1.0 } else { 0.0 };
            // An exponential approach keeps the sum at 1.
            *shown += (target - *shown) * (1.0 - (-step / MOOD_CHANGE).exp());
        }
        let lips = self.speak(step, voice);
        let pose = self.pose(now, lips, voice);
        Expression { lips, pose }
    }

    fn speak(&mut self, step: f32, voice: Option<Voice<'_>>) -> Lips {
        match voice {
            Some(voice) => {
                self.lips = voice.script.lips_at(voice.position + LEAD);
                self.voiced = (self.voiced + step / OPENING).min(1.0);
                // A turn that begins needs no fade-in (its script begins at rest); one that resumes has one.
                if self.lips.opening() < 0.1 {
                    self.voiced = 1.0;
                }
            }
            None => self.voiced = (self.voiced - step / CLOSING).max(0.0),
        }
        self.lips.faded(smoothstep(self.voiced))
    }

    fn pose(&mut self, now: f64, lips: Lips, voice: Option<Voice<'_>>) -> Pose {
        let [idle, listening, thinking, speaking] = self.shown;
        let wander = |per_second: f64, n: u64| sway(now, per_second, self.seed.wrapping_add(n));
        let amount = 0.6 + 0.8 * speaking + 0.1 * listening;
        let mut pose = Pose {
            yaw: amount * (1.3 * wander(0.45, 0) + 0.6 * wander(1.1, 1)),
            pitch: amount * (0.8 * wander(0.55, 2) + 0.4 * wander(1.4, 3)),
            roll: amount * (0.8 * wander(0.38, 4) + 0.3 * wander(0.9, 5)),
            // 16 breaths a minute.
            breath: (now * std::f64::consts::TAU * 0.26).sin() as f32,
            lid: self.blinks.lid(&mut self.rng, now),
            ..Pose::default()
        };
        (pose.gaze_x, pose.gaze_y) = self.gaze.direction(&mut self.rng, self.mood, now);

        // Listening: head a little to the side, leaned in, brows up, a nod now and then.
        pose.roll += 1.6 * listening;
        pose.lean += 0.6 * listening;
        pose.brow_inner += 0.22 * listening;
        pose.pitch += self.nod(now) * listening;
        // Thinking: the head follows the gaze up and aside, one brow rises.
        pose.yaw += 2.6 * thinking;
        pose.pitch -= 1.6 * thinking;
        pose.roll -= 1.2 * thinking;
        pose.brow_down += 0.25 * thinking;
        pose.brow_right += 0.6 * thinking;
        // Speaking: a nod and a flash of the brows on the stressed syllable.
        if let Some(since) = voice.and_then(|voice| voice.script.since_stress(voice.position)) {
            let swing = (since / STRESS).clamp(0.0, 1.0);
            let beat = speaking * 0.8 * (swing * std::f32::consts::PI).sin();
            pose.pitch += 1.7 * beat;
            pose.brow_inner += 0.35 * beat;
            pose.brow_left += 0.25 * beat;
            pose.brow_right += 0.25 * beat;
        }
        // A resting face is friendly; a smile gives way to speech and to thought.
        pose.smile = 0.24 * idle + 0.34 * listening + 0.06 * speaking;
        pose.cheek = 0.25 * pose.smile;
        // The head gives a little with the jaw.
        pose.pitch += 0.25 * lips.jaw;

        pose.yaw = pose.yaw.clamp(-4.0, 4.0);
        pose.pitch = pose.pitch.clamp(-4.0, 4.0);
        pose.roll = pose.roll.clamp(-6.0, 6.0);
        pose
    }

    /// The pitch of a listener's nod at `now`, in degrees.
    fn nod(&mut self, now: f64) -> f32 {
        let (begins, depth) = self.nod;
        let share = ((now - begins) / NOD) as f32;
        if share > 1.0 {
            self.nod = (now + 1.8 + self.rng.f64() * 2.6, 1.4 + self.rng.f32() * 1.2);
            return 0.0;
        }
        let share = share.max(0.0);
        depth * (share * std::f32::consts::PI).sin() * (1.0 - 0.3 * share)
    }
}

/// Time constant of the change from one mood to the next, seconds: 95 % after 0.36.
const MOOD_CHANGE: f32 = 0.12;
/// The lips are shown this much ahead of the sound, seconds. Piper's durations put its mouth ~30 ms behind its sound,
/// and a picture stands for 67 ms; with 60 the measured lag is 0 ± 20 ms. Viewers forgive lips that lead.
const LEAD: f32 = 0.060;
/// When the voice stops the lips are shut after this: less than two pictures at 15 fps.
const CLOSING: f32 = 0.120;
/// When a paused turn goes on.
const OPENING: f32 = 0.080;
const NOD: f64 = 0.55;
const STRESS: f32 = 0.42;

#[cfg(test)]
mod tests {
    use super::*;

    fn script() -> Script {
        let mut script = Script::new(15.0);
        for n in 0..100 {
            let at = n as f32 * 0.2;
            script.phone(["ˈɑː", "t", "ˈæ", "s"][n % 4], at, at + 0.2);
        }
        script
    }

    /// Barge-in at every phase of speech: two pictures later the lips are shut, and stay so.
    #[test]
    fn an_interruption_closes_the_lips_within_two_pictures() {
        let script = script();
        for cut in 5..120 {
            let mut animator = Animator::new(1);
            let mut opening = 1.0;
            for frame in 0..cut + 12 {
                let now = f64::from(frame) / 15.0;
                let voice = (frame < cut).then_some(Voice { script: &script, position: now as f32 });
                let mood = if frame < cut { Mood::Speaking } else { Mood::Listening };
                opening = animator.express(now, mood, voice).lips.opening();
                if frame > cut {
                    assert!(opening < 0.1, "cut at {cut}, {opening} at {frame}");
                }
            }
            assert_eq!(opening, 0.0);
        }
    }

    /// A cough only pauses: the lips close, then move again with the very same script.
    #[test]
    fn a_resumed_turn_opens_again() {
        let script = script();
        let mut animator = Animator::new(1);
        let mut widest_after = 0f32;
        for frame in 0..60 {
            let now = f64::from(frame) / 15.0;
            let voice = (!(20..30).contains(&frame)).then_some(Voice { script: &script, position: now as f32 });
            let expression = animator.express(now, Mood::Speaking, voice);
            if (22..30).contains(&frame) {
                assert_eq!(expression.lips.opening(), 0.0);
            }
            if frame > 32 {
                widest_after = widest_after.max(expression.lips.opening());
            }
        }
        assert!(widest_after > 0.5);
    }

    /// Whatever happens, the head stays where the pictures are good, moves without jerks, and never stands still.
    #[test]
    fn the_head_moves_within_its_limits() {
        let script = script();
        let mut animator = Animator::new(9);
        let moods = [Mood::Idle, Mood::Listening, Mood::Thinking, Mood::Speaking];
        let mut last: Option<Pose> = None;
        let mut travelled = 0.0;
        for frame in 0..15 * 600 {
            let now = f64::from(frame) / 15.0;
            let mood = moods[(frame / 67) as usize % 4];
            let voice = (mood == Mood::Speaking).then_some(Voice { script: &script, position: (now % 15.0) as f32 });
            let Expression { pose, lips } = animator.express(now, mood, voice);
            assert!(pose.yaw.abs() <= 4.0 && pose.pitch.abs() <= 4.0 && pose.roll.abs() <= 6.0);
            assert!((0.0..=1.0).contains(&pose.lid) && pose.gaze_x.abs() <= 1.0 && pose.gaze_y.abs() <= 1.0);
            assert!((0.0..=1.0).contains(&lips.jaw) && (0.0..=1.0).contains(&pose.smile));
            if let Some(last) = last {
                let step = (pose.yaw - last.yaw).abs() + (pose.roll - last.roll).abs();
                assert!(step < 2.5, "a jerk of {step}° at {now}");
                travelled += step;
            }
            last = Some(pose);
        }
        assert!(travelled > 600.0, "{travelled}° in ten minutes");
    }

    /// A task that was away for an hour asks again: no catching up, no panic.
    #[test]
    fn gaps_and_repeats_are_harmless() {
        let mut animator = Animator::new(2);
        for now in [0.0, 0.0, 3600.0, 3600.0667, 1.0, 86_400.0] {
            let expression = animator.express(now, Mood::Listening, None);
            assert!(expression.pose.pitch.is_finite());
        }
    }
}
