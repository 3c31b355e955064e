//! task: the voice room: speaks the turns that the floor wants, two at most, each over a connection of its own
//!
//! A turn's sound comes seconds ahead and waits in the turn's own lane; when that is full, TCP tells the engine. A turn that
//! the floor no longer wants is dropped, connection and all, and the engine frees its seat. An engine that fails is a
//! notice, and the turn's lane hangs up before its end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::assembly::Assembly;
use super::speakable::{Speakable, ends_a_clause};
use super::tts::{self, Sound, TtsError, TtsSettings, Words};
use crate::agent::flow::{Fact, Floor, Notice, Recital, Say, Speech, TurnId, Utterance};
use crate::media::time::{MediaTime, Samples};
use crate::metrics::{LaneName, Metrics, Object, SpeechStage, Stage};
use crate::runtime::lane::Shedder;
use crate::runtime::{clock, lane};
use crate::wire::moshi::TtsOut;

/// What the room is joined to.
pub struct Lanes {
    pub say: mpsc::Receiver<Utterance>,
    pub speech: mpsc::Sender<Recital>,
    /// The same speech, for the face.
    pub script: Shedder<Arc<Speech>>,
    pub floor: watch::Receiver<Floor>,
    pub notices: mpsc::Sender<Notice>,
}

/// The reader of notices was too slow: the session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody has taken our notices")]
pub struct NoticesFull;

/// Runs until the lane of utterances hangs up and the last of them has been spoken.
pub async fn run(settings: TtsSettings, metrics: Metrics, lanes: Lanes) -> Result<(), NoticesFull> {
    let Lanes { mut say, speech, script, mut floor, notices } = lanes;
    let room = Room { settings, metrics, speech, script };
    let mut turns: Vec<Reciting<'_>> = Vec::new();
    let (mut may_come, mut floor_lives) = (true, true);
    while may_come || !turns.is_empty() {
        tokio::select! {
            biased;
            changed = floor.changed(), if floor_lives => {
                floor_lives = changed.is_ok();
                let floor = *floor.borrow_and_update();
                turns.retain_mut(|turn| turn.is_wanted(&floor));
            }
            (turn, result) = first_to_end(&mut turns), if !turns.is_empty() => {
                let fact = match result {
                    Ok(Spoken::Whole) => Some(Fact::SpeechMade),
                    Ok(Spoken::Abandoned) => None,
                    Err(error) => {
                        tracing::warn!(turn = turn.0, "the voice failed: {error}");
                        room.metrics.engine_failure(Stage::Tts);
                        Some(Fact::Trouble { fault: error.fault(), message: error.to_string() })
                    }
                };
                let notice = fact.map(|fact| Notice { turn: Some(turn), fact });
                if let Some(Err(mpsc::error::TrySendError::Full(_))) = notice.map(|notice| notices.try_send(notice)) {
                    return Err(NoticesFull);
                }
            }
            utterance = say.recv(), if may_come => match utterance {
                Some(utterance) => {
                    // One is spoken and one is made ready: a third means that the oldest is not wanted any more.
                    if turns.len() >= TURNS {
                        turns.remove(0);
                    }
                    let mut turn = Reciting { turn: utterance.turn, announced: false, work: Box::pin(room.recite(utterance)) };
                    if turn.is_wanted(&floor.borrow()) {
                        turns.push(turn);
                    }
                }
                None => may_come = false,
            },
        }
    }
    Ok(())
}

/// A turn that is being spoken.
struct Reciting<'a> {
    turn: TurnId,
    /// The floor has named it. Words may come before the floor does: the two travel on lanes of their own.
    announced: bool,
    work: Pin<Box<dyn Future<Output = Result<Spoken, TtsError>> + Send + 'a>>,
}

impl Reciting<'_> {
    fn is_wanted(&mut self, floor: &Floor) -> bool {
        let wanted = floor.wants(self.turn);
        let overtaken = floor.now.max(floor.next).is_some_and(|newest| newest > self.turn);
        self.announced |= wanted;
        wanted || !(self.announced || overtaken)
    }
}

/// Waits for the first turn to end and takes it out. Cancel safe.
async fn first_to_end(turns: &mut Vec<Reciting<'_>>) -> (TurnId, Result<Spoken, TtsError>) {
    std::future::poll_fn(|cx| {
        for at in 0..turns.len() {
            if let Poll::Ready(result) = turns[at].work.as_mut().poll(cx) {
                return Poll::Ready((turns.remove(at).turn, result));
            }
        }
        Poll::Pending
    })
    .await
}

struct Room {
    settings: TtsSettings,
    metrics: Metrics,
    speech: mpsc::Sender<Recital>,
    script: Shedder<Arc<Speech>>,
}

/// A word on its way: what was shown, what was sent for it, and when.
struct Sent {
    shown: String,
    said: Option<String>,
    at: Instant,
}

impl Room {
    /// One turn, from its connection to its last piece of sound.
    async fn recite(&self, utterance: Utterance) -> Result<Spoken, TtsError> {
        let Utterance { turn, voice, words } = utterance;
        let (pieces, piece) = lane::waiting(PIECES);
        if self.speech.send(Recital { turn, speech: piece }).await.is_err() {
            return Ok(Spoken::Abandoned);
        }
        let (into, out_of) = tts::connect(&self.settings, &voice, &self.metrics).await?;
        let _stream = self.metrics.live(Object::TtsStream);
        let (sent, to_answer) = lane::waiting(WORDS);
        // Side by side, so that neither the engine nor we can stand waiting for the other to read.
        let mut sending = Box::pin(send(words, into, sent, &self.metrics));
        let mut receiving = Box::pin(self.receive(turn, out_of, to_answer, pieces));
        tokio::select! {
            biased;
            received = &mut receiving => received,
            sent = &mut sending => match sent? {
                Text::Complete => receiving.await,
                Text::Abandoned => Ok(Spoken::Abandoned),
            },
        }
    }

