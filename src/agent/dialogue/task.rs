//! task: joins the turn, the history, the language model and the voice

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};

use super::account::Account;
use super::history::History;
use super::llm::LlmClient;
use super::prompt::{self, Brain, Persona};
use super::reply::{Reply, Step};
use super::turn::{Input, Manners, Output, Turn, Why};
use crate::agent::flow::{
    Ask, AskId, Entry, Fact, Fault, Floor, Heard, Notice, Outcome, Place, Progress, Respond, Role, Settings, TurnId,
    Usage, Utterance, VoiceChoice,
};
use crate::metrics::{LaneName, Metrics};
use crate::runtime::{clock, lane};

/// What the room is joined to.
pub struct Lanes {
    pub heard: mpsc::Receiver<Heard>,
    pub asks: mpsc::Receiver<Ask>,
    pub progress: watch::Receiver<Progress>,
    pub settings: watch::Receiver<Settings>,
    pub floor: watch::Sender<Floor>,
    pub say: mpsc::Sender<Utterance>,
    pub notices: mpsc::Sender<Notice>,
}

/// What the room works with.
pub struct Tools {
    pub llm: LlmClient,
    pub brain: Brain,
    pub people: Arc<People>,
    pub max_tokens: u32,
    pub context_tokens: usize,
    pub metrics: Metrics,
}

/// Everybody that a call can be with.
#[derive(Debug, Default)]
pub struct People(pub HashMap<String, Person>);

/// One of them, as the dialogue needs to know them.
#[derive(Clone, Debug)]
pub struct Person {
    pub persona: Persona,
    pub greeting: Option<String>,
    pub voice: VoiceChoice,
    pub temperature_first: f32,
    pub temperature: f32,
    /// A reply that ends with these words ends the call, once it has been heard.
    pub goodbye: Option<String>,
}

/// The reader of notices was too slow, or the voice is gone: the session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialogueError {
    #[error("nobody takes our notices")]
    NoticesFull,
    #[error("the person of this call is in no list")]
    Nobody,
}

/// Talks until hearing and the client have hung up.
pub async fn run(mut lanes: Lanes, tools: Tools) -> Result<(), DialogueError> {
    let mut room = Room {
        turn: Turn::new(),
        history: History::new(),
        reply: None,
        asked: HashMap::new(),
        account: Account::new(tools.metrics.clone()),
        replies: 0,
        reading: None,
        settings: lanes.settings.clone(),
        floor: lanes.floor,
        say: lanes.say,
        notices: lanes.notices,
        tools,
    };
    let mut client_is_there = true;
    loop {
        room.act()?;
        let deadline = room.turn.deadline();
        tokio::select! {
            biased;
            heard = lanes.heard.recv() => match heard {
                Some(heard) => {
                    room.tools.metrics.lane_depth(LaneName::Heard, lanes.heard.len() + 1);
                    room.hear(heard)?;
                }
                None => return Ok(()),
            },
            ask = lanes.asks.recv(), if client_is_there => match ask {
                Some(ask) => {
                    room.tools.metrics.lane_depth(LaneName::Asks, lanes.asks.len() + 1);
                    room.answer(ask)?;
                }
                None => client_is_there = false,
            },
            changed = lanes.progress.changed() => match changed {
                Ok(()) => {
                    let progress = lanes.progress.borrow_and_update().clone();
                    for played in &progress.turns {
                        room.history.played(played);
                        room.account.fell_silent(played);
                    }
                    room.turn.handle(clock::now(), Input::Progress(&progress));
                }
                Err(_) => return Ok(()),
            },
            () = clock::sleep_until(deadline) => {}
            step = next_step(&mut room.reply) => room.step(step)?,
            () = read_ahead(&mut room.reading) => room.reading = None,
        }
    }
}

async fn next_step(reply: &mut Option<Reply>) -> Step {
    match reply {
        Some(reply) => reply.step().await,
        None => std::future::pending().await,
    }
}

async fn read_ahead(reading: &mut Option<BoxFuture<'static, ()>>) {
    match reading {
        Some(reading) => reading.await,
        None => std::future::pending().await,
    }
}

struct Room {
    turn: Turn,
    history: History,
    reply: Option<Reply>,
    /// What `response.create` said, until its turn begins.
    asked: HashMap<AskId, Respond>,
    account: Account,
    replies: u64,
    /// The model reads the conversation while the user speaks.
    reading: Option<BoxFuture<'static, ()>>,
    settings: watch::Receiver<Settings>,
    floor: watch::Sender<Floor>,
    say: mpsc::Sender<Utterance>,
    notices: mpsc::Sender<Notice>,
    tools: Tools,
}

