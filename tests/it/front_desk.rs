//! io: the HTTP front as a caller meets it: calls, refusals, the page, health

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde_json::{Value, json};

use visavis::agent::flow::Fault;
use visavis::agent::server::{CallError, CallStarter, Desk, Permit, Started, body, router};
use visavis::config::{Config, Secret};
use visavis::metrics::Metrics;

/// Stands in for the calls: keeps what it was given, and does with an offer what its `s=` line says.
#[derive(Default)]
struct Calls(Mutex<Vec<(String, Option<Value>, Permit)>>);

impl CallStarter for Calls {
    async fn start(&self, offer: String, session: Option<Value>, permit: Permit) -> Result<Started, CallError> {
        let refuse = |fault| Err(CallError::new(fault, "as_asked", "no").about("sdp"));
        match offer.lines().find_map(|line| line.strip_prefix("s=")) {
            Some("caller") => refuse(Fault::Caller),
            Some("busy") => refuse(Fault::Busy),
            Some("engine") => refuse(Fault::Engine),
            Some("bug") => refuse(Fault::Bug),
            _ => {
                let mut calls = self.0.lock().unwrap();
                calls.push((offer, session, permit));
                Ok(Started { call_id: format!("rtc_{}", calls.len()), answer_sdp: "v=0\r\ns=answer\r\n".to_owned() })
            }
        }
    }

    fn end(&self, call_id: &str) -> bool {
        call_id == "rtc_1" && self.0.lock().unwrap().pop().is_some()
    }

    async fn end_all(&self) {
        self.0.lock().unwrap().clear();
    }
}

struct House {
    at: SocketAddr,
    desk: Desk,
    calls: Arc<Calls>,
    metrics: Metrics,
    client: reqwest::Client,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for House {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl House {
    /// Two places, open, and whatever `change` does to the defaults.
    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::defaults();
        config.server.max_sessions = 2;
        change(&mut config);
        let (desk, calls, metrics) =
            (Desk::new(config.server.max_sessions), Arc::new(Calls::default()), Metrics::new());
        desk.open();
        let brain = config.llm.brain();
        let app = router(&config.server, &config.voices, &brain, desk.clone(), calls.clone(), metrics.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { at, desk, calls, metrics, client: reqwest::Client::new(), server }
    }

    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.at))
    }

    async fn get(&self, path: &str) -> Response {
        self.ask(Method::GET, path).send().await.unwrap()
    }

    fn offer(&self, sdp: impl Into<reqwest::Body>) -> RequestBuilder {
        self.ask(Method::POST, "/v1/realtime/calls").header(header::CONTENT_TYPE, "application/sdp").body(sdp)
    }

    fn form(&self, body: String) -> RequestBuilder {
        let kind = "multipart/form-data; boundary=cut";
        self.ask(Method::POST, "/v1/realtime/calls").header(header::CONTENT_TYPE, kind).body(body)
    }
}

fn part(name: &str, kind: &str, body: &str) -> String {
    format!("--cut\r\nContent-Disposition: form-data; name=\"{name}\"\r\nContent-Type: {kind}\r\n\r\n{body}\r\n")
}

fn header_of(response: &Response, name: impl header::AsHeaderName) -> String {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

/// Sends, expects a refusal of that status with OpenAI's error body, and returns the error.
async fn refused(request: RequestBuilder, status: StatusCode) -> Value {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), status);
    assert_eq!(header_of(&response, header::CONTENT_TYPE), "application/json");
    let mut body: Value = response.json().await.unwrap();
    let error = body["error"].take();
    assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()), "{error}");
    assert!(error["type"].is_string() && error["code"].is_string() && error.get("param").is_some(), "{error}");
    error
}

