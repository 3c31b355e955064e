//! io: how long callers wait, and what they hear of an answer

use std::time::Duration;

use prometheus::{Counter, Histogram, IntCounter};

use super::buckets;
use super::labels::{Interruption, Label, ReplyOutcome, Segment};
use super::registry::Metrics;
use super::shelf::{By, Shelf};

pub struct Turns {
    voice_to_voice: Histogram,
    segments: By<Segment, Histogram>,
    endpoint_delay: Histogram,
    replies: By<ReplyOutcome, IntCounter>,
    interrupts: By<Interruption, IntCounter>,
    silence: Histogram,
    frames_after_cut: Histogram,
    played: Counter,
    underruns: IntCounter,
}

impl Turns {
    pub fn new(shelf: &Shelf) -> Self {
        Self {
            voice_to_voice: shelf.histogram(
                "visavis_voice_to_voice_seconds",
                "From the end of the user's speech to the first sound of the answer leaving the stage",
                buckets::ANSWER,
            ),
            segments: shelf.histograms(
                "visavis_turn_segment_seconds",
                "What a turn waited for, one after the other: the sums are those of voice_to_voice",
                buckets::ANSWER,
            ),
            endpoint_delay: shelf.histogram(
                "visavis_endpoint_delay_seconds",
                "From the end of the user's speech to the decision that the turn is over, of all turns, answered or not",
                buckets::ANSWER,
            ),
            replies: shelf.counters("visavis_replies_total", "Replies, by how their text ended"),
            interrupts: shelf.counters("visavis_interrupts_total", "What the user's speech did to replies"),
            silence: shelf.histogram(
                "visavis_interrupt_to_silence_seconds",
                "From the onset of the user's speech over a reply to the fading frame leaving the stage",
                buckets::SILENCE,
            ),
            frames_after_cut: shelf.histogram(
                "visavis_frames_after_cut",
                "20 ms frames of a turn that left the stage after the floor had changed (bound: 2)",
                buckets::FRAMES,
            ),
            played: shelf.seconds("visavis_played_seconds_total", "Speech that left the stage"),
            underruns: shelf
                .counter("visavis_playout_underruns_total", "20 ms frames of silence because speech came late"),
        }
    }
}

/// How long each segment of one turn took; their sum is its voice-to-voice time, exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segments([Duration; 5]);

impl Segments {
    /// `marks`: when each segment was over, counted from the end of the user's speech; the last is when the first sound
    /// left. Work that was done ahead costs nothing: a segment begins where the one before it ended, at the earliest.
    pub fn between(marks: [Duration; 5]) -> Self {
        let last = marks[4];
        let mut before = Duration::ZERO;
        Self(marks.map(|mark| {
            let over = mark.clamp(before, last.max(before));
            std::mem::replace(&mut before, over).abs_diff(over)
        }))
    }

    pub fn of(&self, segment: Segment) -> Duration {
        self.0[segment.index()]
    }

    pub fn sum(&self) -> Duration {
        self.0.iter().sum()
    }
}

impl Metrics {
    /// A turn of the user was answered: its voice-to-voice time, and what it is made of.
    pub fn answered(&self, segments: &Segments) {
        self.turns().voice_to_voice.observe(segments.sum().as_secs_f64());
        for segment in Segment::ALL {
            self.turns().segments.of(*segment).observe(segments.of(*segment).as_secs_f64());
        }
    }

    pub fn endpoint_delay(&self, after: Duration) {
        self.turns().endpoint_delay.observe(after.as_secs_f64());
    }

    pub fn reply(&self, outcome: ReplyOutcome) {
        self.turns().replies.of(outcome).inc();
    }

    pub fn interrupt(&self, kind: Interruption) {
        self.turns().interrupts.of(kind).inc();
    }

    /// `after`: from the onset of the user's speech.
    pub fn silenced(&self, after: Duration) {
        self.turns().silence.observe(after.as_secs_f64());
    }

    pub fn frames_after_cut(&self, frames: usize) {
        self.turns().frames_after_cut.observe(frames as f64);
    }

    /// A turn is over, or the call in its middle: speech that left the stage, and frames of silence where it was late.
    /// Together, for each is judged by the other.
    pub fn performed(&self, speech: Duration, underruns: u64) {
        self.turns().played.inc_by(speech.as_secs_f64());
        self.turns().underruns.inc_by(underruns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// In order; done ahead (the words were there before the pause was over); and marks that a late clock put past the
    /// end.
    #[test]
    fn work_done_ahead_costs_nothing() {
        for (marks, segments) in [
            ([300, 380, 500, 640, 650], [300, 80, 120, 140, 10]),
            ([300, 120, 500, 500, 520], [300, 0, 200, 0, 20]),
            ([300, 700, 650, 640, 660], [300, 360, 0, 0, 0]),
            ([0, 0, 0, 0, 0], [0, 0, 0, 0, 0]),
        ] {
            assert_eq!(Segments::between(marks.map(ms)), Segments(segments.map(ms)), "{marks:?}");
        }
    }

    proptest! {
        /// Whatever the clocks said, the parts are the whole.
        #[test]
        fn the_parts_are_the_whole(marks in prop::array::uniform5(0u64..5_000_000)) {
            let marks = marks.map(Duration::from_micros);
            prop_assert_eq!(Segments::between(marks).sum(), marks[4]);
        }
    }
}
