//! task: joins the ear, the voice detector, the endpoint and the engine that writes down

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::endpoint::{CHUNK, Endpoint, Fact as Pause};
use super::inlet::Inlet;
use super::marks::Marks;
use super::stt::{SttClient, SttError, SttEvent, SttSettings};
use super::transcript::Transcript;
use crate::agent::flow::{EarTrace, Fact, Heard, Mic, Notice, Settings, UserTurn};
use crate::media::time::Samples;
use crate::metrics::{Metrics, Object, Stage};
use crate::onnx::{VadError, VadSeat};
use crate::runtime::clock;
use crate::runtime::lane::Shed;
use crate::runtime::pool::{Pool, PoolError};
use crate::runtime::scope::TaskCounter;

/// What the room is joined to.
pub struct Lanes {
    pub mic: Shed<Mic>,
    pub settings: watch::Receiver<Settings>,
    pub heard: mpsc::Sender<Heard>,
    pub notices: mpsc::Sender<Notice>,
}

/// What the room works with.
pub struct Tools {
    pub stt: SttSettings,
    /// From the end of a turn to its final transcript; beyond it the last partial has to do.
    pub final_within: Duration,
    pub vad: VadSeat,
    pub pool: Pool,
    pub metrics: Metrics,
    pub tasks: TaskCounter,
}

