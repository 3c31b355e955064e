//! io: a caller: joins a call over WebRTC as a browser would, speaks, listens, hangs up
//!
//! One task and one socket per caller; recorded speech is encoded once and replayed. Dropping a [`Caller`] is pulling its
//! plug: the server hears nothing more.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};
use serde_json::Value;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot, watch};

use crate::rtc::{Endpoint, Gone, Identity, RtcConfig, RtcError, SendError};
use crate::runtime::scope::{Scope, TaskCounter};
use crate::runtime::{clock, lane};

use super::ear::Ear;
use super::phone::{Command, Mouth, Phone, SayTimes, Shared};
use super::recording::{EventNote, Recording};
use super::utterance::{self, Utterance};

/// How a caller calls.
#[derive(Clone, Debug)]
pub struct CallSettings {
    /// The server, for instance `http://127.0.0.1:8080`.
    pub server: String,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<String>,
    /// The address that the caller's socket is bound to and announced at.
    pub bind: IpAddr,
    /// Ask for the face.
    pub video: bool,
    /// Decode and keep the sound (25 µs per packet, 5.8 MB per minute).
    pub keep_sound: bool,
    /// Keep the encoded frames (some 2 MB per minute).
    pub keep_frames: bool,
    /// May be shared by all callers of a process.
    pub identity: Identity,
    /// Counts the caller's task while it lives.
    pub tasks: TaskCounter,
}

impl CallSettings {
    /// A caller on this machine with everything on.
    pub fn new(server: impl Into<String>, identity: Identity) -> Self {
        Self {
            server: server.into(),
            token: None,
            bind: Ipv4Addr::LOCALHOST.into(),
            video: true,
            keep_sound: true,
            keep_frames: true,
            identity,
            tasks: TaskCounter::default(),
        }
    }
}

