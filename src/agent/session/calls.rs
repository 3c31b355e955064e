//! io: all calls of a server: starts them, finds them, ends them

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::services::Services;
use super::{ending, line};
use crate::agent::flow::Fault;
use crate::agent::server::port::{Datagram, Port, Registration};
use crate::agent::server::{CallError, CallStarter, Permit, Started};
use crate::agent::transport::realtime::{Link, Protocol, Setup};
use crate::agent::transport::webrtc;
use crate::metrics::EndReason;
use crate::rtc::{Endpoint, Gone, RtcConfig, RtcError};
use crate::runtime::scope::{Scope, TaskCounter};
use crate::runtime::{chance, clock};

/// A handle; clones share the calls.
#[derive(Clone)]
pub struct Calls(Arc<Shared>);

struct Shared {
    services: Services,
    rtc: RtcConfig,
    port: Port,
    book: Mutex<Book>,
}

struct Book {
    lines: HashMap<String, Arc<Line>>,
    tasks: Scope,
}

/// One call that is up: gone when nothing of it is left.
#[derive(Debug)]
pub struct Line {
    pub call_id: String,
    pub began: Instant,
    token: CancellationToken,
    /// Somebody asked over HTTP for its end.
    asked: AtomicBool,
}

impl Calls {
    pub fn new(services: Services, rtc: RtcConfig, port: Port) -> Self {
        let book = Book { lines: HashMap::new(), tasks: Scope::new(TaskCounter::default()) };
        Self(Arc::new(Shared { services, rtc, port, book: Mutex::new(book) }))
    }

    /// The line of a call, weakly: dead when nothing of the call is left.
    pub fn line(&self, call_id: &str) -> Option<Weak<Line>> {
        self.0.book().lines.get(call_id).map(Arc::downgrade)
    }

    /// The ids of the calls that are up.
    pub fn ids(&self) -> Vec<String> {
        self.0.book().lines.keys().cloned().collect()
    }

    fn answer(&self, offer: &str, session: Option<&Value>) -> Result<(Endpoint, String, Protocol), CallError> {
        let services = &self.0.services;
        let setup = Setup {
            link: Link::WebRtc,
            seed: fastrand::u64(..),
            model: services.model.clone(),
            transcription_model: services.transcription_model.clone(),
            person: services.persons.first().cloned().unwrap_or_default(),
            persons: services.persons.clone(),
            turn_detection: services.turn_detection,
            expires_at_unix_s: 0,
        };
        let protocol = Protocol::new(setup, session)
            .map_err(|refusal| CallError::new(Fault::Caller, refusal.code, refusal.message).about("session"))?;
        let (endpoint, answer) =
            Endpoint::answer(&self.0.rtc, offer, clock::now()).map_err(|error| offer_refused(&error))?;
        Ok((endpoint, answer, protocol))
    }
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("no holder of this lock can panic")
    }
}

fn offer_refused(error: &RtcError) -> CallError {
    if error.is_callers_fault() {
        CallError::new(Fault::Caller, "invalid_offer", error.to_string()).about("sdp")
    } else {
        CallError::new(Fault::Bug, "webrtc_failed", error.to_string())
    }
}

impl CallStarter for Calls {
    async fn start(&self, offer: String, session: Option<Value>, permit: Permit) -> Result<Started, CallError> {
        let (endpoint, answer_sdp, protocol) = self.answer(&offer, session.as_ref())?;
        let call_id = format!("rtc_{}", chance::secret_word());
        let shared = self.0.clone();
        let link = Wire(shared.port.register(endpoint.ufrag()));
        let mut scope = Scope::new(shared.services.tasks.clone());
        let token = scope.token().clone();
        let line = Arc::new(Line {
            call_id: call_id.clone(),
            began: clock::now(),
            token: token.clone(),
            asked: AtomicBool::new(false),
        });
        let (gone, why) = oneshot::channel();
        line::lay(&mut scope, &shared.services, endpoint, link, protocol, token, gone);
        let guard = shared.services.metrics.session();
        tracing::info!(call = call_id, "call begins");
        let mut book = self.0.book();
        book.tasks.reap();
        book.lines.insert(call_id.clone(), line.clone());
        book.tasks.spawn("call", async move {
            let result = ending::outlive(scope).await;
            let lasted = clock::now() - line.began;
            let lasted_s = lasted.as_secs_f32();
            let why = why.await;
            shared.services.metrics.ended(counted(&result, why.as_ref().ok(), &line), lasted);
            match (result, why) {
                (Ok(()), Ok(why)) => tracing::info!(call = line.call_id, lasted_s, ?why, "call ended"),
                (Ok(()), Err(_)) => tracing::info!(call = line.call_id, lasted_s, "call ended"),
                (Err(reason), _) => tracing::warn!(call = line.call_id, lasted_s, reason, "call ended badly"),
            }
            shared.book().lines.remove(&line.call_id);
            drop((line, guard, permit));
            Ok::<(), std::convert::Infallible>(())
        });
        Ok(Started { call_id, answer_sdp })
    }

    fn end(&self, call_id: &str) -> bool {
        let book = self.0.book();
        let line = book.lines.get(call_id);
        if let Some(line) = line {
            line.asked.store(true, Ordering::Relaxed);
            line.token.cancel();
        }
        line.is_some()
    }

    async fn end_all(&self) {
        for line in self.0.book().lines.values() {
            line.token.cancel();
        }
        loop {
            {
                let mut book = self.0.book();
                book.tasks.reap();
                if book.tasks.is_empty() {
                    return;
                }
            }
            clock::sleep(LOOK_AGAIN).await;
        }
    }
}

fn counted(result: &Result<(), String>, why: Option<&Gone>, line: &Line) -> EndReason {
    match (result, why) {
        (Err(_), _) | (Ok(()), None) => EndReason::Failed,
        (Ok(()), Some(Gone::Us)) if line.asked.load(Ordering::Relaxed) => EndReason::Asked,
        (Ok(()), Some(Gone::Us)) => EndReason::Server,
        (Ok(()), Some(Gone::Peer)) => EndReason::Caller,
        (Ok(()), Some(Gone::Silent)) => EndReason::Silent,
        (Ok(()), Some(Gone::NeverConnected)) => EndReason::NeverConnected,
        (Ok(()), Some(Gone::Broken(_))) => EndReason::Broken,
    }
}

const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A call's share of the port, as its transport knows it.
struct Wire(Registration);

impl webrtc::Link for Wire {
    async fn recv(&mut self) -> Option<webrtc::Arrival> {
        self.0.recv().await.map(arrival)
    }

    fn try_recv(&mut self) -> Option<webrtc::Arrival> {
        self.0.try_recv().map(arrival)
    }

    fn send(&self, destination: std::net::SocketAddr, bytes: &[u8]) {
        // What the system has no room for is lost, as on any other link.
        let _ = self.0.send(destination, bytes);
    }
}

fn arrival(datagram: Datagram) -> webrtc::Arrival {
    let Datagram { source, destination, bytes, .. } = datagram;
    webrtc::Arrival { source, destination, bytes }
}
