//! io: the speech-to-text door: moshi-server's `/api/asr-streaming`, one WebSocket per caller
//!
//! One MessagePack map per binary frame, see `wire::moshi`; text frames are ignored. Query: `rate=16000` (else sound is
//! 24 kHz, as the original's, and has to be resampled), `partials=1` (partials and finals in place of words), `auth_id`.
//! Timings as the original's: a ping after 10 s of silence on our side, the end after 20 s without any frame of the
//! caller or 120 s without a binary one. Source: kyutai-labs/moshi e6a55d2 (moshi-server 0.6.4).

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;

use super::access::{Token, build_info};
use crate::engine::model::{ModelError, Transcript};
use crate::engine::stt::listener::{Input, Listener, Mode, Output};
use crate::engine::stt::{Seat, SttEngine};
use crate::media::resample::Polyphase;
use crate::metrics;
use crate::onnx::CHUNK;
use crate::runtime::clock;
use crate::wire::moshi::{SttIn, SttOut, pack, unpack};

/// The routes of the engine. `auth`: what callers must present, if anything.
pub fn router(engine: SttEngine, auth: Option<Token>) -> Router {
    Router::new()
        .route("/api/asr-streaming", get(enter))
        .route("/api/build_info", get(build_info))
        .with_state(Arc::new(Door { engine, auth }))
}

struct Door {
    engine: SttEngine,
    auth: Option<Token>,
}

#[derive(Debug, Deserialize)]
struct Wishes {
    auth_id: Option<String>,
    rate: Option<u32>,
    partials: Option<String>,
}

async fn enter(
    State(door): State<Arc<Door>>,
    headers: HeaderMap,
    Query(wishes): Query<Wishes>,
    upgrade: WebSocketUpgrade,
) -> Response {
    if door.auth.as_ref().is_some_and(|token| !token.admits(&headers, wishes.auth_id.as_deref())) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let rate_hz = wishes.rate.unwrap_or(24_000);
    if !matches!(rate_hz, 16_000 | 24_000) {
        return (StatusCode::BAD_REQUEST, format!("rate={rate_hz}: 16000 or 24000")).into_response();
    }
    let mode = if wishes.partials.as_deref() == Some("1") { Mode::Partials } else { Mode::Words };
    upgrade.max_message_size(MAX_MESSAGE_BYTES).max_frame_size(MAX_MESSAGE_BYTES).on_upgrade(
        move |mut socket| async move {
            let result = match door.engine.seat() {
                Some(seat) => Visit::new(seat, mode, rate_hz).run(&mut socket, &door.engine).await,
                None => say(&mut socket, &SttOut::Error { message: "no free channels".to_owned() }).await,
            };
            if let Err(Hangup(reason)) = result {
                tracing::debug!(reason, "a caller of the speech-to-text door is gone");
            }
            // It may be gone already.
            let _ = clock::timeout(SEND_WITHIN, socket.send(Message::Close(None))).await;
        },
    )
}

