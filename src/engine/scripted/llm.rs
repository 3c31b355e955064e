//! io: a language model that says what it was told to say, at a pace it was told to keep
//!
//! Deterministic: the same questions get the same answers at the same times, on a paused clock too.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::Semaphore;

use crate::engine::llm::{Answer, Answers, LlmEngine};
use crate::engine::model::{Chat, Finish, Piece, Speaker, TokenUsage};
use crate::engine::worker::Busy;
use crate::metrics::{Metrics, Seats, Stage};
use crate::runtime::clock;

/// What it says and how fast.
#[derive(Clone, Debug, PartialEq)]
pub struct ScriptedLlm {
    pub replies: Replies,
    /// From the question to the first word.
    pub first_word: Duration,
    /// After that. A person speaks three; models say ten to fifty.
    pub words_per_second: f64,
    /// Answers it gives at a time; one more is refused.
    pub seats: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Replies {
    /// The n-th turn of a conversation gets the n-th reply, and after the last the first again.
    InTurn(Vec<String>),
    /// Answers of everyday length that take up what was said.
    Echo,
}

impl Default for ScriptedLlm {
    /// As the embedded model on a quiet machine.
    fn default() -> Self {
        Self { replies: Replies::Echo, first_word: Duration::from_millis(120), words_per_second: 40.0, seats: 64 }
    }
}

impl ScriptedLlm {
    pub fn engine(self, metrics: &Metrics) -> LlmEngine {
        let seats = Arc::new(Semaphore::new(self.seats));
        let meter = metrics.seats(Stage::Llm, self.seats);
        LlmEngine::new(Performer { script: self, seats, meter })
    }

    /// The whole reply to a chat.
    fn reply(&self, chat: &Chat) -> String {
        let said = chat.turns.iter().filter(|t| t.speaker == Speaker::User).collect::<Vec<_>>();
        match &self.replies {
            Replies::InTurn(replies) if replies.is_empty() => String::new(),
            // The conversation itself says which turn it is: a question asked twice (speculation) gets one answer.
            Replies::InTurn(replies) => replies[said.len().saturating_sub(1) % replies.len()].clone(),
            Replies::Echo => {
                let heard = said.last().map_or("nothing", |t| t.text.trim());
                let heard: Vec<&str> = heard.split_whitespace().take(12).collect();
                let heard = heard.join(" ");
                let heard = heard.trim_end_matches(|c: char| !c.is_alphanumeric());
                match said.len() % 3 {
                    1 => format!(
                        "I see. You said, {heard}. That is interesting, and I would like to hear more about it from you."
                    ),
                    2 => format!(
                        "Well, {heard} is a good thing to talk about. Shall we go on, or is there something else on your mind?"
                    ),
                    _ => format!(
                        "Of course. About {heard}, I can only say what I was told to say, but I say it with pleasure."
                    ),
                }
            }
        }
    }
}

struct Performer {
    script: ScriptedLlm,
    seats: Arc<Semaphore>,
    meter: Seats,
}

impl Answers for Performer {
    fn model(&self) -> &str {
        "scripted"
    }

    fn ask(&self, chat: Chat) -> Result<Answer, Busy> {
        let seat = self.seats.clone().try_acquire_owned().map_err(|_| {
            self.meter.refuse();
            Busy
        })?;
        let seat = (seat, self.meter.take());
        let all: Vec<String> = self.script.reply(&chat).split_inclusive(' ').map(str::to_owned).collect();
        let words: Vec<String> = all.iter().take(chat.max_tokens as usize).cloned().collect();
        let finish = if words.len() < all.len() { Finish::Length } else { Finish::Stop };
        let prompt = chat.turns.iter().map(|t| t.text.split_whitespace().count() as u32).sum();
        let usage = TokenUsage { prompt, cached: 0, generated: words.len() as u32 };
        let pieces = words.into_iter().map(Piece::Text).chain([Piece::Done { finish, usage }]);
        let (first, pace) = (self.script.first_word, 1.0 / self.script.words_per_second.max(0.001));
        let asked = clock::now();
        Ok(stream::iter(pieces.enumerate())
            .then(move |(n, piece)| {
                // The seat is taken as long as anybody listens.
                let _seat = &seat;
                let due = asked + first + Duration::from_secs_f64(pace * n as f64);
                async move {
                    clock::sleep_until(Some(due)).await;
                    piece
                }
            })
            .boxed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::model::ChatTurn;

    fn chat(said: &[&str]) -> Chat {
        let turns = said.iter().map(|text| ChatTurn { speaker: Speaker::User, text: text.to_string() }).collect();
        Chat { turns, max_tokens: 100, ..Chat::default() }
    }

    /// Words come on time to the millisecond of a paused clock, and the same question gets the same answer.
    #[tokio::test(start_paused = true)]
    async fn words_come_on_time() {
        let script = ScriptedLlm {
            replies: Replies::InTurn(vec!["one two three".into(), "four".into()]),
            first_word: Duration::from_millis(200),
            words_per_second: 10.0,
            seats: 1,
        };
        let engine = script.engine(&Metrics::new());
        let start = clock::now();
        let mut answer = engine.ask(chat(&["a"])).unwrap();
        assert!(engine.ask(chat(&["a"])).is_err(), "one seat");
        let mut times = vec![];
        let mut text = String::new();
        while let Some(piece) = answer.next().await {
            times.push((clock::now() - start).as_millis());
            match piece {
                Piece::Text(word) => text.push_str(&word),
                last => assert!(matches!(last, Piece::Done { finish: Finish::Stop, .. })),
            }
        }
        assert_eq!((times, text.as_str()), (vec![200, 300, 400, 500], "one two three"));
        drop(answer);
        let mut second = engine.ask(chat(&["a", "b"])).unwrap();
        assert_eq!(second.next().await, Some(Piece::Text("four".into())));
    }

    /// An echo takes up what was said and has a length to talk over.
    #[test]
    fn echoes_are_of_everyday_length() {
        let script = ScriptedLlm::default();
        for n in 1..6 {
            let said = vec!["what a fine day!"; n];
            let reply = script.reply(&chat(&said));
            assert!(reply.contains("what a fine day") && (12..40).contains(&reply.split(' ').count()), "{reply}");
            assert_eq!(reply, script.reply(&chat(&said)));
        }
    }
}