/// The handshake of stock clients: raw SDP in, 201 with a place and SDP out; DELETE there ends the call, once.
#[tokio::test]
async fn a_call_is_placed_and_ended() {
    let house = House::with(|_| {}).await;
    let answer = house.offer("v=0\r\ns=hi\r\n").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(header_of(&answer, header::CONTENT_TYPE), "application/sdp");
    let place = header_of(&answer, header::LOCATION);
    assert_eq!(place, "/v1/realtime/calls/rtc_1");
    assert_eq!(answer.text().await.unwrap(), "v=0\r\ns=answer\r\n");
    assert_eq!(house.desk.taken(), 1);

    assert_eq!(house.ask(Method::DELETE, &place).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(house.desk.taken(), 0);
    let error = refused(house.ask(Method::DELETE, &place), StatusCode::NOT_FOUND).await;
    assert_eq!(error["code"], "call_id_not_found");

    house.offer("v=0\r\n").send().await.unwrap();
    let hangup = house.ask(Method::POST, "/v1/realtime/calls/rtc_1/hangup").send().await.unwrap();
    assert_eq!((hangup.status(), house.desk.taken()), (StatusCode::OK, 0));
}

/// The form of server SDKs: parts without file names, the session beside the offer, unknown parts passed over.
#[tokio::test]
async fn a_form_brings_a_session() {
    let house = House::with(|_| {}).await;
    let body = part("sdp", "application/sdp", "v=0\r\ns=hi")
        + &part("later", "text/plain", "what is this")
        + &part("session", "application/json", r#"{"type":"realtime"}"#)
        + "--cut--\r\n";
    let answer = house.form(body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let calls = house.calls.0.lock().unwrap();
    assert_eq!((calls[0].0.as_str(), &calls[0].1), ("v=0\r\ns=hi", &Some(json!({"type": "realtime"}))));
}

/// What is not an offer is told so, in words and in a code, and takes no place.
#[tokio::test]
async fn bad_offers_get_clear_errors() {
    let house = House::with(|_| {}).await;
    let end = "--cut--\r\n";
    let sdp = part("sdp", "application/sdp", "v=0");
    let large = "v=0\r\n".to_owned() + &"a".repeat(body::MAX_SDP_BYTES);
    let session = |text: &str| house.form(sdp.clone() + &part("session", "application/json", text) + end);
    let large_session = format!("{{\"a\":\"{}\"}}", "a".repeat(body::MAX_SESSION_BYTES));
    let large_form = sdp.clone() + &part("other", "text/plain", &"a".repeat(body::MAX_FORM_BYTES)) + end;
    for (request, status, code, param) in [
        (house.offer("hello"), 400, "invalid_offer", "sdp"),
        (house.offer(""), 400, "invalid_offer", "sdp"),
        (house.offer(vec![b'v', b'=', b'0', 0xff]), 400, "invalid_offer", "sdp"),
        (house.offer(large.clone()), 413, "request_too_large", "sdp"),
        (house.form(part("sdp", "application/sdp", &large) + end), 413, "request_too_large", "sdp"),
        (house.form(large_form), 413, "request_too_large", "form"),
        (session(&large_session), 413, "request_too_large", "session"),
        (session("{\"a\":"), 400, "invalid_json", "session"),
        (session("[1]"), 400, "invalid_json", "session"),
        (house.form(part("session", "application/json", "{}") + end), 400, "missing_part", "sdp"),
        (house.form("--cu".to_owned()), 400, "invalid_form", ""),
        (
            house.ask(Method::POST, "/v1/realtime/calls").json(&json!({"sdp": "v=0"})),
            415,
            "unsupported_content_type",
            "",
        ),
        (house.ask(Method::POST, "/v1/realtime/calls"), 415, "unsupported_content_type", ""),
    ] {
        let error = refused(request, StatusCode::from_u16(status).unwrap()).await;
        assert_eq!(error["code"], code, "{error}");
        assert_eq!(error["param"].as_str().unwrap_or_default(), param, "{error}");
        assert_eq!(error["type"], "invalid_request_error");
    }
    assert_eq!((house.desk.taken(), house.calls.0.lock().unwrap().len()), (0, 0));
    assert!(house.metrics.render().contains("visavis_bad_input_total{door=\"http\"} 13"));
}

/// One table: whose fault it was decides the status, and whether another try is worth it.
#[tokio::test]
async fn whose_fault_decides_the_status() {
    let house = House::with(|_| {}).await;
    for (fault, status, again) in
        [("caller", 400, false), ("busy", 503, true), ("engine", 502, true), ("bug", 500, false)]
    {
        let response = house.offer(format!("v=0\r\ns={fault}\r\n")).send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.headers().contains_key(header::RETRY_AFTER)), (status, again));
        let body: Value = response.json().await.unwrap();
        let kind = if fault == "caller" { "invalid_request_error" } else { "server_error" };
        assert_eq!(body, json!({"error": {"message": "no", "type": kind, "code": "as_asked", "param": "sdp"}}));
    }
    assert_eq!(house.desk.taken(), 0);
}

/// A full server says so at once with what to do next, counts it, and lets the next in when a place is free.
#[tokio::test]
async fn a_full_server_refuses() {
    let house = House::with(|_| {}).await;
    for _ in 0..2 {
        assert_eq!(house.offer("v=0").send().await.unwrap().status(), StatusCode::CREATED);
    }
    let response = house.offer("v=0").send().await.unwrap();
    assert_eq!(
        (response.status(), header_of(&response, header::RETRY_AFTER)),
        (StatusCode::SERVICE_UNAVAILABLE, "5".into())
    );
    let error = refused(house.offer("v=0"), StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(error["code"], "server_full");
    assert!(error["message"].as_str().unwrap().contains("all of its 2 calls are taken"));
    assert!(house.metrics.render().contains("visavis_admission_rejected_total{reason=\"full\"} 2"));

    house.calls.0.lock().unwrap().pop();
    assert_eq!(house.offer("v=0").send().await.unwrap().status(), StatusCode::CREATED);
    house.desk.drain();
    assert_eq!(refused(house.offer("v=0"), StatusCode::SERVICE_UNAVAILABLE).await["code"], "server_draining");
}

/// Ready follows the desk; health only says that the process answers.
#[tokio::test]
async fn health_and_readiness_differ() {
    let house = House::with(|_| {}).await;
    assert_eq!(house.get("/readyz").await.status(), StatusCode::OK);
    house.desk.drain();
    let response = house.get("/readyz").await;
    assert_eq!(
        (response.status(), response.text().await.unwrap()),
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n".into())
    );
    assert_eq!(house.get("/healthz").await.status(), StatusCode::OK);
}

/// With a token only its bearer places and ends calls; what the page needs before it asks for one stays open.
#[tokio::test]
async fn a_token_is_asked_for() {
    let house = House::with(|config| config.server.token = Some(Secret::new("s3cret"))).await;
    assert_eq!(refused(house.offer("v=0"), StatusCode::UNAUTHORIZED).await["code"], "invalid_api_key");
    assert_eq!(house.offer("v=0").bearer_auth("s3cret").send().await.unwrap().status(), StatusCode::CREATED);
    refused(house.ask(Method::DELETE, "/v1/realtime/calls/rtc_1"), StatusCode::UNAUTHORIZED).await;
    assert_eq!(house.desk.taken(), 1);
    let about: Value = house.get("/v1/about").await.json().await.unwrap();
    assert_eq!(about["needs_token"], true);
}

/// Pages of allowed origins may call and read where their call is; a foreign page gets nothing, not even a place.
#[tokio::test]
async fn other_sites_are_told_apart() {
    let house = House::with(|_| {}).await;
    let from = |request: RequestBuilder, origin: &str| request.header(header::ORIGIN, origin.to_owned());
    let friend = "http://localhost:3000";
    let preflight = from(house.ask(Method::OPTIONS, "/v1/realtime/calls"), friend).send().await.unwrap();
    assert_eq!(preflight.status(), StatusCode::NO_CONTENT);
    let headers = header_of(&preflight, header::ACCESS_CONTROL_ALLOW_HEADERS);
    for needed in ["authorization", "content-type", "x-openai-agents-sdk"] {
        assert!(headers.contains(needed), "{headers}");
    }
    assert!(header_of(&preflight, header::ACCESS_CONTROL_ALLOW_METHODS).contains("DELETE"));

    let answer = from(house.offer("v=0"), friend).send().await.unwrap();
    assert_eq!(header_of(&answer, header::ACCESS_CONTROL_ALLOW_ORIGIN), friend);
    assert!(header_of(&answer, header::ACCESS_CONTROL_EXPOSE_HEADERS).contains("Location"));
    // A refusal must be readable too: the other page shows its message.
    let refusal = from(house.offer("hello"), friend).send().await.unwrap();
    assert_eq!(header_of(&refusal, header::ACCESS_CONTROL_ALLOW_ORIGIN), friend);

    let taken = house.desk.taken();
    let own = from(house.offer("v=0"), &format!("http://{}", house.at)).send().await.unwrap();
    assert_eq!((own.status(), house.desk.taken()), (StatusCode::CREATED, taken + 1));
    house.calls.0.lock().unwrap().clear();
    let error = refused(from(house.offer("v=0"), "https://evil.example"), StatusCode::FORBIDDEN).await;
    assert_eq!((error["code"].as_str(), house.desk.taken()), (Some("origin_not_allowed"), 0));
}

/// The page comes out of the binary under a strict policy, and is not sent again to who has it.
#[tokio::test]
async fn the_page_is_served_under_a_policy() {
    let house = House::with(|_| {}).await;
    let page = house.get("/").await;
    assert_eq!(
        (page.status(), header_of(&page, header::CONTENT_TYPE)),
        (StatusCode::OK, "text/html; charset=utf-8".into())
    );
    let policy = header_of(&page, header::CONTENT_SECURITY_POLICY);
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(header_of(&page, header::X_CONTENT_TYPE_OPTIONS), "nosniff");
    let tag = header_of(&page, header::ETAG);
    assert!(page.text().await.unwrap().contains("<title>Visavis"));

    let again = house.ask(Method::GET, "/index.html").header(header::IF_NONE_MATCH, &tag).send().await.unwrap();
    assert_eq!((again.status(), header_of(&again, header::ETAG)), (StatusCode::NOT_MODIFIED, tag));
    for elsewhere in ["/nothing.js", "/../Cargo.toml", "/%2e%2e/Cargo.toml"] {
        assert_eq!(house.get(elsewhere).await.status(), StatusCode::NOT_FOUND, "{elsewhere}");
    }
}

/// What the page asks before it calls, and what Prometheus reads.
#[tokio::test]
async fn the_house_tells_about_itself() {
    let house = House::with(|_| {}).await;
    let people: Value = house.get("/v1/voices").await.json().await.unwrap();
    assert_eq!((people[0]["name"].as_str(), people[0]["face"].as_str()), (Some("theo"), Some("theo")));
    assert!(!people.to_string().contains("instructions"));
    let about: Value = house.get("/v1/about").await.json().await.unwrap();
    assert_eq!((about["brain"]["demo"].as_bool(), about["max_sessions"].as_u64()), (Some(true), Some(2)));
    assert_eq!(about["version"], env!("CARGO_PKG_VERSION"));
    let metrics = house.get("/metrics").await;
    assert!(header_of(&metrics, header::CONTENT_TYPE).starts_with("text/plain; version=0.0.4"));
    assert!(metrics.text().await.unwrap().contains("visavis_sessions_active 0"));

    assert_eq!(refused(house.ask(Method::GET, "/v1/nothing"), StatusCode::NOT_FOUND).await["code"], "unknown_url");
    let wrong = refused(house.ask(Method::GET, "/v1/realtime/calls"), StatusCode::METHOD_NOT_ALLOWED).await;
    assert_eq!(wrong["code"], "method_not_allowed");
}
