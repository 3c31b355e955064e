//! core: what the mouth will do in one turn, learnt piece by piece while the turn is being made
//!
//! In: phones with their times, and the sound itself. Out: the lips at a moment, and the stress before it.
//! Law: pieces come in order of time. Where phones are missing (an engine that has none), loudness opens the jaw.
//! Never: grows without bound; what lies a second behind the last question may be forgotten.

use std::collections::VecDeque;

use super::expression::Lips;
use super::ipa;
use super::lips::{Gesture, articulate};

/// The mouth's part of one turn. Times are seconds from the start of the turn's sound.
#[derive(Clone, Debug)]
pub struct Script {
    gestures: VecDeque<Gesture>,
    /// When stressed syllables begin.
    stresses: VecDeque<f32>,
    /// Phones are known up to here; further on, loudness speaks.
    phones_until: f32,
    loudness: Loudness,
    /// How much longer a closure is shown on each side, seconds.
    widen: f32,
}

impl Script {
    /// An empty one, to be shown at `fps` pictures per second.
    pub fn new(fps: f32) -> Self {
        Self {
            gestures: VecDeque::with_capacity(256),
            stresses: VecDeque::with_capacity(64),
            phones_until: 0.0,
            loudness: Loudness::default(),
            // A bilabial lasts 35 ms and a picture 67: sampled as it is, 20 of 30 are seen at 15 fps, with this all.
            widen: 0.4 / fps,
        }
    }

    /// Forgets everything, keeps the memory: the script of the next turn.
    pub fn clear(&mut self) {
        self.gestures.clear();
        self.stresses.clear();
        self.phones_until = 0.0;
        self.loudness.clear();
    }

    /// Adds one phone: IPA letters with any marks. Several letters ("aɪ", "tʃ") share its time; none that we know is a
    /// pause if it lasts, else a breath between words that no lip notices.
    pub fn phone(&mut self, text: &str, start: f32, stop: f32) {
        if !(start.is_finite() && stop.is_finite() && stop > start) {
            return;
        }
        // An overlap with what is known would break the order that the search relies on.
        let start = start.max(self.gestures.back().map_or(0.0, |last| last.stop));
        if stop <= start {
            return;
        }
        let letters = text.chars().filter_map(ipa::target).count();
        if start - self.phones_until > SHORTEST_PAUSE && letters > 0 {
            self.push(Gesture { start: self.phones_until, stop: start, target: ipa::REST, pause: true });
        }
        if letters == 0 {
            if stop - start > SHORTEST_PAUSE {
                self.push(Gesture { start, stop, target: ipa::REST, pause: true });
            }
        } else {
            let each = (stop - start) / letters as f32;
            for (n, target) in text.chars().filter_map(ipa::target).enumerate() {
                let start = start + each * n as f32;
                self.push(Gesture { start, stop: start + each, target, pause: false });
            }
            if text.contains('ˈ') && self.stresses.back().is_none_or(|last| start - last > STRESS_GAP) {
                bounded(&mut self.stresses, start);
            }
        }
        self.phones_until = self.phones_until.max(stop);
    }

    /// Adds sound at 24 kHz that begins at `start`.
    pub fn sound(&mut self, start: f32, pcm: &[f32]) {
        self.loudness.push(start, pcm);
    }

    /// The lips at `t`.
    pub fn lips_at(&self, t: f32) -> Lips {
        if t <= self.phones_until + AFTERMATH && !self.gestures.is_empty() {
            let mut lips = articulate(&self.gestures, t, self.widen);
            // After the last phone that is known the mouth comes to rest.
            let over = ((t - self.phones_until) / AFTERMATH).clamp(0.0, 1.0);
            lips = lips.faded(1.0 - over);
            return lips;
        }
        Lips { jaw: self.loudness.opening(t), ..Lips::REST }
    }

    /// How long before `t` the last stressed syllable began; `None` when longer than a second ago.
    pub fn since_stress(&self, t: f32) -> Option<f32> {
        // A nod begins a little before its syllable.
        let last = self.stresses.iter().rev().find(|stress| **stress - STRESS_LEAD <= t)?;
        Some(t - (last - STRESS_LEAD)).filter(|since| *since < 1.0)
    }

