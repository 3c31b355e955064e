//! task: one caller's life: dials, is greeted, asks, listens, talks over, leaves, calls again; every wait has a limit
//!
//! Whatever goes wrong becomes a [`Cause`] in an [`Outcome`]: a person never fails and never hangs.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::caller::Caller;
use super::crowd::{Closing, Stage};
use super::dial::Dial;
use super::error::CallerError;
use super::figure::Figure;
use super::outcome::{Cause, Outcome};
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
    /// From its arrival until the plan is done or the time is up. Outcomes are told as they are known.
    pub(super) async fn live(mut self, closing: Closing, told: mpsc::Sender<Outcome>) {
        for _ in 0..MOST_VISITS {
            let Some(outcome) = self.visit(&closing).await else { return };
            // The crowd listens as long as its callers live.
            if told.send(outcome).await.is_err() || closing.up.is_cancelled() {
                return;
            }
            let Some(away) = self.plan.again() else { return };
            tokio::select! {
                () = closing.up.cancelled() => return,
                () = clock::sleep(away.max(LEAST_AWAY)) => {}
            }
        }
    }

    /// One call; `None` when it was cut before it had come about: nothing can be said of it.
    async fn visit(&mut self, closing: &Closing) -> Option<Outcome> {
        let began_s = self.stage.seconds(clock::now());
        let stage = self.stage.clone();
        stage.progress.dials();
        let mut caller = match self.dial(&closing.cut).await {
            Some(Ok(caller)) => caller,
            Some(Err(cause)) => {
                stage.progress.fails_to_connect();
                return Some(Outcome { failure: Some(cause), ..Outcome::nothing(self.number, began_s) });
            }
            None => {
                stage.progress.gives_up();
                return None;
            }
        };
        stage.progress.connects();
        let mut talk = Talk { caller: &mut caller, stage: &stage, up: &closing.up, was_greeted: false };
        let end = tokio::select! {
            () = closing.cut.cancelled() => End::Done,
            end = talk.converse(&mut self.plan) => end,
        };
        let was_greeted = talk.was_greeted;
        let failure = match end {
            End::Failed(cause) => Some(cause),
            End::Done | End::MidAnswer => None,
        };
        stage.progress.leaves(failure);
        let mut visit = match (failure, stage.scenario.hang_up.how) {
            // There is nobody to say goodbye to.
            (Some(Cause::Dropped), _) | (None, Leave::Vanish) => caller.drop_out().await,
            // Whoever leaves in anger hangs up all the same: a seat that stays taken would fail the next caller, too.
            (Some(_), _) | (None, Leave::HangUp) => caller.leave().await,
            (None, Leave::Close) => caller.close_line().await,
        };
        if was_greeted && let Some(greeting) = visit.requests.first_mut() {
            // Nobody had spoken: what it took is no answer's time. How it sounded counts.
            greeting.values.retain(|(figure, _)| !OF_A_QUESTION.contains(figure));
        }
        Some(visit.outcome(self.number, failure))
    }

    /// Until media flows; `None` when it was cut before. No call is left behind at the server.
    async fn dial(&self, cut: &CancellationToken) -> Option<Result<Caller, Cause>> {
        let stage = &self.stage;
        let joining = Caller::join(&stage.http, &stage.call);
        tokio::pin!(joining);
        let joined = tokio::select! {
            joined = &mut joining => joined,
            // Only the answer says where the call can be ended, and it is a matter of milliseconds.
            () = cut.cancelled() => clock::timeout(LAST_RINGS, joining).await.ok()?,
        };
        let mut caller = match joined {
            Ok(caller) => caller,
            Err(error) => return Some(Err(Cause::from(&error))),
        };
        let connected = tokio::select! {
            () = cut.cancelled() => None,
            connected = caller.connected(stage.scenario.patience.connect) => Some(connected),
        };
        let cause = match connected {
            Some(Ok(_)) => return Some(Ok(caller)),
            // Whoever hangs up before there was a call has not been called.
            Some(Err(CallerError::NotConnected(_) | CallerError::Over(Some(_)))) => Some(Err(Cause::NotConnected)),
            Some(Err(error)) => Some(Err(Cause::from(&error))),
            None => None,
        };
        caller.leave().await;
        cause
    }
}

/// A call that is up.
struct Talk<'a> {
    caller: &'a mut Caller,
    stage: &'a Stage,
    /// Nothing new is asked any more.
    up: &'a CancellationToken,
    /// The first question was the wish to be greeted.
    was_greeted: bool,
}

