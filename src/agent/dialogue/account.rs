//! io: what the turns of a call have taken: for the metrics, and for the client's trace
//!
//! In:    why and when turns begin, when the user speaks up, what the stage has played.
//! Out:   a [`Trace`] per turn at its first sound; replies, interruptions and silences in the metrics.
//! Never: keeps more than the last few turns; decides anything.

use std::collections::HashMap;
use std::time::Instant;

use super::turn::Why;
use crate::agent::flow::{Outcome, Played, Trace, TurnId};
use crate::metrics::{Interruption, Metrics, ReplyOutcome, Segments};

/// The books of one dialogue.
pub struct Account {
    metrics: Metrics,
    /// Why the last turns began, and when.
    began: HashMap<TurnId, (Why, Instant)>,
    /// When the user last began to speak.
    onset: Option<Instant>,
    /// The same of speech that paused a reply which has not fallen silent yet.
    pausing: Option<Instant>,
}

impl Account {
    pub fn new(metrics: Metrics) -> Self {
        Self { metrics, began: HashMap::new(), onset: None, pausing: None }
    }

    pub fn spoke_up(&mut self, onset: Instant) {
        self.onset = Some(onset);
    }

    pub fn began(&mut self, turn: TurnId, why: Why, now: Instant) {
        self.pausing = None;
        self.began.retain(|old, _| turn.0 - old.0 < 4);
        self.began.insert(turn, (why, now));
    }

    pub fn interrupted(&mut self, kind: Interruption) {
        self.metrics.interrupt(kind);
        match kind {
            Interruption::Paused => self.pausing = self.onset,
            Interruption::Resumed => self.pausing = None,
            Interruption::Cut => {}
        }
    }

    /// The reply that the user spoke over is silent: how long that took.
    pub fn fell_silent(&mut self, played: &Played) {
        if let (Some(onset), Some(faded)) = (self.pausing, played.faded)
            && faded >= onset
        {
            self.pausing = None;
            self.metrics.silenced(faded - onset);
        }
    }

    /// The first sound of a turn has left: how long everything took. `first_token`: when the model's came, if it did
    /// think.
    pub fn first_sound(&self, played: &Played, first_token: Option<Instant>) -> Option<Trace> {
        let ((why, began), first_sound) = (self.began.get(&played.turn)?, played.first_sound?);
        let (zero, decided, transcribed) = match why {
            Why::Answer(ears) => (ears.speech_ended, ears.decided, ears.transcribed),
            Why::Asked { at, .. } => (*at, *at, *at),
        };
        let first_token = first_token.unwrap_or(*began);
        let marks = [decided, transcribed, first_token, played.ready.unwrap_or(first_sound), first_sound]
            .map(|at| at.saturating_duration_since(zero));
        let [decided_ms, transcribed_ms, first_token_ms, first_sound_ready_ms, first_sound_ms] =
            marks.map(|mark| mark.as_secs_f32() * 1e3);
        let trace = Trace { decided_ms, transcribed_ms, first_token_ms, first_sound_ready_ms, first_sound_ms };
        if matches!(why, Why::Answer(_)) {
            self.metrics.answered(&Segments::between(marks));
        }
        tracing::info!(
            turn = played.turn.0,
            decided_ms = trace.decided_ms,
            transcribed_ms = trace.transcribed_ms,
            first_token_ms = trace.first_token_ms,
            ready_ms = trace.first_sound_ready_ms,
            first_sound_ms = trace.first_sound_ms,
            "turn"
        );
        Some(trace)
    }

    pub fn done(&self, outcome: Outcome) {
        self.metrics.reply(match outcome {
            Outcome::Completed => ReplyOutcome::Completed,
            Outcome::Interrupted => ReplyOutcome::Interrupted,
            Outcome::Cancelled => ReplyOutcome::Cancelled,
            Outcome::Incomplete => ReplyOutcome::Incomplete,
            Outcome::Failed => ReplyOutcome::Failed,
        });
    }
}