#[derive(Debug, thiserror::Error)]
pub enum HearingError {
    #[error("decoding the microphone: {0}")]
    Pool(#[from] PoolError),
    #[error(transparent)]
    Vad(#[from] VadError),
    #[error("nobody takes our notices")]
    NoticesFull,
}

/// Listens until the transport hangs up.
pub async fn run(mut lanes: Lanes, tools: Tools) -> Result<(), HearingError> {
    let settings = lanes.settings.borrow_and_update().clone();
    let mut room = Room {
        endpoint: Endpoint::new(settings.turn_detection),
        engine: None,
        reconnect_at: Some(clock::now()),
        troubled: false,
        transcript: Transcript::default(),
        user: None,
        users: 0,
        began: Samples::ZERO,
        over: None,
        answer_by: None,
        withheld: Vec::new(),
        marks: Marks::default(),
        outbox: VecDeque::new(),
        notices: lanes.notices.clone(),
        tools,
    };
    let _decoder = room.tools.metrics.live(Object::OpusDecoder);
    let mut inlet = Inlet::new(room.tools.pool.clone(), room.tools.metrics.clone());
    let mut silent_since = clock::now();
    let mut silence_fed = false;
    loop {
        // A gap in the packets counts as silence, once.
        let gap = (!silence_fed && room.user.is_some()).then(|| silent_since + GAP);
        let (waits, deadline) = (room.outbox.len(), room.deadline());
        tokio::select! {
            biased;
            permit = lanes.heard.reserve(), if waits > 0 => match permit {
                Ok(permit) => permit.send(room.outbox.pop_front().expect("the branch is taken only when one waits")),
                Err(_) => return Ok(()),
            },
            changed = lanes.settings.changed() => match changed {
                Ok(()) => room.endpoint.set(lanes.settings.borrow_and_update().turn_detection),
                Err(_) => return Ok(()),
            },
            event = room.next_event() => room.engine_said(event)?,
            () = clock::sleep_until(deadline) => room.tick().await?,
            () = clock::sleep_until(gap) => {
                silence_fed = true;
                inlet.decode().await?;
                inlet.sound.resize(inlet.sound.len() + 2 * GAP_SAMPLES, 0.0);
                room.listen(&mut inlet.sound, clock::now()).await?;
            }
            mic = lanes.mic.recv(), if waits < OUTBOX => match mic {
                Some(Mic::Packet { seq, arrival, bytes, .. }) => {
                    (silent_since, silence_fed) = (arrival, false);
                    inlet.take(seq, bytes).await?;
                    room.listen(&mut inlet.sound, arrival).await?;
                }
                Some(Mic::Commit) => {
                    inlet.decode().await?;
                    room.listen(&mut inlet.sound, clock::now()).await?;
                    room.commit(clock::now())?;
                }
                Some(Mic::Clear) => {
                    inlet.decode().await?;
                    room.clear();
                }
                None => return Ok(()),
            },
        }
    }
}

struct Room {
    tools: Tools,
    endpoint: Endpoint,
    engine: Option<SttClient>,
    reconnect_at: Option<Instant>,
    /// The caller has been told that the engine is gone.
    troubled: bool,
    transcript: Transcript,
    /// The turn being spoken, or over and not yet transcribed.
    user: Option<UserTurn>,
    users: u64,
    began: Samples<16_000>,
    /// The turn is over: where speech ended, and when that was and was decided.
    over: Option<(Samples<16_000>, Instant, Instant)>,
    answer_by: Option<Instant>,
    /// Sound since the end of a turn whose text is not known yet: the engine gets it after it has forgotten the turn.
    withheld: Vec<f32>,
    marks: Marks,
    outbox: VecDeque<Heard>,
    notices: mpsc::Sender<Notice>,
}

impl Room {
    /// Works off whole chunks of `sound`; what is left stays for the next time. `arrival` is that of its last sample.
    async fn listen(&mut self, sound: &mut Vec<f32>, arrival: Instant) -> Result<(), HearingError> {
        let whole = sound.len() - sound.len() % CHUNK.0 as usize;
        for (n, chunk) in sound[..whole].chunks_exact(CHUNK.0 as usize).enumerate() {
            let chunk: &[f32; 512] = chunk.try_into().expect("chunks_exact gives chunks of this size");
            self.send(chunk);
            let probability = self.tools.vad.probability(chunk).await?;
            if let Some(pause) = self.endpoint.chunk(probability) {
                // How long before the last sample this chunk ended.
                let behind = Samples::<16_000>((sound.len() - (n + 1) * CHUNK.0 as usize) as u64).as_duration();
                self.pause(pause, arrival.checked_sub(behind).unwrap_or(arrival))?;
            }
        }
        sound.drain(..whole);
        Ok(())
    }

    fn pause(&mut self, pause: Pause, now: Instant) -> Result<(), HearingError> {
        match pause {
            Pause::Started { at } => {
                if self.over.is_some() {
                    // The turn before is still being written down: do without its last words rather than mix the two.
                    self.finish_with_partial()?;
                }
                let user = self.next_user();
                self.began = at;
                self.transcript.resumed();
                let ago = (self.endpoint.heard() - at).as_duration();
                let onset = now.checked_sub(ago).unwrap_or(now);
                self.outbox.push_back(Heard::SpeechStarted { user, at, onset });
                self.tell(Fact::SpeechStarted { user, at })?;
            }
            Pause::Paused { at } => {
                let mark = self.transcript.paused();
                self.mark(mark);
                self.outbox.push_back(Heard::SpeechPaused { at });
            }
            Pause::Resumed => self.transcript.resumed(),
            Pause::Over { at } => {
                let ago = (self.endpoint.heard() - at).as_duration();
                self.end_turn(at, now.checked_sub(ago).unwrap_or(now))?;
            }
        }
        Ok(())
    }

    fn next_user(&mut self) -> UserTurn {
        self.users += 1;
        *self.user.insert(UserTurn(self.users))
    }

    /// The turn is over at `at`, which was heard at `ended`.
    fn end_turn(&mut self, at: Samples<16_000>, ended: Instant) -> Result<(), HearingError> {
        let user = match self.user {
            Some(user) => user,
            None => self.next_user(),
        };
        let decided = clock::now();
        self.tools.metrics.endpoint_delay(decided.saturating_duration_since(ended));
        self.tell(Fact::SpeechStopped { user, at })?;
        self.over = Some((at, ended, decided));
        self.answer_by = Some(decided + self.tools.final_within);
        if let Some(mark) = self.transcript.over() {
            self.mark(mark);
        }
        if self.engine.is_none() {
            return self.finish_with_partial();
        }
        self.finish_if_known()
    }

    fn commit(&mut self, now: Instant) -> Result<(), HearingError> {
        if self.over.is_some() {
            return Ok(());
        }
        self.endpoint.reset();
        self.end_turn(self.endpoint.heard(), now)
    }

    fn clear(&mut self) {
        self.endpoint.reset();
        self.forget_turn();
        self.restart_engine();
    }

    fn forget_turn(&mut self) {
        self.transcript.forget();
        self.user = None;
        self.over = None;
        self.answer_by = None;
    }

    fn finish_if_known(&mut self) -> Result<(), HearingError> {
        match self.transcript.take() {
            Some(text) => self.finish(text, None),
            None => Ok(()),
        }
    }

    fn finish_with_partial(&mut self) -> Result<(), HearingError> {
        let text = self.transcript.last_partial().to_owned();
        let message = "the transcript did not come in time".to_owned();
        self.finish(text, Some(message))
    }

    /// The text of the turn that is over is known, as far as it ever will be. Nothing said: it was a cough.
    fn finish(&mut self, text: String, failed: Option<String>) -> Result<(), HearingError> {
        let (Some(user), Some((at, speech_ended, decided))) = (self.user, self.over) else { return Ok(()) };
        let text = text.trim().to_owned();
        if let Some(message) = failed {
            self.tell(Fact::Committed { user })?;
            self.tell(Fact::TranscriptionFailed { user, message })?;
        } else if !text.is_empty() {
            self.tell(Fact::Committed { user })?;
            let words = text.split_whitespace().count();
            self.tools.metrics.words(Stage::Stt, words);
            self.tools.metrics.pace(Stage::Stt, words, (at - self.began).as_duration());
            self.tell(Fact::Transcribed { user, text: text.clone(), heard: at - self.began })?;
        }
        let ears = EarTrace { speech_ended, decided, transcribed: clock::now() };
        self.outbox.push_back(Heard::TurnEnded { user, text, at, ears });
        self.forget_turn();
        self.restart_engine();
        Ok(())
    }

    // ------------------------------------------------------------------------------------------- the engine

    /// The engine forgets the turn, and gets what was withheld of the next one.
    fn restart_engine(&mut self) {
        let withheld = std::mem::take(&mut self.withheld);
        self.marks.forget();
        self.order(|engine| engine.init());
        for piece in withheld.chunks(CHUNK.0 as usize) {
            self.order(|engine| engine.send_audio(piece));
        }
    }

    fn send(&mut self, chunk: &[f32]) {
        if self.over.is_none() {
            self.order(|engine| engine.send_audio(chunk));
        } else if self.withheld.len() < MOST_WITHHELD {
            self.withheld.extend_from_slice(chunk);
        }
    }

    fn mark(&mut self, id: i64) {
        self.marks.sent(clock::now(), id);
        self.order(|engine| engine.mark(id));
    }

    fn order(&mut self, order: impl FnOnce(&mut SttClient) -> Result<(), SttError>) {
        if let Some(engine) = &mut self.engine
            && let Err(error) = order(engine)
        {
            self.lose_engine(&error);
        }
    }

    fn lose_engine(&mut self, error: &SttError) {
        self.engine = None;
        self.marks.forget();
        self.reconnect_at = Some(clock::now() + RECONNECT);
        // Once per loss: the caller need not hear of every attempt.
        if std::mem::replace(&mut self.troubled, true) {
            return;
        }
        let fact = Fact::Trouble { fault: error.fault(), message: error.to_string() };
        // Full: the session ends for it elsewhere.
        let _ = self.notices.try_send(Notice { turn: None, fact });
    }

    /// What the engine says next; never, without one.
    async fn next_event(&mut self) -> Result<SttEvent, SttError> {
        match &mut self.engine {
            Some(engine) => engine.next().await,
            None => std::future::pending().await,
        }
    }

    fn engine_said(&mut self, event: Result<SttEvent, SttError>) -> Result<(), HearingError> {
        match event {
            Ok(SttEvent::Partial { text, stable }) => {
                self.transcript.partial(text.clone());
                if let Some(user) = self.user {
                    self.tell(Fact::Transcript { user, text: text.clone(), stable })?;
                    self.outbox.push_back(Heard::Partial { text, stable });
                }
            }
            Ok(SttEvent::Final { text, .. }) => self.transcript.final_text(text),
            Ok(SttEvent::Marker { id }) => {
                if let Some(took) = self.marks.answered(clock::now(), id) {
                    self.tools.metrics.first_answer(Stage::Stt, took);
                }
                if let Some(text) = self.transcript.marker(id)
                    && self.over.is_none()
                {
                    let text = text.to_owned();
                    self.outbox.push_back(Heard::Hypothesis { text });
                }
                self.finish_if_known()?;
            }
            Ok(SttEvent::Trouble { message }) => {
                tracing::warn!(message, "the speech-to-text engine could not transcribe something");
            }
            Err(error) => {
                self.lose_engine(&error);
                if self.over.is_some() {
                    self.finish_with_partial()?;
                }
            }
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        self.answer_by.into_iter().chain(self.reconnect_at).min()
    }

    async fn tick(&mut self) -> Result<(), HearingError> {
        let now = clock::now();
        if self.reconnect_at.is_some_and(|at| at <= now) {
            self.reconnect_at = None;
            match SttClient::connect(&self.tools.stt, &self.tools.metrics, self.tools.tasks.clone()).await {
                Ok(engine) => {
                    self.engine = Some(engine);
                    self.troubled = false;
                }
                Err(error) => self.lose_engine(&error),
            }
        }
        if self.answer_by.is_some_and(|at| at <= now) {
            self.tools.metrics.engine_failure(Stage::Stt);
            self.finish_with_partial()?;
        }
        Ok(())
    }

    fn tell(&self, fact: Fact) -> Result<(), HearingError> {
        self.notices.try_send(Notice { turn: None, fact }).map_err(|_| HearingError::NoticesFull)
    }
}

/// A browser sends a packet every 20 ms, muted or not: a second without is a silence.
const GAP: Duration = Duration::from_secs(1);
const GAP_SAMPLES: usize = 16_000;

/// `Heard` that waits for a busy dialogue; beyond it the microphone waits too, and sheds.
const OUTBOX: usize = 64;

const RECONNECT: Duration = Duration::from_millis(500);

/// Three seconds: longer than an engine may take.
const MOST_WITHHELD: usize = 48_000;