    /// Lets go of what no question at `t` or later depends on.
    pub fn forget_before(&mut self, t: f32) {
        while self.gestures.front().is_some_and(|gesture| gesture.stop < t - 1.0) {
            self.gestures.pop_front();
        }
        while self.stresses.front().is_some_and(|stress| *stress < t - 2.0) {
            self.stresses.pop_front();
        }
        self.loudness.forget_before(t - 1.0);
    }

    fn push(&mut self, gesture: Gesture) {
        bounded(&mut self.gestures, gesture);
    }
}

/// Appends, and lets the oldest go beyond ten minutes of fast speech.
fn bounded<T>(queue: &mut VecDeque<T>, item: T) {
    if queue.len() >= 10 * 60 * 20 {
        queue.pop_front();
    }
    queue.push_back(item);
}

/// A silent stretch shorter than this belongs to the words around it.
const SHORTEST_PAUSE: f32 = 0.09;
/// The mouth takes this long to close after the last phone.
const AFTERMATH: f32 = 0.12;
/// Stressed syllables that come faster are one emphasis.
const STRESS_GAP: f32 = 0.65;
const STRESS_LEAD: f32 = 0.10;

/// The envelope of the sound, one value each 10 ms.
#[derive(Clone, Debug, Default)]
struct Loudness {
    /// Opening of the jaw, 0–1.
    steps: VecDeque<f32>,
    /// The time of the first step, in steps.
    first: i64,
    /// Squares of the step that is not full yet.
    sum: f32,
    count: usize,
}

impl Loudness {
    fn clear(&mut self) {
        self.steps.clear();
        (self.first, self.sum, self.count) = (0, 0.0, 0);
    }

    fn push(&mut self, start: f32, pcm: &[f32]) {
        let known = self.first + self.steps.len() as i64;
        let start = (f64::from(start) / f64::from(STEP)).round() as i64;
        if start < known - 1 || start > known + 1 {
            // Not a continuation: begin anew there.
            self.clear();
            self.first = start.max(0);
        }
        for sample in pcm {
            self.sum += sample * sample;
            self.count += 1;
            if self.count == STEP_SAMPLES {
                let level_db = 10.0 * (self.sum / STEP_SAMPLES as f32 + 1e-10).log10();
                let opening = ((level_db - SHUT_DB) / (OPEN_DB - SHUT_DB)).clamp(0.0, 1.0);
                if self.steps.len() >= 10 * 60 * 100 {
                    self.steps.pop_front();
                    self.first += 1;
                }
                self.steps.push_back(opening * WIDEST);
                (self.sum, self.count) = (0.0, 0);
            }
        }
    }

    /// The mean over 70 ms around `t`: syllables show, pitch periods do not.
    fn opening(&self, t: f32) -> f32 {
        let middle = (t / STEP) as i64 - self.first;
        let sum: f32 = (middle - 3..=middle + 3)
            .map(|n| usize::try_from(n).ok().and_then(|n| self.steps.get(n)).copied().unwrap_or(0.0))
            .sum();
        sum / 7.0
    }

    fn forget_before(&mut self, t: f32) {
        while !self.steps.is_empty() && ((self.first + 1) as f32) * STEP < t {
            self.steps.pop_front();
            self.first += 1;
        }
    }
}

const STEP: f32 = 0.010;
const STEP_SAMPLES: usize = 240;
/// RMS of a 10 ms step at which the mouth is shut: between the noise floor of speech and its weakest voiced sounds.
const SHUT_DB: f32 = -42.0;
/// … and at which it is as wide open as loudness alone opens it: a loud vowel of a voice at usual level.
const OPEN_DB: f32 = -14.0;
const WIDEST: f32 = 0.7;

#[cfg(test)]
mod tests {
    use super::*;

    fn script(phones: &[(&str, f32, f32)]) -> Script {
        let mut script = Script::new(15.0);
        for (ipa, start, stop) in phones {
            script.phone(ipa, *start, *stop);
        }
        script
    }

    /// "Pam": closed, open, closed; and at rest well before and after.
    #[test]
    fn lips_follow_the_phones() {
        let script = script(&[("p", 0.5, 0.56), ("ˈæ", 0.56, 0.76), ("m", 0.76, 0.84), ("", 0.84, 1.5)]);
        assert!(script.lips_at(0.53).press > 0.95);
        let vowel = script.lips_at(0.66);
        assert!(vowel.jaw > 0.6 && vowel.press < 0.05 && vowel.shape > 0.3, "{vowel:?}");
        assert!(script.lips_at(0.80).press > 0.95);
        for t in [0.0, 0.2, 1.0, 1.2, 1.6, 9.0] {
            let lips = script.lips_at(t);
            assert!(lips.opening() < 0.08 && lips.jaw < 0.08, "at {t}: {lips:?}");
        }
    }

