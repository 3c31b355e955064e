//! io: the TTS engine's front door: moshi-server's `/api/tts_streaming`, with our opt-ins
//!
//! In: `Text`, `Voice`, `Eos` as MessagePack, or plain text frames and a binary `\0`. Out: `Ready`, then `Text` and `Audio`
//! faster than real time; the socket closes after the last sound. `?phones=1` adds `Phones`, `?speed=1.2` changes the pace.
//! A caller that reads slowly slows its stream down (TCP tells us), one that leaves frees its seat at once.

use std::time::Duration;

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::access::{Token, build_info};
use crate::engine::tts::{Stream, TtsEngine, Voiced};
use crate::media::time::Samples;
use crate::runtime::{clock, lane};
use crate::wire::moshi::{TtsIn, TtsOut, pack, unpack};

/// The routes of the engine. `auth`: what callers must present; `None` lets everybody in.
pub fn router(engine: TtsEngine, auth: Option<Token>) -> Router {
    Router::new()
        .route("/api/tts_streaming", get(upgrade))
        .route("/api/build_info", get(build_info))
        .with_state(Door { engine, auth })
}

#[derive(Clone)]
struct Door {
    engine: TtsEngine,
    auth: Option<Token>,
}

/// What moshi-server reads of the query, and our opt-ins. Other keys are ignored, as it does; so is `voice` where there is
/// one voice: an unknown one is the default one.
#[derive(Debug, Default, Deserialize)]
struct Asked {
    auth_id: Option<String>,
    format: Option<String>,
    phones: Option<String>,
    speed: Option<f32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// Messages: sound, words and their times.
    Messages,
    /// Nothing but little-endian floats.
    Raw,
}

async fn upgrade(
    State(door): State<Door>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
    upgrade: WebSocketUpgrade,
) -> Response {
    if door.auth.as_ref().is_some_and(|token| !token.admits(&headers, asked.auth_id.as_deref())) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let format = match asked.format.as_deref() {
        Some("PcmMessagePack") => Format::Messages,
        Some("Pcm") => Format::Raw,
        other => {
            let other = other.unwrap_or("OggOpus (the default)");
            door.engine.misspoke();
            return refuse(format!("format {other} is not served here: ask for PcmMessagePack or Pcm"));
        }
    };
    let speed = asked.speed.unwrap_or(1.0);
    if !(0.25..=4.0).contains(&speed) {
        door.engine.misspoke();
        return refuse(format!("speed {speed} is not in 0.25 to 4.0"));
    }
    let phones = asked.phones.is_some_and(|value| value != "0");
    upgrade
        .write_buffer_size(0)
        .max_message_size(MAX_MESSAGE_BYTES)
        .on_upgrade(move |socket| serve(socket, door.engine, format, phones, speed))
}

fn refuse(why: String) -> Response {
    (StatusCode::BAD_REQUEST, why).into_response()
}

/// One caller, from the upgrade to the end. Whatever ends it drops the stream, and the seat with it.
async fn serve(mut socket: WebSocket, engine: TtsEngine, format: Format, phones: bool, speed: f32) {
    let Some(stream) = engine.open(speed) else {
        if format == Format::Messages {
            let _ = send(&mut socket, &TtsOut::Error { message: "no free channels".into() }).await;
        }
        let _ = clock::timeout(SEND_LIMIT, socket.send(Message::Close(None))).await;
        return;
    };
    let (out, incoming) = socket.split();
    let (orders, order) = lane::waiting(ORDERS);
    let mut speech = Mouth { out, stream, order, format, phones };
    tokio::select! {
        // Somebody who has left is noticed even while sound is made or sent.
        why = listen(incoming, orders) => match why {
            Left::Gone => {}
            Left::Misspoke(message) => {
                engine.misspoke();
                tracing::warn!("a caller of the speech engine was not understood: {message}");
                speech.fail(message, close_code::POLICY).await;
            }
        },
        ended = speech.perform() => match ended {
            Ok(()) => speech.close(None).await,
            Err(Trouble::Model(message)) => {
                tracing::error!("speech synthesis failed: {message}");
                speech.fail(message, close_code::ERROR).await;
            }
            // It hung up, or has not taken a single message for a minute.
            Err(Trouble::Caller) => {}
        },
    }
}

enum Order {
    Say(String),
    End,
}

enum Left {
    Gone,
    Misspoke(String),
}

