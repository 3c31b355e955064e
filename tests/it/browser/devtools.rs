//! io: Chromium's DevTools protocol: one WebSocket, numbered calls, their answers and events

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub struct DevTools {
    sink: tokio::sync::Mutex<SplitSink<Socket, Message>>,
    shared: Arc<Shared>,
    next: AtomicU64,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<HashMap<u64, oneshot::Sender<Value>>>,
    /// What each tab wrote to its console or threw, oldest first.
    consoles: Mutex<HashMap<String, Vec<String>>>,
}

/// No call takes this long unless the browser is stuck; script that is awaited has its own limit.
const ANSWER: Duration = Duration::from_secs(120);

impl DevTools {
    pub async fn connect(address: &str) -> Arc<Self> {
        // Pictures come as one message of base64.
        let limits = WebSocketConfig::default().max_message_size(Some(64 << 20)).max_frame_size(Some(64 << 20));
        let connecting = tokio_tungstenite::connect_async_with_config(address, Some(limits), false);
        let (socket, _) = connecting.await.unwrap_or_else(|e| panic!("no DevTools at {address}: {e}"));
        let (sink, stream) = socket.split();
        let shared = Arc::new(Shared::default());
        tokio::spawn(listen(stream, shared.clone()));
        Arc::new(Self { sink: tokio::sync::Mutex::new(sink), shared, next: AtomicU64::new(1) })
    }

    /// Calls `method` of the browser or of a tab's `session`. Panics on an error: a test has asked for nonsense, or the
    /// browser is gone.
    pub async fn call(&self, session: Option<&str>, method: &str, parameters: Value) -> Value {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut call = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = session {
            call["sessionId"] = session.into();
        }
        let (answered, answer) = oneshot::channel();
        self.shared.waiting.lock().unwrap().insert(id, answered);
        let sent = self.sink.lock().await.send(Message::text(call.to_string())).await;
        sent.unwrap_or_else(|e| panic!("{method}: the browser is gone: {e}"));
        let answer = tokio::time::timeout(ANSWER, answer).await;
        let answer = answer.unwrap_or_else(|_| panic!("{method}: no answer in {ANSWER:?}"));
        let answer = answer.unwrap_or_else(|_| panic!("{method}: the browser is gone"));
        assert!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
        answer["result"].clone()
    }

    pub fn console(&self, session: &str) -> Vec<String> {
        self.shared.consoles.lock().unwrap().get(session).cloned().unwrap_or_default()
    }
}

async fn listen(mut stream: SplitStream<Socket>, shared: Arc<Shared>) {
    while let Some(Ok(message)) = stream.next().await {
        let Message::Text(text) = message else { continue };
        let message: Value = serde_json::from_str(&text).expect("DevTools speaks JSON");
        if let Some(id) = message["id"].as_u64() {
            if let Some(answered) = shared.waiting.lock().unwrap().remove(&id) {
                let _ = answered.send(message);
            }
        } else if let Some(line) = console_line(&message) {
            let session = message["sessionId"].as_str().unwrap_or_default().to_owned();
            shared.consoles.lock().unwrap().entry(session).or_default().push(line);
        }
    }
    // Whoever waits still is told by the drop.
    shared.waiting.lock().unwrap().clear();
}

/// A line of the console, as a person would read it there.
fn console_line(event: &Value) -> Option<String> {
    let parameters = &event["params"];
    match event["method"].as_str()? {
        "Runtime.consoleAPICalled" => {
            let words = parameters["args"].as_array()?.iter().map(|argument| match &argument["value"] {
                Value::Null => argument["description"].as_str().unwrap_or("null").to_owned(),
                Value::String(text) => text.clone(),
                value => value.to_string(),
            });
            let words: Vec<_> = words.collect();
            Some(format!("{}: {}", parameters["type"].as_str().unwrap_or("log"), words.join(" ")))
        }
        "Runtime.exceptionThrown" => Some(format!("uncaught: {}", thrown(&parameters["exceptionDetails"]))),
        "Log.entryAdded" => {
            let entry = &parameters["entry"];
            Some(format!("{}: {}", entry["level"].as_str()?, entry["text"].as_str()?))
        }
        _ => None,
    }
}

/// What an `exceptionDetails` says.
pub fn thrown(details: &Value) -> String {
    let said = details["exception"]["description"].as_str().or(details["exception"]["value"].as_str());
    said.or(details["text"].as_str()).unwrap_or("something").to_owned()
}
