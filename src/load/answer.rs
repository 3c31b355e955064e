//! core: one stretch of the agent's speech, from its first audible packet to its last
//! In:    the packets from the first audible one on, and when the caller spoke over them.
//! Out:   what it was worth, judged up to its last audible packet: what follows is not part of it.

use std::time::{Duration, Instant};

use super::figure::Figure;
use super::jitter::{Position, Talk};
use super::told::Segments;

/// One packet of sound, in order.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    pub arrival: Instant,
    /// Since the first packet of the call.
    pub position: Position,
    pub length: Position,
    pub audible: bool,
}

/// An answer that sounds, or has sounded.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// All packets so far.
    live: Talk,
    /// Those up to the last audible one.
    spoken: Talk,
    first: Instant,
    last: Instant,
    /// What the server calls it, once that is known.
    pub(super) response: Option<String>,
    /// When the caller began to speak over it.
    pub(super) interrupted: Option<Instant>,
    /// When the server said that it is over, and whether it was cut.
    pub(super) over: Option<(Instant, bool)>,
}

impl Answer {
    pub(super) fn new(heard: Heard, buffer: Duration, response: Option<String>) -> Self {
        let talk = Talk::new(heard.arrival, heard.position, heard.length, buffer);
        let Heard { arrival, .. } = heard;
        Self { live: talk, spoken: talk, first: arrival, last: arrival, response, interrupted: None, over: None }
    }

    pub(super) fn hear(&mut self, heard: Heard) {
        self.live.packet(heard.arrival, heard.position, heard.length);
        if heard.audible {
            self.spoken = self.live;
            self.last = self.last.max(heard.arrival);
        }
    }

    /// When it became audible.
    pub(super) fn first(&self) -> Instant {
        self.first
    }

    /// When its last audible packet came, so far.
    pub(super) fn last(&self) -> Instant {
        self.last
    }

    /// How long it is on its RTP clock.
    pub(super) fn length(&self) -> Duration {
        self.spoken.length()
    }

    /// How much of the RTP clock lies between its last audible packet and `position`.
    pub(super) fn silent_until(&self, position: Position) -> Duration {
        (position - self.spoken.end()).as_duration()
    }

    pub(super) fn was_cut(&self) -> bool {
        self.over.is_some_and(|(_, cut)| cut)
    }

    /// Its figures; `underrun_s` is the silence that the server says it put in.
    pub(super) fn values(&self, underrun_s: f64, out: &mut Vec<(Figure, f64)>) {
        if let Some(onset) = self.interrupted.filter(|&onset| self.last >= onset) {
            out.push((Figure::BargeIn, (self.last - onset).as_secs_f64()));
        }
        let missed = self.spoken.empty().as_secs_f64() + underrun_s;
        out.push((Figure::Underrun, (missed / self.spoken.lasted().as_secs_f64()).min(1.0)));
        out.push((Figure::Gaps, self.spoken.gaps() as f64));
        out.extend(self.spoken.stretch().map(|share| (Figure::Stretch, share)));
    }
}

/// The server's steps of one answer, from the times that it traced. Each step counts from the later of those it needs: what
/// was done ahead of that (a held turn) took no time of the caller's.
pub(super) fn steps(segments: &Segments, by_speech: bool, out: &mut Vec<(Figure, f64)>) {
    let mut put = |figure, from: Option<f64>, to: Option<f64>| {
        if let (Some(from), Some(to)) = (from, to) {
            out.push((figure, ((to - from) / 1e3).max(0.0)));
        }
    };
    let Segments { decided_ms, transcribed_ms, first_token_ms, first_sound_ready_ms, first_sound_ms } = *segments;
    let mut understood = Some(0.0);
    if by_speech {
        put(Figure::Decision, Some(0.0), decided_ms);
        put(Figure::SttFinal, Some(0.0), transcribed_ms);
        understood = decided_ms.zip(transcribed_ms).map(|(decided, transcribed)| decided.max(transcribed));
    }
    put(Figure::Ttft, understood, first_token_ms);
    put(Figure::Ttfb, first_token_ms, first_sound_ready_ms);
    put(Figure::Play, first_sound_ready_ms, first_sound_ms);
}
