//! io: asks a language model on any OpenAI-compatible address, and streams its answer
//!
//! In: messages. Out: [`Token`]s as they arrive, then one [`Token::Done`]; or an error, after which nothing follows.
//! Dropping the stream closes the connection, by which every server learns that nobody listens any more.
//!
//! Own chunk types instead of a client library: servers differ in what they leave out, put beside the text
//! (`reasoning_content`) and send when they fail in the middle, and each wait here needs its own limit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use eventsource_stream::Eventsource;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use reqwest::StatusCode;
use tokio::sync::OnceCell;

use super::history::Message;
use crate::agent::flow::{Fault, Role, Usage};
use crate::metrics::{Guard, Metrics, Object, Stage};
use crate::runtime::clock;
use crate::wire::chat::{ChatMessage, ChatRequest, Chunk, ModelList, StreamOptions, error_message};

/// Where the model is and how long to wait for it.
#[derive(Clone, PartialEq, Eq)]
pub struct LlmSettings {
    /// With the version, without the method: `https://api.openai.com/v1`, `http://127.0.0.1:8091/v1`.
    pub base_url: String,
    /// Sent as a bearer token when set.
    pub api_key: Option<String>,
    /// Empty: the first of the server's `/models`, asked once.
    pub model: String,
    /// Sent as it is when set: models that think before they speak need to be told not to.
    pub reasoning_effort: Option<String>,
    /// To a connection.
    pub connect: Duration,
    /// From the request to the first text. A reasoning model thinks before that.
    pub first_token: Duration,
    /// Between two pieces of text.
    pub idle: Duration,
}

impl Default for LlmSettings {
    fn default() -> Self {
        Self {
            base_url: String::new(),
            api_key: None,
            model: String::new(),
            reasoning_effort: None,
            connect: Duration::from_secs(3),
            first_token: Duration::from_secs(10),
            idle: Duration::from_secs(5),
        }
    }
}

