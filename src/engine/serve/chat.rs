//! io: OpenAI's chat completions as a front door: `/v1/chat/completions` and `/v1/models`
//!
//! Streamed and whole answers, usage on request, OpenAI's error body on every refusal. What we cannot do is ignored where
//! an answer still makes sense (tools, penalties, formats, the model's name) and refused where it does not.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{Stream, StreamExt, future, stream};

use super::access::{Token, build_info};
use crate::engine::llm::{Answer, LlmEngine};
use crate::engine::model::{Chat, ChatTurn, Finish, Piece, Speaker, TokenUsage};
use crate::runtime::clock;
use crate::wire::chat::{
    ChatMessage, ChatRequest, ChatUsage, Chunk, ChunkChoice, Completion, CompletionChoice, Delta, ErrorBody,
    ErrorDetail, Model, ModelList, PromptDetails,
};

/// Where nothing else is asked for. As OpenAI's.
const DEFAULT_TEMPERATURE: f32 = 1.0;
/// What is said aloud should not take longer: ~25 seconds of speech.
const DEFAULT_MAX_TOKENS: u32 = 80;
const MOST_TOKENS: u32 = 1024;
/// Hours of conversation; a window holds a hundredth of it.
const MAX_BODY_BYTES: usize = 1 << 20;
const MAX_STOP_WORDS: usize = 16;
/// Between two pieces, or before the first: a model this slow is stuck.
const PIECE_LIMIT: Duration = Duration::from_secs(30);

struct Door {
    engine: LlmEngine,
    auth: Option<Token>,
    /// Seconds since 1970 at which it opened.
    opened: u64,
    answers: AtomicU64,
}

/// The routes of a language model. With `auth`, everything but `/api/build_info` wants it as a bearer token.
pub fn router(engine: LlmEngine, auth: Option<Token>) -> Router {
    let door = Arc::new(Door { engine, auth, opened: unix_seconds(), answers: AtomicU64::new(0) });
    Router::new()
        .route("/v1/chat/completions", post(complete))
        .route("/v1/models", get(models))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state(door.clone(), guard))
        .route("/api/build_info", get(build_info))
        .with_state(door)
}

async fn guard(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    match &door.auth {
        Some(token) if !token.admits(request.headers(), None) => refuse(
            StatusCode::UNAUTHORIZED,
            "invalid_request_error",
            Some("invalid_api_key"),
            "The API key is missing or wrong: send it as `Authorization: Bearer …`.",
        ),
        _ => next.run(request).await,
    }
}

async fn models(State(door): State<Arc<Door>>) -> Json<ModelList> {
    let model = Model {
        id: door.engine.model().to_owned(),
        object: "model".into(),
        created: door.opened,
        owned_by: env!("CARGO_PKG_NAME").into(),
    };
    Json(ModelList { object: "list".into(), data: vec![model] })
}

async fn complete(
    State(door): State<Arc<Door>>,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return refuse(rejection.status(), "invalid_request_error", None, &rejection.body_text()),
    };
    let request: ChatRequest = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => return bad_request(None, &format!("The body is not a chat completion request: {error}.")),
    };
    let (stream, wants_usage) = (request.stream, request.stream_options.as_ref().is_some_and(|o| o.include_usage));
    let chat = match to_chat(request) {
        Ok(chat) => chat,
        Err((param, why)) => return bad_request(Some(param), why),
    };
    let Ok(answer) = door.engine.ask(chat) else {
        let mut response = refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded_error",
            Some("engine_overloaded"),
            "The model already gives as many answers as it can. Try again in a moment.",
        );
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        return response;
    };
    let head = Head {
        id: format!("chatcmpl-{}-{}", door.opened, door.answers.fetch_add(1, Ordering::Relaxed)),
        model: door.engine.model().to_owned(),
        created: unix_seconds(),
    };
    if stream {
        let events =
            chunks(head, limited(answer), wants_usage).map(|chunk| Ok::<_, Infallible>(Event::default().data(chunk)));
        Sse::new(events).keep_alive(KeepAlive::default()).into_response()
    } else {
        whole(head, limited(answer)).await
    }
}

/// What every chunk of one answer begins with.
struct Head {
    id: String,
    model: String,
    created: u64,
}

impl Head {
    fn chunk(&self, choices: Vec<ChunkChoice>) -> Chunk {
        Chunk {
            id: self.id.clone(),
            object: "chat.completion.chunk".into(),
            created: self.created,
            model: self.model.clone(),
            choices,
            ..Chunk::default()
        }
    }
}

