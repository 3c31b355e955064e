//! io: the HTTP front: calls, who can speak, the page, metrics and health

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::auth::{Auth, Site};
use super::body;
use super::desk::Desk;
use super::page::page;
use super::refusal::Refusal;
use super::{CallStarter, Started};
use crate::config::voices::Voices;
use crate::config::{Brain, Server};
use crate::metrics::{Door, Metrics};

/// What the front needs to know.
struct Front<S> {
    desk: Desk,
    calls: Arc<S>,
    metrics: Metrics,
    auth: Auth,
    retry_after: Duration,
    voices: Value,
    about: Value,
}

type Shared<S> = State<Arc<Front<S>>>;

/// Everything that answers on the HTTP port. `calls` starts and ends calls once `desk` has admitted them.
pub fn router<S: CallStarter>(
    server: &Server,
    voices: &Voices,
    brain: &Brain,
    desk: Desk,
    calls: Arc<S>,
    metrics: Metrics,
) -> Router {
    let auth = Auth::new(server.token.clone(), server.allow_origins.clone());
    let about = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "brain": {"demo": brain.demo, "label": brain.label},
        "max_sessions": server.max_sessions,
        "needs_token": auth.needs_token(),
    });
    let retry_after = server.retry_after;
    let front = Arc::new(Front { desk, calls, metrics, auth, retry_after, voices: listed(voices), about });

    let calls = Router::new()
        .route("/v1/realtime/calls", post(start::<S>))
        .route("/v1/realtime/calls/{id}", delete(end::<S>))
        .route("/v1/realtime/calls/{id}/hangup", post(end::<S>))
        .layer(DefaultBodyLimit::max(body::MAX_FORM_BYTES))
        .route_layer(middleware::from_fn_with_state(front.clone(), with_token::<S>));
    let api = Router::new()
        .route("/v1/voices", get(async |State(front): Shared<S>| Json(front.voices.clone())))
        .route("/v1/about", get(async |State(front): Shared<S>| Json(front.about.clone())))
        .merge(calls)
        .route("/v1/{*rest}", axum::routing::any(unknown))
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(front.clone(), from_site::<S>));
    Router::new()
        .route("/metrics", get(metrics_text::<S>))
        .route("/healthz", get("ok\n"))
        .route("/readyz", get(ready::<S>))
        .merge(api)
        .fallback(get(page))
        .with_state(front)
}

/// The permit is taken before anything of the body is read, and goes wherever the call goes.
async fn start<S: CallStarter>(State(front): Shared<S>, request: Request) -> Result<Response, Refusal> {
    let permit = front.desk.admit().map_err(|reason| {
        front.metrics.rejected(reason);
        Refusal::rejected(reason, front.desk.max_sessions(), front.retry_after)
    })?;
    let offer = body::read(request).await.inspect_err(|_| front.metrics.bad_input(Door::Http))?;
    let Started { call_id, answer_sdp } =
        front.calls.start(offer.sdp, offer.session, permit).await.map_err(|error| {
            if error.fault == crate::agent::flow::Fault::Caller {
                front.metrics.bad_input(Door::Sdp);
            }
            Refusal::new(error, front.retry_after)
        })?;
    let place = format!("/v1/realtime/calls/{call_id}");
    let headers = [(header::CONTENT_TYPE, "application/sdp"), (header::LOCATION, place.as_str())];
    Ok((StatusCode::CREATED, headers, answer_sdp).into_response())
}

async fn end<S: CallStarter>(State(front): Shared<S>, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    if front.calls.end(&id) {
        return Ok(StatusCode::OK);
    }
    Err(Refusal::caller(
        StatusCode::NOT_FOUND,
        "call_id_not_found",
        "There is no such call; perhaps it has ended already.",
    ))
}

async fn metrics_text<S: CallStarter>(State(front): Shared<S>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], front.metrics.render())
}

async fn ready<S: CallStarter>(State(front): Shared<S>) -> (StatusCode, String) {
    match front.desk.closed() {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", reason.label())),
    }
}

async fn unknown() -> Refusal {
    Refusal::caller(StatusCode::NOT_FOUND, "unknown_url", "There is nothing at this address.")
}

async fn wrong_method() -> Refusal {
    Refusal::caller(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "This address does not answer to this method.",
    )
}

/// Placing and ending calls asks for the token, where there is one.
async fn with_token<S: CallStarter>(State(front): Shared<S>, request: Request, next: Next) -> Response {
    if front.auth.admits(text(&request, header::AUTHORIZATION)) {
        return next.run(request).await;
    }
    let message = "A valid token is needed: send it as Authorization: Bearer TOKEN.";
    Refusal::caller(StatusCode::UNAUTHORIZED, "invalid_api_key", message).into_response()
}

/// Cross-origin rules: preflights are answered, allowed sites may read our answers, foreign ones get no call.
async fn from_site<S: CallStarter>(State(front): Shared<S>, request: Request, next: Next) -> Response {
    let site = front.auth.site(text(&request, header::ORIGIN), text(&request, header::HOST));
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = if site == Site::Foreign {
        let message = "Pages of this origin may not call here; see server.allow_origins.";
        Refusal::caller(StatusCode::FORBIDDEN, "origin_not_allowed", message).into_response()
    } else if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    if let (Site::Allowed, Some(origin)) = (site, origin) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        for (name, value) in CROSS_ORIGIN {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    response
}

fn text(request: &Request, name: header::HeaderName) -> Option<&str> {
    request.headers().get(name)?.to_str().ok()
}

/// `x-openai-agents-sdk` is what OpenAI's agents SDK sends; it reads the call's id from `Location`.
const CROSS_ORIGIN: [(header::HeaderName, &str); 4] = [
    (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE"),
    (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, accept, openai-beta, x-openai-agents-sdk"),
    (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Location, Retry-After"),
    (header::ACCESS_CONTROL_MAX_AGE, "600"),
];

/// Who can be asked for, the usual one first; a persona's instructions are nobody's business.
fn listed(voices: &Voices) -> Value {
    let usual = voices.usual();
    let others = voices.iter().filter(|person| person.good && person.name != usual.name);
    let people = std::iter::once(usual).chain(others).map(|person| {
        let [r, g, b] = person.background;
        json!({
            "name": person.name,
            "language": person.language,
            "greeting": person.greeting,
            "face": person.face,
            "background": format!("#{r:02x}{g:02x}{b:02x}"),
        })
    });
    Value::Array(people.collect())
}
