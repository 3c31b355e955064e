//! core: where speech begins, pauses and ends, by the voice detector's probabilities
//!
//! In:    one probability per 32 ms of microphone time.
//! Out:   at most one fact per chunk.
//! Never: reads a clock: silence is counted in sound that was heard.
//!
//! ```text
//!          3 chunks of speech                    one chunk of silence
//!  Quiet ─────────────────────► Speaking ◄──────────────────────────► Silent
//!    ▲       Started                        Resumed if Paused was told   │ 3 chunks: Paused
//!    └───────────────────────────────────────────────────────────────────┘ silence_duration: Over
//! ```

use crate::agent::flow::TurnDetection;
use crate::media::time::Samples;

type At = Samples<16_000>;

/// Follows one caller's speech.
#[derive(Debug)]
pub struct Endpoint {
    /// `None`: the client says where turns end.
    settings: Option<TurnDetection>,
    heard: At,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// So many chunks of speech in a row, not yet enough.
    Quiet {
        run: u64,
    },
    Speaking,
    Silent {
        since: At,
        told: bool,
    },
}

/// Times are microphone time since the start of the call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fact {
    Started {
        at: At,
    },
    /// Silent for about 100 ms, since `at`: it may be the end.
    Paused {
        at: At,
    },
    /// It was not.
    Resumed,
    /// Silent for as long as ends a turn, since `at`.
    Over {
        at: At,
    },
}

impl Endpoint {
    pub fn new(settings: Option<TurnDetection>) -> Self {
        Self { settings, heard: At::ZERO, state: State::Quiet { run: 0 } }
    }

    /// Takes effect with the next chunk.
    pub fn set(&mut self, settings: Option<TurnDetection>) {
        self.settings = settings;
    }

    /// Sound heard so far.
    pub fn heard(&self) -> At {
        self.heard
    }

    /// The turn is over for another reason, or forgotten.
    pub fn reset(&mut self) {
        self.state = State::Quiet { run: 0 };
    }

    /// The next 32 ms contain speech with this probability.
    pub fn chunk(&mut self, probability: f32) -> Option<Fact> {
        let began = self.heard;
        self.heard += CHUNK;
        let settings = self.settings?;
        let speech = probability >= settings.threshold;
        // Between the two thresholds nothing changes: trailing vowels sink slowly.
        let silence = probability < settings.threshold - HYSTERESIS;
        match self.state {
            State::Quiet { run } if speech => {
                if run + 1 < ONSET_CHUNKS {
                    self.state = State::Quiet { run: run + 1 };
                    return None;
                }
                self.state = State::Speaking;
                Some(Fact::Started { at: self.heard - Samples(CHUNK.0 * ONSET_CHUNKS) })
            }
            State::Quiet { .. } => {
                self.state = State::Quiet { run: 0 };
                None
            }
            State::Speaking if silence => {
                self.state = State::Silent { since: began, told: false };
                None
            }
            State::Speaking => None,
            State::Silent { told, .. } if speech => {
                self.state = State::Speaking;
                told.then_some(Fact::Resumed)
            }
            State::Silent { since, told } => {
                let silent = self.heard - since;
                if silent >= Samples::from_ms(u64::from(settings.silence_duration_ms)) {
                    self.state = State::Quiet { run: 0 };
                    Some(Fact::Over { at: since })
                } else if !told && silent >= PAUSE {
                    self.state = State::Silent { since, told: true };
                    Some(Fact::Paused { at: since })
                } else {
                    None
                }
            }
        }
    }
}

/// 32 ms: what the detector works on.
pub const CHUNK: At = Samples(512);

/// 96 ms of speech in a row: shorter is a click or a breath.
const ONSET_CHUNKS: u64 = 3;

/// Silero's own utility leaves speech 0.15 below the threshold at which it enters it.
const HYSTERESIS: f32 = 0.15;

const PAUSE: At = Samples(512 * 3);

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(silence_duration_ms: u32, script: &[(f32, usize)]) -> Vec<(u64, Fact)> {
        let mut endpoint = Endpoint::new(Some(TurnDetection { silence_duration_ms, ..TurnDetection::default() }));
        let mut facts = vec![];
        for (probability, chunks) in script {
            for _ in 0..*chunks {
                if let Some(fact) = endpoint.chunk(*probability) {
                    facts.push((endpoint.heard().as_ms(), fact));
                }
            }
        }
        facts
    }

    /// A sentence, its pause, and its end 300 ms after the last sound, rounded up to a chunk.
    #[test]
    fn a_turn_begins_pauses_and_ends() {
        let at = Samples(512 * 33);
        assert_eq!(
            follow(300, &[(0.0, 3), (0.9, 30), (0.1, 40)]),
            [(192, Fact::Started { at: Samples(512 * 3) }), (1_152, Fact::Paused { at }), (1_376, Fact::Over { at })]
        );
    }

    /// A click is no speech; a dip between the thresholds is no pause; a breath in the middle ends nothing.
    #[test]
    fn clicks_dips_and_breaths() {
        assert_eq!(follow(300, &[(0.9, 2), (0.0, 50)]), []);
        let facts = follow(300, &[(0.9, 10), (0.4, 50), (0.9, 10), (0.1, 5), (0.9, 10), (0.1, 2), (0.9, 3)]);
        let kinds: Vec<_> = facts.iter().map(|(_, f)| std::mem::discriminant(f)).collect();
        let of = |f: Fact| std::mem::discriminant(&f);
        let zero = Samples(0);
        assert_eq!(kinds, [of(Fact::Started { at: zero }), of(Fact::Paused { at: zero }), of(Fact::Resumed)]);
    }

    /// Without turn detection nothing is said, but the time goes on.
    #[test]
    fn manual_mode_only_counts() {
        let mut endpoint = Endpoint::new(None);
        assert!((0..100).all(|_| endpoint.chunk(0.99).is_none()));
        assert_eq!(endpoint.heard().as_ms(), 3_200);
    }
}
