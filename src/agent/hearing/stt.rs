//! io: the client of a speech-to-text engine: moshi-server's `/api/asr-streaming`, ours with its opt-ins
//!
//! A task of its own holds the socket, so that a slow engine never holds up the microphone: sound goes into a bounded
//! lane, and when that is full the engine is too slow to be of use and the client says so.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::agent::flow::Fault;
use crate::media::resample::Polyphase;
use crate::metrics::{Guard, Metrics, Object, SpeechStage, Stage};
use crate::runtime::scope::{Scope, TaskCounter};
use crate::runtime::{clock, lane};
use crate::wire::moshi::{SttIn, SttOut, pack, unpack};

/// Where the engine is and how to talk to it.
#[derive(Clone, Debug)]
pub struct SttSettings {
    /// `ws://host:port`, without a path.
    pub url: String,
    /// Sent as `kyutai-api-key`.
    pub token: Option<String>,
    pub dialect: Dialect,
    /// From the first packet to `Ready`. The wait is heard as silence before the first word: 0.5–2 s.
    pub connect_within: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// 16 kHz, partials, finals.
    #[default]
    Visavis,
    /// The original moshi-server: 24 kHz, words alone.
    Moshi,
}

/// One conversation with an engine. Dropping it hangs up.
pub struct SttClient {
    orders: mpsc::Sender<SttIn>,
    events: mpsc::Receiver<(u64, Result<SttEvent, SttError>)>,
    /// How often we had the engine forget: what it says of an earlier turn is not passed on.
    inits: u64,
    /// Sound that has not been sent yet.
    gathered: Vec<f32>,
    _task: Scope,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SttEvent {
    /// The words since the last init; the first `stable` agree with the partial before.
    Partial { text: String, stable: usize },
    /// What was said since the last init; words with start and stop in seconds of sound sent. Its marker follows.
    Final { text: String, words: Vec<(String, f64, f64)> },
    /// The echo of [`SttClient::mark`].
    Marker { id: i64 },
    /// The engine could not transcribe something, and goes on.
    Trouble { message: String },
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SttError {
    #[error("cannot reach the speech-to-text engine at {url}: {reason}")]
    Unreachable { url: String, reason: String },
    #[error("the speech-to-text engine at {url} has no room: {message}")]
    Full { url: String, message: String },
    #[error("the speech-to-text engine reads more slowly than somebody speaks")]
    Slow,
    #[error("the speech-to-text engine is gone: {0}")]
    Lost(String),
}

impl SttError {
    pub fn fault(&self) -> Fault {
        match self {
            Self::Full { .. } => Fault::Busy,
            Self::Unreachable { .. } | Self::Slow | Self::Lost(_) => Fault::Engine,
        }
    }
}

impl SttClient {
    /// Takes a seat at the engine: returns when it has said `Ready`.
    pub async fn connect(settings: &SttSettings, metrics: &Metrics, counter: TaskCounter) -> Result<Self, SttError> {
        let unreachable = |reason: String| SttError::Unreachable { url: settings.url.clone(), reason };
        let dialled = clock::now();
        let socket = match clock::timeout(settings.connect_within, greet(settings)).await {
            Ok(greeted) => greeted.inspect_err(|_| metrics.engine_failure(Stage::Stt))?,
            Err(late) => {
                metrics.engine_failure(Stage::Stt);
                return Err(unreachable(late.to_string()));
            }
        };
        metrics.engine_connected(SpeechStage::Stt, clock::now().saturating_duration_since(dialled));
        let (orders, taken) = lane::waiting(ORDERS);
        let (tell, events) = lane::waiting(EVENTS);
        let mut line = Line {
            socket,
            tell,
            inits: 0,
            moshi: (settings.dialect == Dialect::Moshi).then(Moshi::new),
            pings: Pings { sent: 0, waiting: None, next: clock::now() },
            metrics: metrics.clone(),
            _alive: metrics.live(Object::SttStream),
        };
        let mut task = Scope::new(counter);
        task.spawn("stt client", async move {
            let ended = line.run(taken).await;
            if let Err(error) = &ended {
                line.metrics.engine_failure(Stage::Stt);
                // A reader that has fallen so far behind learns of the end by the hang-up.
                let _ = line.tell.try_send((u64::MAX, Err(error.clone())));
            }
            ended
        });
        Ok(Self { orders, events, inits: 0, gathered: Vec::with_capacity(2 * MESSAGE), _task: task })
    }

    /// Sends sound: 16 kHz mono, full scale ±1.0, any length up to a second. It goes out 80 ms at a time, at least:
    /// what is less waits for more, or for the next mark.
    pub fn send_audio(&mut self, pcm: &[f32]) -> Result<(), SttError> {
        self.gathered.extend_from_slice(pcm);
        if self.gathered.len() >= MESSAGE { self.flush() } else { Ok(()) }
    }

    /// Asks for a final of everything since the last init. Ends nothing: sound may go on.
    pub fn mark(&mut self, id: i64) -> Result<(), SttError> {
        self.flush()?;
        self.order(SttIn::Marker { id })
    }

    /// Has the engine forget what was said: the turn is over. What it still says of it does not come any more, and
    /// sound that has not gone out is not sent to be forgotten.
    pub fn init(&mut self) -> Result<(), SttError> {
        self.gathered.clear();
        self.order(SttIn::Init)?;
        self.inits += 1;
        Ok(())
    }

    /// What the engine says next. Cancel safe. After an error there is nothing more.
    pub async fn next(&mut self) -> Result<SttEvent, SttError> {
        loop {
            match self.events.recv().await {
                Some((inits, event)) if inits >= self.inits => return event,
                Some(_) => {}
                None => return Err(SttError::Lost("hung up".to_owned())),
            }
        }
    }

    fn flush(&mut self) -> Result<(), SttError> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let pcm = std::mem::replace(&mut self.gathered, Vec::with_capacity(2 * MESSAGE));
        self.order(SttIn::Audio { pcm })
    }

    fn order(&self, order: SttIn) -> Result<(), SttError> {
        self.orders.try_send(order).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SttError::Slow,
            mpsc::error::TrySendError::Closed(_) => SttError::Lost("hung up".to_owned()),
        })
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Connects and waits for `Ready`. Whatever refuses before that has no room for us.
async fn greet(settings: &SttSettings) -> Result<Socket, SttError> {
    let unreachable = |reason: String| SttError::Unreachable { url: settings.url.clone(), reason };
    let query = match settings.dialect {
        Dialect::Visavis => "?rate=16000&partials=1",
        Dialect::Moshi => "",
    };
    let url = format!("{}/api/asr-streaming{query}", settings.url.trim_end_matches('/'));
    let mut request = url.into_client_request().map_err(|error| unreachable(error.to_string()))?;
    if let Some(token) = &settings.token {
        let value = token.parse().map_err(|_| unreachable("the token is no header value".to_owned()))?;
        request.headers_mut().insert("kyutai-api-key", value);
    }
    // Nagle's algorithm would hold each 20 ms of sound back until the last is acknowledged.
    let (mut socket, _) = connect_async_with_config(request, None, true).await.map_err(|error| match error {
        WsError::Http(response) => unreachable(format!("it answers {}", response.status())),
        other => unreachable(other.to_string()),
    })?;
    loop {
        match socket.next().await {
            Some(Ok(Message::Binary(bytes))) => match unpack(&bytes) {
                Ok(SttOut::Ready) => return Ok(socket),
                Ok(SttOut::Error { message }) => return Err(SttError::Full { url: settings.url.clone(), message }),
                Ok(_) | Err(_) => {}
            },
            Some(Ok(Message::Close(_))) | None => return Err(unreachable("it hung up".to_owned())),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(unreachable(error.to_string())),
        }
    }
}

/// The task's side.
struct Line {
    socket: Socket,
    tell: mpsc::Sender<(u64, Result<SttEvent, SttError>)>,
    /// Inits that the engine has confirmed.
    inits: u64,
    moshi: Option<Moshi>,
    pings: Pings,
    metrics: Metrics,
    _alive: Guard,
}

/// One ping at a time: a new one stands for one that was never answered.
struct Pings {
    sent: u64,
    waiting: Option<Instant>,
    next: Instant,
}

impl Pings {
    /// What the next ping carries.
    fn send(&mut self, now: Instant) -> [u8; 8] {
        self.sent += 1;
        self.waiting = Some(now);
        self.next = now + PING_EVERY;
        self.sent.to_be_bytes()
    }