    /// Every p, b and m is seen closed at 15 fps, at whatever moment the pictures are taken, between open vowels of a
    /// fast speaker. (Sampled without the widening, a third are missed.)
    #[test]
    fn no_closure_falls_between_two_pictures() {
        for phase in 0..20 {
            let mut phones = vec![];
            for n in 0..20 {
                let at = n as f32 * 0.2371;
                phones.extend([("a", at, at + 0.2021), (["p", "b", "m"][n % 3], at + 0.2021, at + 0.2371)]);
            }
            let script = script(&phones);
            for n in 0..20 {
                let (from, to) = (n as f32 * 0.2371 + 0.2021, (n + 1) as f32 * 0.2371);
                let frames = (0..75).map(|k| (k as f32 + phase as f32 / 20.0) / 15.0);
                let seen = frames.filter(|t| *t > from - 0.067 && *t < to + 0.067).map(|t| script.lips_at(t).press);
                assert!(seen.fold(0.0, f32::max) > 0.8, "closure {n} at phase {phase}");
            }
        }
    }

    /// Rounding begins before the vowel: the lips of "stew" are round in its "t".
    #[test]
    fn lips_anticipate() {
        let stew = script(&[("s", 0.0, 0.1), ("t", 0.1, 0.16), ("u", 0.16, 0.36)]);
        let stay = script(&[("s", 0.0, 0.1), ("t", 0.1, 0.16), ("e", 0.16, 0.36)]);
        assert!(stew.lips_at(0.13).shape < -0.3, "{:?}", stew.lips_at(0.13));
        assert!(stay.lips_at(0.13).shape > 0.2);
    }

    /// An engine without phones still moves the lips: open over sound, shut over silence.
    #[test]
    fn loudness_speaks_where_phones_are_missing() {
        let mut script = Script::new(15.0);
        let tone: Vec<f32> = (0..24_000).map(|n| 0.2 * (n as f32 * 0.05).sin()).collect();
        script.sound(0.0, &tone);
        script.sound(1.0, &[0.0; 24_000]);
        assert!(script.lips_at(0.5).jaw > 0.3);
        assert!(script.lips_at(1.5).jaw < 0.01);
        assert!(script.lips_at(5.0).jaw < 0.01);
        // Phones that come after all win where they are.
        script.phone("m", 0.4, 0.6);
        assert!(script.lips_at(0.5).press > 0.9);
    }

    /// Any order, overlap or nonsense in the times is survived; memory stays bounded; nothing is NaN.
    #[test]
    fn nonsense_is_survived() {
        let mut script = Script::new(15.0);
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..20_000 {
            let start = rng.f32() * 50.0 - 5.0;
            script.phone(["a", "", "p", "ˈoʊ", "?!", "s"][rng.usize(..6)], start, start + rng.f32() - 0.2);
            script.sound(rng.f32() * 50.0 - 5.0, &[0.1; 100]);
        }
        script.phone("a", f32::NAN, 1.0);
        for n in -100..6000 {
            let lips = script.lips_at(n as f32 * 0.01);
            assert!((0.0..=1.0).contains(&lips.jaw) && (-1.0..=1.0).contains(&lips.shape), "{lips:?}");
            assert!((0.0..=1.0).contains(&lips.opening()));
        }
        script.forget_before(1e6);
        assert!(script.gestures.is_empty() && script.loudness.steps.is_empty());
    }

    /// What is forgotten changes nothing that may still be asked.
    #[test]
    fn forgetting_changes_nothing_ahead() {
        let phones: Vec<_> =
            (0..200).map(|n| (["a", "p", "ˈiː", "s"][n % 4], n as f32 * 0.1, n as f32 * 0.1 + 0.1)).collect();
        let whole = script(&phones);
        let mut short = whole.clone();
        short.forget_before(10.0);
        assert!(short.gestures.len() < 120);
        for n in 0..100 {
            let t = 10.0 + n as f32 * 0.07;
            assert_eq!(whole.lips_at(t), short.lips_at(t));
        }
    }
}
