//! task: one server from its opening to its end: build, warm, open, run, drain

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use super::catalogue::{Catalogue, ModelsMissing};
use super::engines::{EngineError, Ground, Sound, off_thread};
use super::loopback::{self, Loopback};
use crate::agent::server::port::Port;
use crate::agent::server::{CallStarter, Desk, router};
use crate::config::{Config, Dials};
use crate::metrics::Metrics;
use crate::onnx::{OnnxError, VadWorker};
use crate::runtime::clock;
use crate::runtime::pool::Pool;
use crate::runtime::scope::{Ended, Scope, TaskCounter};

/// Everything that calls are made of.
pub struct Parts {
    pub config: Arc<Config>,
    /// Where the engines are. They answer once the house is open.
    pub dials: Dials,
    pub port: Port,
    pub pool: Pool,
    pub metrics: Metrics,
    /// Counts the tasks of all calls and of the house.
    pub tasks: TaskCounter,
    /// `None` with scripted engines: speech is told from silence by loudness.
    pub vad: Option<VadWorker>,
}

/// A server that is open. Dropping it stops everything at once.
pub struct House<C> {
    scope: Scope,
    pub desk: Desk,
    pub calls: Arc<C>,
    pub metrics: Metrics,
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
    #[error("the voice detector cannot be opened")]
    Sound(#[from] OnnxError),
    #[error("cannot listen for calls on {at}")]
    Port { at: SocketAddr, source: io::Error },
    #[error("cannot open a loopback port for the engines")]
    Loopback(#[source] io::Error),
    #[error(transparent)]
    Engine(#[from] EngineError),
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

impl<C: CallStarter> House<C> {
    /// Builds everything, answers on `listener` at once (refusing calls), loads and warms the engines, and opens the desk.
    /// `calls` makes what starts calls.
    pub async fn open(
        config: Config,
        listener: TcpListener,
        calls: impl FnOnce(Parts) -> C,
    ) -> Result<Self, OpenError> {
        let metrics = Metrics::new();
        let tasks = TaskCounter::default();
        let mut scope = Scope::new(tasks.clone());

        let sound = if config.engines.scripted { None } else { Some(sound(&config).await?) };
        let at = config.rtc.listen;
        let port = Port::bind(at, config.rtc.public_ip, metrics.clone())
            .await
            .map_err(|source| OpenError::Port { at, source })?;
        let engines = Loopback::bind(&config).await.map_err(OpenError::Loopback)?;

        let http = listener.local_addr().map_err(OpenError::Loopback)?;
        let desk = Desk::new(config.server.max_sessions);
        let ground = Ground { config: config.clone(), metrics: metrics.clone(), sound: sound.clone() };
        let config = Arc::new(config);
        let threads = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
        let calls = Arc::new(calls(Parts {
            config: config.clone(),
            dials: engines.dials.clone(),
            port: port.clone(),
            pool: Pool::new(threads, metrics.clone()),
            metrics: metrics.clone(),
            tasks: tasks.clone(),
            vad: sound.map(|sound| sound.vad),
        }));

        let brain = config.llm.brain();
        let routes = router(&config.server, &config.voices, &brain, desk.clone(), calls.clone(), metrics.clone());
        scope.spawn("the HTTP front", loopback::serve(listener, routes, scope.token().clone()));
        scope.spawn("the media port", {
            let (port, stop) = (port.clone(), scope.token().clone());
            async move { port.run(stop).await }
        });
        engines.start(&ground, &mut scope).await?;
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
async fn sound(config: &Config) -> Result<Sound, OpenError> {
    let config = config.clone();
    let opened = off_thread("check models", move || {
        Catalogue::shipped().check(&config)?;
        Ok(Sound::open(&config.engines.models)?)
    });
    opened.await.map_err(OpenError::Bug)?
}