    /// The round trip, if this answers the last ping.
    fn answered(&mut self, now: Instant, payload: &[u8]) -> Option<Duration> {
        let sent = self.waiting.filter(|_| payload == self.sent.to_be_bytes())?;
        self.waiting = None;
        Some(now.saturating_duration_since(sent))
    }
}

/// What it takes to get finals out of an original moshi-server.
struct Moshi {
    up: Polyphase,
    words: Vec<(String, f64, f64)>,
}

impl Line {
    async fn run(&mut self, mut orders: mpsc::Receiver<SttIn>) -> Result<(), SttError> {
        let mut heard_at = clock::now();
        loop {
            tokio::select! {
                biased;
                frame = self.socket.next() => {
                    heard_at = clock::now();
                    match frame {
                        Some(Ok(Message::Binary(bytes))) => self.hear(&bytes)?,
                        Some(Ok(Message::Pong(payload))) => {
                            if let Some(round_trip) = self.pings.answered(heard_at, &payload) {
                                self.metrics.engine_ping(SpeechStage::Stt, round_trip);
                            }
                        }
                        Some(Ok(Message::Close(_))) | None => return Err(lost("it hung up")),
                        Some(Ok(_)) => {}
                        Some(Err(error)) => return Err(lost(error)),
                    }
                }
                () = clock::sleep_until(Some(self.pings.next)) => {
                    let payload = self.pings.send(clock::now());
                    self.push(Message::Ping(payload.to_vec().into())).await?;
                }
                order = orders.recv() => match order {
                    Some(order) => self.obey(order).await?,
                    None => return Ok(()),
                },
                () = clock::sleep_until(Some(heard_at + SILENT_FOR)) => return Err(lost("it has gone silent")),
            }
        }
    }