/// The key never reaches a log.
impl std::fmt::Debug for LlmSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { base_url, api_key, model, reasoning_effort, connect, first_token, idle } = self;
        f.debug_struct("LlmSettings")
            .field("base_url", base_url)
            .field("api_key", &api_key.as_ref().map(|_| "…"))
            .field("model", model)
            .field("reasoning_effort", reasoning_effort)
            .field("connect", connect)
            .field("first_token", first_token)
            .field("idle", idle)
            .finish()
    }
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// Text as it comes, never empty: any part of a word, with its spaces.
    Text(String),
    /// The answer is complete. Always the last.
    Done {
        /// Cut at the token limit.
        truncated: bool,
        /// Zero where the server does not tell.
        usage: Usage,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum LlmError {
    #[error("cannot reach the language model at {url}: {source}")]
    Unreachable { url: String, source: reqwest::Error },
    #[error("the language model at {url} refused the request ({status}): {message}")]
    Refused { url: String, status: StatusCode, message: String },
    #[error("the language model said nothing for {0:?}")]
    Silent(Duration),
    #[error("the language model broke off: {0}")]
    Broken(String),
    #[error("{url} lists no model: name one in [llm]")]
    NoModel { url: String },
    #[error("cannot set up an HTTP client: {0}")]
    Client(reqwest::Error),
}

impl LlmError {
    pub fn fault(&self) -> Fault {
        match self {
            Self::Refused { status, .. } if matches!(status.as_u16(), 429 | 503) => Fault::Busy,
            Self::Client(_) => Fault::Bug,
            _ => Fault::Engine,
        }
    }
}

/// The answer to one request.
pub type Reply = BoxStream<'static, Result<Token, LlmError>>;

/// A client of one server. Clones share its connections.
#[derive(Clone)]
pub struct LlmClient(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    settings: LlmSettings,
    model: OnceCell<String>,
    metrics: Metrics,
}

impl LlmClient {
    pub fn new(settings: LlmSettings, metrics: Metrics) -> Result<Self, LlmError> {
        let http = reqwest::Client::builder()
            .connect_timeout(settings.connect)
            // A call asks every ten seconds or so: the connection should still be there.
            .pool_idle_timeout(Duration::from_secs(90))
            .tcp_nodelay(true)
            .user_agent(concat!("visavis/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(LlmError::Client)?;
        let settings = LlmSettings { base_url: settings.base_url.trim_end_matches('/').to_owned(), ..settings };
        let model = OnceCell::new_with((!settings.model.is_empty()).then(|| settings.model.clone()));
        Ok(Self(Arc::new(Inner { http, settings, model, metrics })))
    }

    /// The name of the model that answers: the configured one, else the first that the server lists.
    pub async fn model(&self) -> Result<&str, LlmError> {
        self.0.model.get_or_try_init(|| self.0.first_listed()).await.map(String::as_str)
    }

    /// Asks for an answer of at most `max_tokens` tokens. Nothing is sent before the stream is first polled.
    pub fn stream(&self, messages: Vec<Message>, temperature: f32, max_tokens: u32) -> Reply {
        self.ask(messages, temperature, max_tokens, Purpose::Answer)
    }

    fn ask(&self, messages: Vec<Message>, temperature: f32, max_tokens: u32, purpose: Purpose) -> Reply {
        let client = self.clone();
        let answer = async move {
            let asked = clock::now();
            let opened = client.open(messages, temperature, max_tokens, asked, purpose).await;
            match opened {
                Ok(response) => client.read(response, asked, purpose).boxed(),
                Err(error) => stream::iter([Err(error)]).boxed(),
            }
        };
        let metrics = self.0.metrics.clone();
        stream::once(answer)
            .flatten()
            .inspect(move |token| {
                if let Err(error) = token {
                    tracing::warn!(%error, "no answer from the language model");
                    metrics.engine_failure(Stage::Llm);
                }
            })
            .fuse()
            .boxed()
    }

    /// Lets the server read `messages` ahead of the conversation that will begin with them (and opens a connection).
    pub async fn warm(&self, messages: Vec<Message>) -> Result<(), LlmError> {
        let mut reply = self.ask(messages, 0.0, 1, Purpose::Warmth);
        while let Some(token) = reply.next().await {
            token?;
        }
        Ok(())
    }

    async fn open(
        &self,
        messages: Vec<Message>,
        temperature: f32,
        max_tokens: u32,
        asked: Instant,
        purpose: Purpose,
    ) -> Result<reqwest::Response, LlmError> {
        let inner = &self.0;
        // OpenAI's own newer models refuse the old name of the limit; most other servers know no other.
        let renamed = inner.settings.base_url.contains("://api.openai.com/");
        let url = format!("{}/chat/completions", inner.settings.base_url);
        let ask = async {
            let request = ChatRequest {
                model: self.model().await?.to_owned(),
                messages: messages.into_iter().map(to_wire).collect(),
                stream: true,
                stream_options: Some(StreamOptions { include_usage: true }),
                temperature: Some(temperature),
                reasoning_effort: inner.settings.reasoning_effort.clone(),
                max_tokens: (!renamed).then_some(max_tokens),
                max_completion_tokens: renamed.then_some(max_tokens),
                ..Default::default()
            };
            let sent = clock::now();
            let response = inner.send(inner.http.post(&url).json(&request)).await?;
            let headers = clock::now().saturating_duration_since(sent);
            let response = inner.accepted(response).await?;
            // A refusal is fast and answers nothing.
            if purpose == Purpose::Answer {
                inner.metrics.llm_headers(headers);
            }
            Ok(response)
        };
        within(inner.settings.first_token, asked, ask).await?
    }

    fn read(
        &self,
        response: reqwest::Response,
        asked: Instant,
        purpose: Purpose,
    ) -> impl Stream<Item = Result<Token, LlmError>> + use<> {
        let mut received = 0;
        let bytes = response.bytes_stream().map(move |piece| {
            let piece = piece.map_err(std::io::Error::other)?;
            received += piece.len();
            if received > MAX_REPLY_BYTES {
                return Err(std::io::Error::other("its answer has no end"));
            }
            Ok(piece)
        });
        let reading = Reading {
            events: bytes.eventsource().boxed(),
            metrics: self.0.metrics.clone(),
            first_token: self.0.settings.first_token,
            idle: self.0.settings.idle,
            asked,
            purpose,
            begun: None,
            words: Words::default(),
            _alive: self.0.metrics.live(Object::LlmStream),
            finished: None,
            usage: Usage::default(),
            ended: false,
        };
        stream::unfold(reading, |mut reading| async move {
            if reading.ended {
                return None;
            }
            let token = reading.next().await;
            reading.ended = !matches!(token, Ok(Token::Text(_)));
            Some((token, reading))
        })
    }
}

impl Inner {
    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, LlmError> {
        let request = match &self.settings.api_key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        request.send().await.map_err(|source| LlmError::Unreachable { url: self.settings.base_url.clone(), source })
    }

    /// The response, if the server agreed; else what it said.
    async fn accepted(&self, response: reqwest::Response) -> Result<reqwest::Response, LlmError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = read_at_most(response, MAX_ERROR_BYTES).await;
        let message = serde_json::from_slice(&body)
            .ok()
            .and_then(|json| error_message(&json).map(str::to_owned))
            .unwrap_or_else(|| String::from_utf8_lossy(&body).chars().take(200).collect());
        Err(LlmError::Refused { url: self.settings.base_url.clone(), status, message })
    }

    async fn first_listed(&self) -> Result<String, LlmError> {
        let ask = async {
            let response = self.send(self.http.get(format!("{}/models", self.settings.base_url))).await?;
            let body = read_at_most(self.accepted(response).await?, MAX_REPLY_BYTES).await;
            let list: ModelList = serde_json::from_slice(&body).unwrap_or_default();
            let first = list
                .data
                .into_iter()
                .next()
                .ok_or_else(|| LlmError::NoModel { url: self.settings.base_url.clone() })?;
            tracing::info!(model = first.id, "no language model was named: took the first that is listed");
            Ok(first.id)
        };
        within(self.settings.first_token, clock::now(), ask).await?
    }
}

/// One answer being received.
struct Reading {
    events: BoxStream<'static, Result<eventsource_stream::Event, eventsource_stream::EventStreamError<std::io::Error>>>,
    metrics: Metrics,
    first_token: Duration,
    idle: Duration,
    asked: Instant,
    purpose: Purpose,
    /// When its first text came.
    begun: Option<Instant>,
    words: Words,
    /// The reason it gave, once it has finished; what may still come is the usage.
    finished: Option<String>,
    usage: Usage,
    ended: bool,
    _alive: Guard,
}

/// What an answer is for: only those that are said are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Answer,
    Warmth,
}

/// Counts words as they come in pieces.
#[derive(Debug, Default)]
struct Words {
    count: usize,
    inside: bool,
    last: Option<Instant>,
}

impl Words {
    /// How many words begin in `text`.
    fn add(&mut self, now: Instant, text: &str) -> usize {
        let mut begun = 0;
        for c in text.chars() {
            begun += usize::from(!c.is_whitespace() && !self.inside);
            self.inside = !c.is_whitespace();
        }
        self.count += begun;
        self.last = Some(now);
        begun
    }
}

impl Reading {
    async fn next(&mut self) -> Result<Token, LlmError> {
        // Chunks without text (roles, reasoning, keep-alives) do not prolong the wait.
        let since = if self.begun.is_some() { clock::now() } else { self.asked };
        let limit = match (&self.finished, self.begun.is_some()) {
            (Some(_), _) => USAGE_WAIT,
            (None, true) => self.idle,
            (None, false) => self.first_token,
        };
        loop {
            let since = if self.finished.is_some() { clock::now() } else { since };
            let limit = if self.finished.is_some() { USAGE_WAIT } else { limit };
            let event = match within(limit, since, self.events.next()).await {
                Ok(Some(Ok(event))) => event,
                Ok(Some(Err(error))) if self.finished.is_none() => return Err(LlmError::Broken(error.to_string())),
                Ok(None) if self.finished.is_none() => {
                    return Err(LlmError::Broken("the connection ended in the middle of the answer".into()));
                }
                Err(silent) if self.finished.is_none() => return Err(silent),
                // It had said all that matters.
                _ => return Ok(self.done()),
            };
            if event.data.trim() == "[DONE]" {
                // Some servers give no reason before it.
                return Ok(self.done());
            }
            let chunk: Chunk = serde_json::from_str(&event.data).map_err(|error| {
                let start: String = event.data.chars().take(80).collect();
                LlmError::Broken(format!("it sent something that is no chunk ({error}): {start:?}"))
            })?;
            if let Some(error) = chunk.error {
                return Err(LlmError::Broken(error_message(&error).unwrap_or("an error without a message").to_owned()));
            }
            if let Some(usage) = chunk.usage {
                self.usage = Usage { input_tokens: usage.prompt_tokens, output_tokens: usage.completion_tokens };
            }
            let Some(choice) = chunk.choices.into_iter().next() else { continue };
            if choice.finish_reason.is_some() {
                self.finished = choice.finish_reason;
            }
            if let Some(text) = choice.delta.content.filter(|text| !text.is_empty()) {
                let now = clock::now();
                let words = self.words.add(now, &text);
                if self.purpose == Purpose::Answer {
                    self.metrics.words(Stage::Llm, words);
                    if self.begun.is_none() {
                        self.metrics.first_answer(Stage::Llm, now.saturating_duration_since(self.asked));
                    }
                }
                self.begun.get_or_insert(now);
                return Ok(Token::Text(text));
            }
        }
    }

    fn done(&self) -> Token {
        if let (Purpose::Answer, Some(begun), Some(last)) = (self.purpose, self.begun, self.words.last) {
            self.metrics.pace(Stage::Llm, self.words.count, last.saturating_duration_since(begun));
        }
        Token::Done { truncated: self.finished.as_deref() == Some("length"), usage: self.usage }
    }
}

fn to_wire(message: Message) -> ChatMessage {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    ChatMessage::new(role, message.text)
}

/// Waits for `future` until `limit` after `since`.
async fn within<T>(limit: Duration, since: Instant, future: impl Future<Output = T>) -> Result<T, LlmError> {
    let left = (since + limit).saturating_duration_since(clock::now());
    clock::timeout(left, future).await.map_err(|_| LlmError::Silent(limit))
}

/// What arrives of a body until it ends, breaks, or is `most` bytes long.
async fn read_at_most(response: reqwest::Response, most: usize) -> Vec<u8> {
    let mut body = vec![];
    let mut pieces = response.bytes_stream();
    while let Some(Ok(piece)) = pieces.next().await {
        body.extend_from_slice(&piece[..piece.len().min(most - body.len())]);
        if body.len() >= most {
            break;
        }
    }
    body
}

/// Far more than any answer that can be spoken: each token comes in some 200 bytes of JSON.
const MAX_REPLY_BYTES: usize = 4 << 20;
const MAX_ERROR_BYTES: usize = 8 << 10;
/// After the last word only the usage may come; nothing waits for it longer than this.
const USAGE_WAIT: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    /// A word that comes in pieces is one.
    #[test]
    fn words_are_counted_across_pieces() {
        let mut words = Words::default();
        let begun: Vec<_> =
            ["Hel", "lo", " there", ",", " ", "you two"].iter().map(|text| words.add(Instant::now(), text)).collect();
        assert_eq!((begun, words.count), (vec![1, 0, 1, 0, 0, 2], 4));
    }

    /// A key in a log is a key that has leaked.
    #[test]
    fn the_key_is_not_shown() {
        let settings = LlmSettings { api_key: Some("sk-secret".into()), ..Default::default() };
        assert!(!format!("{settings:?}").contains("secret"));
    }
}
