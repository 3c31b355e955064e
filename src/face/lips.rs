//! core: where the articulators are at a moment, given the sounds around it
//!
//! A pure function of time over a list of gestures, in articulator space rather than a cross-fade of visemes.
//! Jaw and lip shape are averages of the neighbours' targets, weighted by dominance: full over a plateau in the middle
//! of a sound, falling off exponentially on both sides (after Cohen and Massaro's model of coarticulation; lips
//! anticipate longer than they linger, as in JALI). Closures are hard constraints with an onset and a release.

use std::collections::VecDeque;

use super::expression::{Lips, smoothstep};
use super::ipa::{Closure, Target};

/// One sound and when it is made, in seconds from the start of the turn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gesture {
    pub start: f32,
    pub stop: f32,
    pub target: Target,
    /// A pause: its lips come to rest soon after it begins, however long it is.
    pub pause: bool,
}

/// The articulators at `t`. `gestures` are in order of time; `widen` is how much longer than it is a closure is shown,
/// on each side, in seconds.
pub fn articulate(gestures: &VecDeque<Gesture>, t: f32, widen: f32) -> Lips {
    let mut lips = Lips::REST;
    let mut jaw = Average::default();
    let mut shape = Average::default();
    let first = gestures.partition_point(|gesture| gesture.stop < t - REACH);
    for gesture in gestures.range(first..).take_while(|gesture| gesture.start <= t + REACH) {
        let Target { vowel, closure, .. } = gesture.target;
        let middle = (gesture.start + gesture.stop) / 2.0;
        let half = (gesture.stop - gesture.start) / 2.0;
        let plateau = if gesture.pause { (half - SETTLE).max(0.6 * half) } else { 0.6 * half };
        let away = ((t - middle).abs() - plateau).max(0.0);
        let jaw_fall = if vowel { 0.055 } else { 0.038 };
        let lip_fall = if t < middle { 0.085 } else { 0.060 };
        jaw.add(gesture.target.jaw, gesture.target.jaw_pull * (-away / jaw_fall).exp());
        shape.add(gesture.target.shape, gesture.target.shape_pull * (-away / lip_fall).exp());
        if let Some((closure, firmness)) = closure {
            close(&mut lips, closure, firmness, t, gesture, widen);
        }
    }
    lips.jaw = jaw.value();
    lips.shape = shape.value();
    // One mouth cannot do two closures at once: the one further forward hides those behind it.
    lips.lip_to_teeth *= 1.0 - lips.press;
    let front = lips.press.max(lips.lip_to_teeth);
    lips.tongue_out *= 1.0 - front;
    lips.tongue_up *= (1.0 - front) * (1.0 - lips.tongue_out);
    lips.sibilant *= 1.0 - front;
    lips
}

/// Raises the channel of `closure` where its gesture holds it, with a smooth onset before and release after.
fn close(lips: &mut Lips, closure: Closure, firmness: f32, t: f32, gesture: &Gesture, widen: f32) {
    // (channel, share of the widening, later start, earlier end, onset, release), seconds. The mouth is seen to touch
    // a little later and to part a little earlier than the sound's own borders.
    let (channel, share, late, early, onset, release) = match closure {
        Closure::Press => (&mut lips.press, 1.0, 0.010, 0.012, 0.060, 0.050),
        Closure::LipToTeeth => (&mut lips.lip_to_teeth, 0.7, 0.010, 0.015, 0.065, 0.055),
        Closure::TongueOut => (&mut lips.tongue_out, 0.3, 0.0, 0.015, 0.050, 0.045),
        Closure::TongueUp => (&mut lips.tongue_up, 0.0, 0.0, 0.010, 0.045, 0.045),
        Closure::Sibilant => (&mut lips.sibilant, 0.0, 0.010, 0.015, 0.050, 0.050),
    };
    let (from, to) = (gesture.start - widen * share + late, gesture.stop + widen * share - early);
    let held = if t < from {
        smoothstep(1.0 - (from - t) / onset)
    } else if t > to {
        smoothstep(1.0 - (t - to) / release)
    } else {
        1.0
    };
    *channel = channel.max(firmness * held);
}

/// A weighted average with a faint pull to rest, so that it is zero where nobody pulls.
#[derive(Default)]
struct Average {
    sum: f32,
    weight: f32,
}

impl Average {
    fn add(&mut self, value: f32, weight: f32) {
        self.sum += value * weight;
        self.weight += weight;
    }

    fn value(&self) -> f32 {
        self.sum / (self.weight + 1e-3)
    }
}

/// Gestures further away than this have no influence: ten time constants.
const REACH: f32 = 0.6;
/// How long after the start of a pause its rest is in full effect.
const SETTLE: f32 = 0.04;
