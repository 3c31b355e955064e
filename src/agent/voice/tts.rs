//! io: a connection to a TTS engine: moshi-server's `/api/tts_streaming`, ours or a real one
//!
//! One connection per turn, opened before there are words, because a connection is a seat. Our opt-ins (`phones`, `speed`)
//! are asked for in the query, where others ignore them.

use std::time::{Duration, Instant};

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::agent::flow::{Fault, VoiceChoice};
use crate::metrics::{Metrics, SpeechStage};
use crate::runtime::clock;
use crate::wire::moshi::{TtsIn, TtsOut, pack, unpack};

/// Where the engine is and how long it may take.
#[derive(Clone, Debug, PartialEq)]
pub struct TtsSettings {
    /// `ws://host:port` (`http://` is understood, too), without the path.
    pub url: String,
    /// Sent as `kyutai-api-key`.
    pub key: Option<String>,
    /// From the call to `Ready`.
    pub connect_limit: Duration,
    /// Silence of the engine that means that it has died, once it has all the text.
    pub answer_limit: Duration,
}

impl TtsSettings {
    pub fn new(url: impl Into<String>, key: Option<String>) -> Self {
        Self { url: url.into(), key, connect_limit: Duration::from_secs(2), answer_limit: Duration::from_secs(10) }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TtsError {
    #[error("no connection to the speech engine at {url}: {source}")]
    Connect { url: String, source: Box<tungstenite::Error> },
    #[error("the speech engine at {0} was not ready in time")]
    Late(String),
    #[error("the speech engine is full: {0}")]
    Full(String),
    #[error("the speech engine refused our key")]
    Unauthorized,
    #[error("the speech engine reported: {0}")]
    Reported(String),
    #[error("the speech engine said something that is not in the protocol: {0}")]
    Misspoke(String),
    #[error("the connection to the speech engine broke: {0}")]
    Broke(Box<tungstenite::Error>),
    #[error("the speech engine hung up before it had the whole text")]
    HungUp,
    #[error("the speech engine has been silent for {0:?}")]
    Silent(Duration),
    #[error("the address of the speech engine is wrong: {0}")]
    Address(String),
}

impl TtsError {
    pub fn fault(&self) -> Fault {
        match self {
            Self::Full(_) => Fault::Busy,
            _ => Fault::Engine,
        }
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The half that words go into.
pub struct Words(SplitSink<Socket, Message>);

/// The half that sound comes out of.
pub struct Sound {
    socket: SplitStream<Socket>,
    /// When the one ping of this connection was sent, until it is answered.
    pinged: Option<Instant>,
    metrics: Metrics,
}

/// Connects, waits for `Ready`, and pings once: before the first sound the answer stands behind nothing. Dropping both
/// halves gives the seat back.
pub async fn connect(
    settings: &TtsSettings,
    voice: &VoiceChoice,
    metrics: &Metrics,
) -> Result<(Words, Sound), TtsError> {
    let dialled = clock::now();
    let opened = async {
        let (mut words, mut sound) = open(settings, voice, metrics).await?;
        metrics.engine_connected(SpeechStage::Tts, clock::now().saturating_duration_since(dialled));
        words.0.send(Message::Ping(Default::default())).await.map_err(|error| TtsError::Broke(Box::new(error)))?;
        sound.pinged = Some(clock::now());
        Ok((words, sound))
    };
    match clock::timeout(settings.connect_limit, opened).await {
        Ok(result) => result,
        Err(_) => Err(TtsError::Late(settings.url.clone())),
    }
}

async fn open(settings: &TtsSettings, voice: &VoiceChoice, metrics: &Metrics) -> Result<(Words, Sound), TtsError> {
    let mut request =
        address(settings, voice).into_client_request().map_err(|error| TtsError::Address(error.to_string()))?;
    if let Some(key) = &settings.key {
        let key = HeaderValue::from_str(key).map_err(|_| TtsError::Address("the key has odd characters".into()))?;
        request.headers_mut().insert("kyutai-api-key", key);
    }
    let (socket, _) =
        tokio_tungstenite::connect_async_with_config(request, None, true).await.map_err(|error| match error {
            tungstenite::Error::Http(response) if response.status() == StatusCode::UNAUTHORIZED => {
                TtsError::Unauthorized
            }
            source => TtsError::Connect { url: settings.url.clone(), source: Box::new(source) },
        })?;
    let (out, incoming) = socket.split();
    let mut sound = Sound { socket: incoming, pinged: None, metrics: metrics.clone() };
    // Unmute lets a few messages pass before Ready; who sends many has not understood us.
    for _ in 0..=10 {
        match sound.receive().await? {
            Some(TtsOut::Ready) => return Ok((Words(out), sound)),
            Some(TtsOut::Error { message }) => return Err(TtsError::Full(message)),
            Some(_) => {}
            None => return Err(TtsError::HungUp),
        }
    }
    Err(TtsError::Misspoke("no Ready among its first messages".into()))
}

impl Words {
    pub async fn say(&mut self, text: String) -> Result<(), TtsError> {
        self.send(&TtsIn::Text { text }).await
    }

    /// No text follows.
    pub async fn finish(&mut self) -> Result<(), TtsError> {
        self.send(&TtsIn::Eos).await
    }

    async fn send(&mut self, message: &TtsIn) -> Result<(), TtsError> {
        match clock::timeout(SEND_LIMIT, self.0.send(Message::Binary(pack(message).into()))).await {
            Ok(sent) => sent.map_err(|error| TtsError::Broke(Box::new(error))),
            Err(_) => Err(TtsError::Silent(SEND_LIMIT)),
        }
    }
}

impl Sound {
    /// The next message; `None` when the engine has closed the connection in good order. Cancel safe.
    pub async fn receive(&mut self) -> Result<Option<TtsOut>, TtsError> {
        loop {
            return match self.socket.next().await {
                None | Some(Ok(Message::Close(_))) => Ok(None),
                Some(Ok(Message::Binary(bytes))) => {
                    unpack(&bytes).map(Some).map_err(|error| TtsError::Misspoke(error.to_string()))
                }
                Some(Ok(Message::Pong(_))) => {
                    if let Some(pinged) = self.pinged.take() {
                        self.metrics.engine_ping(SpeechStage::Tts, clock::now().saturating_duration_since(pinged));
                    }
                    continue;
                }
                // Pings are answered by the socket while it is read.
                Some(Ok(_)) => continue,
                Some(Err(error)) => Err(TtsError::Broke(Box::new(error))),
            };
        }
    }
}

fn address(settings: &TtsSettings, voice: &VoiceChoice) -> String {
    let base = settings.url.trim_end_matches('/');
    let base = match base.strip_prefix("http") {
        Some(rest) => format!("ws{rest}"),
        None => base.to_owned(),
    };
    let name = percent_encoded(&voice.voice);
    let mut address = format!("{base}/api/tts_streaming?format=PcmMessagePack&phones=1&voice={name}");
    if (voice.speed - 1.0).abs() > 1e-3 {
        address.push_str(&format!("&speed={:.3}", voice.speed));
    }
    address
}

/// All but the unreserved characters of RFC 3986.
fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// A text is small: an engine that does not take it within this time has stopped reading.
const SEND_LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    /// What Unmute asks a real moshi-server for, and our opt-ins behind it.
    #[test]
    fn addresses_are_what_engines_expect() {
        let settings = TtsSettings::new("http://tts:8089/", None);
        let voice = VoiceChoice { voice: "unmute-prod-website/p329_022.wav".into(), speed: 1.0 };
        let plain =
            "ws://tts:8089/api/tts_streaming?format=PcmMessagePack&phones=1&voice=unmute-prod-website%2Fp329_022.wav";
        assert_eq!(address(&settings, &voice), plain);
        assert_eq!(address(&settings, &VoiceChoice { speed: 1.25, ..voice }), format!("{plain}&speed=1.250"));
    }
}
