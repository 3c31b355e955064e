//! io: one question to a language model, and its answer as it comes: OpenAI's chat completions

use std::sync::Arc;
use std::time::Duration;

use eventsource_stream::Eventsource;
use futures_util::StreamExt;
use reqwest::Response;
use tokio::sync::OnceCell;

use super::socket::refused;
use super::texts::{PERSONA, TO_ANSWER};
use crate::load::figure::Figure;
use crate::load::outcome::Cause;
use crate::runtime::clock;
use crate::wire::chat::{ChatMessage, ChatRequest, Chunk, ModelList};

/// A language model's door.
#[derive(Clone, Debug)]
pub struct Llm {
    http: reqwest::Client,
    /// With the version: `http://127.0.0.1:8091/v1`.
    base: String,
    key: Option<String>,
    /// The first that the server lists, asked for once.
    model: Arc<OnceCell<String>>,
}

impl Llm {
    /// `server` with or without `/v1`; `key` is sent as a bearer token.
    pub fn new(http: reqwest::Client, server: &str, key: Option<String>) -> Self {
        let base = server.trim_end_matches('/');
        let base = if base.ends_with("/v1") { base.to_owned() } else { format!("{base}/v1") };
        Self { http, base, key, model: Arc::default() }
    }

    /// Asks the `n`-th question, and adds what is measured to `values`.
    pub(super) async fn ask(&self, n: usize, values: &mut Vec<(Figure, f64)>) -> Result<(), Cause> {
        let model = self.model.get_or_try_init(|| self.first_listed()).await?;
        let question = TO_ANSWER[n % TO_ANSWER.len()];
        let request = ChatRequest {
            model: model.clone(),
            messages: vec![ChatMessage::new("system", PERSONA), ChatMessage::new("user", question)],
            stream: true,
            max_tokens: Some(MOST_TOKENS),
            ..ChatRequest::default()
        };
        let asked = clock::now();
        let response = self.send(self.http.post(format!("{}/chat/completions", self.base)).json(&request)).await?;
        let mut received = 0;
        let bytes = response.bytes_stream().map(move |piece| {
            let piece = piece.map_err(std::io::Error::other)?;
            received += piece.len();
            if received > MOST_BYTES { Err(std::io::Error::other("its answer has no end")) } else { Ok(piece) }
        });
        let mut events = std::pin::pin!(bytes.eventsource());
        let (mut text, mut first, mut last, mut whole) = (String::new(), None, asked, false);
        loop {
            let (limit, late) = if first.is_none() { (FIRST, Cause::NoAnswer) } else { (BETWEEN, Cause::Endless) };
            // Looked at before each event: a model that always has more to say ends all the same.
            let limit = limit.min(LONGEST.saturating_sub(clock::now() - asked));
            if limit.is_zero() {
                return Err(late);
            }
            let data = match clock::timeout(limit, events.next()).await.map_err(|_| late)? {
                None => break,
                Some(Err(_)) => return Err(Cause::Dropped),
                Some(Ok(event)) if event.data == "[DONE]" => break,
                Some(Ok(event)) => event.data,
            };
            let chunk: Chunk = serde_json::from_str(&data).map_err(|_| Cause::Garbage)?;
            if chunk.error.is_some() {
                return Err(Cause::Failed);
            }
            for choice in chunk.choices {
                whole |= choice.finish_reason.is_some();
                if let Some(piece) = choice.delta.content.filter(|piece| !piece.is_empty()) {
                    last = clock::now();
                    first.get_or_insert(last);
                    text.push_str(&piece);
                }
            }
        }
        let first = match first {
            Some(first) if whole => first,
            // It ended as it should, and said nothing.
            None if whole => return Err(Cause::NoAnswer),
            _ => return Err(Cause::Dropped),
        };
        values.push((Figure::Ttft, (first - asked).as_secs_f64()));
        let (words, took) = (text.split_whitespace().count(), (last - first).as_secs_f64());
        // The pace of a single word cannot be told.
        if words > 1 && took > 0.0 {
            values.push((Figure::Words, (words - 1) as f64 / took));
        }
        Ok(())
    }

    async fn first_listed(&self) -> Result<String, Cause> {
        let response = self.send(self.http.get(format!("{}/models", self.base))).await?;
        let list = clock::timeout(FIRST, response.json::<ModelList>()).await.map_err(|_| Cause::NoAnswer)?;
        let list = list.map_err(|_| Cause::Garbage)?;
        list.data.into_iter().next().map(|model| model.id).ok_or(Cause::Garbage)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response, Cause> {
        let request = match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        let response = clock::timeout(FIRST, request.send()).await.map_err(|_| Cause::NoAnswer)?;
        let response = response.map_err(|error| Cause::from(&crate::load::CallerError::Http(error)))?;
        if response.status().is_success() { Ok(response) } else { Err(refused(response.status())) }
    }
}

/// What is said aloud should not take longer: some 25 seconds of speech.
const MOST_TOKENS: u32 = 80;
const MOST_BYTES: usize = 1 << 20;
const FIRST: Duration = Duration::from_secs(15);
const BETWEEN: Duration = Duration::from_secs(10);
/// Less than one token per second is no conversation.
const LONGEST: Duration = Duration::from_secs(90);