impl Talk<'_> {
    async fn converse(&mut self, plan: &mut Plan) -> End {
        match self.through(plan).await {
            Ok(end) => end,
            Err(cause) => End::Failed(cause),
        }
    }

    async fn through(&mut self, plan: &mut Plan) -> Result<End, Cause> {
        // Of servers that speak no events nobody knows how to ask them for anything but an answer.
        if self.stage.call.dial == Dial::Realtime {
            self.introduce().await?;
            if self.stage.scenario.greeting && !self.up.is_cancelled() {
                self.send(&json!({ "type": "response.create" })).await?;
                self.was_greeted = true;
                self.answer().await?;
            }
        }
        while let Some(turn) = plan.turn() {
            if !self.passes(turn.pause).await {
                break;
            }
            if let Some(end) = self.turn(turn).await? {
                return Ok(end);
            }
        }
        Ok(End::Done)
    }

    /// Says who is wanted, how patient its ears shall be and what to be told.
    async fn introduce(&mut self) -> Result<(), Cause> {
        let scenario = &self.stage.scenario;
        let mut session = json!({ "type": "realtime" });
        if let Some(person) = &scenario.person {
            session["audio"]["output"]["voice"] = json!(person);
        }
        if let Some(silence) = scenario.silence {
            let ms = silence.as_millis() as u64;
            session["audio"]["input"]["turn_detection"] = json!({ "type": "server_vad", "silence_duration_ms": ms });
        }
        if session.as_object().is_some_and(|session| session.len() > 1) {
            self.send(&json!({ "type": "session.update", "session": session })).await?;
        }
        // On its own: a server that knows none of them refuses this and nothing else.
        if !scenario.include.is_empty() {
            let session = json!({ "type": "realtime", "include": scenario.include });
            self.send(&json!({ "type": "session.update", "session": session })).await?;
        }
        Ok(())
    }

    /// Lets time pass; false when the step's is up before.
    async fn passes(&self, time: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.up.cancelled() => false,
            () = clock::sleep(time) => true,
        }
    }

    /// Asks, and takes the answer as the plan says. Gives an end where that is one.
    async fn turn(&mut self, turn: Turn) -> Result<Option<End>, Cause> {
        let up = self.up;
        tokio::select! {
            // A question that is not out has not been asked.
            () = up.cancelled() => return Ok(Some(End::Done)),
            said = self.say(&self.stage.say[turn.say]) => said?,
        }
        match turn.then {
            Then::Hear => self.answer().await?,
            Then::Leave { after } => {
                if self.begins().await? {
                    self.passes(after).await;
                    return Ok(Some(End::MidAnswer));
                }
            }
            Then::TalkOver { after, say } => {
                if self.begins().await? {
                    // What has begun is said to its end: the answer below it is open until then.
                    if self.passes(after).await {
                        self.say(&self.stage.talk_over[say]).await?;
                    }
                    self.answer().await?;
                }
            }
        }
        Ok(None)
    }

    /// Listens to the whole answer.
    async fn answer(&mut self) -> Result<(), Cause> {
        if !self.begins().await? {
            return Ok(());
        }
        let over = self.caller.answered(self.stage.scenario.patience.end).await;
        match over.map(|request| request.failure) {
            Ok(None) => {
                self.stage.progress.is_answered();
                Ok(())
            }
            Ok(Some(cause)) => self.goes_on_after(cause),
            Err(error) => self.goes_on_after(Cause::from(&error)),
        }
    }

    /// Whether an answer begins; without one the caller asks on, unless there is nobody left to ask.
    async fn begins(&mut self) -> Result<bool, Cause> {
        let begins = self.caller.hears_answer(self.stage.scenario.patience.answer).await;
        if let Some(what) = self.caller.refusal() {
            self.stage.progress.is_refused(&what);
        }
        match begins {
            Ok(_) => Ok(true),
            Err(error) => self.goes_on_after(Cause::from(&error)).map(|()| false),
        }
    }

    fn goes_on_after(&self, cause: Cause) -> Result<(), Cause> {
        match cause {
            Cause::NoAnswer | Cause::Failed => {
                self.stage.progress.is_not_answered();
                Ok(())
            }
            cause => Err(cause),
        }
    }

    /// Says it to its end; what follows its last audible sample is silence like any other.
    async fn say(&mut self, spoken: &Spoken) -> Result<(), Cause> {
        let mut saying = self.caller.say(&spoken.utterance).await.map_err(|error| Cause::from(&error))?;
        let limit = spoken.utterance.length() + TONGUE_TIED;
        match clock::timeout(limit, saying.speech_ended()).await {
            // The phone is gone: it knows whether the server ended the call.
            Ok(Err(CallerError::Over(_))) => Err(Cause::from(&self.caller.over())),
            Ok(ended) => ended.map(drop).map_err(|error| Cause::from(&error)),
            // The machine has no time for this many callers.
            Err(_) => Err(Cause::Ours),
        }
    }

    async fn send(&mut self, event: &Value) -> Result<(), Cause> {
        match clock::timeout(TONGUE_TIED, self.caller.send(event)).await {
            Ok(sent) => sent.map_err(|error| Cause::from(&error)),
            Err(_) => Err(Cause::Ours),
        }
    }
}

/// What is measured from a question on.
const OF_A_QUESTION: [Figure; 4] = [Figure::Turn, Figure::Ttft, Figure::Ttfb, Figure::Play];

/// Calls of one caller in one step: hours of calls of three seconds.
const MOST_VISITS: usize = 10_000;

/// Nobody dials faster: a caller that is refused at once does not become a flood.
const LEAST_AWAY: Duration = Duration::from_millis(200);

/// For a server's answer to an offer, when the time is up at that moment.
const LAST_RINGS: Duration = Duration::from_secs(2);

/// How much longer an utterance may take than it lasts, and how long an event may wait to be sent.
const TONGUE_TIED: Duration = Duration::from_secs(10);
