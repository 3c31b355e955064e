//! io: a caller: joins a call over WebRTC as a browser would, speaks, listens, hangs up
//!
//! One task and one socket per caller; recorded speech is encoded once and replayed. Dropping a [`Caller`] is pulling its
//! plug: the server hears nothing more.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Url;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use crate::rtc::{Endpoint, Gone, Identity, RtcConfig};
use crate::runtime::scope::{Scope, TaskCounter};
use crate::runtime::{clock, lane};

use super::dial::{self, Dial, HTTP_LIMIT};
use super::ear::Ear;
use super::error::CallerError;
use super::link::{Link, UdpLink};
use super::meter::{Meter, Visit};
use super::mouth::{Line, Mouth, Saying};
use super::outcome::{Cause, Request};
use super::phone::{Command, Keep, Notes, Phone, Shared};
use super::recording::{EventNote, Recording};
use super::turns::{Question, TurnSettings};
use super::utterance::{self, Utterance};

/// How a caller calls.
#[derive(Clone, Debug)]
pub struct CallSettings {
    /// The server, for instance `http://127.0.0.1:8080`; with a path, the whole URL that takes offers.
    pub server: String,
    pub dial: Dial,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<String>,
    /// The address that the caller's socket is bound to and announced at.
    pub bind: IpAddr,
    /// Ask for the face.
    pub video: bool,
    /// Keep the sound (5.8 MB per minute).
    pub keep_sound: bool,
    /// Keep the encoded frames (some 2 MB per minute).
    pub keep_frames: bool,
    /// Keep the events: [`Caller::event`] finds none otherwise.
    pub keep_events: bool,
    /// How turns are told apart and judged.
    pub turns: TurnSettings,
    /// May be shared by all callers of a process.
    pub identity: Identity,
    /// Counts the caller's task while it lives.
    pub tasks: TaskCounter,
}

impl CallSettings {
    /// A caller on this machine that keeps everything.
    pub fn new(server: impl Into<String>, identity: Identity) -> Self {
        Self {
            server: server.into(),
            dial: Dial::Realtime,
            token: None,
            bind: Ipv4Addr::LOCALHOST.into(),
            video: true,
            keep_sound: true,
            keep_frames: true,
            keep_events: true,
            turns: TurnSettings::new(clock::now()),
            identity,
            tasks: TaskCounter::default(),
        }
    }

    /// A caller on this machine that only measures. Times count from `since`, when the run began.
    pub fn measuring(server: impl Into<String>, identity: Identity, since: Instant) -> Self {
        Self {
            keep_sound: false,
            keep_frames: false,
            keep_events: false,
            turns: TurnSettings::new(since),
            ..Self::new(server, identity)
        }
    }
}

/// One caller in one call.
pub struct Caller {
    dial: Dial,
    http: reqwest::Client,
    /// Where the call is deleted.
    location: Option<Url>,
    token: Option<String>,
    /// The SDP that was answered, for tests that look at it.
    answer: String,
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    changed: watch::Receiver<u64>,
    /// Events before this one have been given out by [`Self::event`].
    next_event: usize,
    /// The last thing that was said or asked.
    question: Question,
    /// Owns the phone's task: it ends with the caller.
    scope: Scope,
}

/// A call that is offered and not answered yet: for those who bring their own link and carry the SDP themselves.
pub struct Offering<L> {
    endpoint: Endpoint,
    link: L,
    dialled: Instant,
    settings: CallSettings,
}

impl<L: Link> Offering<L> {
    /// Gives the SDP to be answered.
    pub fn new(settings: &CallSettings, link: L) -> Result<(Self, String), CallerError> {
        let config = RtcConfig::new(settings.identity.clone(), vec![link.address()]);
        let dialled = clock::now();
        let (endpoint, offer) = Endpoint::offer(&config, settings.video, dialled)?;
        Ok((Self { endpoint, link, dialled, settings: settings.clone() }, offer))
    }