/// Why a visit ended.
struct Hangup(&'static str);

/// One caller on one socket.
struct Visit {
    seat: Seat,
    listener: Listener,
    resampler: Option<Polyphase>,
    /// 16 kHz samples that make no whole chunk yet.
    rest: Vec<f32>,
    working: Option<(u64, Answer)>,
}

type Answer = Pin<Box<dyn Future<Output = Result<Transcript, ModelError>> + Send>>;

enum Event {
    Answer(u64, Result<Transcript, ModelError>),
    Frame(Option<Result<Message, axum::Error>>),
    Ping,
    Quiet,
}

impl Visit {
    fn new(seat: Seat, mode: Mode, rate_hz: u32) -> Self {
        let resampler = (rate_hz != 16_000).then(|| Polyphase::new(rate_hz, 16_000));
        Self { seat, listener: Listener::new(mode), resampler, rest: Vec::new(), working: None }
    }

    async fn run(&mut self, socket: &mut WebSocket, engine: &SttEngine) -> Result<(), Hangup> {
        say(socket, &SttOut::Ready).await?;
        let mut spoke_at = clock::now();
        let (mut frame_at, mut binary_at) = (clock::now(), clock::now());
        loop {
            // While speech piles up before the model nothing is read: TCP tells the caller to wait, and that is not
            // the caller's silence.
            let reading = !self.listener.is_behind();
            let quiet_at = reading.then(|| (frame_at + ANY_FRAME_WITHIN).min(binary_at + BINARY_FRAME_WITHIN));
            let event = tokio::select! {
                biased;
                (job, answer) = answered(&mut self.working) => Event::Answer(job, answer),
                frame = socket.recv(), if reading => Event::Frame(frame),
                () = clock::sleep_until(Some(spoke_at + PING_AFTER)) => Event::Ping,
                () = clock::sleep_until(quiet_at) => Event::Quiet,
            };
            match event {
                Event::Answer(job, answer) => {
                    self.working = None;
                    self.listener.handle(Input::Answer { job, answer });
                }
                Event::Frame(Some(Ok(message))) => {
                    frame_at = clock::now();
                    match message {
                        Message::Binary(bytes) => {
                            binary_at = frame_at;
                            self.read(socket, engine, &bytes).await?;
                        }
                        Message::Close(_) => return Ok(()),
                        Message::Text(_) | Message::Ping(_) | Message::Pong(_) => {}
                    }
                }
                Event::Frame(None) => return Ok(()),
                Event::Frame(Some(Err(_))) => return Err(Hangup("the connection broke")),
                Event::Ping => {
                    send(socket, Message::Ping(Bytes::new())).await?;
                    spoke_at = clock::now();
                }
                Event::Quiet => return Err(Hangup("nothing came for too long")),
            }
            self.tell(socket, &mut spoke_at).await?;
        }
    }

    async fn read(&mut self, socket: &mut WebSocket, engine: &SttEngine, bytes: &[u8]) -> Result<(), Hangup> {
        match unpack(bytes) {
            Ok(SttIn::Audio { pcm }) => self.hear(pcm, engine).await,
            Ok(SttIn::Marker { id }) => self.listener.handle(Input::Marker { id }),
            Ok(SttIn::Init) => self.listener.handle(Input::Init),
            Err(error) => {
                engine.metrics().bad_input(metrics::Door::Stt);
                say(socket, &SttOut::Error { message: format!("not a message of this protocol: {error}") }).await?;
                return Err(Hangup("sent what is no message"));
            }
        }
        Ok(())
    }

    async fn hear(&mut self, mut pcm: Vec<f32>, engine: &SttEngine) {
        for sample in &mut pcm {
            *sample = if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 };
        }
        match &mut self.resampler {
            Some(resampler) => {
                engine.metrics().resampled(Duration::from_secs_f64(pcm.len() as f64 / 24_000.0));
                resampler.process(&pcm, &mut self.rest);
            }
            None => self.rest.append(&mut pcm),
        }
        let mut used = 0;
        while let Some(chunk) = self.rest[used..].first_chunk::<CHUNK>() {
            let probability = self.seat.probability(chunk).await;
            self.listener.handle(Input::Chunk { pcm: chunk, probability });
            used += CHUNK;
        }
        self.rest.drain(..used);
    }

    /// Carries out what the listener decided.
    async fn tell(&mut self, socket: &mut WebSocket, spoke_at: &mut Instant) -> Result<(), Hangup> {
        while let Some(output) = self.listener.poll() {
            match output {
                Output::Transcribe { job, spoken, urgent } => {
                    self.working = Some((job, Box::pin(self.seat.transcribe(spoken, urgent))));
                }
                Output::Abandon => self.working = None,
                Output::Say(message) => {
                    say(socket, &message).await?;
                    *spoke_at = clock::now();
                }
            }
        }
        Ok(())
    }
}

/// The answer to the work in hand; never, when there is none.
async fn answered(working: &mut Option<(u64, Answer)>) -> (u64, Result<Transcript, ModelError>) {
    match working {
        Some((job, answer)) => (*job, answer.await),
        None => std::future::pending().await,
    }
}

async fn say(socket: &mut WebSocket, message: &SttOut) -> Result<(), Hangup> {
    send(socket, Message::Binary(pack(message).into())).await
}

async fn send(socket: &mut WebSocket, message: Message) -> Result<(), Hangup> {
    match clock::timeout(SEND_WITHIN, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Hangup("the connection broke")),
        Err(_) => Err(Hangup("does not read")),
    }
}

const PING_AFTER: Duration = Duration::from_secs(10);
const ANY_FRAME_WITHIN: Duration = Duration::from_secs(20);
const BINARY_FRAME_WITHIN: Duration = Duration::from_secs(120);
const SEND_WITHIN: Duration = Duration::from_secs(5);

/// 1.6 million floats of five bytes each, more than a minute of sound; one frame of ours is 20 ms.
const MAX_MESSAGE_BYTES: usize = 8 << 20;
