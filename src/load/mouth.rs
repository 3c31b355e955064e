//! io: what a caller says, a packet per tick, and who is told of its moments

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::runtime::clock;

use super::error::CallerError;
use super::turns::Question;
use super::utterance::{PACKET, Packet, Utterance};

/// An utterance on its way; each moment is known once it has come.
pub struct Saying {
    began: oneshot::Receiver<Instant>,
    speech_ended: oneshot::Receiver<Instant>,
    finished: oneshot::Receiver<Instant>,
}

impl Saying {
    /// When its first packet left. Give each moment's method to one waiter, once.
    pub async fn began(&mut self) -> Result<Instant, CallerError> {
        moment(&mut self.began).await
    }

    /// When the packet with its last audible sample left.
    pub async fn speech_ended(&mut self) -> Result<Instant, CallerError> {
        moment(&mut self.speech_ended).await
    }

    /// When its last packet left.
    pub async fn finished(&mut self) -> Result<Instant, CallerError> {
        moment(&mut self.finished).await
    }
}

async fn moment(receiver: &mut oneshot::Receiver<Instant>) -> Result<Instant, CallerError> {
    match clock::timeout(LONGEST_SPEECH, receiver).await {
        Ok(Ok(at)) => Ok(at),
        Ok(Err(_)) => Err(CallerError::Over(None)),
        Err(_) => Err(CallerError::TooLate { what: "the end of an utterance".into(), within: LONGEST_SPEECH }),
    }
}

/// An utterance to be said, and where its moments are told.
pub(super) struct Line {
    utterance: Utterance,
    question: Question,
    said: usize,
    began: Option<oneshot::Sender<Instant>>,
    speech_ended: Option<oneshot::Sender<Instant>>,
    finished: Option<oneshot::Sender<Instant>>,
}

impl Line {
    pub(super) fn new(utterance: Utterance, question: Question) -> (Self, Saying) {
        let ((began_tx, began), (speech_tx, speech_ended), (finished_tx, finished)) =
            (oneshot::channel(), oneshot::channel(), oneshot::channel());
        let told = (Some(began_tx), Some(speech_tx), Some(finished_tx));
        let line = Self { utterance, question, said: 0, began: told.0, speech_ended: told.1, finished: told.2 };
        (line, Saying { began, speech_ended, finished })
    }
}

/// What the packet of a tick begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edge {
    Onset(Question),
    End,
}

/// What is being said, and the tick it is said on.
#[derive(Default)]
pub(super) struct Mouth {
    /// Tick n is due at `start` + n × 20 ms; there are none before the call is up.
    start: Option<Instant>,
    tick: u64,
    lines: VecDeque<Line>,
}

impl Mouth {
    pub(super) fn open(&mut self, now: Instant) {
        self.start = Some(now);
    }

    /// Says `line` after those that are being said. Too much to say: dropping it tells whoever waits for its times.
    pub(super) fn say(&mut self, line: Line) {
        if self.lines.len() < MOST_LINES {
            self.lines.push_back(line);
        }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.start.map(|start| start + PACKET * self.tick as u32)
    }

    /// The number of the packet that is due.
    pub(super) fn tick(&self) -> u64 {
        self.tick
    }

    /// The packet of this tick, which is being sent `now`, and what begins and ends with it.
    pub(super) fn next(&mut self, silence: &[Packet], now: Instant) -> (Packet, [Option<Edge>; 2]) {
        let tick = self.tick;
        self.tick += 1;
        let tell = |whom: &mut Option<oneshot::Sender<Instant>>| {
            if let Some(whom) = whom.take() {
                // Nobody may wait for this moment.
                let _ = whom.send(now);
            }
        };
        while let Some(line) = self.lines.front_mut() {
            tell(&mut line.began);
            let (said, speech) = (line.said, line.utterance.speech());
            let packet = line.utterance.packets().get(said).cloned();
            line.said += 1;
            if line.said >= speech.end {
                tell(&mut line.speech_ended);
            }
            let onset = (!speech.is_empty() && said == speech.start).then_some(Edge::Onset(line.question));
            let end = (!speech.is_empty() && line.said == speech.end).then_some(Edge::End);
            if line.said >= line.utterance.packets().len() {
                tell(&mut line.finished);
                self.lines.pop_front();
            }
            if let Some(packet) = packet {
                return (packet, [onset, end]);
            }
        }
        (silence[tick as usize % silence.len()].clone(), [None, None])
    }
}

/// Utterances that may wait behind the one being said.
const MOST_LINES: usize = 64;

const LONGEST_SPEECH: Duration = Duration::from_secs(600);