    fn hear(&mut self, bytes: &[u8]) -> Result<(), SttError> {
        let message = unpack(bytes).map_err(|error| lost(format!("it speaks another protocol: {error}")))?;
        match message {
            SttOut::Partial { text, stable } => self.tell(SttEvent::Partial { text, stable })?,
            SttOut::Final { text, words } => self.tell(SttEvent::Final { text, words })?,
            SttOut::Marker { id } => {
                if let Some(moshi) = &self.moshi {
                    let (text, words) = (moshi.text(), moshi.words.clone());
                    self.tell(SttEvent::Final { text, words })?;
                }
                self.tell(SttEvent::Marker { id })?;
            }
            SttOut::Word { text, start_time } => {
                if let Some(moshi) = self.moshi.as_mut().filter(|_| !text.is_empty()) {
                    moshi.words.push((text, start_time, start_time));
                    let (text, stable) = (moshi.text(), moshi.words.len());
                    self.tell(SttEvent::Partial { text, stable })?;
                }
            }
            SttOut::EndWord { stop_time } => {
                if let Some(word) = self.moshi.as_mut().and_then(|moshi| moshi.words.last_mut()) {
                    word.2 = stop_time;
                }
            }
            SttOut::Error { message } => self.tell(SttEvent::Trouble { message })?,
            SttOut::Ready => self.inits += 1,
            SttOut::Step { .. } => {}
        }
        Ok(())
    }

    fn tell(&self, event: SttEvent) -> Result<(), SttError> {
        self.tell.try_send((self.inits, Ok(event))).map_err(|_| lost("nobody takes what it says"))
    }

    async fn obey(&mut self, order: SttIn) -> Result<(), SttError> {
        let Some(moshi) = &mut self.moshi else { return self.send(order).await };
        match order {
            SttIn::Audio { pcm } => {
                self.metrics.resampled(Duration::from_secs_f64(pcm.len() as f64 / 16_000.0));
                let mut raised = Vec::with_capacity(pcm.len() * 3 / 2 + 1);
                moshi.up.process(&pcm, &mut raised);
                self.send(SttIn::Audio { pcm: raised }).await
            }
            SttIn::Marker { .. } => {
                self.send(order).await?;
                // It echoes a marker after its own delay of sound, 0.48 s; it runs faster than real time, so silence
                // sent at once spares most of the wait.
                for _ in 0..MOSHI_FLUSH {
                    self.send(SttIn::Audio { pcm: vec![0.0; MOSHI_FRAME] }).await?;
                }
                Ok(())
            }
            SttIn::Init => {
                moshi.words.clear();
                self.send(order).await
            }
        }
    }

    async fn send(&mut self, order: SttIn) -> Result<(), SttError> {
        self.push(Message::Binary(pack(&order).into())).await
    }

    async fn push(&mut self, message: Message) -> Result<(), SttError> {
        match clock::timeout(SEND_WITHIN, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(lost(error)),
            Err(late) => Err(lost(format!("sending {late}"))),
        }
    }
}

impl Moshi {
    fn new() -> Self {
        Self { up: Polyphase::new(16_000, 24_000), words: Vec::new() }
    }

    fn text(&self) -> String {
        self.words.iter().map(|(word, _, _)| word.as_str()).collect::<Vec<_>>().join(" ")
    }
}

fn lost(reason: impl std::fmt::Display) -> SttError {
    SttError::Lost(reason.to_string())
}

/// 80 ms at 16 kHz, the step of a moshi-server: each message costs both sides a wake-up and a system call. Finals come
/// of it no later, since whoever wants one sends a mark; partials come up to 60 ms later.
const MESSAGE: usize = 1_280;
/// Eight seconds of sound and more: an engine that is further behind will not answer in time anyway.
const ORDERS: usize = 100;
const EVENTS: usize = 256;
/// The engine pings after 10 s in which it said nothing.
const SILENT_FOR: Duration = Duration::from_secs(30);
/// Far from what either side takes for silence, often enough for a call of a minute.
const PING_EVERY: Duration = Duration::from_secs(5);
const SEND_WITHIN: Duration = Duration::from_secs(2);

/// 80 ms at 24 kHz, the model's step; eight of them are more than its delay.
const MOSHI_FRAME: usize = 1920;
const MOSHI_FLUSH: usize = 8;