    /// Takes the answer; media flows once [`Caller::connected`].
    pub fn accept(
        mut self,
        http: &reqwest::Client,
        answer: String,
        location: Option<Url>,
    ) -> Result<Caller, CallerError> {
        self.endpoint.accept_answer(clock::now(), &answer)?;
        let Self { endpoint, link, dialled, settings } = self;
        let (commands, obeyed) = lane::waiting(COMMANDS);
        let (shared, changed) = Shared::new(Meter::new(settings.turns, dialled, settings.video));
        let phone = Phone {
            endpoint,
            link,
            commands: obeyed,
            shared: shared.clone(),
            silence: utterance::silence().expect("Opus encodes silence").into(),
            keep: Keep { sound: settings.keep_sound, frames: settings.keep_frames, events: settings.keep_events },
            mouth: Mouth::default(),
            ear: if settings.keep_sound { Ear::recording() } else { Ear::measuring() },
            asked_for_keyframe: None,
            sees: false,
        };
        let mut scope = Scope::new(settings.tasks.clone());
        scope.spawn("caller", phone.run());
        let CallSettings { dial, token, .. } = settings;
        let http = http.clone();
        Ok(Caller { dial, http, location, token, answer, commands, shared, changed, next_event: 0, question: 0, scope })
    }
}

impl Caller {
    /// Offers a call to the server and takes the answer. Media flows once [`Self::connected`].
    pub async fn join(http: &reqwest::Client, settings: &CallSettings) -> Result<Self, CallerError> {
        let url = settings.dial.url(&settings.server)?;
        let link = UdpLink::bind(settings.bind).await?;
        let (offering, offer) = Offering::new(settings, link)?;
        let answered = settings.dial.offer(http, &url, settings.token.as_deref(), offer).await?;
        let location = answered.location.clone();
        let accepted = offering.accept(http, answered.sdp, answered.location);
        if let (Err(_), Some(location)) = (&accepted, location) {
            // The server holds a seat for a call that cannot come about. It may not know that it does.
            let _ = dial::hang_up(http, location, settings.token.as_deref()).await;
        }
        accepted
    }

    /// The SDP that the server answered with.
    pub fn answer(&self) -> &str {
        &self.answer
    }

    /// The path or URL of the call on the server.
    pub fn location(&self) -> Option<&Url> {
        self.location.as_ref()
    }

    /// Waits until media flows, and, where the server speaks events, until they can be sent.
    pub async fn connected(&mut self, within: Duration) -> Result<Instant, CallerError> {
        let needs_channel = self.dial == Dial::Realtime;
        let up = self.until("a connection", within, |recording| {
            recording.connected.filter(|_| recording.channel_open.is_some() || !needs_channel)
        });
        match up.await {
            Err(CallerError::TooLate { within, .. }) => Err(CallerError::NotConnected(within)),
            other => other,
        }
    }

    /// Says an utterance from the next 20 ms tick on, or after those still being said.
    pub async fn say(&mut self, utterance: &Utterance) -> Result<Saying, CallerError> {
        let (line, saying) = Line::new(utterance.clone(), self.question + 1);
        self.command(Command::Say(line)).await?;
        self.question += 1;
        Ok(saying)
    }

    /// Sends one event. A `response.create` is a question like one that is spoken.
    pub async fn send(&mut self, event: &Value) -> Result<(), CallerError> {
        let asks = (event["type"] == "response.create").then_some(self.question + 1);
        let (done, sent) = oneshot::channel();
        self.command(Command::Send { text: event.to_string(), asks, done }).await?;
        sent.await.map_err(|_| self.over())??;
        self.question = asks.unwrap_or(self.question);
        Ok(())
    }

    /// Waits until the answer to what was said or asked last is audible. After `within` the question counts as not answered.
    pub async fn hears_answer(&mut self, within: Duration) -> Result<Instant, CallerError> {
        let question = self.question;
        let heard = self.wait("an answer", within, |notes| notes.meter.turns.first_sound(question)).await;
        match heard {
            Ok(first) => first.map_err(CallerError::Unanswered),
            Err(CallerError::TooLate { .. }) => Err(self.give_up()),
            Err(error) => Err(error),
        }
    }

