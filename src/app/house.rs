//! io: one server from its opening to its end: build, warm, open, run, drain

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use super::catalogue::{Catalogue, ModelsMissing};
use super::engines::{EngineError, Ground, Kind, Sound, off_thread};
use super::loopback::{self, Loopback};
use super::services::{self, ServicesError, Shared};
use crate::agent::server::port::Port;
use crate::agent::server::{CallStarter, Desk, router};
use crate::agent::session::calls::Calls;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::onnx::OnnxError;
use crate::runtime::pool::Pool;
use crate::runtime::scope::{Ended, Scope, TaskCounter};
use crate::runtime::{clock, lag};

/// A server that is open. Dropping it stops everything at once.
pub struct House {
    scope: Scope,
    pub desk: Desk,
    pub calls: Calls,
    pub metrics: Metrics,
    /// All tasks of all calls; those of the house are not among them.
    pub tasks: TaskCounter,
    /// Where the page is.
    pub http: SocketAddr,
    /// What calls are told to send their media to.
    pub rtc: Vec<SocketAddr>,
    grace: Duration,
}

/// Why a server did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Models(#[from] ModelsMissing),
    #[error("the voice detector cannot be opened: {0}")]
    Sound(#[from] OnnxError),
    #[error("cannot listen for calls on {at}: {source}")]
    Port { at: SocketAddr, source: io::Error },
    #[error("cannot open a loopback port for the engines: {0}")]
    Loopback(#[source] io::Error),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Services(#[from] ServicesError),
    #[error("a fault of ours: {0}")]
    Bug(String),
}

/// Why a server ended by itself.
#[derive(Debug, thiserror::Error)]
#[error("{task} ended, and with it the server: {reason}")]
pub struct RunError {
    pub task: &'static str,
    pub reason: String,
}

impl House {
    /// Builds everything, answers on `listener` at once (refusing calls), loads and warms the engines, and opens the desk.
    pub async fn open(config: Config, listener: TcpListener) -> Result<Self, OpenError> {
        let metrics = Metrics::new();
        let tasks = TaskCounter::shown_in(&metrics);
        let mut scope = Scope::new(TaskCounter::default());

        let sound = sound(&config, &metrics).await?;
        let at = config.rtc.listen;
        let port = Port::bind(at, config.rtc.public_ip, metrics.clone())
            .await
            .map_err(|source| OpenError::Port { at, source })?;
        let engines = Loopback::bind(&config).await.map_err(OpenError::Loopback)?;

        let threads = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
        let shared = Shared {
            dials: engines.dials.clone(),
            pool: Pool::new(threads, metrics.clone()),
            vad: sound.vad.clone(),
            metrics: metrics.clone(),
            tasks: tasks.clone(),
        };
        let services = services::services(&config, shared)?;
        let calls = Calls::new(services.clone(), services::rtc(&config, &port)?, port.clone());

        let http = listener.local_addr().map_err(OpenError::Loopback)?;
        let desk = Desk::new(config.server.max_sessions);
        metrics.most_sessions(config.server.max_sessions);
        scope.spawn("the measure of lag", lag::measure(metrics.clone()));
        let brain = config.llm.brain();
        let front = Arc::new(calls.clone());
        let routes = router(&config.server, &config.voices, &brain, desk.clone(), front, metrics.clone());
        scope.spawn("the HTTP front", loopback::serve(listener, routes, scope.token().clone()));
        scope.spawn("the media port", {
            let (port, stop) = (port.clone(), scope.token().clone());
            async move { port.run(stop).await }
        });
        engines
            .start(&Ground { config: config.clone(), metrics: metrics.clone(), sound: Some(sound) }, &mut scope)
            .await?;
        let unread = |error| EngineError { kind: Kind::Llm, reason: format!("it did not read the personas: {error}") };
        services::warm(&config, &services).await.map_err(unread)?;
        desk.open();
        let rtc = port.addresses().to_vec();
        Ok(Self { scope, desk, calls, metrics, tasks, http, rtc, grace: config.server.grace })
    }

    /// Runs until `shutdown`, then drains: nobody new is admitted, calls end politely within the grace. An error when a part
    /// of the house ends by itself.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        let ended = tokio::select! {
            () = shutdown => None,
            ended = self.scope.next() => ended,
        };
        self.desk.drain();
        tracing::info!(calls = self.desk.taken(), "draining");
        if clock::timeout(self.grace, self.calls.end_all()).await.is_err() {
            tracing::warn!(calls = self.desk.taken(), "the grace is over, calls are cut");
        }
        self.scope.abort_all().await;
        match ended {
            None => Ok(()),
            Some(Ended { task, result }) => {
                let reason = result.err().map_or_else(|| "it was done".to_owned(), |error| error.to_string());
                Err(RunError { task, reason })
            }
        }
    }
}

/// Checks the model files, and opens what all that hear share.
async fn sound(config: &Config, metrics: &Metrics) -> Result<Sound, OpenError> {
    let (config, metrics) = (config.clone(), metrics.clone());
    let opened = off_thread("check models", move || {
        Catalogue::shipped().check(&config)?;
        Ok(Sound::open(&config.engines.models, &metrics)?)
    });
    opened.await.map_err(OpenError::Bug)?
}