/// Reads what the caller sends until it leaves. A full lane makes the caller wait.
async fn listen(mut incoming: SplitStream<WebSocket>, orders: mpsc::Sender<Order>) -> Left {
    // Every order after the end of the text is void, but the caller is still listened to: it may leave.
    let mut orders = Some(orders);
    loop {
        let Ok(Some(Ok(message))) = clock::timeout(SILENT_CALLER, incoming.next()).await else { return Left::Gone };
        let order = match message {
            Message::Text(words) => Order::Say(words.to_string()),
            Message::Binary(bytes) if bytes[..] == [0] => Order::End,
            Message::Binary(bytes) => match unpack(&bytes) {
                Ok(TtsIn::Text { text }) => Order::Say(text),
                Ok(TtsIn::Eos) => Order::End,
                // There is one voice, so another's likeness is answered by the default one.
                Ok(TtsIn::Voice { .. }) => continue,
                Err(error) => return Left::Misspoke(format!("not a message of this protocol: {error}")),
            },
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Close(_) => return Left::Gone,
        };
        if matches!(order, Order::End) {
            if let Some(orders) = orders.take() {
                // The other side ends with us, so there is nobody to miss it.
                let _ = orders.send(Order::End).await;
            }
        } else if let Some(orders) = &orders {
            let _ = orders.send(order).await;
        }
    }
}

/// The speaking half of a connection.
struct Mouth {
    out: SplitSink<WebSocket, Message>,
    stream: Stream,
    order: mpsc::Receiver<Order>,
    format: Format,
    phones: bool,
}

enum Trouble {
    Model(String),
    Caller,
}

impl Mouth {
    async fn perform(&mut self) -> Result<(), Trouble> {
        self.say(&TtsOut::Ready).await?;
        loop {
            while let Ok(order) = self.order.try_recv() {
                self.take(order);
            }
            match self.stream.next().await.map_err(|error| Trouble::Model(error.to_string()))? {
                Some(voiced) => self.give(voiced).await?,
                None if self.stream.is_over() => return Ok(()),
                None => self.wait().await?,
            }
        }
    }

    /// Waits for an order, or for the moment when the words at hand must do.
    async fn wait(&mut self) -> Result<(), Trouble> {
        let wake = self.stream.wake();
        tokio::select! {
            biased;
            order = self.order.recv() => {
                if let Some(order) = order {
                    self.take(order);
                }
            }
            () = clock::sleep_until(wake) => {}
            () = clock::sleep(PING_EVERY) => self.push(Message::Ping(Default::default())).await?,
        }
        Ok(())
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Say(text) => self.stream.text(&text),
            Order::End => self.stream.finish(),
        }
    }

    async fn give(&mut self, voiced: Voiced) -> Result<(), Trouble> {
        let seconds = |samples| Samples::<24_000>(samples).as_secs_f64();
        match (voiced, self.format) {
            (Voiced::Sound(pcm), Format::Raw) => {
                let bytes: Vec<u8> = pcm.iter().flat_map(|sample| sample.to_le_bytes()).collect();
                self.push(Message::Binary(bytes.into())).await
            }
            (Voiced::Sound(pcm), Format::Messages) => self.say(&TtsOut::Audio { pcm }).await,
            (Voiced::Word { text, start, stop }, Format::Messages) => {
                self.say(&TtsOut::Text { text, start_s: seconds(start), stop_s: seconds(stop) }).await
            }
            (Voiced::Phones(spans), Format::Messages) if self.phones => {
                let spans = spans.into_iter().map(|(start, stop, ipa)| (seconds(start), seconds(stop), ipa)).collect();
                self.say(&TtsOut::Phones { spans }).await
            }
            _ => Ok(()),
        }
    }

    async fn say(&mut self, message: &TtsOut) -> Result<(), Trouble> {
        if self.format == Format::Raw {
            return Ok(());
        }
        self.push(Message::Binary(pack(message).into())).await
    }

    async fn push(&mut self, message: Message) -> Result<(), Trouble> {
        match clock::timeout(SEND_LIMIT, self.out.send(message)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Trouble::Caller),
        }
    }

    async fn fail(&mut self, message: String, code: u16) {
        let _ = self.say(&TtsOut::Error { message }).await;
        self.close(Some(CloseFrame { code, reason: "".into() })).await;
    }

    async fn close(&mut self, frame: Option<CloseFrame>) {
        let _ = self.push(Message::Close(frame)).await;
    }
}

async fn send(socket: &mut WebSocket, message: &TtsOut) -> Result<(), Trouble> {
    match clock::timeout(SEND_LIMIT, socket.send(Message::Binary(pack(message).into()))).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(Trouble::Caller),
    }
}

/// Texts that wait for the voice; more make the caller wait. A long turn of the agent fits.
const ORDERS: usize = 256;
/// A text, or a voice's embedding of a few hundred kB.
const MAX_MESSAGE_BYTES: usize = 4 << 20;
/// As moshi-server: a ping when there was nothing to send for so long …
const PING_EVERY: Duration = Duration::from_secs(10);
/// … and the end when nothing, not even a pong, came for so long. Ours is longer: a caller that does not read because its
/// listener is slow does not answer pings either.
const SILENT_CALLER: Duration = Duration::from_secs(120);
/// A caller that has not taken one message in this time is gone.
const SEND_LIMIT: Duration = Duration::from_secs(60);