/// Why a call did not come about, or what did not happen in it.
#[derive(Debug, thiserror::Error)]
pub enum CallerError {
    /// The server said no, properly.
    #[error("the server refused the call: {status}: {body}")]
    Refused {
        status: StatusCode,
        /// Seconds, from `Retry-After`.
        retry_after: Option<u64>,
        body: String,
    },
    #[error("talking to the server: {0}")]
    Http(#[from] reqwest::Error),
    #[error("the server's address or answer is unusable: {0}")]
    Answer(String),
    #[error(transparent)]
    Rtc(#[from] RtcError),
    #[error("the caller's socket: {0}")]
    Socket(#[from] std::io::Error),
    #[error("{what} did not happen within {within:?}")]
    TooLate { what: String, within: Duration },
    #[error("the call is over: {0:?}")]
    Over(Option<Gone>),
    #[error("the data channel: {0}")]
    Channel(#[from] SendError),
}

/// One caller in one call.
pub struct Caller {
    http: reqwest::Client,
    /// Where the call is deleted.
    location: Option<Url>,
    token: Option<String>,
    /// The 201's SDP, for tests that look at it.
    answer: String,
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    changed: watch::Receiver<u64>,
    /// Events before this one have been given out by [`Self::event`].
    next_event: usize,
    /// Owns the phone's task: it ends with the caller.
    scope: Scope,
}

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

impl Caller {
    /// Offers a call to `POST {server}/v1/realtime/calls` and takes the answer. Media flows once [`Self::connected`].
    pub async fn join(http: &reqwest::Client, settings: &CallSettings) -> Result<Self, CallerError> {
        let socket = UdpSocket::bind((settings.bind, 0)).await?;
        let address = socket.local_addr()?;
        // Until the system has said once that there is room, `try_send_to` would find none.
        let patience = |_| CallerError::TooLate { what: "a writable socket".into(), within: HTTP_LIMIT };
        clock::timeout(HTTP_LIMIT, socket.writable()).await.map_err(patience)??;
        let config = RtcConfig::new(settings.identity.clone(), vec![address]);
        let (mut endpoint, offer) = Endpoint::offer(&config, settings.video, clock::now())?;

        let url = endpoint_url(&settings.server)?;
        let mut request =
            http.post(url.clone()).timeout(HTTP_LIMIT).header(CONTENT_TYPE, "application/sdp").body(offer);
        if let Some(token) = &settings.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await?;
        if response.status() != StatusCode::CREATED {
            return Err(refusal(response).await);
        }
        let location = response.headers().get(LOCATION).and_then(|l| l.to_str().ok()).and_then(|l| url.join(l).ok());
        let answer = response.text().await?;
        endpoint.accept_answer(clock::now(), &answer)?;
        Ok(Self::on(http, settings, endpoint, socket, address, location, answer))
    }

    fn on(
        http: &reqwest::Client,
        settings: &CallSettings,
        endpoint: Endpoint,
        socket: UdpSocket,
        address: SocketAddr,
        location: Option<Url>,
        answer: String,
    ) -> Self {
        let (commands, obeyed) = lane::waiting(COMMANDS);
        let (version, changed) = watch::channel(0);
        let shared = Arc::new(Shared { recording: Mutex::default(), changed: version });
        let phone = Phone {
            endpoint,
            socket,
            address,
            commands: obeyed,
            shared: shared.clone(),
            silence: utterance::silence().expect("Opus encodes silence"),
            keep_sound: settings.keep_sound,
            keep_frames: settings.keep_frames,
            mouth: Mouth::default(),
            ear: Ear::new(),
            asked_for_keyframe: None,
            sees: false,
        };
        let mut scope = Scope::new(settings.tasks.clone());
        scope.spawn("caller", phone.run());
        Self {
            http: http.clone(),
            location,
            token: settings.token.clone(),
            answer,
            commands,
            shared,
            changed,
            next_event: 0,
            scope,
        }
    }

    /// The SDP that the server answered with.
    pub fn answer(&self) -> &str {
        &self.answer
    }

    /// The path or URL of the call on the server.
    pub fn location(&self) -> Option<&Url> {
        self.location.as_ref()
    }

    /// Waits until media flows and events can be sent.
    pub async fn connected(&mut self, within: Duration) -> Result<Instant, CallerError> {
        self.until("a connection", within, |recording| recording.connected.filter(|_| recording.channel_open.is_some()))
            .await
    }

    /// Says an utterance from the next 20 ms tick on, or after those still being said.
    pub async fn say(&self, utterance: &Utterance) -> Result<Saying, CallerError> {
        let ((began_tx, began), (speech_tx, speech_ended), (finished_tx, finished)) =
            (oneshot::channel(), oneshot::channel(), oneshot::channel());
        let times = SayTimes { began: began_tx, speech_ended: speech_tx, finished: finished_tx };
        self.command(Command::Say { utterance: utterance.clone(), times }).await?;
        Ok(Saying { began, speech_ended, finished })
    }

    /// Sends one event.
    pub async fn send(&self, event: &Value) -> Result<(), CallerError> {
        let (done, sent) = oneshot::channel();
        self.command(Command::Send { text: event.to_string(), done }).await?;
        sent.await.map_err(|_| self.over())??;
        Ok(())
    }

    /// The next event of type `kind` that has not been given out; those before it are passed over for good.
    pub async fn event(&mut self, kind: &str, within: Duration) -> Result<EventNote, CallerError> {
        let from = self.next_event;
        let (index, note) = self
            .until(kind, within, |recording| {
                let (index, note) =
                    recording.events.iter().enumerate().skip(from).find(|(_, event)| event.kind() == kind)?;
                Some((index, note.clone()))
            })
            .await?;
        self.next_event = index + 1;
        Ok(note)
    }

    /// Waits until `found` finds what it looks for in the recording. `what` names it in the error.
    pub async fn until<T>(
        &mut self,
        what: &str,
        within: Duration,
        found: impl Fn(&Recording) -> Option<T>,
    ) -> Result<T, CallerError> {
        let search = async {
            loop {
                self.changed.mark_unchanged();
                let ended = {
                    let recording = lock(&self.shared);
                    if let Some(value) = found(&recording) {
                        return Ok(value);
                    }
                    recording.ended.clone()
                };
                if let Some((_, gone)) = ended {
                    return Err(CallerError::Over(Some(gone)));
                }
                if self.changed.changed().await.is_err() {
                    return Err(CallerError::Over(None));
                }
            }
        };
        match clock::timeout(within, search).await {
            Ok(result) => result,
            Err(_) => Err(CallerError::TooLate { what: what.to_owned(), within }),
        }
    }

    /// Looks at what has come so far. Be quick: the phone waits.
    pub fn look<T>(&self, at: impl FnOnce(&Recording) -> T) -> T {
        at(&lock(&self.shared))
    }

    /// Ends the call by `DELETE` and waits for the server's goodbye. Gives what the call left behind.
    pub async fn hang_up(mut self) -> Result<Recording, CallerError> {
        let location = self.location.clone().ok_or_else(|| CallerError::Answer("the 201 named no Location".into()))?;
        let mut request = self.http.delete(location).timeout(HTTP_LIMIT);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await?;
        if !response.status().is_success() {
            return Err(refusal(response).await);
        }
        self.ended(GOODBYE).await?;
        Ok(self.take().await)
    }

    /// Ends the call from here, as a browser's `pc.close()` does. Gives what the call left behind.
    pub async fn close(mut self) -> Result<Recording, CallerError> {
        self.command(Command::Close).await?;
        self.ended(GOODBYE).await?;
        Ok(self.take().await)
    }

    /// Pulls the plug: no goodbye. Gives what the call left behind.
    pub async fn vanish(self) -> Recording {
        self.take().await
    }

    /// Waits for the end of the call, whoever ends it.
    pub async fn ended(&mut self, within: Duration) -> Result<Gone, CallerError> {
        self.until("the end of the call", within, |recording| recording.ended.clone().map(|(_, gone)| gone)).await
    }

    async fn take(mut self) -> Recording {
        self.scope.abort_all().await;
        std::mem::take(&mut *lock(&self.shared))
    }

    async fn command(&self, command: Command) -> Result<(), CallerError> {
        match clock::timeout(HTTP_LIMIT, self.commands.send(command)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(self.over()),
        }
    }

    fn over(&self) -> CallerError {
        CallerError::Over(self.look(|recording| recording.ended.clone().map(|(_, gone)| gone)))
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, Recording> {
    shared.recording.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn endpoint_url(server: &str) -> Result<Url, CallerError> {
    let unusable = |why: String| CallerError::Answer(format!("{server}: {why}"));
    let base = Url::parse(server).map_err(|e| unusable(e.to_string()))?;
    base.join("/v1/realtime/calls").map_err(|e| unusable(e.to_string()))
}

async fn refusal(response: Response) -> CallerError {
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    // A refusal without a readable body is a refusal all the same.
    let body = response.text().await.unwrap_or_default();
    CallerError::Refused { status, retry_after, body }
}

/// What may be asked of a phone before it answers.
const COMMANDS: usize = 64;

/// Answering an offer takes milliseconds; a server that needs longer than this is not one.
const HTTP_LIMIT: Duration = Duration::from_secs(10);

/// From the wish to end a call to the other side's goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

const LONGEST_SPEECH: Duration = Duration::from_secs(600);
