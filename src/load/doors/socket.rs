//! io: a WebSocket to a server of moshi-server's protocols, with every failure named by its cause

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use reqwest::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Bytes, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::load::error::is_ours;
use crate::load::outcome::Cause;
use crate::runtime::clock;
use crate::wire::moshi::{pack, unpack};

/// One connection: one seat at an engine.
pub(super) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Opens `path` (with its query) of `server`; `http://` means `ws://`. `key` is sent as `kyutai-api-key`.
    pub(super) async fn open(server: &str, path: &str, key: Option<&str>) -> Result<Self, Cause> {
        let base = server.trim_end_matches('/');
        let base = base.strip_prefix("http").map_or_else(|| base.to_owned(), |rest| format!("ws{rest}"));
        let mut request = format!("{base}{path}").into_client_request().map_err(|_| Cause::Unreachable)?;
        if let Some(key) = key {
            let key = HeaderValue::from_str(key).map_err(|_| Cause::Refused)?;
            request.headers_mut().insert("kyutai-api-key", key);
        }
        let opened = tokio_tungstenite::connect_async_with_config(request, None, true);
        match clock::timeout(CONNECT, opened).await {
            Ok(Ok((socket, _))) => Ok(Self(socket)),
            Ok(Err(error)) => Err(not_opened(&error)),
            Err(_) => Err(Cause::NotConnected),
        }
    }

    pub(super) async fn say(&mut self, message: &impl Serialize) -> Result<(), Cause> {
        self.send(pack(message).into()).await
    }

    /// Sends one message that is packed already.
    pub(super) async fn send(&mut self, message: Bytes) -> Result<(), Cause> {
        match clock::timeout(SEND, self.0.send(Message::Binary(message))).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Cause::Dropped),
        }
    }

    /// Waits until the seat is ours; `means` says what a message says about that.
    pub(super) async fn seated<T: DeserializeOwned>(&mut self, means: impl Fn(&T) -> Seat) -> Result<(), Cause> {
        let until = clock::now() + SEAT;
        // A few messages may come before it; who sends many has not understood us.
        for _ in 0..10 {
            match self.next_until(until, Cause::NotConnected).await?.as_ref().map(&means) {
                Some(Seat::Given) => return Ok(()),
                // What an engine of this protocol says instead of Ready is that it has no seat.
                Some(Seat::Full) => return Err(Cause::Busy),
                Some(Seat::Unsaid) => {}
                None => return Err(Cause::Refused),
            }
        }
        Err(Cause::Garbage)
    }

    /// The next message that comes before `until`; `late` when none does. Of a server that always has more to say the time
    /// is up as well: the clock is looked at before each message.
    pub(super) async fn next_until<T: DeserializeOwned>(
        &mut self,
        until: Instant,
        late: Cause,
    ) -> Result<Option<T>, Cause> {
        let left = until.saturating_duration_since(clock::now());
        if left.is_zero() {
            return Err(late);
        }
        clock::timeout(left, self.next()).await.map_err(|_| late)?
    }

    /// The next message; `None` when the server has closed the connection in good order. Cancel safe.
    pub(super) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Cause> {
        loop {
            return match self.0.next().await {
                None => Ok(None),
                // 1013: try again later.
                Some(Ok(Message::Close(Some(close)))) if close.code == CloseCode::Again => Err(Cause::Busy),
                Some(Ok(Message::Close(_))) => Ok(None),
                Some(Ok(Message::Binary(bytes))) => unpack(&bytes).map(Some).map_err(|_| Cause::Garbage),
                Some(Ok(Message::Text(_))) => Err(Cause::Garbage),
                // Pings are answered by the socket while it is read.
                Some(Ok(_)) => continue,
                Some(Err(tungstenite::Error::Utf8(_) | tungstenite::Error::Capacity(_))) => Err(Cause::Garbage),
                Some(Err(_)) => Err(Cause::Dropped),
            };
        }
    }
}

/// What a message says about a seat that was asked for.
pub(super) enum Seat {
    Given,
    Full,
    Unsaid,
}

fn not_opened(error: &tungstenite::Error) -> Cause {
    use tungstenite::error::ProtocolError::HandshakeIncomplete;
    match error {
        error if is_ours(error) => Cause::Ours,
        tungstenite::Error::Http(response) => refused(response.status()),
        // Closed instead of an answer: nobody is there behind the port.
        tungstenite::Error::Protocol(HandshakeIncomplete) => Cause::Unreachable,
        tungstenite::Error::Protocol(_) | tungstenite::Error::HttpFormat(_) => Cause::Garbage,
        _ => Cause::Unreachable,
    }
}

/// What a status other than the wanted one means.
pub(super) fn refused(status: StatusCode) -> Cause {
    match status {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Cause::Busy,
        status if status.is_success() || status.is_redirection() => Cause::Garbage,
        _ => Cause::Refused,
    }
}

/// A seat is given in milliseconds, or refused in as many.
const CONNECT: Duration = Duration::from_secs(10);
/// From the handshake until the engine says that it is ready.
const SEAT: Duration = Duration::from_secs(15);
/// A message is small: a server that does not take it within this time has stopped reading.
const SEND: Duration = Duration::from_secs(10);