/// The data of the events of a streamed answer: a role, the text, a reason, the usage if wanted, `[DONE]`.
fn chunks(head: Head, answer: impl Stream<Item = Piece>, wants_usage: bool) -> impl Stream<Item = String> {
    let choice = |delta, finish_reason: Option<&str>| {
        vec![ChunkChoice { index: 0, delta, finish_reason: finish_reason.map(str::to_owned) }]
    };
    let role = Delta { role: Some("assistant".into()), content: Some(String::new()) };
    let first = text(&head.chunk(choice(role, None)));
    let rest = answer.flat_map(move |piece| {
        stream::iter(match piece {
            Piece::Text(content) => vec![text(&head.chunk(choice(Delta { role: None, content: Some(content) }, None)))],
            Piece::Done { finish, usage } => {
                let mut last = vec![text(&head.chunk(choice(Delta::default(), Some(reason(finish)))))];
                if wants_usage {
                    last.push(text(&Chunk { usage: Some(to_usage(usage)), ..head.chunk(vec![]) }));
                }
                last.push("[DONE]".into());
                last
            }
            Piece::Failed(why) => vec![text(&error_body("server_error", None, &why))],
        })
    });
    stream::once(future::ready(first)).chain(rest)
}

async fn whole(head: Head, answer: impl Stream<Item = Piece>) -> Response {
    let mut answer = std::pin::pin!(answer);
    let mut content = String::new();
    while let Some(piece) = answer.next().await {
        match piece {
            Piece::Text(text) => content.push_str(&text),
            Piece::Failed(why) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, "server_error", None, &why),
            Piece::Done { finish, usage } => {
                let message = ChatMessage::new("assistant", content);
                return Json(Completion {
                    id: head.id,
                    object: "chat.completion".into(),
                    created: head.created,
                    model: head.model,
                    choices: vec![CompletionChoice { index: 0, message, finish_reason: reason(finish).into() }],
                    usage: to_usage(usage),
                })
                .into_response();
            }
        }
    }
    refuse(StatusCode::INTERNAL_SERVER_ERROR, "server_error", None, "The model ended without a word.")
}

/// A model that is stuck does not hold its caller.
fn limited(answer: Answer) -> impl Stream<Item = Piece> {
    stream::unfold(Some(answer), |answer| async move {
        let mut answer = answer?;
        match clock::timeout(PIECE_LIMIT, answer.next()).await {
            Ok(piece) => Some((piece?, Some(answer))),
            Err(late) => Some((Piece::Failed(format!("the model {late}")), None)),
        }
    })
}

/// What the request means to a model; else the parameter that is wrong, and why.
fn to_chat(request: ChatRequest) -> Result<Chat, (&'static str, &'static str)> {
    if request.n.is_some_and(|n| n != 1) {
        return Err(("n", "This model gives one answer at a time: n must be 1."));
    }
    let temperature = request.temperature.unwrap_or(DEFAULT_TEMPERATURE);
    if !(0.0..=2.0).contains(&temperature) {
        return Err(("temperature", "temperature must lie between 0 and 2."));
    }
    let max_tokens = request.max_completion_tokens.or(request.max_tokens).unwrap_or(DEFAULT_MAX_TOKENS);
    if max_tokens == 0 {
        return Err(("max_tokens", "max_tokens must be at least 1."));
    }
    let stop = request.stop.map(|stop| stop.into_vec()).unwrap_or_default();
    if stop.len() > MAX_STOP_WORDS {
        return Err(("stop", "Too many stop sequences."));
    }
    let mut turns = vec![];
    for message in &request.messages {
        let speaker = match message.role.as_str() {
            "system" | "developer" => Speaker::System,
            "user" => Speaker::User,
            "assistant" => Speaker::Assistant,
            // This model calls no tools; what other models' tools said is no speech.
            "tool" | "function" => continue,
            _ => return Err(("messages", "A message's role must be system, developer, user, assistant or tool.")),
        };
        let text = message.text();
        if !text.trim().is_empty() {
            turns.push(ChatTurn { speaker, text });
        }
    }
    if turns.is_empty() {
        return Err(("messages", "There is no message with text in it."));
    }
    Ok(Chat { turns, temperature, max_tokens: max_tokens.min(MOST_TOKENS), stop, seed: request.seed })
}

fn to_usage(usage: TokenUsage) -> ChatUsage {
    ChatUsage {
        prompt_tokens: usage.prompt,
        completion_tokens: usage.generated,
        total_tokens: usage.prompt + usage.generated,
        prompt_tokens_details: Some(PromptDetails { cached_tokens: usage.cached }),
    }
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
    }
}

fn bad_request(param: Option<&str>, message: &str) -> Response {
    let mut body = error_body("invalid_request_error", None, message);
    body.error.param = param.map(str::to_owned);
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

fn refuse(status: StatusCode, kind: &str, code: Option<&str>, message: &str) -> Response {
    (status, Json(error_body(kind, code, message))).into_response()
}

fn error_body(kind: &str, code: Option<&str>, message: &str) -> ErrorBody {
    ErrorBody {
        error: ErrorDetail { message: message.into(), kind: kind.into(), param: None, code: code.map(Into::into) },
    }
}

fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("plain data always serialises into memory")
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
