//! io: one answer on its way from the language model to the voice

use std::collections::VecDeque;
use std::time::Instant;

use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::clauses::Clauses;
use super::llm::{self, LlmError, Token};
use crate::agent::flow::{Outcome, Say, TurnId, Usage};
use crate::runtime::clock;

/// Dropped, it hangs up on both the model and the voice.
pub struct Reply {
    pub turn: TurnId,
    model: Option<llm::Reply>,
    clauses: Clauses,
    /// Words that the voice has not taken yet.
    outbox: VecDeque<Say>,
    voice: Option<mpsc::Sender<Say>>,
    pub first_token: Option<Instant>,
    /// Everything that the model has said.
    pub text: String,
}

/// What a step of the reply was.
#[derive(Debug)]
pub enum Step {
    /// Text that will be said.
    Text(String),
    Done {
        outcome: Outcome,
        usage: Usage,
    },
    Failed(LlmError),
    /// The voice took a word.
    Said,
}

impl Reply {
    /// An answer that `model` is still thinking of.
    pub fn thought(turn: TurnId, model: llm::Reply, voice: mpsc::Sender<Say>) -> Self {
        Self {
            turn,
            model: Some(model),
            clauses: Clauses::new(),
            outbox: VecDeque::new(),
            voice: Some(voice),
            first_token: None,
            text: String::new(),
        }
    }

    /// `text`, word for word.
    pub fn recited(turn: TurnId, text: String, voice: mpsc::Sender<Say>) -> Self {
        let whole = futures_util::stream::iter([
            Ok(Token::Text(text)),
            Ok(Token::Done { truncated: false, usage: Usage::default() }),
        ]);
        Self::thought(turn, whole.boxed(), voice)
    }

    /// The next thing that happens. The model is read no faster than the voice takes its words. Cancel safe.
    pub async fn step(&mut self) -> Step {
        let more = self.outbox.len() < AHEAD;
        let happened = tokio::select! {
            biased;
            permit = reserve(&self.voice), if !self.outbox.is_empty() => match permit {
                Some(permit) => {
                    let word = self.outbox.pop_front().expect("the branch is taken only when one waits");
                    let last = word == Say::End;
                    permit.send(word);
                    Happened::Word { last }
                }
                None => Happened::HungUp,
            },
            token = next(&mut self.model), if more => Happened::Token(token),
        };
        match happened {
            Happened::Token(token) => return self.token(token),
            Happened::Word { last: false } => {}
            Happened::Word { last: true } => self.voice = None,
            // The voice has said why, and the stage will end the turn.
            Happened::HungUp => {
                self.voice = None;
                self.outbox.clear();
            }
        }
        Step::Said
    }

    fn token(&mut self, token: Option<Result<Token, LlmError>>) -> Step {
        match token {
            Some(Ok(Token::Text(text))) => {
                self.first_token.get_or_insert_with(clock::now);
                self.clauses.handle(&text);
                self.text.push_str(&text);
                self.collect();
                Step::Text(text)
            }
            Some(Ok(Token::Done { truncated, usage })) => {
                self.end();
                let outcome = if truncated { Outcome::Incomplete } else { Outcome::Completed };
                Step::Done { outcome, usage }
            }
            Some(Err(error)) => {
                self.end();
                Step::Failed(error)
            }
            None => {
                self.end();
                Step::Done { outcome: Outcome::Completed, usage: Usage::default() }
            }
        }
    }

    fn end(&mut self) {
        self.model = None;
        self.clauses.end();
        self.collect();
    }

    fn collect(&mut self) {
        while let Some(word) = self.clauses.poll() {
            self.outbox.push_back(word);
        }
    }

    /// Adds words to what the model said: an honest apology.
    pub fn add(&mut self, words: &str) {
        if self.voice.is_some() {
            self.outbox.retain(|word| *word != Say::End);
            self.outbox.extend(words.split_whitespace().map(|w| Say::Word(w.to_owned())));
            self.outbox.push_back(Say::End);
        }
    }
}

enum Happened {
    Word { last: bool },
    HungUp,
    Token(Option<Result<Token, LlmError>>),
}

async fn reserve(voice: &Option<mpsc::Sender<Say>>) -> Option<mpsc::Permit<'_, Say>> {
    voice.as_ref()?.reserve().await.ok()
}

async fn next(model: &mut Option<llm::Reply>) -> Option<Result<Token, LlmError>> {
    match model {
        Some(model) => model.next().await,
        None => std::future::pending().await,
    }
}

/// Words that wait for the voice before the model is read more slowly.
const AHEAD: usize = 64;