    /// Waits until that answer is over, and gives what was measured of it; [`Request::failure`] says whether the server
    /// reported an error instead. After `within` it counts as not answered, or as endless.
    pub async fn answered(&mut self, within: Duration) -> Result<Request, CallerError> {
        let question = self.question;
        let over = self.wait("an answer's end", within, |notes| notes.meter.turns.request(question).cloned());
        match over.await {
            Err(CallerError::TooLate { .. }) => Err(self.give_up()),
            other => other,
        }
    }

    fn give_up(&self) -> CallerError {
        let why = |sounds| if sounds { Cause::Endless } else { Cause::NoAnswer };
        let cause = self.shared.lock().meter.turns.give_up(clock::now(), why);
        CallerError::Unanswered(cause.unwrap_or(Cause::NoAnswer))
    }

    /// What the server said of the first event that it did not take.
    pub fn refusal(&self) -> Option<String> {
        self.shared.lock().meter.refused.clone()
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
        self.wait(what, within, |notes| found(&notes.recording)).await
    }

    async fn wait<T>(
        &mut self,
        what: &str,
        within: Duration,
        found: impl Fn(&Notes) -> Option<T>,
    ) -> Result<T, CallerError> {
        let search = async {
            loop {
                self.changed.mark_unchanged();
                let ended = {
                    let notes = self.shared.lock();
                    if let Some(value) = found(&notes) {
                        return Ok(value);
                    }
                    notes.recording.ended.clone()
                };
                if let Some((_, gone)) = ended {
                    return Err(CallerError::Over(Some(gone)));
                }
                tokio::select! {
                    // The sender is held here, too: it does not go.
                    _ = self.changed.changed() => {}
                    () = self.commands.closed() => {
                        // The end may be what is waited for: it is looked at above.
                        if self.shared.lock().recording.ended.is_none() {
                            return Err(CallerError::Over(None));
                        }
                    }
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
        at(&self.shared.lock().recording)
    }

    /// Ends the call, by `DELETE` where the server named a place for that, and gives what was measured of it. Whatever the
    /// server makes of the goodbye, this ends within seconds.
    pub async fn leave(mut self) -> Visit {
        let gone = self.look(|recording| recording.ended.clone().map(|(_, gone)| gone));
        if gone.is_none() {
            self.shared.lock().meter.ended(clock::now());
            let deleted = match self.location.take() {
                Some(location) => dial::hang_up(&self.http, location, self.token.as_deref()).await.is_ok(),
                None => false,
            };
            // A caller that is not waved back at leaves all the same.
            if deleted || self.command(Command::Close).await.is_ok() {
                let _ = self.ended(GOODBYE).await;
            }
        }
        self.measured(gone).await
    }

    /// The same by the connection alone, as a browser's `pc.close()` does it.
    pub async fn close_line(mut self) -> Visit {
        self.location = None;
        self.leave().await
    }

    /// Pulls the plug, and gives what was measured until then.
    pub async fn drop_out(self) -> Visit {
        let gone = self.look(|recording| recording.ended.clone().map(|(_, gone)| gone));
        self.measured(gone).await
    }

    async fn measured(mut self, gone: Option<Gone>) -> Visit {
        self.scope.abort_all().await;
        let now = clock::now();
        let empty = Meter::new(TurnSettings::new(now), now, false);
        std::mem::replace(&mut self.shared.lock().meter, empty).visit(now, gone)
    }

    /// Ends the call by `DELETE` and waits for the server's goodbye. Gives what the call left behind.
    pub async fn hang_up(mut self) -> Result<Recording, CallerError> {
        let location = self.location.clone().ok_or_else(|| CallerError::Answer("the 201 named no Location".into()))?;
        dial::hang_up(&self.http, location, self.token.as_deref()).await?;
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
        std::mem::take(&mut self.shared.lock().recording)
    }

    async fn command(&self, command: Command) -> Result<(), CallerError> {
        match clock::timeout(HTTP_LIMIT, self.commands.send(command)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(self.over()),
        }
    }

    /// Why nothing can be asked of the phone any more.
    pub(super) fn over(&self) -> CallerError {
        CallerError::Over(self.look(|recording| recording.ended.clone().map(|(_, gone)| gone)))
    }
}

/// What may be asked of a phone before it answers.
const COMMANDS: usize = 64;

/// From the wish to end a call to the other side's goodbye.
const GOODBYE: Duration = Duration::from_secs(5);