    async fn receive(
        &self,
        turn: TurnId,
        mut sound: Sound,
        mut to_answer: mpsc::Receiver<Sent>,
        pieces: mpsc::Sender<Arc<Speech>>,
    ) -> Result<Spoken, TtsError> {
        let mut assembly = Assembly::new(turn);
        let mut first_text: Option<Instant> = None;
        let mut pace = Pace::default();
        loop {
            let message = match clock::timeout(self.settings.answer_limit, sound.receive()).await {
                Ok(message) => message?,
                // Without the whole text there may be nothing to say.
                Err(_) if !to_answer.is_closed() => continue,
                Err(late) => return Err(TtsError::Silent(late.0)),
            };
            while let Ok(Sent { shown, said, at }) = to_answer.try_recv() {
                if said.is_some() {
                    first_text.get_or_insert(at);
                }
                assembly.shown(shown, said.as_deref());
            }
            let piece = match message {
                Some(TtsOut::Audio { pcm }) => {
                    let now = clock::now();
                    if pace.began.is_none()
                        && let Some(first) = first_text
                    {
                        self.metrics.first_answer(Stage::Tts, now.saturating_duration_since(first));
                    }
                    pace.heard(now, pcm.len());
                    assembly.sound(pcm)
                }
                Some(TtsOut::Text { text, start_s, stop_s }) => {
                    let word = usize::from(!text.is_empty());
                    pace.words += word;
                    self.metrics.words(Stage::Tts, word);
                    assembly.text(&text, MediaTime::from_secs_f64(start_s), MediaTime::from_secs_f64(stop_s));
                    continue;
                }
                Some(TtsOut::Phones { spans }) => {
                    assembly.phones(spans);
                    continue;
                }
                Some(TtsOut::Error { message }) => return Err(TtsError::Reported(message)),
                Some(TtsOut::Ready) => continue,
                None if !to_answer.is_closed() => return Err(TtsError::HungUp),
                None => assembly.end(),
            };
            let is_last = piece.end;
            let piece = Arc::new(piece);
            self.script.send(piece.clone());
            let full = pieces.capacity() == 0;
            let asked = if full { Some(clock::now()) } else { None };
            // The stage has dropped the turn: nobody listens, which is no failure.
            if pieces.send(piece).await.is_err() {
                return Ok(Spoken::Abandoned);
            }
            if let Some(asked) = asked {
                pace.waiting += clock::now().saturating_duration_since(asked);
            }
            if is_last {
                let (took, sound) = pace.finish();
                self.metrics.real_time_factor(SpeechStage::Tts, took, sound);
                self.metrics.pace(Stage::Tts, pace.words, took);
                return Ok(Spoken::Whole);
            }
            self.metrics.lane_depth(LaneName::Speech, PIECES - pieces.capacity());
        }
    }
}

/// How fast the engine speaks a turn: from its first sound to its last, less the time that it was made to wait for us.
#[derive(Default)]
struct Pace {
    /// When the first and the last sound came.
    began: Option<Instant>,
    last: Option<Instant>,
    sound: MediaTime,
    words: usize,
    /// For room in the turn's lane, between two sounds; and since the last.
    waited: Duration,
    waiting: Duration,
}

impl Pace {
    fn heard(&mut self, now: Instant, samples: usize) {
        self.began.get_or_insert(now);
        self.last = Some(now);
        self.waited += std::mem::take(&mut self.waiting);
        self.sound += Samples(samples as u64);
    }

    fn finish(&self) -> (Duration, Duration) {
        let took =
            self.last.zip(self.began).map_or(Duration::ZERO, |(last, began)| last.saturating_duration_since(began));
        (took.saturating_sub(self.waited), self.sound.as_duration())
    }
}

/// How a turn ended for the voice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    /// To its last piece.
    Whole,
    /// The dialogue or the stage has let go of it.
    Abandoned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    Complete,
    /// The dialogue hung up in the middle.
    Abandoned,
}

/// Sends the words as they come. `sent` closes when the engine has all of them.
async fn send(
    mut words: mpsc::Receiver<Say>,
    mut into: Words,
    sent: mpsc::Sender<Sent>,
    metrics: &Metrics,
) -> Result<Text, TtsError> {
    let mut speakable = Speakable::default();
    // A word that does not end a clause by itself waits for the next message, which may say that it does.
    let mut held: Option<String> = None;
    loop {
        let Some(say) = words.recv().await else { return Ok(Text::Abandoned) };
        metrics.lane_depth(LaneName::Say, words.len() + 1);
        if let Some(mut word) = held.take() {
            if say == Say::Boundary {
                word.push(',');
            }
            into.say(word).await?;
        }
        match say {
            Say::Word(shown) => {
                let said = speakable.word(&shown);
                // The stage has dropped the turn: the receiving half ends it.
                let _ = sent.send(Sent { shown, said: said.clone(), at: clock::now() }).await;
                match said {
                    Some(word) if ends_a_clause(&word) => into.say(word).await?,
                    word => held = word,
                }
            }
            Say::Boundary => {}
            Say::End => {
                into.finish().await?;
                return Ok(Text::Complete);
            }
        }
    }
}

/// What is spoken and what is made ready.
const TURNS: usize = 2;
/// 10 s of 80 ms pieces.
const PIECES: usize = 125;
/// Words sent and not yet answered: a long reply.
const WORDS: usize = 1_024;
/// The depth to give the script lane, in pieces: as much as a turn's speech lane holds.
pub const SCRIPT_DEPTH: usize = PIECES;
