//! task: one caller's life: dials, is greeted, asks, listens, talks over, leaves, calls again; every wait has a limit
//!
//! Whatever goes wrong becomes a [`Cause`] in an [`Outcome`]: a person never fails and never hangs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::caller::Caller;
use super::crowd::Stage;
use super::error::CallerError;
use super::figure::Figure;
use super::outcome::{Cause, Outcome, Request};
use super::plan::{Plan, Then, Turn};
use super::scenario::Leave;
use super::speech::Spoken;
use crate::runtime::clock;

/// One caller.
pub(super) struct Person {
    pub(super) number: usize,
    pub(super) plan: Plan,
    /// What all callers of the crowd share.
    pub(super) stage: Arc<Stage>,
}

/// How a conversation went on to its end.
enum End {
    /// All turns are done, or the time is up.
    Done,
    /// In the middle of an answer, as the plan says.
    MidAnswer,
    Failed(Cause),
}

impl Person {
    /// From `arrives` until the plan is done or `over` is cancelled. Outcomes are told as they are known.
    pub(super) async fn live(mut self, arrives: Instant, over: CancellationToken, told: mpsc::Sender<Outcome>) {
        let mut next = arrives;
        for _ in 0..MOST_VISITS {
            tokio::select! {
                () = over.cancelled() => return,
                () = clock::sleep_until(Some(next)) => {}
            }
            let Some(outcome) = self.visit(&over).await else { return };
            // The crowd listens as long as its callers live.
            if told.send(outcome).await.is_err() || over.is_cancelled() {
                return;
            }
            let Some(away) = self.plan.again() else { return };
            next = clock::now() + away.max(LEAST_AWAY);
        }
    }

    /// One call; `None` when the time was up before it had come about: nothing can be said of it.
    async fn visit(&mut self, over: &CancellationToken) -> Option<Outcome> {
        let began = clock::now();
        let mut outcome = Outcome {
            caller: self.number,
            began_s: self.stage.seconds(began),
            connected_s: 0.0,
            caller_spoke_s: 0.0,
            agent_spoke_s: 0.0,
            failure: None,
            values: vec![],
            requests: vec![],
        };
        let stage = self.stage.clone();
        stage.progress.dials();
        let dialled = tokio::select! {
            () = over.cancelled() => None,
            dialled = self.dial() => Some(dialled),
        };
        let mut caller = match dialled {
            None => {
                stage.progress.gives_up();
                return None;
            }
            Some(Err(cause)) => {
                stage.progress.fails_to_connect();
                outcome.failure = Some(cause);
                return Some(outcome);
            }
            Some(Ok(caller)) => caller,
        };
        let connected = clock::now();
        stage.progress.connects();
        let end = tokio::select! {
            () = over.cancelled() => End::Done,
            end = self.converse(&mut caller, &mut outcome.requests) => end,
        };
        outcome.connected_s = (clock::now() - connected).as_secs_f64();
        outcome.failure = match end {
            End::Failed(cause) => Some(cause),
            End::Done | End::MidAnswer => None,
        };
        stage.progress.leaves(outcome.failure);
        self.leave(caller, &mut outcome).await;
        Some(outcome)
    }

    /// Until media flows.
    async fn dial(&self) -> Result<Caller, Cause> {
        let stage = &self.stage;
        let mut caller = Caller::join(&stage.http, &stage.call).await.map_err(|error| not_admitted(&error))?;
        match caller.connected(stage.scenario.patience.connect).await {
            Ok(_) => Ok(caller),
            Err(CallerError::NotConnected(_) | CallerError::Over(_)) => Err(Cause::NotConnected),
            Err(error) => Err(broken(&error)),
        }
    }

    async fn converse(&mut self, caller: &mut Caller, requests: &mut Vec<Request>) -> End {
        if let Err(cause) = self.introduce(caller).await {
            return End::Failed(cause);
        }
        if self.stage.scenario.greeting {
            match self.greeted(caller).await {
                Ok(()) => {}
                Err(cause @ (Cause::NoAnswer | Cause::Endless)) => {
                    requests.push(Request {
                        at_s: self.stage.seconds(clock::now()),
                        failure: Some(cause),
                        values: vec![],
                    });
                }
                Err(cause) => return End::Failed(cause),
            }
        }
        while let Some(turn) = self.plan.turn() {
            clock::sleep(turn.pause).await;
            match self.turn(caller, turn, requests).await {
                Ok(true) => {}
                Ok(false) => return End::MidAnswer,
                Err(cause) => return End::Failed(cause),
            }
        }
        End::Done
    }
}

impl Person {
    /// Says who is wanted, how patient the ears shall be and what to be told.
    async fn introduce(&self, caller: &mut Caller) -> Result<(), Cause> {
        let scenario = &self.stage.scenario;
        let within = scenario.patience.connect;
        match caller.event("session.created", within).await {
            Ok(_) => {}
            Err(CallerError::TooLate { .. }) => return Err(Cause::Garbage),
            Err(error) => return Err(broken(&error)),
        }
        let mut session = json!({ "type": "realtime" });
        if !scenario.include.is_empty() {
            session["include"] = json!(scenario.include);
        }
        if let Some(person) = &scenario.person {
            session["audio"]["output"]["voice"] = json!(person);
        }
        if let Some(silence) = scenario.silence {
            let ms = silence.as_millis() as u64;
            session["audio"]["input"]["turn_detection"] = json!({ "type": "server_vad", "silence_duration_ms": ms });
        }
        let update = json!({ "type": "session.update", "session": session });
        caller.send(&update).await.map_err(|error| broken(&error))
    }