impl Room {
    fn hear(&mut self, heard: Heard) -> Result<(), DialogueError> {
        if let Heard::TurnEnded { user, text, .. } = &heard
            && !text.is_empty()
        {
            tracing::debug!(text, "heard");
            // A turn that is named twice is a bug of hearing; its first words stand.
            let _ = self.history.insert(Place::End, Entry::User(*user), Role::User, text.clone());
        }
        if let Heard::SpeechStarted { onset, .. } = heard {
            self.account.spoke_up(onset);
            self.read_ahead();
        }
        let detection = self.settings.borrow().turn_detection;
        let manners = Manners {
            create_response: detection.is_some_and(|d| d.create_response),
            interrupt_response: detection.is_none_or(|d| d.interrupt_response),
        };
        self.turn.handle(clock::now(), Input::Heard(&heard, manners));
        Ok(())
    }

    /// Lets the embedded model read what the next question will follow, so that it has only the question to read when
    /// that comes: old turns have left the prompt, or the last reply was cut. Other servers are asked only what is
    /// answered.
    fn read_ahead(&mut self) {
        let settings = self.settings.borrow().clone();
        let (brain, people) = (self.tools.brain, self.tools.people.clone());
        let Some(person) = people.0.get(&settings.person).filter(|_| brain == Brain::Demo) else {
            return;
        };
        let budget = brain.history_tokens(self.tools.context_tokens);
        let mut conversation = self.history.messages(Some(USUAL_QUESTION), brain.marks_cuts(), budget);
        conversation.pop();
        let messages = prompt::messages(&person.persona, brain, settings.instructions.as_deref(), conversation);
        let llm = self.tools.llm.clone();
        self.reading = Some(async move { drop(llm.warm(messages).await) }.boxed());
    }

    fn answer(&mut self, ask: Ask) -> Result<(), DialogueError> {
        match ask {
            Ask::Respond(respond) => {
                let id = respond.id;
                self.asked.insert(id, respond);
                self.turn.handle(clock::now(), Input::Respond(id));
            }
            Ask::Cancel => self.turn.handle(clock::now(), Input::Cancel),
            Ask::Truncate { turn, played } => drop(self.history.truncate(turn, played)),
            Ask::Item { id, place, role, text } => {
                if let Err(error) = self.history.insert(place, Entry::Added(id), role, text) {
                    self.trouble(None, Fault::Caller, error.to_string())?;
                }
            }
            Ask::Delete { entry } => drop(self.history.delete(&entry)),
            Ask::Retrieve { entry } => {
                let text = self.history.retrieve(&entry);
                self.tell(None, Fact::Retrieved { entry, text })?;
            }
        }
        Ok(())
    }

    /// Does what the turn has decided.
    fn act(&mut self) -> Result<(), DialogueError> {
        while let Some(output) = self.turn.poll(clock::now()) {
            match output {
                Output::Floor(floor) => drop(self.floor.send_replace(floor)),
                Output::Begin { turn, why } => self.begin(turn, why)?,
                Output::Abandon { turn } => {
                    if self.reply.as_ref().is_some_and(|reply| reply.turn == turn) {
                        self.reply = None;
                    }
                }
                Output::Done { turn, outcome, usage } => {
                    self.account.done(outcome);
                    self.tell(Some(turn), Fact::ReplyDone { outcome, usage })?;
                }
                Output::Refuse(id) => {
                    self.asked.remove(&id);
                    self.tell(None, Fact::ReplyRefused { asked: id })?;
                }
                Output::FirstSound { played } => {
                    let first_token = self
                        .reply
                        .as_ref()
                        .filter(|reply| reply.turn == played.turn)
                        .and_then(|reply| reply.first_token);
                    if let Some(trace) = self.account.first_sound(&played, first_token) {
                        self.tell(Some(played.turn), Fact::Trace(trace))?;
                    }
                }
                Output::Interrupt(kind) => self.account.interrupted(kind),
            }
        }
        Ok(())
    }