    async fn greeted(&self, caller: &mut Caller) -> Result<(), Cause> {
        caller.send(&json!({ "type": "response.create" })).await.map_err(|error| broken(&error))?;
        self.begins(caller).await?;
        self.ends(caller).await
    }

    /// Asks, and takes the answer as the plan says. `false`: the caller has left in its middle.
    async fn turn(&self, caller: &mut Caller, turn: Turn, requests: &mut Vec<Request>) -> Result<bool, Cause> {
        let ended = say(caller, &self.stage.say[turn.say]).await?;
        let mut request = self.asked(ended);
        match self.begins(caller).await {
            Ok(at) => request.values.push((Figure::Turn, (at - ended).as_secs_f64())),
            Err(cause) => return self.note(request, cause, requests),
        }
        match turn.then {
            Then::Hear => {}
            Then::Leave { after } => {
                clock::sleep(after).await;
                requests.push(request);
                return Ok(false);
            }
            Then::TalkOver { after, say: over } => {
                clock::sleep(after).await;
                requests.push(request);
                let ended = say(caller, &self.stage.talk_over[over]).await?;
                request = self.asked(ended);
                match self.begins(caller).await {
                    Ok(at) => request.values.push((Figure::Turn, (at - ended).as_secs_f64())),
                    Err(cause) => return self.note(request, cause, requests),
                }
            }
        }
        match self.ends(caller).await {
            Ok(()) => {
                requests.push(request);
                self.stage.progress.is_answered();
                Ok(true)
            }
            Err(cause) => self.note(request, cause, requests),
        }
    }

    fn asked(&self, ended: Instant) -> Request {
        Request { at_s: self.stage.seconds(ended), ..Request::default() }
    }

    /// A question without its answer: the caller asks on, unless there is nobody left to ask.
    fn note(&self, request: Request, cause: Cause, requests: &mut Vec<Request>) -> Result<bool, Cause> {
        self.stage.progress.is_not_answered();
        requests.push(Request { failure: Some(cause), ..request });
        match cause {
            Cause::NoAnswer | Cause::Failed => Ok(true),
            cause => Err(cause),
        }
    }

    async fn begins(&self, caller: &mut Caller) -> Result<Instant, Cause> {
        match caller.event("output_audio_buffer.started", self.stage.scenario.patience.answer).await {
            Ok(note) => Ok(note.arrival),
            Err(CallerError::TooLate { .. }) => Err(Cause::NoAnswer),
            Err(error) => Err(broken(&error)),
        }
    }

    async fn ends(&self, caller: &mut Caller) -> Result<(), Cause> {
        match caller.event("output_audio_buffer.stopped", self.stage.scenario.patience.end).await {
            Ok(_) => Ok(()),
            Err(CallerError::TooLate { .. }) => Err(Cause::Endless),
            Err(error) => Err(broken(&error)),
        }
    }

    async fn leave(&self, caller: Caller, outcome: &mut Outcome) {
        // A call that has failed is left without ceremony: nobody may be there to say goodbye to.
        let how = if outcome.failure.is_some() { Leave::Vanish } else { self.stage.scenario.hang_up.how };
        let left = match how {
            Leave::HangUp => caller.hang_up().await.map(drop),
            Leave::Close => caller.close().await.map(drop),
            Leave::Vanish => {
                caller.vanish().await;
                Ok(())
            }
        };
        if let Err(error) = left {
            tracing::debug!(%error, caller = self.number, "a goodbye was not answered");
        }
    }
}

/// Says it; gives when its last audible sample left.
async fn say(caller: &mut Caller, spoken: &Spoken) -> Result<Instant, Cause> {
    let mut saying = caller.say(&spoken.utterance).await.map_err(|error| broken(&error))?;
    let limit = spoken.utterance.length() + TONGUE_TIED;
    match clock::timeout(limit, saying.speech_ended()).await {
        Ok(ended) => ended.map_err(|error| broken(&error)),
        // Our own side stalls: the machine has no time for this many callers.
        Err(_) => Err(Cause::Dropped),
    }
}

/// Why there was no call.
fn not_admitted(error: &CallerError) -> Cause {
    match error {
        CallerError::Refused { status, .. } => refusal(status.as_u16()),
        CallerError::Http(error) if error.is_body() || error.is_decode() => Cause::Garbage,
        CallerError::Http(_) => Cause::Unreachable,
        CallerError::Answer(_) | CallerError::Rtc(_) => Cause::Garbage,
        _ => Cause::Unreachable,
    }
}

/// What an HTTP status other than success means to a caller.
pub(super) fn refusal(status: u16) -> Cause {
    match status {
        429 | 503 => Cause::Busy,
        // It answered as no server of these protocols does.
        100..=399 => Cause::Garbage,
        _ => Cause::Refused,
    }
}

/// Why a call that was up is no more.
fn broken(error: &CallerError) -> Cause {
    match error {
        CallerError::Answer(_) => Cause::Garbage,
        _ => Cause::Dropped,
    }
}

/// Calls of one caller in one step: ten hours of calls of three seconds.
const MOST_VISITS: usize = 10_000;

/// Nobody dials faster: a caller that is refused at once does not become a flood.
const LEAST_AWAY: Duration = Duration::from_millis(200);

/// How much longer an utterance may take than it lasts.
const TONGUE_TIED: Duration = Duration::from_secs(10);