    fn begin(&mut self, turn: TurnId, why: Why) -> Result<(), DialogueError> {
        self.reading = None;
        let settings = self.settings.borrow().clone();
        let person = self.tools.people.0.get(&settings.person).ok_or(DialogueError::Nobody)?.clone();
        let asked = match &why {
            Why::Asked { id, .. } => self.asked.remove(id),
            Why::Answer(_) => None,
        };
        self.tell(Some(turn), Fact::ReplyStarted { asked: asked.as_ref().map(|a| a.id) })?;
        let (words, spoken) = lane::waiting(WORDS);
        let voice = VoiceChoice { speed: person.voice.speed * settings.speed, ..person.voice.clone() };
        if self.say.try_send(Utterance { turn, voice, words: spoken }).is_err() {
            tracing::warn!(turn = turn.0, "the voice does not take a new turn");
        }
        let instructions = asked.as_ref().and_then(|a| a.instructions.clone()).or(settings.instructions.clone());
        let opening = self.history.is_empty() && asked.as_ref().is_some_and(|a| a.instructions.is_none());
        self.reply = Some(match person.greeting.clone().filter(|_| opening) {
            Some(greeting) => Reply::recited(turn, greeting, words),
            None => {
                let brain = self.tools.brain;
                let budget = brain.history_tokens(self.tools.context_tokens);
                let conversation = self.history.messages(None, brain.marks_cuts(), budget);
                let messages = prompt::messages(&person.persona, brain, instructions.as_deref(), conversation);
                let temperature = if self.replies == 0 { person.temperature_first } else { person.temperature };
                let temperature = brain.temperature(temperature);
                self.replies += 1;
                let most = asked.and_then(|a| a.max_output_tokens).or(settings.max_output_tokens);
                let tokens = brain.reply_tokens(self.tools.max_tokens).min(most.unwrap_or(u32::MAX));
                Reply::thought(turn, self.tools.llm.stream(messages, temperature, tokens), words)
            }
        });
        // Only this room begins replies, each under a new number.
        let _ = self.history.begin_reply(turn);
        self.account.began(turn, why, clock::now());
        Ok(())
    }

    fn step(&mut self, step: Step) -> Result<(), DialogueError> {
        let Some(reply) = &mut self.reply else { return Ok(()) };
        let turn = reply.turn;
        match step {
            Step::Said => {}
            Step::Text(delta) => self.tell(Some(turn), Fact::ReplyText { delta })?,
            Step::Done { outcome, usage } => {
                let settings = self.settings.borrow();
                let goodbye = self.tools.people.0.get(&settings.person).and_then(|person| person.goodbye.as_deref());
                let last_words = goodbye.is_some_and(|goodbye| ends_with(&reply.text, goodbye));
                drop(settings);
                self.text_done(turn, outcome, usage);
                if last_words {
                    self.tell(Some(turn), Fact::Goodbye)?;
                }
            }
            Step::Failed(error) => {
                reply.add(APOLOGY);
                self.trouble(Some(turn), error.fault(), error.to_string())?;
                self.text_done(turn, Outcome::Failed, Usage::default());
            }
        }
        Ok(())
    }

    fn text_done(&mut self, turn: TurnId, outcome: Outcome, usage: Usage) {
        self.turn.handle(clock::now(), Input::TextDone { turn, outcome, usage });
    }

    fn trouble(&self, turn: Option<TurnId>, fault: Fault, message: String) -> Result<(), DialogueError> {
        self.tell(turn, Fact::Trouble { fault, message })
    }

    fn tell(&self, turn: Option<TurnId>, fact: Fact) -> Result<(), DialogueError> {
        self.notices.try_send(Notice { turn, fact }).map_err(|_| DialogueError::NoticesFull)
    }
}

/// Whether `text` ends with these words, however they are written.
fn ends_with(text: &str, words: &str) -> bool {
    let plain = |text: &str| {
        let text = text.to_lowercase();
        text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    let words = plain(words);
    !words.is_empty() && plain(text).ends_with(&words)
}

/// Words that the voice may lie behind the language model.
const WORDS: usize = 256;

/// Stands for what the user is about to say, where its length decides how much of the conversation fits.
const USUAL_QUESTION: &str = "Could you tell me a bit more about it?";

/// Said when the language model fails: silence would be taken for thinking.
const APOLOGY: &str = "Sorry, I lost my thread. Could you say that again?";

#[cfg(test)]
mod tests {
    use super::ends_with;

    /// A goodbye is one however it is written, and only at the end.
    #[test]
    fn last_words() {
        for (text, yes) in [("It was nice. Good-bye!", true), ("Well, goodbye", false), ("good bye, and thanks", false)]
        {
            assert_eq!(ends_with(text, "Good bye!"), yes, "{text}");
        }
        assert!(!ends_with("anything", "?!"));
    }
}
